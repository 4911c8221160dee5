package practice

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/lab/impair"
)

// Quality is what a line does to packets, in both directions alike unless said.
// The zero value is a perfect line.
type Quality struct {
	UpBitsPerS, DownBitsPerS int           // 0 is as fast as this machine
	Queue                    time.Duration // what a full queue before the rate adds; 0 is 100 ms
	RTT                      time.Duration // more of it, half on either way
	Jitter                   time.Duration // more delay on either way, up to this
	Reorder                  float64       // of packets that overtake those delayed, 0 to 1
	Loss                     float64       // of packets on either way, 0 to 1
	Burst                    float64       // mean number of packets lost in a row, 0 singly
}

// held is whether the packets have to wait.
func (q Quality) held() bool { return q.RTT > 0 || q.Jitter > 0 || q.Burst > 0 }

// Line is a line that can be made worse while packets flow.
type Line struct {
	t        testing.TB
	near     *Router // has the way up
	up       string  // its interface
	far      *Router // has the way down, and sees both
	down     string
	holdUp   *Hold
	holdDown *Hold
}

// lines are named by which router sees what comes from which interface.
func (pr *Practice) lines() {
	last := pr.Router
	if pr.Second != nil {
		last = pr.Second
	}
	pr.WANLine = &Line{t: pr.t, near: last, up: "wan0", far: pr.Provider, down: "line0"}
	pr.LANLine = &Line{t: pr.t, near: &Router{t: pr.t}, up: Interface, far: pr.Router, down: "lan0"}
}

// Set makes the line so, whatever it was before.
func (l *Line) Set(q Quality) {
	l.t.Helper()
	l.near.rate(l.up, q.UpBitsPerS, q.Queue)
	l.far.rate(l.down, q.DownBitsPerS, q.Queue)
	if !q.held() {
		l.far.lose(l.down, q.Loss)
		l.release()
		return
	}
	l.far.lose(l.down, 0)
	how := impair.How{Delay: q.RTT / 2, Jitter: q.Jitter, Reorder: q.Reorder, Loss: q.Loss, Burst: q.Burst}
	if l.holdUp != nil {
		l.holdUp.queue.Set(how)
		l.holdDown.queue.Set(how)
		return
	}
	l.holdUp = l.far.Hold(Coming, l.down, "", how)
	l.holdDown = l.far.Hold(Going, l.down, "", how)
}

func (l *Line) release() {
	if l.holdUp != nil {
		l.holdUp.Remove()
		l.holdDown.Remove()
		l.holdUp, l.holdDown = nil, nil
	}
}

// rate shapes what leaves by an interface.
func (r *Router) rate(dev string, bitsPerS int, queue time.Duration) {
	r.t.Helper()
	tc := lab.Program(r.t, "tc", "iproute2")
	if bitsPerS == 0 {
		r.do(func() { _, _ = command("", tc, "qdisc", "del", "dev", dev, "root") }) // there may be none
		return
	}
	if queue == 0 {
		queue = 100 * time.Millisecond
	}
	burst := max(3200, bitsPerS/8/100) // 10 ms, or two packets
	r.output("", tc, "qdisc", "replace", "dev", dev, "root", "tbf", "rate", fmt.Sprint(bitsPerS),
		"burst", fmt.Sprint(burst), "latency", fmt.Sprintf("%dus", queue.Microseconds()))
}

// lose drops packets of both directions at random.
func (r *Router) lose(dev string, ratio float64) {
	r.t.Helper()
	rules := ""
	if ratio > 0 {
		pick := fmt.Sprintf("numgen random mod 100000 < %d drop", int(math.Round(ratio*100000)))
		rules = "chain up { type filter hook prerouting priority -310; iifname " + dev + " " + pick + "; }\n" +
			"chain down { type filter hook postrouting priority 310; oifname " + dev + " " + pick + "; }"
	}
	r.do(func() { lab.Table(r.t, "lossy", rules) })
}
