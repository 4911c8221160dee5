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

// hurry is how well this machine kept up while flows were played.
type hurry struct {
	began time.Time
	cpu   time.Duration // used before, then during
	wall  time.Duration
	late  []time.Duration
	drops int // that came and found no room here: before, then during
}

func (h *hurry) begin(ends []*station) { h.began, h.cpu, h.drops = time.Now(), ownCPU(), dropped(ends) }

// end takes in how late the packets of flows left. One over TCP waits for the line.
func (h *hurry) end(ends []*station, flows ...*flow) {
	h.wall, h.cpu, h.drops = time.Since(h.began), ownCPU()-h.cpu, dropped(ends)-h.drops
	for _, f := range flows {
		if !f.from.reliable {
			h.late = append(h.late, f.late...)
		}
	}
}

// dropped is how many datagrams have found no room at stations so far.
func dropped(ends []*station) int {
	n := 0
	for _, s := range ends {
		if d, ok := s.PacketConn.(interface{ Dropped() int }); ok {
			n += d.Dropped()
		}
	}
	return n
}

func (h *hurry) share() float64 {
	if h.wall <= 0 {
		return 0
	}
	return h.cpu.Seconds() / h.wall.Seconds() / float64(runtime.GOMAXPROCS(0))
}

// busy reports whether this machine was too busy to measure. A single packet that it
// had no room for is too many: as many more may have been lost by it elsewhere.
func (h *hurry) busy() bool {
	n := 0
	for _, d := range h.late {
		if d > tardy {
			n++
		}
	}
	return h.drops > 0 || h.share() > mostBusy || float64(n) > mostTardy*float64(len(h.late))
}

// values adds to e how well it kept up, the worse of this and what e says of before.
func (h *hurry) values(e agent.Evidence) agent.Evidence {
	late := time.Duration(0)
	if n := len(h.late); n > 0 {
		late = slices.Sorted(slices.Values(h.late))[n*99/100]
	}
	if h.drops > 0 {
		e = e.With(agent.LocalDrops, round(float64(h.drops)/float64(max(h.drops, len(h.late))), 4))
	}
	share, lateMS := round(h.share(), 4), late.Seconds()*1000
	if before, seen := e.Values.Num(agent.OwnCPU); seen {
		share = max(share, before)
	}
	if before, seen := e.Values.Num(agent.Late); seen {
		lateMS = max(lateMS, before)
	}
	return e.With(agent.OwnCPU, share).With(agent.Late, round(lateMS, 3))
}

// ownCPU is the time that this process has used of processors so far.
func ownCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
