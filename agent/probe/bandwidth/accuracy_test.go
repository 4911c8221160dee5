package bandwidth_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/bandwidth"
	"github.com/sprechprobe/sprechprobe/agent/wire/iperf3"
)

// goodput is what TCP carries of a line that counts whole Ethernet frames: 1448
// of 1514 bytes.
const goodput = 1448.0 / 1514

// The variables of the tests of accuracy, which take minutes and depend on the
// machine, and therefore run on demand: ACCURACY turns them on, ACCURACY_RTT is how
// much farther the server is, such as 20ms, and ACCURACY_MBIT is the only line to
// look at.
func onDemand(t *testing.T) {
	t.Helper()
	if os.Getenv("ACCURACY") == "" {
		t.Skip("runs only with ACCURACY=1: it takes minutes")
	}
	lab.Program(t, "ip", "iproute2")
	lab.Program(t, "tc", "iproute2")
	lab.Program(t, "iperf3", "iperf3")
}

// far makes a line as the variables say, and returns how far the server is.
func far(t *testing.T) time.Duration {
	t.Helper()
	line(t)
	rtt, err := time.ParseDuration(os.Getenv("ACCURACY_RTT"))
	if err == nil && rtt > 0 {
		farther(t, rtt)
	}
	return rtt
}

// measurement is one way to measure a line.
type measurement struct {
	name   string
	part   float64 // of the line's goodput that is offered; 0: all that goes
	omit   time.Duration
	spends time.Duration
	within float64 // of what is true
}

// The figures must be within 2 % on a full line after 5 s, and within 5 % of a cap
// after 2 s; what the connection needs to find its speed does not count. Slow start
// ends in a queue that overflows, and a far line takes one round trip for each of
// the lost segments: what TCP holds back until then would count as if it had come
// later.
var measurements = []measurement{
	{"full", 0, 3 * time.Second, 5 * time.Second, 0.02},
	{"capped", 0.8, time.Second, 2 * time.Second, 0.05},
}

// rounds is how often a line is measured at most until this machine has carried it.
const rounds = 4

// TestAccuracy compares what is measured on shaped lines with what they carry. A
// round in which the shaper itself, or the wire, did not get on as told is made
// again: such a line was a worse one. Debian's iperf3 measures beside it.
func TestAccuracy(t *testing.T) {
	onDemand(t)
	if !lab.Inside(t) {
		return
	}
	rtt := far(t)
	at := serveBehind(t)
	debian := lab.Program(t, "iperf3", "iperf3")
	lab.In(t, "server", func() {
		lab.Start(t, exec.Command(debian, "-s", "--forceflush", "-p", "5301"), func(p *lab.Process) bool { return strings.Contains(p.Said(), "listening") })
	})
	for _, mbits := range []float64{0.5, 1, 5, 20, 100} {
		if only := os.Getenv("ACCURACY_MBIT"); only != "" && only != fmt.Sprint(mbits) {
			continue
		}
		for _, m := range measurements {
			for _, d := range []iperf3.Direction{iperf3.Down, iperf3.Up} {
				t.Run(fmt.Sprintf("%g Mbit/s, %v, %v, %s", mbits, rtt, d, m.name), func(t *testing.T) {
					shape(t, int(mbits*mbit))
					m.judge(t, at, d, mbits*mbit)
				})
			}
		}
	}
}

// judge makes rounds until there is one in which the line was what it should be, and
// was found to be that: a machine that stands still at an edge of the time spoils one
// round, not all. A full line that never was so is at least found to be what it was.
func (m measurement) judge(t *testing.T, at agent.Target, d iperf3.Direction, rate float64) {
	want := goodput * rate
	if m.part > 0 {
		want *= m.part
	}
	var wrong []float64
	var off []float64 // by how much the figure misses what the shaper let pass
	for range rounds {
		got, carried := m.take(t, at, d, int64(m.part*goodput*rate))
		carried *= goodput
		stock := m.debian(t, d, int64(m.part*goodput*rate))
		t.Logf("%.3f of what is true; the line passed %.3f; Debian's iperf3: %.3f", got/want, carried/want, stock/want)
		if math.Abs(carried/want-1) > m.within/2 {
			off = append(off, math.Abs(got/carried-1))
			continue // this machine was late: no such line
		}
		if math.Abs(got/want-1) <= m.within {
			return
		}
		wrong = append(wrong, got)
	}
	if len(wrong) > 0 {
		t.Fatalf("%.0f bit/s are measured where %.0f are true", wrong, want)
	}
	if slices.Sort(off); m.part > 0 || off[rounds/2] > m.within {
		t.Skipf("LEFT OUT: this machine did not carry such a line in %d rounds", rounds)
	}
	t.Logf("this machine did not carry such a line in %d rounds; the figures miss what it was by %.3f", rounds, off)
}

// take measures, and reads meanwhile what the shaper lets pass, bit/s of frames.
func (m measurement) take(t *testing.T, at agent.Target, d iperf3.Direction, cap int64) (got, carried float64) {
	test := iperf3.Test{Direction: d, Duration: m.spends, Omit: m.omit, Congestion: "cubic", Rate: cap}
	if cap > 0 {
		test.Length = 1448
	}
	read := make(chan float64, 1)
	c := iperf3.Client{Began: func(*iperf3.Result) {
		go func() {
			<-time.After(test.Omit)
			start, before := time.Now(), passed(t, d)
			<-time.After(test.Duration)
			read <- (passed(t, d) - before) * 8 / time.Since(start).Seconds()
		}()
	}}
	res, err := c.Run(context.Background(), at.AddrPort().String(), test)
	if err != nil {
		t.Fatal(err)
	}
	return res.Sum(d == iperf3.Up).BitsPerS(), <-read
}

var sentBytes = regexp.MustCompile(`Sent (\d+) bytes`)

// passed is what the shaper of a direction has let pass, bytes.
func passed(t *testing.T, d iperf3.Direction) float64 {
	dev := "wan0"
	if d == iperf3.Down {
		dev = "lan0"
	}
	out, err := exec.Command("ip", "netns", "exec", "router", lab.Program(t, "tc", "iproute2"), "-s", "qdisc", "show", "dev", dev).CombinedOutput()
	found := sentBytes.FindSubmatch(out)
	if err != nil || found == nil {
		t.Errorf("tc: %v\n%s", err, out)
		return 0
	}
	n, _ := strconv.ParseFloat(string(found[1]), 64)
	return n
}

// debian is the receiver's figure of Debian's iperf3, bit/s; 0 where it found none.
func (m measurement) debian(t *testing.T, d iperf3.Direction, cap int64) float64 {
	args := []string{"-c", server, "-p", "5301", "-J", "-C", "cubic", "-O", fmt.Sprint(int(m.omit.Seconds())), "-t", fmt.Sprint(int(m.spends.Seconds()))}
	if cap > 0 {
		args = append(args, "-l", "1448", "-b", fmt.Sprint(cap))
	}
	if d == iperf3.Down {
		args = append(args, "-R")
	}
	out, err := exec.Command(lab.Program(t, "iperf3", "iperf3"), args...).Output()
	var doc struct {
		End struct {
			Sum struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	if json.Unmarshal(out, &doc) != nil || err != nil {
		t.Logf("iperf3: %v\n%s", err, out)
	}
	return doc.End.Sum.Rate
}

// TestSideEffect writes down what a capped test does to the round trips of others
// on a line of 20 Mbit/s, and what a proof costs there: 95 of 100 are to wait
// less than 2 ms longer, for at most 1.5 MB in each direction.
func TestSideEffect(t *testing.T) {
	onDemand(t)
	if !lab.Inside(t) {
		return
	}
	far(t)
	at := serveBehind(t)
	shape(t, 20*mbit)
	for _, d := range []iperf3.Direction{iperf3.Down, iperf3.Up} {
		var idles, loadeds []time.Duration
		for range rounds {
			idle := p95(t, at, func() { <-time.After(3 * time.Second) })
			loaded := p95(t, at, func() {
				var c iperf3.Client
				if _, err := c.Run(context.Background(), at.AddrPort().String(), iperf3.Test{
					Direction: d, Duration: 3 * time.Second, Rate: 5.5 * mbit, Length: 1448,
				}); err != nil {
					t.Error(err)
				}
			})
			t.Logf("%v: 95 of 100 round trips take %v, and %v beside a capped test", d, idle, loaded)
			idles, loadeds = append(idles, idle), append(loadeds, loaded)
		}
		// The best of each, for what others do on this machine takes longer.
		if adds := slices.Min(loadeds) - slices.Min(idles); adds >= 2*time.Millisecond {
			t.Errorf("%v: a capped test adds %v", d, adds)
		}
	}
	e := bandwidth.Probe(hd)(context.Background(), at)
	bytes, _ := e.Values.Num(agent.TestBytes)
	if t.Logf("5 Mbit/s on 20: %v", e.Values); e.Outcome != agent.Answered || bytes > 2*1.5e6 {
		t.Errorf("%v %v, %.0f bytes", e.Outcome, e.Reason, bytes)
	}
}

func p95(t *testing.T, at agent.Target, do func()) time.Duration {
	t.Helper()
	d, err := bandwidth.P95(context.Background(), at.AddrPort(), do)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
