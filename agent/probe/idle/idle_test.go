package idle_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/idle"
	"github.com/sprechprobe/sprechprobe/agent/probe/probetest"
)

// service runs do for each connection, numbered from 0, until the test ends.
func service(t *testing.T, do func(n int, c *net.TCPConn)) agent.Target {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var open []net.Conn
	var serving sync.WaitGroup
	serving.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			serving.Go(func() {
				defer c.Close()
				do(n, c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	a := netip.MustParseAddrPort(l.Addr().String())
	return agent.Target{Host: "turn.example", Addr: a.Addr(), Port: a.Port(), Transport: agent.TCP, Service: agent.TURN, Variant: agent.Plain}
}

// answer reads a Binding request and answers it.
func answer(c net.Conn) bool {
	b := make([]byte, 20)
	if _, err := io.ReadFull(c, b); err != nil {
		return false
	}
	binary.BigEndian.PutUint16(b, stun.BindingSuccess.Value())
	_, err := c.Write(b)
	return err == nil
}

// twice answers as often as it takes to be taken for a service.
func twice(c net.Conn) {
	for range 2 {
		answer(c)
	}
}

// serve answers until the connection ends.
func serve(_ int, c *net.TCPConn) {
	for answer(c) {
	}
}

// brief times, for services without a router in between.
var brief = idle.Times{Speak: []time.Duration{100 * time.Millisecond, 400 * time.Millisecond}, Wait: 2500 * time.Millisecond, Awake: time.Second, Grace: time.Second}

func look(t *testing.T, target agent.Target, o agent.Outcome, why agent.Reason, alive, dead any) agent.Evidence {
	t.Helper()
	e := idle.TCP(brief)(t.Context(), target)
	if e.Outcome != o || e.Reason != why {
		t.Errorf("%v %q %v, want %v %q", e.Outcome, e.Reason, e.Values, o, why)
	}
	for k, want := range map[agent.Key]any{agent.IdleAlive: alive, agent.IdleDead: dead} {
		if e.Values[k] != want {
			t.Errorf("%s = %v, want %v", k, e.Values[k], want)
		}
	}
	return e
}

func TestAlive(t *testing.T) {
	look(t, service(t, serve), agent.Answered, "", 0.4, nil)
}

// Nothing is concluded about single connections where the whole service goes.
func TestServiceGoes(t *testing.T) {
	const begun = 4 // the awake one, its twin, and two that speak
	look(t, service(t, func(n int, c *net.TCPConn) {
		if n < begun {
			twice(c)
		}
		_, _ = io.Copy(io.Discard, c)
	}), agent.NotLooked, agent.TooFew, nil, nil)
	look(t, service(t, func(n int, c *net.TCPConn) {
		if n < begun {
			twice(c)
			_, _ = io.ReadFull(c, make([]byte, 20)) // what is said after the silence
		}
		_ = c.SetLinger(0)
	}), agent.NotLooked, agent.TooFew, nil, nil)
}

// A service that answers only once says nothing about silence.
func TestServiceThatAnswersOnce(t *testing.T) {
	look(t, service(t, func(_ int, c *net.TCPConn) {
		answer(c)
		_, _ = io.Copy(io.Discard, c)
	}), agent.Silent, agent.Timeout, nil, nil)
}

// Somebody on the way ends what is silent, in the service's name.
func TestSilentOnesAreEnded(t *testing.T) {
	for _, tt := range []struct {
		reset bool
		want  agent.Reason
	}{{true, agent.ResetAfter}, {false, agent.Closed}} {
		target := service(t, func(n int, c *net.TCPConn) {
			if n == 0 {
				serve(n, c)
				return
			}
			for answer(c) {
				_ = c.SetReadDeadline(time.Now().Add(time.Second))
			}
			if tt.reset {
				_ = c.SetLinger(0)
			}
		})
		e := idle.TCP(brief)(t.Context(), target)
		dead, _ := e.Values.Num(agent.IdleDead)
		if e.Outcome != agent.Answered || e.Reason != tt.want || dead < 1 || e.Values[agent.IdleAlive] != 0.4 {
			t.Errorf("%v %q %v, want answered %q, dead after 1 s and alive after 0.4 s", e.Outcome, e.Reason, e.Values, tt.want)
		}
	}
}

func TestStrangers(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(n int, c *net.TCPConn)
		o    agent.Outcome
		why  agent.Reason
	}{
		{"HTTP", func(_ int, c *net.TCPConn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }, agent.Tampered, agent.Garbage},
		{"silence", func(_ int, c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) }, agent.Silent, agent.Timeout},
		{"close", func(_ int, c *net.TCPConn) { _, _ = io.ReadFull(c, make([]byte, 20)) }, agent.Refused, agent.Closed},
		{"half an answer", func(_ int, c *net.TCPConn) {
			_, _ = io.ReadFull(c, make([]byte, 20))
			_, _ = c.Write(make([]byte, 9))
		}, agent.Refused, agent.Closed},
	} {
		t.Run(tt.name, func(t *testing.T) { look(t, service(t, tt.do), tt.o, tt.why, nil, nil) })
	}
}

func TestUnfit(t *testing.T) {
	good := agent.Target{Addr: netip.MustParseAddr("127.0.0.1"), Port: 1, Transport: agent.TCP, Service: agent.NATS}
	for _, tt := range []struct {
		change func(*agent.Target)
		want   agent.Reason
	}{
		{func(t *agent.Target) { t.Addr = netip.Addr{} }, agent.NoAddress},
		{func(t *agent.Target) { t.Port = 0 }, agent.NoAddress},
		{func(t *agent.Target) { t.Transport = agent.UDP }, agent.Unsupported},
		{func(t *agent.Target) { t.Service = agent.Range }, agent.Unsupported},
		{func(t *agent.Target) { t.Variant = agent.WSS }, agent.Unsupported},
	} {
		target := good
		tt.change(&target)
		if e := idle.TCP(brief)(t.Context(), target); e.Outcome != agent.NotLooked || e.Reason != tt.want {
			t.Errorf("%+v: %v %q, want not-looked %q", target, e.Outcome, e.Reason, tt.want)
		}
	}
}

func TestUsualTimesFitTheServices(t *testing.T) {
	u := idle.Usual()
	for _, life := range []time.Duration{60 * time.Second, 75 * time.Second, 120 * time.Second} {
		if u.Wait < life+u.Grace {
			t.Errorf("a service that speaks after %v is not heard", life)
		}
		best := time.Duration(0)
		for _, d := range u.Speak {
			if d+u.Grace < life {
				best = max(best, d)
			}
		}
		if best < life/2 {
			t.Errorf("nothing is spoken between %v and a service's own end at %v", life/2, life)
		}
	}
}

// Conform counts goroutines, so that nothing runs beside it.
func TestConform(t *testing.T) {
	probe := func(ctx context.Context, t agent.Target) agent.Evidence { return idle.TCP(brief)(ctx, t) }
	silent := service(t, func(_ int, c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	probetest.Conform(t, probe, service(t, serve), silent)
}
