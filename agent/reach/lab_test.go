package reach_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

// want is what an attempt should show, by transport.
type want struct {
	outcome agent.Outcome
	reason  agent.Reason
	icmp    reach.ICMP
}

func rejected(why agent.Reason, kind, code uint8, from netip.Addr) want {
	return want{agent.Rejected, why, reach.ICMP{Type: kind, Code: code, From: from}}
}

// check tries an address over TCP and UDP and compares. Only what is expected
// to be silent, or to be decided at the end of the plan, is cut short.
func check(t *testing.T, to netip.AddrPort, tcp, udp want) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), tcp.patience())
	defer cancel()
	conn, got := reach.TCP(ctx, to)
	compare(t, "TCP", got, tcp)
	if (conn != nil) != (tcp.outcome == agent.Answered) {
		t.Errorf("TCP: connection %v with %v", conn, got.Outcome)
	}
	if conn != nil {
		_ = conn.Close()
	}
	_, _, got = listen(t, to.Addr()).Ask(t.Context(), to, []byte("hello"), []time.Duration{0, udp.patience()}, anything)
	compare(t, "UDP", got, udp)
}

func (w want) patience() time.Duration {
	soft := w.reason == agent.HostUnreachable || w.reason == agent.NetUnreachable
	switch {
	case w.outcome == agent.Silent, soft && w.outcome == agent.Rejected:
		return time.Second
	case w.reason == agent.NoNeighbour: // looked for during 3 s
		return 5 * time.Second
	}
	return 20 * time.Second
}

func compare(t *testing.T, transport string, got reach.Result, w want) {
	t.Helper()
	have := want{got.Outcome, got.Reason, got.ICMP}
	if d := cmp.Diff(w, have, cmp.AllowUnexported(want{}), cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Errorf("%s (-want +got):\n%s", transport, d)
	}
}

var (
	answered = want{outcome: agent.Answered}
	silent   = want{outcome: agent.Silent, reason: agent.Timeout}
	reset    = want{outcome: agent.Refused, reason: agent.Reset}
)

func refused(why agent.Reason, kind, code uint8, from netip.Addr) want {
	return want{agent.Refused, why, reach.ICMP{Type: kind, Code: code, From: from}}
}

func notLooked(why agent.Reason) want { return want{outcome: agent.NotLooked, reason: why} }

func TestRouterSaysNo(t *testing.T) {
	if !inBox(t) {
		return
	}
	tests := []struct {
		rule     string
		to       netip.Addr
		tcp, udp want
	}{
		{"accept", server4, answered, answered},
		{"accept", server6, answered, answered},
		{"drop", server4, silent, silent},
		{"drop", server6, silent, silent},
		both("reject with icmp admin-prohibited", server4, rejected(agent.AdminProhibited, 3, 13, router4)),
		both("reject with icmp host-prohibited", server4, rejected(agent.AdminProhibited, 3, 10, router4)),
		both("reject with icmp net-prohibited", server4, rejected(agent.AdminProhibited, 3, 9, router4)),
		both("reject with icmp port-unreachable", server4, rejected(agent.PortUnreachable, 3, 3, router4)),
		both("reject with icmp host-unreachable", server4, rejected(agent.HostUnreachable, 3, 1, router4)),
		both("reject with icmp net-unreachable", server4, rejected(agent.NetUnreachable, 3, 0, router4)),
		both("reject with icmp prot-unreachable", server4, rejected(agent.ProtoUnreach, 3, 2, router4)),
		both("reject with icmpv6 admin-prohibited", server6, rejected(agent.AdminProhibited, 1, 1, router6)),
		both("reject with icmpv6 port-unreachable", server6, rejected(agent.PortUnreachable, 1, 4, router6)),
		both("reject with icmpv6 addr-unreachable", server6, rejected(agent.HostUnreachable, 1, 3, router6)),
		both("reject with icmpv6 no-route", server6, rejected(agent.NetUnreachable, 1, 0, router6)),
		both("reject with icmpv6 policy-fail", server6, rejected(agent.AdminProhibited, 1, 5, router6)),
		both("reject with icmpv6 reject-route", server6, rejected(agent.AdminProhibited, 1, 6, router6)),
		{"meta l4proto tcp reject with tcp reset", server4, reset, answered},
		{"meta l4proto tcp reject with tcp reset", server6, reset, answered},
		{"meta l4proto udp reject with icmp admin-prohibited", server4, answered, rejected(agent.AdminProhibited, 3, 13, router4)},
		both("accept", looped4, rejected(agent.TTLExceeded, 11, 0, server4)),
		both("accept", looped6, rejected(agent.TTLExceeded, 3, 0, server6)),
	}
	for _, tt := range tests {
		t.Run(tt.to.String()+" "+tt.rule, func(t *testing.T) {
			routerRules(t, tt.rule)
			check(t, netip.AddrPortFrom(tt.to, openPort), tt.tcp, tt.udp)
		})
	}
}

func both(rule string, to netip.Addr, w want) (row struct {
	rule     string
	to       netip.Addr
	tcp, udp want
}) {
	row.rule, row.to, row.tcp, row.udp = rule, to, w, w
	return row
}

func TestServerSaysNo(t *testing.T) {
	if !inBox(t) {
		return
	}
	check(t, netip.AddrPortFrom(server4, closedPort), reset, refused(agent.PortUnreachable, 3, 3, server4))
	check(t, netip.AddrPortFrom(server6, closedPort), reset, refused(agent.PortUnreachable, 1, 4, server6))

	serverRules(t, "meta nfproto ipv4 reject with icmp admin-prohibited")
	no := refused(agent.AdminProhibited, 3, 13, server4)
	check(t, netip.AddrPortFrom(server4, openPort), no, no)
	serverRules(t, "meta nfproto ipv4 reject with icmp host-unreachable")
	no = refused(agent.HostUnreachable, 3, 1, server4)
	check(t, netip.AddrPortFrom(server4, openPort), no, no)
	serverRules(t, "meta nfproto ipv4 reject", "meta l4proto ipv6-icmp accept", "meta nfproto ipv6 reject")
	no = refused(agent.PortUnreachable, 3, 3, server4)
	check(t, netip.AddrPortFrom(server4, openPort), no, no)
	no = refused(agent.PortUnreachable, 1, 4, server6)
	check(t, netip.AddrPortFrom(server6, openPort), no, no)
}

// What this machine cannot do says nothing about anybody else.
func TestOwnTroubleIsNotLooked(t *testing.T) {
	if !inBox(t) {
		return
	}
	lab.IP(t, `
		route add unreachable 192.0.2.1
		route add prohibit 192.0.2.2
		route add blackhole 192.0.2.3
		-6 route add unreachable 2001:db8::1
		-6 route add prohibit 2001:db8::2
		-6 route add blackhole 2001:db8::3`)
	routes := []struct {
		to   string
		want agent.Reason
	}{
		{"198.51.100.1", agent.NoRoute},
		{"192.0.2.1", agent.NoRoute},
		{"192.0.2.2", agent.LocalReject},
		{"192.0.2.3", agent.LocalReject},
		{"2001:db8:1::1", agent.NoRoute},
		{"2001:db8::1", agent.NoRoute},
		{"2001:db8::2", agent.LocalReject},
		{"2001:db8::3", agent.LocalReject},
	}
	for _, tt := range routes {
		t.Run(tt.to, func(t *testing.T) {
			no := notLooked(tt.want)
			check(t, netip.AddrPortFrom(netip.MustParseAddr(tt.to), openPort), no, no)
		})
	}
	t.Run("own firewall", func(t *testing.T) {
		firewall(t, "output", "meta l4proto udp drop", "meta l4proto tcp reject with icmpx admin-prohibited")
		no := notLooked(agent.LocalReject)
		check(t, netip.AddrPortFrom(server4, openPort), no, no)
		check(t, netip.AddrPortFrom(server6, openPort), no, no)
		lab.NFT(t, "")
	})
	t.Run("no neighbour", func(t *testing.T) {
		for _, to := range []netip.Addr{absent4, absent6} {
			t.Run(to.String(), func(t *testing.T) {
				t.Parallel()
				no := notLooked(agent.NoNeighbour)
				check(t, netip.AddrPortFrom(to, openPort), no, no)
			})
		}
	})
	t.Run("no link", func(t *testing.T) {
		lab.IP(t, "link set up0 down")
		no := notLooked(agent.NoRoute)
		check(t, netip.AddrPortFrom(server4, openPort), no, no)
		check(t, netip.AddrPortFrom(server6, openPort), no, no)
	})
}

// Routes that change make routers say "unreachable" for a moment.
func TestPassingTroubleDoesNotHideTheAnswer(t *testing.T) {
	if !inBox(t) {
		return
	}
	routerRules(t, "meta l4proto udp limit rate 1/day burst 1 packets reject with icmp host-unreachable")
	s := listen(t, server4)
	plan := []time.Duration{0, 100 * time.Millisecond, 300 * time.Millisecond, 20 * time.Second}
	_, _, r := s.Ask(t.Context(), netip.AddrPortFrom(server4, openPort), []byte("hello"), plan, anything)
	compare(t, "UDP", r, answered)
	if r.Sends < 2 {
		t.Errorf("%d sends, want another one after the rejection", r.Sends)
	}
}

// A router that cannot pass a large packet is not one that rejects: the kernel
// sends the next one in fragments.
func TestPacketTooBigIsNoRejection(t *testing.T) {
	if !inBox(t) {
		return
	}
	lab.IP(t, "-n router link set wan0 mtu 1300")
	lab.IP(t, "-n server link set up0 mtu 1300")
	for _, to := range []netip.Addr{server4, server6} {
		s := listen(t, to)
		plan := []time.Duration{0, 100 * time.Millisecond, 300 * time.Millisecond, 20 * time.Second}
		_, _, r := s.Ask(t.Context(), netip.AddrPortFrom(to, openPort), make([]byte, 1400), plan, anything)
		compare(t, to.String(), r, answered)
		if r.Sends < 2 {
			t.Errorf("%v: %d sends: nothing was too big", to, r.Sends)
		}
	}
}

// A connection survives ICMP errors once it is up, as RFC 1122 section
// 4.2.3.9 demands.
func TestConnectionOutlivesPassingTrouble(t *testing.T) {
	if !inBox(t) {
		return
	}
	for _, to := range []netip.Addr{server4, server6} {
		routerRules(t, "accept")
		conn, r := reach.TCP(t.Context(), netip.AddrPortFrom(to, openPort))
		compare(t, to.String(), r, answered)
		if conn == nil {
			continue
		}
		// The first error comes back while the write still holds the socket, and
		// the kernel only takes note of it; the second one comes by itself.
		routerRules(t, "meta l4proto tcp limit rate 1/day burst 2 packets reject with icmpx host-unreachable")
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		buf := make([]byte, 5)
		_, err := conn.Write([]byte("hello"))
		if err == nil {
			_, err = conn.Read(buf)
		}
		if err != nil || string(buf) != "hello" {
			t.Errorf("%v: read %q, %v after two rejected packets", to, buf, err)
		}
		_ = conn.Close()
	}
}

func TestConnNamesWhoRejects(t *testing.T) {
	if !inBox(t) {
		return
	}
	tests := []struct {
		rule   string
		want   want
		writes int
	}{
		{"reject with icmp admin-prohibited", rejected(agent.AdminProhibited, 3, 13, router4), 1},
		{"reject with icmp host-unreachable", rejected(agent.HostUnreachable, 3, 1, router4), 2},
		{"limit rate 1/day burst 1 packets reject with icmp host-unreachable", answered, 2},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			routerRules(t, tt.rule)
			conn := listen(t, server4).Conn(netip.AddrPortFrom(server4, openPort))
			for range tt.writes {
				if _, err := conn.Write([]byte("hello")); err != nil {
					t.Fatal(err)
				}
			}
			_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			_, err := conn.Read(make([]byte, 100))
			compare(t, "Read", reach.Classify(err, server4), tt.want)
		})
	}
}
