package registry

import (
	"fmt"
	"slices"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

const (
	maxFindings = 64  // of one report; the catalogue has fewer codes
	maxEvidence = 512 // of one report
	maxSeen     = 32  // remembered reports of one box, for duplicates
	maxGaps     = 5   // remembered intervals of one box

	// quietUnknown is when a box counts as silent whose interval is not known.
	quietUnknown = 15 * time.Minute
	// quietLeast keeps a fast box from flickering at each late report.
	quietLeast = 30 * time.Second
	// ahead is how far a box's clock may run before ours is taken instead.
	ahead = 5 * time.Minute
)

// entry is a box with what is needed to judge its next report.
type entry struct {
	Box
	misnamed bool
	seen     []mark
	gaps     []time.Duration
	beat     beat
}

// mark knows a report however often it comes.
type mark struct {
	boot string
	seq  uint64
	at   int64 // of the report's own stamp, where no boot is given
}

// beat is the last report by schedule, from which intervals are counted.
type beat struct {
	boot   string
	seq    uint64
	uptime float64
}

// decode reads a report and bounds what it holds in memory: 32 KiB of empty
// evidence would become megabytes.
func decode(payload []byte) (agent.Report, error) {
	r, err := fleet.Decode(payload)
	if err != nil {
		return agent.Report{}, err
	}
	if len(r.Findings) > maxFindings || len(r.Evidence) > maxEvidence {
		return agent.Report{}, fmt.Errorf("report has %d findings and %d pieces of evidence", len(r.Findings), len(r.Evidence))
	}
	return r, nil
}

func (e *entry) take(r agent.Report, boot string, arrived time.Time) {
	if e.known(r, boot) {
		e.Duplicates++
		return
	}
	e.heard(arrived)
	e.Reports++
	e.count(r, boot)
	at := eventTime(r, arrived)
	if e.Reports > 1 && !e.newer(r, boot, at) {
		e.Late++
		return
	}
	e.Report, e.Boot, e.EventAt = r, boot, at
}

// known reports whether this very report has come before, and remembers it.
func (e *entry) known(r agent.Report, boot string) bool {
	m := mark{boot: boot, seq: r.Seq}
	if boot == "" {
		m.at = r.Stamp.At.UnixNano()
	}
	if slices.Contains(e.seen, m) {
		return true
	}
	if len(e.seen) == maxSeen {
		e.seen = slices.Delete(e.seen, 0, 1)
	}
	e.seen = append(e.seen, m)
	return false
}

func (e *entry) heard(arrived time.Time) {
	if arrived.After(e.ArrivedAt) {
		e.ArrivedAt = arrived
	}
}

// newer reports whether r is to be shown in place of the one that is. Within
// one run the number decides; between runs, whose numbers start again, time.
func (e *entry) newer(r agent.Report, boot string, at time.Time) bool {
	if boot != "" && boot == e.Boot {
		return r.Seq > e.Report.Seq
	}
	return !at.Before(e.EventAt)
}

// eventTime is when the report was made. The box is believed if its clock is
// set and not ahead of ours; a box without a clock cannot say, so that the time
// of arrival must do.
func eventTime(r agent.Report, arrived time.Time) time.Time {
	at := r.Stamp.At
	if r.Stamp.Clock != agent.ClockSet || at.IsZero() || at.After(arrived.Add(ahead)) {
		return arrived
	}
	return at
}

// count learns the box's interval from its own uptime between two reports by
// schedule: what lay in a spool arrives all at once.
func (e *entry) count(r agent.Report, boot string) {
	if r.Trigger != agent.OnSchedule || boot == "" {
		return
	}
	last := e.beat
	e.beat = beat{boot, r.Seq, r.Stamp.UptimeS}
	gap := time.Duration((r.Stamp.UptimeS - last.uptime) * float64(time.Second))
	if boot != last.boot || r.Seq <= last.seq || gap < time.Second || gap > 24*time.Hour {
		return
	}
	if len(e.gaps) == maxGaps {
		e.gaps = slices.Delete(e.gaps, 0, 1)
	}
	e.gaps = append(e.gaps, gap)
	sorted := slices.Sorted(slices.Values(e.gaps))
	e.Interval = sorted[len(sorted)/2]
}

// silent reports whether the box should have spoken by now.
func (e *entry) silent(now time.Time) bool {
	limit := quietUnknown
	if e.Interval > 0 {
		limit = max(3*e.Interval, quietLeast)
	}
	return now.Sub(e.ArrivedAt) > limit
}

func clip(s string) string { return fmt.Sprintf("%.80q", s) }
