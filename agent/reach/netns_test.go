package reach_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
)

const openPort, closedPort = 7000, 7001

// The addresses: the far side of each link, and one that only a loop leads to.
var (
	router4, router6 = netip.MustParseAddr("10.0.1.1"), netip.MustParseAddr("fd00:1::1")
	server4, server6 = netip.MustParseAddr("10.0.2.2"), netip.MustParseAddr("fd00:2::2")
	looped4, looped6 = netip.MustParseAddr("10.0.9.9"), netip.MustParseAddr("fd00:9::9")
	absent4, absent6 = netip.MustParseAddr("10.0.1.77"), netip.MustParseAddr("fd00:1::77")
)

// inBox reports whether this is a run of the calling test as the box, in a
// network of its own with a router and a server behind it.
func inBox(t *testing.T) bool {
	t.Helper()
	for program, debian := range map[string]string{"ip": "iproute2", "nft": "nftables"} {
		lab.Program(t, program, debian)
	}
	t.Parallel() // each has its own network, and mostly waits
	if !lab.Inside(t) {
		return false
	}
	furnish(t)
	return true
}

// furnish makes three networks: box (this one) - router - server.
func furnish(t *testing.T) {
	t.Helper()
	const atOnce = "ipv6/conf/default/dad_transmits 0" // addresses work at once
	lab.Set(t, atOnce)
	for _, n := range []string{"router", "server"} {
		lab.IP(t, "netns add "+n)
		lab.In(t, n, func() {
			lab.Set(t, atOnce)
			lab.Set(t, `
				ipv4/ip_forward 1
				ipv6/conf/all/forwarding 1
				ipv4/icmp_ratelimit 0
				ipv4/icmp_msgs_per_sec 100000
				ipv6/icmp/ratelimit 0
				ipv4/conf/all/send_redirects 0`)
		})
	}
	lab.IP(t, `
		link set lo up
		link add up0 type veth peer name lan0 netns router
		address add 10.0.1.2/24 dev up0
		-6 address add fd00:1::2/64 dev up0 nodad
		link set up0 up
		route add 10.0.2.0/24 via 10.0.1.1
		route add 10.0.9.0/24 via 10.0.1.1

		-n router link set lo up
		-n router link add wan0 type veth peer name up0 netns server
		-n router address add 10.0.1.1/24 dev lan0
		-n router address add 10.0.2.1/24 dev wan0
		-n router -6 address add fd00:1::1/64 dev lan0 nodad
		-n router -6 address add fd00:2::1/64 dev wan0 nodad
		-n router link set lan0 up
		-n router link set wan0 up

		-n server link set lo up
		-n server address add 10.0.2.2/24 dev up0
		-n server -6 address add fd00:2::2/64 dev up0 nodad
		-n server link set up0 up
		-n server route add default via 10.0.2.1
		-n server -6 route add default via fd00:2::1`)
	// Both ends of all links are up: what needs a link can follow.
	lab.IP(t, `
		-6 route add fd00:2::/64 via fd00:1::1
		-6 route add fd00:9::/64 via fd00:1::1
		-n router route add 10.0.9.0/24 via 10.0.2.2
		-n router -6 route add fd00:9::/64 via fd00:2::2`)
	lab.In(t, "server", func() { serve(t) })
	awaitServer(t)
}

// serve answers on one UDP and one TCP port, on all addresses, until this
// process ends.
func serve(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf(":%d", openPort))
	if err != nil {
		t.Fatal(err)
	}
	u, err := net.ListenUDP("udp", &net.UDPAddr{Port: openPort})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c) }()
		}
	}()
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := u.ReadFromUDPAddrPort(buf)
			if err == nil {
				_, _ = u.WriteToUDPAddrPort(buf[:n], from)
			}
		}
	}()
}

// awaitServer waits until the links carry: the kernel takes up to a second to
// notice that they are up.
func awaitServer(t *testing.T) {
	t.Helper()
	var plan []time.Duration
	for at := time.Duration(0); at <= 20*time.Second; at += 100 * time.Millisecond {
		plan = append(plan, at)
	}
	for _, to := range []netip.Addr{server4, server6} {
		_, _, r := listen(t, to).Ask(t.Context(), netip.AddrPortFrom(to, openPort), []byte("up?"), plan, anything)
		if r.Outcome != agent.Answered {
			t.Fatalf("%v does not come up: %v %q", to, r.Outcome, r.Reason)
		}
	}
}

// firewall replaces the rules of this network by one chain.
func firewall(t *testing.T, hook string, rules ...string) {
	t.Helper()
	lab.NFT(t, fmt.Sprintf("table inet t {\nchain c {\ntype filter hook %s priority 0;\n%s\n}\n}", hook, strings.Join(rules, "\n")))
}

// routerRules replaces what the router's firewall does with what it forwards.
func routerRules(t *testing.T, rules ...string) {
	t.Helper()
	lab.In(t, "router", func() { firewall(t, "forward", rules...) })
}

// serverRules replaces what the server's firewall does with what comes in.
func serverRules(t *testing.T, rules ...string) {
	t.Helper()
	lab.In(t, "server", func() { firewall(t, "input", rules...) })
}
