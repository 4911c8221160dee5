package registry

import (
	"fmt"
	"slices"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/reports"
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
	// beatLeast and beatMost bound what a box may say about its beats.
	beatLeast = 10 * time.Second
	beatMost  = time.Hour
	// twins is how long two boxes with one key are told of after the last sign.
	twins = 15 * time.Minute
)

// entry is a box with what is needed to judge its next report.
type entry struct {
	Box
	misnamed bool
	seen     []mark
	gaps     []time.Duration
	beat     beat
	other    string // the run that beat before the one that beats
	turns    int    // how often in a row one of these two followed the other
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
// evidence would become megabytes. Of a report without findings the evidence is
// not even read: most are, and it is most of the work.
func decode(payload []byte) (agent.Report, error) {
	if r, err := reports.Brief(payload); err == nil && len(r.Findings) == 0 && r.Verdict != agent.VerdictUnknown {
		return r, nil
	}
	r, err := reports.Decode(payload)
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
	if e.BeatAt.Add(e.beatLimit()).Before(arrived) {
		e.Beat, e.BeatBoot, e.BeatAt = fleet.Beat{}, "", time.Time{} // whatever runs now does not beat
	}
	e.Reports++
	e.count(r, boot)
	at := e.eventTime(r, boot, arrived)
	past := e.past(r, boot)
	if past {
		e.Late++
	}
	switch {
	case e.Report.Schema == "": // better than nothing
	case past:
		return
	case !e.newer(r, boot, at):
		e.Late++
		return
	}
	e.Report, e.Boot, e.EventAt = proven(r), boot, at
}

// proven leaves of a report's evidence what its findings rest on: a large fleet has
// to fit into memory, and the history has the rest.
func proven(r agent.Report) agent.Report {
	if r.Verdict == agent.VerdictUnknown {
		return r // what was looked at says why
	}
	var kept []agent.Evidence
	findings := slices.Clone(r.Findings)
	for i, f := range findings {
		findings[i].Evidence = make([]int, len(f.Evidence))
		for j, n := range f.Evidence {
			findings[i].Evidence[j] = len(kept)
			kept = append(kept, r.Evidence[n])
		}
	}
	r.Findings, r.Evidence = findings, kept
	return r
}

// hear takes a beat. It comes by no stream, so that it is of now.
func (e *entry) hear(b fleet.Beat, boot string, arrived time.Time) {
	e.heard(arrived)
	if boot != e.BeatBoot {
		e.turn(boot, arrived)
	}
	e.Beat, e.BeatBoot, e.BeatAt = b, boot, arrived
}

// turn notes that another run beats now. A program that has ended beats no more:
// where two take turns, both live. A beat that was long on its way makes two turns.
func (e *entry) turn(boot string, arrived time.Time) {
	if boot == "" || boot != e.other {
		e.turns = 0
	} else if e.turns++; e.turns > 2 {
		e.TwinAt = arrived
	}
	e.other = e.BeatBoot
}

// past reports whether a report waited so long that the box has told of a newer
// one meanwhile: then it is for the history, and changes nothing that is shown.
func (e *entry) past(r agent.Report, boot string) bool {
	return e.Beat.Seq > 0 && (boot != e.BeatBoot || r.Seq < e.Beat.Seq)
}

// beatLimit is how long a box may be silent that beats.
func (e *entry) beatLimit() time.Duration {
	every := time.Duration(min(e.Beat.EveryS, beatMost.Seconds()) * float64(time.Second))
	return 2 * max(every, beatLeast)
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

// eventTime is when the report was made. Of the run that beats, the time since
// the box's start says it, whatever its clock does.
func (e *entry) eventTime(r agent.Report, boot string, arrived time.Time) time.Time {
	if old := e.Beat.Stamp.UptimeS - r.Stamp.UptimeS; boot != "" && boot == e.BeatBoot && r.Stamp.UptimeS > 0 && old > 0 && old < 1e9 {
		return e.BeatAt.Add(-time.Duration(old * float64(time.Second)))
	}
	return history.EventAt(r, arrived)
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
	if !e.BeatAt.IsZero() {
		limit = e.beatLimit()
	}
	return now.Sub(e.ArrivedAt) > limit
}

func clip(s string) string { return fmt.Sprintf("%.80q", s) }
