package path_test

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/path"
	"github.com/sprechprobe/sprechprobe/agent/probe/probetest"
)

// echo answers datagrams; deaf takes them and says nothing.
func echo(t *testing.T) netip.AddrPort {
	t.Helper()
	c := bind(t)
	done := make(chan struct{})
	t.Cleanup(func() { _ = c.Close(); <-done })
	go func() {
		defer close(done)
		b := make([]byte, 2048)
		for {
			n, from, err := c.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			_, _ = c.WriteToUDPAddrPort(b[:n], from)
		}
	}()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

func bind(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Conform counts goroutines, so that nothing runs beside it.
func TestConform(t *testing.T) {
	deaf := bind(t)
	defer deaf.Close()
	at := func(a netip.AddrPort) agent.Target { return target(a.Addr().String(), a.Port(), agent.UDP) }
	good, silent := at(echo(t)), at(deaf.LocalAddr().(*net.UDPAddr).AddrPort())
	for name, p := range map[string]agent.Probe{
		"path": path.Path, "walk": path.Walk(agent.Target{}), "walk with control": path.Walk(silent),
	} {
		t.Run(name, func(t *testing.T) { probetest.Conform(t, p, good, silent) })
	}
}

func TestUnfitTargets(t *testing.T) {
	for _, tt := range []struct {
		to   agent.Target
		want agent.Reason
	}{
		{agent.Target{Host: "turn.example", Port: 3478, Transport: agent.UDP}, agent.NoAddress},
		{agent.Target{Addr: netip.MustParseAddr("127.0.0.1"), Transport: agent.UDP}, agent.NoAddress},
	} {
		for _, p := range []agent.Probe{path.Path, path.Walk(agent.Target{})} {
			if e := p(t.Context(), tt.to); e.Outcome != agent.NotLooked || e.Reason != tt.want {
				t.Errorf("%v: %v %q, want not-looked %q", tt.to, e.Outcome, e.Reason, tt.want)
			}
		}
	}
	e := path.Walk(agent.Target{})(t.Context(), agent.Target{Addr: netip.MustParseAddr("127.0.0.1"), Port: 1})
	if e.Reason != agent.Unsupported {
		t.Errorf("no transport: %q, want %q", e.Reason, agent.Unsupported)
	}
}

// What the caller has no time for is not seen, rather than mute.
func TestPathWithoutTime(t *testing.T) {
	deaf := bind(t)
	defer deaf.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 1)
	defer cancel()
	a := deaf.LocalAddr().(*net.UDPAddr).AddrPort()
	if e := path.Path(ctx, target(a.Addr().String(), a.Port(), agent.UDP)); e.Outcome != agent.NotLooked {
		t.Errorf("%v %q, want not-looked", e.Outcome, e.Reason)
	}
}
