package practice

import (
	"fmt"
	"math"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

// Quality is what a line does to packets, in both directions alike unless
// said. The zero value is a perfect line.
type Quality struct {
	UpBitsPerS, DownBitsPerS int     // 0 is as fast as this machine
	QueueMS                  int     // what a full queue in front of the rate adds; 0 is 100
	Loss                     float64 // of packets in each direction, 0 to 1
}

// Line is a line that can be made worse while packets flow.
type Line struct {
	t    testing.TB
	near *Router // on this side, with the way up
	up   string  // its interface
	far  *Router
	down string
}

func (pr *Practice) lines() {
	last := pr.Router
	if pr.Second != nil {
		last = pr.Second
	}
	pr.WANLine = &Line{t: pr.t, near: last, up: "wan0", far: pr.Provider, down: "line0"}
}

// Set makes the line so, whatever it was before.
func (l *Line) Set(q Quality) {
	l.t.Helper()
	l.near.rate(l.up, q.UpBitsPerS, q.QueueMS)
	l.far.rate(l.down, q.DownBitsPerS, q.QueueMS)
	l.far.lose(l.down, q.Loss)
}

// rate shapes what leaves by an interface.
func (r *Router) rate(dev string, bitsPerS, queueMS int) {
	r.t.Helper()
	tc := lab.Program(r.t, "tc", "iproute2")
	if bitsPerS == 0 {
		r.do(func() { _, _ = command("", tc, "qdisc", "del", "dev", dev, "root") }) // there may be none
		return
	}
	if queueMS == 0 {
		queueMS = 100
	}
	burst := max(3200, bitsPerS/8/100) // 10 ms, or two packets
	r.output("", tc, "qdisc", "replace", "dev", dev, "root", "tbf", "rate", fmt.Sprint(bitsPerS),
		"burst", fmt.Sprint(burst), "latency", fmt.Sprintf("%dms", queueMS))
}

// lose drops packets of both directions at random.
func (r *Router) lose(dev string, ratio float64) {
	r.t.Helper()
	script := "table inet lossy {}\ndelete table inet lossy\n"
	if ratio > 0 {
		pick := fmt.Sprintf("numgen random mod 100000 < %d drop", int(math.Round(ratio*100000)))
		script += `table inet lossy {
	chain up { type filter hook prerouting priority -310; iifname ` + dev + " " + pick + `; }
	chain down { type filter hook postrouting priority 310; oifname ` + dev + " " + pick + `; }
}`
	}
	r.run(script)
}
