package daemon

import (
	"log/slog"
	"slices"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/assess"
	"github.com/sprechprobe/sprechprobe/agent/trend"
)

// diary remembers when the line was poor, and tells in each round of the hours in
// which it regularly is.
type diary struct {
	kept *trend.Diary
	zone *time.Location
	now  func() time.Time
	set  func() bool // the clock is: without it there are no hours
	log  *slog.Logger
}

// Kinds of looks at the line that a diary holds apart.
const (
	byBandwidth = "bandwidth"
	byCall      = "call"
	bySound     = "sound"
)

// diary is the setup's.
func (s Setup) diary(log *slog.Logger) *diary {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	kept, err := trend.Open(s.Config.StateDir)
	if err != nil {
		log.Warn("what is known of the line's bad hours begins anew", "err", err)
	}
	zone := s.Config.Bandwidth.Policy(0).Zone
	if zone == nil {
		zone = time.UTC
	}
	return &diary{kept: kept, zone: zone, now: time.Now, set: s.clockSet, log: log}
}

// note enters what a measurement came to. One that came to nothing says nothing.
func (d *diary) note(what string, p assess.Policy, es ...agent.Evidence) {
	if !d.set() || !slices.ContainsFunc(es, func(e agent.Evidence) bool { return e.Outcome == agent.Answered && e.Reason == "" }) {
		return
	}
	if err := d.kept.Note(trend.Look{At: d.now(), What: what, Poor: poor(p, es)}); err != nil {
		d.log.Debug("what is known of the line's bad hours is not kept", "err", err)
	}
}

// next is how long to wait for the next look: as long as is usual, or until the hour
// of yesterday's trouble if that is sooner.
func (d *diary) next(usual time.Duration) time.Duration {
	now := d.now()
	if again := d.kept.Again(now); !again.IsZero() {
		return min(usual, again.Sub(now))
	}
	return usual
}

// poor reports whether looks come to a finding about the line.
func poor(p assess.Policy, es []agent.Evidence) bool {
	var b assess.Book
	b.Add(es)
	return slices.ContainsFunc(assess.Assess(p, &b, nil, time.Time{}).Findings, func(f agent.Finding) bool {
		switch f.Code {
		case agent.BandwidthMin, agent.BandwidthHD, agent.Bloat, agent.Loss, agent.Jittery, agent.Distant:
			return true
		}
		return false
	})
}

// evidence is of the hours, if there are such.
func (d *diary) evidence() []agent.Evidence {
	if !d.set() {
		return nil
	}
	h, ok := d.kept.Find(d.now(), d.zone)
	if !ok {
		return nil
	}
	return []agent.Evidence{agent.See(agent.ProbeTrend, agent.Target{}, agent.Answered, "").
		With(agent.FromHour, h.From).With(agent.UntilHour, h.Until).
		With(agent.PoorDays, h.Poor).With(agent.LookedDays, h.Of).With(agent.InHours, h.Now)}
}
