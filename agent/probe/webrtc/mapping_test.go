package webrtc_test

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/stun/v2"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
)

// seeing is a STUN server that sees everybody at one address and port; it is
// silent without one.
func seeing(t *testing.T, addr string) netip.AddrPort {
	t.Helper()
	return seeingAt(t, freshAddr(), addr)
}

// seeingAt is such a server on an address that others share.
func seeingAt(t *testing.T, at netip.Addr, addr string) netip.AddrPort {
	t.Helper()
	return datagramsAt(t, at, func(r []byte, reply, _ func([]byte)) {
		if p, err := netip.ParseAddrPort(addr); err == nil {
			reply(respond(r, stun.ClassSuccessResponse, &stun.XORMappedAddress{IP: p.Addr().AsSlice(), Port: int(p.Port())}))
		}
	})
}

func TestMapping(t *testing.T) {
	const (
		one   = "192.0.2.7:4711"
		port  = "192.0.2.7:4712"
		other = "192.0.2.8:4711"
	)
	few := brief{Outcome: agent.NotLooked, Reason: agent.TooFew}
	values := func(answers, ips, ports int, mapping string) agent.Values {
		v := agent.Values{
			agent.MappedAddr:   one,
			agent.Destinations: agent.Value(answers),
			agent.MappedIPs:    agent.Value(ips),
			agent.MappedPorts:  agent.Value(ports),
		}
		if mapping != "" {
			v[agent.Mapping] = mapping
		}
		return v
	}
	tests := []struct {
		name string
		seen []string // by each destination; empty: silent
		want brief
		has  agent.Values
	}{
		{"alike", []string{one, one, one}, brief{Outcome: agent.Answered}, values(3, 1, 1, "endpoint-independent")},
		{"another port", []string{one, port}, brief{Outcome: agent.Answered}, values(2, 1, 2, "address-dependent")},
		{"another address", []string{one, other}, brief{Outcome: agent.Answered}, values(2, 2, 1, "several-addresses")},
		{"address and port", []string{one, port, other}, brief{Outcome: agent.Answered}, values(3, 2, 2, "several-addresses")},
		{"the first is silent", []string{"", one, one}, brief{Outcome: agent.Answered}, values(2, 1, 1, "endpoint-independent")},
		{"the last is silent", []string{one, port, ""}, brief{Outcome: agent.Answered}, values(2, 1, 2, "address-dependent")},
		{"one answer", []string{one, ""}, few, values(1, 1, 1, "")},
		{"one destination", []string{one}, few, values(1, 1, 1, "")},
		{"no answer", []string{"", ""}, brief{Outcome: agent.Silent, Reason: agent.Timeout}, nil},
	}
	var cases sync.WaitGroup // they wait more than they compute
	for _, tt := range tests {
		cases.Go(func() {
			t.Run(tt.name, func(t *testing.T) {
				var to []netip.AddrPort
				for _, addr := range tt.seen {
					to = append(to, seeing(t, addr))
				}
				e := webrtc.Mapping(to[1:])(t.Context(), at(to[0], agent.UDP, agent.Plain))
				check(t, e, tt.want)
				delete(e.Values, agent.Sends)
				if diff := cmp.Diff(tt.has, e.Values); len(tt.has)+len(e.Values) > 0 && diff != "" {
					t.Errorf("values (-want +got):\n%s", diff)
				}
			})
		})
	}
	cases.Wait()
}

// A line that is dialled anew while it is looked at has two addresses or ports, but
// not at the same time.
func TestMappingOfALineThatIsDialledAnew(t *testing.T) {
	var asked atomic.Int32
	server := func() netip.AddrPort {
		return datagrams(t, func(r []byte, reply, _ func([]byte)) {
			port := 4711
			if asked.Add(1) > 2 { // the first is asked whether it offers RFC 5780
				port = 4712
			}
			reply(respond(r, stun.ClassSuccessResponse, &stun.XORMappedAddress{IP: net.IPv4(192, 0, 2, 7), Port: port}))
		})
	}
	first, second := server(), server()
	e := webrtc.Mapping([]netip.AddrPort{second})(t.Context(), at(first, agent.UDP, agent.Plain))
	check(t, e, brief{Outcome: agent.NotLooked, Reason: agent.TooFew})
	if got := e.Values.Text(agent.Mapping); got != "" {
		t.Errorf("nat_mapping = %q, want none", got)
	}
}

// Two ports of one server cannot show what another server would see.
func TestMappingByOneAddress(t *testing.T) {
	for _, tt := range []struct{ second, want string }{{"192.0.2.7:4711", ""}, {"192.0.2.7:4712", "address-dependent"}} {
		addr := freshAddr()
		var to []netip.AddrPort
		for _, seen := range []string{"192.0.2.7:4711", tt.second} {
			to = append(to, seeingAt(t, addr, seen))
		}
		e := webrtc.Mapping(to[1:])(t.Context(), at(to[0], agent.UDP, agent.Plain))
		check(t, e, brief{Outcome: agent.Answered}, agent.Destinations)
		if got := e.Values.Text(agent.Mapping); got != tt.want {
			t.Errorf("nat_mapping = %q, want %q", got, tt.want)
		}
	}
}

// The same destination twice, one in IPv6 clothes and one that cannot be
// reached from the socket make no second opinion.
func TestMappingCountsDestinationsOnce(t *testing.T) {
	to := seeing(t, "192.0.2.7:4711")
	others := []netip.AddrPort{
		to,
		netip.AddrPortFrom(netip.AddrFrom16(to.Addr().As16()), to.Port()),
		netip.MustParseAddrPort("[::1]:3478"),
		{},
	}
	e := webrtc.Mapping(others)(t.Context(), at(to, agent.UDP, agent.Plain))
	check(t, e, brief{Outcome: agent.NotLooked, Reason: agent.TooFew})
	if n, _ := e.Values.Num(agent.Destinations); n != 1 {
		t.Errorf("destinations_count = %v, want 1", n)
	}
}

// One socket through no NAT at all, as servers of two makers see it.
func TestMappingOfRealServers(t *testing.T) {
	first, second := startPion(t, newAuthority(t, host)), startCoturn(t, "--no-tls", "--no-dtls")
	others := []netip.AddrPort{netip.AddrPortFrom(second.addr, 3478)}
	e := webrtc.Mapping(others)(t.Context(), at(first.udp, agent.UDP, agent.Plain))
	check(t, e, brief{Outcome: agent.Answered})
	if got, want := e.Values.Text(agent.Mapping), "endpoint-independent"; got != want {
		t.Errorf("nat_mapping = %q, want %q: %v", got, want, e.Values)
	}
}

func TestIPv6(t *testing.T) {
	c, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		lab.LeaveOut(t, "there is no [::1] here: "+err.Error())
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		b := make([]byte, 2048)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			seen := from.(*net.UDPAddr)
			answer := respond(b[:n], stun.ClassSuccessResponse, &stun.XORMappedAddress{IP: seen.IP, Port: seen.Port})
			_, _ = c.WriteTo(answer, from)
		}
	})
	defer serving.Wait()
	defer c.Close()
	e := webrtc.STUN(t.Context(), at(netip.MustParseAddrPort(c.LocalAddr().String()), agent.UDP, agent.Plain))
	check(t, e, brief{Outcome: agent.Answered}, agent.RTT)
	if got, err := netip.ParseAddrPort(e.Values.Text(agent.MappedAddr)); err != nil || got.Addr() != netip.IPv6Loopback() {
		t.Errorf("mapped_addr = %v, want [::1] and a port", e.Values[agent.MappedAddr])
	}
}
