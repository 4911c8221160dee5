package bandwidth_test

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/bandwidth"
	"github.com/sprechprobe/sprechprobe/agent/wire/iperf3"
)

// Whoever measures makes room for the practice, and keeps to its data budget.
func TestEnds(t *testing.T) {
	t.Parallel()
	slow := &iperf3.Server{Admit: func(context.Context, iperf3.Request) (iperf3.Grant, error) {
		return iperf3.Grant{Rate: 2 * mbit}, nil
	}}
	for _, tt := range []struct {
		name   string
		server *iperf3.Server
		edit   func(*bandwidth.Need)
		reason agent.Reason
	}{
		{"the practice's network suffers", &iperf3.Server{}, func(n *bandwidth.Need) { n.Strained = func() bool { return true } }, agent.LineInUse},
		{"less than is needed, in consulting hours", slow, func(n *bandwidth.Need) { n.Gentle = true }, agent.LineInUse},
		{"no data left", &iperf3.Server{}, func(n *bandwidth.Need) { n.Most = 200_000 }, agent.BudgetUsed},
		{"no data left for the capacity", &iperf3.Server{}, func(n *bandwidth.Need) { n.Capacity, n.Down, n.Up, n.Most = true, 0, 0, 200_000 }, agent.BudgetUsed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := hd
			tt.edit(&n)
			start := time.Now()
			e := look(t, n, serve(t, tt.server, "127.0.0.1:0"))
			if e.Outcome != agent.NotLooked || e.Reason != tt.reason {
				t.Errorf("%v %v %v, want %v", e.Outcome, e.Reason, e.Values, tt.reason)
			}
			t.Log(time.Since(start))
		})
	}
}

// What the first direction has shown is kept when the second one is put off.
func TestHalf(t *testing.T) {
	t.Parallel()
	whole(t)
	n := hd
	n.Most = 1_800_000 // enough for one direction, and for datagrams
	e := look(t, n, serve(t, &iperf3.Server{}, "127.0.0.1:0"))
	_, down := e.Values.Num(agent.DownRate)
	_, up := e.Values.Num(agent.UpRate)
	if e.Outcome != agent.Answered || !down || up || e.Values.Text(agent.PutOff) != string(agent.BudgetUsed) {
		t.Errorf("%v %v %v", e.Outcome, e.Reason, e.Values)
	}
}

// What the line carries at most is looked for after all that is needed, and known
// also where the data budget ends that.
func TestCapacity(t *testing.T) {
	t.Parallel()
	whole(t)
	capped := func() *iperf3.Server {
		return &iperf3.Server{Admit: func(context.Context, iperf3.Request) (iperf3.Grant, error) {
			return iperf3.Grant{Rate: 40 * mbit}, nil
		}}
	}
	for _, tt := range []struct {
		name   string
		most   int64
		full   bool // it is found how fast the line is
		putOff agent.Reason
	}{
		{"as much as it takes", 0, true, ""},
		{"enough for some seconds", 35_000_000, true, ""},
		{"enough for what is needed", 5_000_000, false, agent.BudgetUsed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := bandwidth.Need{Down: mbit, Up: mbit, Capacity: true, Most: tt.most}
			e := look(t, n, serve(t, capped(), "127.0.0.1:0"))
			down, _ := e.Values.Num(agent.DownRate)
			up, _ := e.Values.Num(agent.UpRate)
			if e.Outcome != agent.Answered || e.Values.Text(agent.PutOff) != string(tt.putOff) {
				t.Errorf("%v %v %v", e.Outcome, e.Reason, e.Values)
			}
			if down < mbit || up < mbit || tt.full != (down > 5*mbit && up > 5*mbit) {
				t.Errorf("down %.0f, up %.0f", down, up)
			}
			if _, ok := e.Values.Num(agent.UpLoss); !ok {
				t.Errorf("no datagrams were sent: %v", e.Values)
			}
			// Half a second is what is on its way when the data end.
			if n, _ := e.Values.Num(agent.TestBytes); tt.most > 0 && n > float64(tt.most)+40*mbit/8/2 {
				t.Errorf("%.0f bytes were moved, of %d", n, tt.most)
			}
		})
	}
}

// farEcho answers latency probes after a while.
func farEcho(t *testing.T, after time.Duration) netip.AddrPort {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		for b := make([]byte, 1500); ; {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			out := binding(b[:n], from.(*net.UDPAddr).AddrPort())
			time.AfterFunc(after, func() { _, _ = c.WriteTo(out, from) })
		}
	}()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Who keeps the line full all the time shows by how long an answer usually takes.
func TestLineThatIsFullAllTheTime(t *testing.T) {
	t.Parallel()
	whole(t)
	n := bandwidth.Need{Down: mbit, Echo: farEcho(t, 70*time.Millisecond)}
	at := serve(t, &iperf3.Server{}, "127.0.0.1:0")
	if e := look(t, n, at); e.Outcome != agent.Answered {
		t.Errorf("a far server: %v %v", e.Outcome, e.Reason)
	}
	n.Usual = 10 * time.Millisecond
	if e := look(t, n, at); e.Reason != agent.LineInUse {
		t.Errorf("a near server that takes as long: %v %v", e.Outcome, e.Reason)
	}
}

// Of two looks the better figures count.
func TestBetter(t *testing.T) {
	at := agent.Target{Host: "bandwidth.example", Transport: agent.TCP}
	see := func(values agent.Values) agent.Evidence {
		e := agent.See(agent.ProbeBandwidth, at, agent.Answered, "")
		for k, v := range values {
			e = e.With(k, v)
		}
		return e
	}
	a := see(agent.Values{agent.DownRate: 3e6, agent.DownLimit: "line", agent.UpRate: 5e6, agent.UpLimit: "offer", agent.DownLoss: 0.05,
		agent.UpLoss: 0.0, agent.IdleRTT: 40.0, agent.TestBytes: 1e6})
	b := see(agent.Values{agent.DownRate: 5e6, agent.DownLimit: "offer", agent.UpRate: 4e6, agent.UpLimit: "line", agent.DownLoss: 0.0,
		agent.UpLoss: 0.02, agent.IdleRTT: 20.0, agent.UpLoadedRTT: 90.0, agent.TestBytes: 2e6})
	want := agent.Values{agent.DownRate: 5e6, agent.DownLimit: "offer", agent.UpRate: 5e6, agent.UpLimit: "offer", agent.DownLoss: 0.0,
		agent.UpLoss: 0.0, agent.IdleRTT: 20.0, agent.UpLoadedRTT: 90.0, agent.TestBytes: 3e6}
	for _, pair := range [][2]agent.Evidence{{a, b}, {b, a}} {
		if diff := cmp.Diff(want, bandwidth.Better(pair[0], pair[1]).Values); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	none := agent.See(agent.ProbeBandwidth, at, agent.NotLooked, agent.LineInUse)
	if got := bandwidth.Better(a, none); got.Outcome != agent.Answered {
		t.Errorf("a second look that was put off takes the first one away: %v %v", got.Outcome, got.Reason)
	}
}
