package rehearsal

import (
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent"
)

const (
	tardy     = 50 * time.Millisecond // two packets of sound behind
	mostTardy = 0.05                  // share of packets, above which a run says more of us than of the line
	mostBusy  = 0.8                   // share of the processors' time
)

// hurry is how well this machine kept up.
type hurry struct {
	began time.Time
	cpu   time.Duration // used before, then during
	wall  time.Duration
	late  []time.Duration
}

func (h *hurry) begin() { h.began, h.cpu = time.Now(), ownCPU() }

func (h *hurry) end() { h.wall, h.cpu = time.Since(h.began), ownCPU()-h.cpu }

// add takes in how late the packets of a flow left. One over TCP waits for the line.
func (h *hurry) add(f *flow) {
	if !f.from.reliable {
		h.late = append(h.late, f.late...)
	}
}

func (h *hurry) share() float64 {
	if h.wall <= 0 {
		return 0
	}
	return h.cpu.Seconds() / h.wall.Seconds() / float64(runtime.GOMAXPROCS(0))
}

// busy reports whether this machine was too busy to measure.
func (h *hurry) busy() bool {
	n := 0
	for _, d := range h.late {
		if d > tardy {
			n++
		}
	}
	return h.share() > mostBusy || float64(n) > mostTardy*float64(len(h.late))
}

func (h *hurry) values(e agent.Evidence) agent.Evidence {
	late := time.Duration(0)
	if n := len(h.late); n > 0 {
		sorted := slices.Sorted(slices.Values(h.late))
		late = sorted[n*99/100]
	}
	return e.With(agent.OwnCPU, round(h.share(), 3)).With(agent.Late, late)
}

// ownCPU is the time that this process has used of processors so far.
func ownCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
