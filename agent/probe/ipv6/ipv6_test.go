package ipv6_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/ipv6"
	"github.com/sprechprobe/sprechprobe/agent/probe/link"
	"github.com/sprechprobe/sprechprobe/agent/probe/probetest"
)

func summary(e agent.Evidence) string {
	return strings.TrimSpace(e.Outcome.String() + " " + string(e.Reason))
}

// furnish makes a practice's router and two services beyond it: 198.18.0.2 and
// 2001:db8:9::2, of which the second has a silent twin with the end 3.
func furnish(t *testing.T) {
	t.Helper()
	lab.IP(t, `
		link set lo up
		netns add router
		netns add service
		link add box0 type veth peer name lan0 netns router
		link set box0 up
		-n router link set lo up
		-n router addr add 2001:db8:1::1/64 dev lan0 nodad
		-n router addr add fe80::1/64 dev lan0 nodad
		-n router addr add 10.0.0.1/24 dev lan0
		-n router link set lan0 up
		-n router link add wan0 type veth peer name eth0 netns service
		-n router addr add 198.18.0.1/24 dev wan0
		-n router addr add 2001:db8:9::1/64 dev wan0 nodad
		-n router link set wan0 up
		-n service addr add 198.18.0.2/24 dev eth0
		-n service addr add 2001:db8:9::2/64 dev eth0 nodad
		-n service addr add 2001:db8:9::3/64 dev eth0 nodad
		-n service link set eth0 up
		-n service route add default via 198.18.0.1
		-n service -6 route add default via 2001:db8:9::1`)
	lab.In(t, "router", func() {
		lab.Set(t, "ipv4/ip_forward 1\nipv6/conf/all/forwarding 1")
		lab.NFT(t, "table ip6 t { chain c { type filter hook forward priority 0; ip6 daddr 2001:db8:9::3 drop; }; }")
	})
	lab.In(t, "service", func() {
		for _, addr := range []string{"198.18.0.2:443", "[2001:db8:9::2]:443"} {
			l, err := net.Listen("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}
	})
}

// nat64 starts a real translator in the practice's router, and the name server
// that tells of it.
func nat64(t *testing.T) {
	t.Helper()
	tayga, dnsmasq := lab.Program(t, "tayga", "tayga"), lab.Program(t, "dnsmasq", "dnsmasq-base")
	dir := t.TempDir()
	conf := filepath.Join(dir, "tayga.conf")
	text := fmt.Sprintf("tun-device nat64\nipv4-addr 192.168.255.1\nipv6-addr 2001:db8:1::64\nprefix 2001:db8:64::/96\ndynamic-pool 192.168.255.0/24\ndata-dir %s\n", dir)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	lab.In(t, "router", func() {
		if out, err := exec.Command(tayga, "--mktun", "-c", conf).CombinedOutput(); err != nil {
			t.Fatalf("tayga: %v\n%s", err, out)
		}
		lab.IP(t, `
			link set nat64 up
			route add 192.168.255.0/24 dev nat64
			-6 route add 2001:db8:64::/96 dev nat64`)
		lab.Start(t, exec.Command(tayga, "-d", "-c", conf, "-p", filepath.Join(dir, "pid")), nil)
		lab.Start(t, exec.Command(dnsmasq, "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--log-facility=-", "--user=",
			"--no-resolv", "--no-hosts", "--bind-interfaces", "--listen-address=2001:db8:1::1",
			"--host-record=ipv4only.arpa,192.0.0.170,2001:db8:64::c000:aa"), lab.Listens("[2001:db8:1::1]:53"))
	})
}

// TestRealNetworks runs its scenarios in one network. They build on each other.
func TestRealNetworks(t *testing.T) {
	for program, debian := range map[string]string{"ip": "iproute2", "nft": "nftables", "dnsmasq": "dnsmasq-base", "tayga": "tayga"} {
		lab.Program(t, program, debian)
	}
	if f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0); err != nil {
		lab.LeaveOut(t, "this system gives no tunnels: "+err.Error())
	} else {
		f.Close()
	}
	if !lab.Inside(t) {
		return
	}
	furnish(t)
	nat64(t)
	probe := ipv6.Probe(link.System{}, []netip.AddrPort{netip.MustParseAddrPort("[2001:db8:1::1]:53")})
	web := func(addr string) agent.Target {
		return agent.Target{Host: "video.example", Port: 443, Transport: agent.TCP}.At(netip.MustParseAddr(addr), "")
	}
	over4, over6, silent6 := web("198.18.0.2"), web("2001:db8:9::2"), web("2001:db8:9::3")
	expect := func(t *testing.T, target agent.Target, want string, values agent.Values) agent.Evidence {
		t.Helper()
		e := probe(t.Context(), target)
		if got := summary(e); got != want {
			t.Errorf("outcome = %q, want %q", got, want)
		}
		got := agent.Values{}
		for k, v := range e.Values {
			if k != agent.ConnectTime && k != agent.RTT {
				got[k] = v
			}
		}
		if d := cmp.Diff(values, got); d != "" {
			t.Errorf("values (-want +got):\n%s", d)
		}
		return e
	}
	facts := func(addr, route bool, prefix ...string) agent.Values {
		v := agent.Values{agent.IPv6Addr: addr, agent.IPv6Route: route}
		for _, p := range prefix {
			v[agent.NAT64] = p
		}
		return v
	}
	t.Run("IPv4 alone", func(t *testing.T) {
		lab.IP(t, "addr add 10.0.0.2/24 dev box0\nroute add default via 10.0.0.1")
		expect(t, over6, "not-looked no-ipv6", facts(false, false))
		expect(t, agent.Target{}, "not-looked no-ipv6", facts(false, false))
	})
	t.Run("a route without address", func(t *testing.T) {
		lab.IP(t, "-6 route add default via fe80::1 dev box0")
		expect(t, over6, "not-looked no-ipv6", facts(false, true))
	})
	t.Run("an address without route", func(t *testing.T) {
		lab.IP(t, "-6 route del default")
		lab.IP(t, "addr add 2001:db8:1::2/64 dev box0 nodad")
		expect(t, over6, "not-looked no-ipv6", facts(true, false))
	})
	t.Run("both families", func(t *testing.T) {
		lab.IP(t, "-6 route add default via fe80::1 dev box0")
		expect(t, over6, "answered", facts(true, true))
		expect(t, silent6, "silent timeout", facts(true, true))
		expect(t, over4, "not-looked no-address", facts(true, true)) // IPv4 needs no translator here
		expect(t, agent.Target{}, "answered", facts(true, true))
	})
	t.Run("conformance", func(t *testing.T) { probetest.Conform(t, probe, over6, silent6) })
	t.Run("IPv6 alone", func(t *testing.T) {
		lab.IP(t, "addr del 10.0.0.2/24 dev box0")
		expect(t, over6, "answered", facts(true, true, "2001:db8:64::/96"))
		expect(t, agent.Target{}, "answered", facts(true, true, "2001:db8:64::/96"))
		e := expect(t, over4, "answered", facts(true, true, "2001:db8:64::/96"))
		if want := netip.MustParseAddr("2001:db8:64::c612:2"); e.Target.Addr != want {
			t.Errorf("asked %v, want the translator's %v", e.Target.Addr, want)
		}
		if got := link.Probe(link.System{})(t.Context(), agent.Target{}); summary(got) != "answered" || got.Values.Text(agent.LocalAddr) != "2001:db8:1::2/64" {
			t.Errorf("the local side is %s, %v; want no fault", summary(got), got.Values)
		}
	})
	t.Run("an address of the practice alone", func(t *testing.T) {
		lab.IP(t, "addr del 2001:db8:1::2/64 dev box0")
		lab.IP(t, "addr add fd00::2/64 dev box0 nodad\n-n router addr add fd00::1/64 dev lan0 nodad")
		expect(t, over4, "answered", facts(false, true, "2001:db8:64::/96"))
	})
}
