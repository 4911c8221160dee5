package bandwidth_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/bandwidth"
	"github.com/sprechprobe/sprechprobe/agent/probe/probetest"
	"github.com/sprechprobe/sprechprobe/agent/wire/iperf3"
)

var hd = bandwidth.Need{Down: 5 * mbit, Up: 5 * mbit, Box: "box-1"}

func TestConforms(t *testing.T) {
	whole(t)
	good := serve(t, &iperf3.Server{}, "127.0.0.1:0")
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	// One direction: the suite's time is that of a probe within a round.
	probetest.Conform(t, bandwidth.Probe(bandwidth.Need{Down: mbit}), good, target(l.Addr().(*net.TCPAddr).AddrPort()))
}

func TestOfProfile(t *testing.T) {
	n := bandwidth.Of(agent.Thresholds{MinDownBitsPerS: 1e6, MinUpBitsPerS: 1e6, HDUpBitsPerS: 5e6, RegulatedDownBitsPerS: 2e6})
	if n.Down != 2e6 || n.Up != 5e6 {
		t.Errorf("%+v", n)
	}
	if n := bandwidth.Of(agent.Thresholds{}); n.Down != 1e6 || n.Up != 1e6 {
		t.Errorf("for a service that names nothing: %+v", n)
	}
}

// On a fast line everything is proven for little.
func TestFastLine(t *testing.T) {
	whole(t)
	at := serve(t, &iperf3.Server{}, "127.0.0.1:0")
	var e agent.Evidence
	for range 3 { // a busy machine does not always keep the pace
		if e = bandwidth.Probe(hd)(t.Context(), at); e.Values.Text(agent.DownLimit) == "offer" && e.Values.Text(agent.UpLimit) == "offer" {
			break
		}
	}
	if e.Outcome != agent.Answered {
		t.Fatalf("%v %v %v", e.Outcome, e.Reason, e.Values)
	}
	for _, k := range []agent.Key{
		agent.DownRate, agent.UpRate, agent.IdleRTT, agent.DownLoadedRTT, agent.UpLoadedRTT,
		agent.DownLoss, agent.UpLoss, agent.DownJitter, agent.UpJitter, agent.TestBytes,
	} {
		if _, ok := e.Values.Num(k); !ok {
			t.Errorf("no %s in %v", k, e.Values)
		}
	}
	if e.Values.Text(agent.DownLimit) != "offer" || e.Values.Text(agent.UpLimit) != "offer" {
		t.Errorf("limited by %q and %q", e.Values.Text(agent.DownLimit), e.Values.Text(agent.UpLimit))
	}
	if n, _ := e.Values.Num(agent.TestBytes); n > 2*1.5e6 {
		t.Errorf("%.0f bytes were moved, want at most 1.5 MB in each direction", n)
	}
}

// What keeps a measurement from being made is no verdict on the line.
func TestPostponed(t *testing.T) {
	t.Parallel()
	refusing := func(err error) *iperf3.Server {
		return &iperf3.Server{Admit: func(context.Context, iperf3.Request) (iperf3.Grant, error) { return iperf3.Grant{}, err }}
	}
	answering := func(a iperf3.SlotAnswer) *iperf3.Server {
		return &iperf3.Server{Slot: func(iperf3.SlotRequest) iperf3.SlotAnswer { return a }}
	}
	var sluggishly, lossily atomic.Int32
	sluggish := &iperf3.Server{Datagram: func(b []byte, from netip.AddrPort) []byte {
		if sluggishly.Add(1)%2 == 0 {
			<-time.After(150 * time.Millisecond) // as behind a queue that others fill
		}
		return binding(b, from)
	}}
	lossy := &iperf3.Server{Datagram: func(b []byte, from netip.AddrPort) []byte {
		if lossily.Add(1)%2 == 0 {
			return nil
		}
		return binding(b, from)
	}}
	for _, tt := range []struct {
		name   string
		server *iperf3.Server
		need   bandwidth.Need
		reason agent.Reason
		retry  float64
	}{
		{name: "no slot", server: answering(iperf3.SlotAnswer{InMS: 60_000}), need: hd, reason: agent.ServerBusy, retry: 60},
		{name: "slot later", server: answering(iperf3.SlotAnswer{Slot: "s", InMS: 30_500}), need: hd, reason: agent.ServerBusy, retry: 30.5},
		{name: "server busy", server: refusing(iperf3.ErrBusy), need: hd, reason: agent.ServerBusy},
		{name: "more than the server gives", server: refusing(iperf3.ErrTooFast), need: hd, reason: agent.ServerBusy},
		{name: "others use the line", server: sluggish, need: hd, reason: agent.LineInUse},
		{name: "the line loses packets", server: lossy, need: hd, reason: agent.LineInUse},
		{name: "backup line", server: &iperf3.Server{}, need: bandwidth.Need{Down: 1, Backup: func() bool { return true }}, reason: agent.BackupLine},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := look(t, tt.need, serve(t, tt.server, "127.0.0.1:0"))
			retry, _ := e.Values.Num(agent.RetryIn)
			if e.Outcome != agent.NotLooked || e.Reason != tt.reason || retry != tt.retry {
				t.Errorf("%v, %v, again in %v s; want %v in %v s", e.Outcome, e.Reason, retry, tt.reason, tt.retry)
			}
		})
	}
}

func TestOtherEnds(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := target(l.Addr().(*net.TCPAddr).AddrPort())
	l.Close()
	denies := serve(t, &iperf3.Server{Admit: func(context.Context, iperf3.Request) (iperf3.Grant, error) {
		return iperf3.Grant{}, iperf3.ErrDenied
	}}, "127.0.0.1:0")
	for _, tt := range []struct {
		name    string
		target  agent.Target
		outcome agent.Outcome
		reason  agent.Reason
	}{
		{"nobody there", closed, agent.Refused, agent.Reset},
		{"no login", denies, agent.Answered, agent.AuthRefused},
		{"no address", agent.Target{Host: "x", Port: 5201}, agent.NotLooked, agent.NoAddress},
		{"no port", agent.Target{Host: "x", Addr: netip.MustParseAddr("127.0.0.1")}, agent.NotLooked, agent.Unsupported},
	} {
		e := look(t, hd, tt.target)
		if e.Outcome != tt.outcome || e.Reason != tt.reason {
			t.Errorf("%s: %v, %v; want %v, %v", tt.name, e.Outcome, e.Reason, tt.outcome, tt.reason)
		}
	}
}

// The server's own limit is not taken for the line's.
func TestServerCap(t *testing.T) {
	t.Parallel()
	whole(t)
	at := serve(t, &iperf3.Server{Admit: func(context.Context, iperf3.Request) (iperf3.Grant, error) {
		return iperf3.Grant{Rate: 2 * mbit}, nil
	}}, "127.0.0.1:0")
	e := look(t, bandwidth.Need{Down: 5 * mbit}, at)
	if by := e.Values.Text(agent.DownLimit); by != "server" {
		t.Errorf("limited by %q: %v %v", by, e.Reason, e.Values)
	}
}

// A stock server will do; what it does not answer is left open.
func TestStockServer(t *testing.T) {
	t.Parallel()
	whole(t)
	at := stock(t)
	e := look(t, hd, at)
	down, _ := e.Values.Num(agent.DownRate)
	up, _ := e.Values.Num(agent.UpRate)
	if e.Outcome != agent.Answered || down < 5*mbit || up < 5*mbit {
		t.Errorf("%v %v %v", e.Outcome, e.Reason, e.Values)
	}
	if v, ok := e.Values.Num(agent.IdleRTT); ok {
		t.Errorf("a round trip of %v ms to somebody who does not answer", v)
	}
}

// The variables of TestShapedLines.
const (
	repeatsVar = "SPRECHPROBE_BANDWIDTH_REPEATS" // how often each line is measured; once unless set
	rttVar     = "SPRECHPROBE_BANDWIDTH_RTT"     // how much farther the server is, such as 20ms
)

// The verdict that thresholds give is right on lines that are a quarter better
// or a fifth worse.
func TestShapedLines(t *testing.T) {
	whole(t)
	lab.Program(t, "ip", "iproute2")
	lab.Program(t, "tc", "iproute2")
	t.Parallel() // it has its own network, and mostly waits
	if !lab.Inside(t) {
		return
	}
	line(t)
	if rtt, err := time.ParseDuration(os.Getenv(rttVar)); err == nil {
		farther(t, rtt)
	}
	at := serveBehind(t)
	repeats, _ := strconv.Atoi(os.Getenv(repeatsVar))
	for _, tt := range []struct {
		name     string
		bitsPerS int
		need     bandwidth.Need
		enough   bool
	}{
		{"1 Mbit/s needed, 1.25 there", 1250_000, bandwidth.Need{Down: mbit, Up: mbit}, true},
		{"1 Mbit/s needed, 0.8 there", 800_000, bandwidth.Need{Down: mbit, Up: mbit}, false},
		{"2 Mbit/s needed down, 2.5 there", 2500_000, bandwidth.Need{Down: 2 * mbit}, true},
		{"2 Mbit/s needed down, 1.6 there", 1600_000, bandwidth.Need{Down: 2 * mbit}, false},
		{"5 Mbit/s needed, 6.25 there", 6250_000, hd, true},
		{"5 Mbit/s needed, 4 there", 4 * mbit, hd, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			shape(t, tt.bitsPerS)
			right, times := 0, max(repeats, 1)
			for range times {
				if judged(t, at, tt.bitsPerS, tt.need, tt.enough) {
					right++
				}
			}
			t.Logf("right %d of %d", right, times)
		})
	}
}

// judged measures a line once and reports whether each direction that is needed
// was found to be enough, or not to be.
func judged(t *testing.T, at agent.Target, bitsPerS int, need bandwidth.Need, enough bool) bool {
	t.Helper()
	var e agent.Evidence
	for range 3 { // this machine may be too busy, which the probe says
		start := time.Now()
		e = bandwidth.Probe(need)(context.Background(), at)
		t.Logf("%v: %v %v %v", time.Since(start), e.Outcome, e.Reason, e.Values)
		if e.Reason != agent.BoxBusy && e.Reason != agent.LineInUse {
			break
		}
	}
	if e.Outcome != agent.Answered {
		t.Errorf("outcome %v, reason %v", e.Outcome, e.Reason)
		return false
	}
	right := true
	for k, n := range map[agent.Key]float64{agent.DownRate: need.Down, agent.UpRate: need.Up} {
		if got, _ := e.Values.Num(k); n > 0 && (got >= n) != enough {
			t.Errorf("%s = %.0f on a line of %d", k, got, bitsPerS)
			right = false
		}
	}
	return right
}

// look measures, and measures again where this machine had too little of a processor
// for that, which the probe says.
func look(t *testing.T, n bandwidth.Need, at agent.Target) (e agent.Evidence) {
	t.Helper()
	for range 10 {
		e = bandwidth.Probe(n)(t.Context(), at)
		if busy := string(agent.BoxBusy); string(e.Reason) != busy && e.Values.Text(agent.PutOff) != busy &&
			e.Values.Text(agent.DownLimit) != "box" && e.Values.Text(agent.UpLimit) != "box" {
			break
		}
		t.Logf("measured again: %v %v %v", e.Outcome, e.Reason, e.Values)
	}
	return e
}

// whole leaves out of the race detector's run what has to keep up with the clock.
func whole(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("LEFT OUT: the whole run has it; the race detector makes this machine too slow to measure")
	}
}
