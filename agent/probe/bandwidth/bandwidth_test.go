package bandwidth_test

import (
	"context"
	"net"
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
	good := serve(t, &iperf3.Server{}, "127.0.0.1:0")
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	probetest.Conform(t, bandwidth.Probe(hd), good, target(l.Addr().(*net.TCPAddr).AddrPort()))
}

func TestShapedLines(t *testing.T) {
	lab.Program(t, "ip", "iproute2")
	lab.Program(t, "tc", "iproute2")
	if !lab.Inside(t) {
		return
	}
	line(t)
	at := serveBehind(t)
	for _, tt := range []struct {
		name     string
		bitsPerS int
		need     bandwidth.Need
		enough   bool
	}{
		{"1 Mbit/s needed, 1.25 there", 1250_000, bandwidth.Need{Down: mbit, Up: mbit}, true},
		{"1 Mbit/s needed, 0.8 there", 800_000, bandwidth.Need{Down: mbit, Up: mbit}, false},
		{"5 Mbit/s needed, 6.25 there", 6250_000, hd, true},
		{"5 Mbit/s needed, 4 there", 4 * mbit, hd, false},
		{"5 Mbit/s needed, 100 there", 100 * mbit, hd, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			shape(t, tt.bitsPerS)
			start := time.Now()
			e := bandwidth.Probe(tt.need)(context.Background(), at)
			t.Logf("%v: %v %v %v", time.Since(start), e.Outcome, e.Reason, e.Values)
			if e.Outcome != agent.Answered {
				t.Fatalf("outcome %v, reason %v", e.Outcome, e.Reason)
			}
			for _, k := range []agent.Key{agent.DownRate, agent.UpRate} {
				if got, _ := e.Values.Num(k); (got >= tt.need.Down) != tt.enough {
					t.Errorf("%s = %.0f on a line of %d", k, got, tt.bitsPerS)
				}
			}
		})
	}
}
