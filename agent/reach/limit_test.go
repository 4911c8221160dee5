package reach_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

// limited tries an address over TCP and UDP with a limited number of hops. A
// look that should be silent is not waited for long.
func limited(t *testing.T, to netip.AddrPort, hops int, tcp, udp want) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), tcp.patience())
	defer cancel()
	r := reach.SYN(ctx, to, hops)
	compare(t, "SYN", r, tcp)
	if timed := r.RTT > 0; timed != (tcp.outcome != agent.Silent && tcp.outcome != agent.NotLooked) {
		t.Errorf("SYN: %v has round trip %v", r.Outcome, r.RTT)
	}
	s := listen(t, to.Addr())
	if err := s.Limit(hops); err != nil {
		t.Fatal(err)
	}
	_, _, r = s.Ask(t.Context(), to, []byte("hello"), []time.Duration{0, udp.patience()}, anything)
	compare(t, "UDP", r, udp)
}

// Every router on the way shows itself at its own distance, and whoever is
// farther does not.
func TestLimitedHops(t *testing.T) {
	if !inBox(t) {
		return
	}
	tooFar := func(from string) want {
		a := netip.MustParseAddr(from)
		if a.Is4() {
			return rejected(agent.TTLExceeded, 11, 0, a)
		}
		return rejected(agent.TTLExceeded, 3, 0, a)
	}
	for _, tt := range []struct {
		to   netip.Addr
		port uint16
		hops int
		tcp  want
		udp  want
	}{
		{server4, openPort, 1, tooFar("10.0.1.1"), tooFar("10.0.1.1")},
		{server6, openPort, 1, tooFar("fd00:1::1"), tooFar("fd00:1::1")},
		{server4, openPort, 2, answered, answered},
		{server6, openPort, 2, answered, answered},
		{server4, closedPort, 2, reset, refused(agent.PortUnreachable, 3, 3, server4)},
		{server6, closedPort, 255, reset, refused(agent.PortUnreachable, 1, 4, server6)},
		// A loop is a way without an end.
		{looped4, openPort, 2, tooFar("10.0.2.2"), tooFar("10.0.2.2")},
		{looped4, openPort, 3, tooFar("10.0.1.1"), tooFar("10.0.1.1")},
		{looped6, openPort, 3, tooFar("fd00:2::1"), tooFar("fd00:2::1")},
	} {
		t.Logf("%v port %d, %d hops", tt.to, tt.port, tt.hops)
		limited(t, netip.AddrPortFrom(tt.to, tt.port), tt.hops, tt.tcp, tt.udp)
	}

	// A firewall behind the first router's count: the packet got as far as there.
	to := netip.AddrPortFrom(server4, openPort)
	routerRules(t, "drop")
	limited(t, to, 1, tooFar("10.0.1.1"), tooFar("10.0.1.1"))
	limited(t, to, 2, silent, silent)
	routerRules(t, "reject with icmp admin-prohibited")
	no := rejected(agent.AdminProhibited, 3, 13, router4)
	limited(t, to, 2, no, no)
	routerRules(t, "meta l4proto tcp reject with tcp reset")
	limited(t, to, 2, reset, answered)

	firewall(t, "output", "meta l4proto udp drop", "meta l4proto tcp reject with icmpx admin-prohibited")
	limited(t, to, 1, notLooked(agent.LocalReject), notLooked(agent.LocalReject))
	lab.NFT(t, "")
	limited(t, netip.MustParseAddrPort("198.51.100.1:1"), 1, notLooked(agent.NoRoute), notLooked(agent.NoRoute))
}

func TestSYNEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantResult(t, reach.SYN(ctx, netip.MustParseAddrPort("127.0.0.1:1"), 1),
		reach.Result{Outcome: agent.NotLooked, Reason: agent.Cancelled})

	if !inBox(t) {
		return
	}
	routerRules(t, "drop")
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	r := reach.SYN(ctx, netip.AddrPortFrom(server4, openPort), 9)
	compare(t, "SYN", r, notLooked(agent.Cancelled))
}

func TestLimitIsChecked(t *testing.T) {
	for _, a := range loopbacks {
		for _, hops := range []int{0, 256} {
			if err := listen(t, a).Limit(hops); err == nil {
				t.Errorf("%v: a limit of %d hops is accepted", a, hops)
			}
			if r := reach.SYN(t.Context(), netip.AddrPortFrom(a, 1), hops); r.Outcome != agent.NotLooked {
				t.Errorf("%v: SYN with %d hops is %v", a, hops, r.Outcome)
			}
		}
	}
}
