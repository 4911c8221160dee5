package daemon

import (
	"context"
	"slices"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/assess"
	"github.com/sprechprobe/sprechprobe/agent/round"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// examiner makes rounds and turns each into a report. It owns the Book and what
// is known of earlier findings, so it belongs to one goroutine at a time.
type examiner struct {
	boot     string // names the numbers of its reports
	box      agent.Box
	tenant   string
	probes   round.Probes
	profiles []agent.Profile
	policy   assess.Policy
	stamp    func() agent.Stamp
	see      func(agent.Evidence)    // told of single looks as they end; may be nil
	besides  func() []agent.Evidence // that no probe finds; nil: none

	book    assess.Book
	aside   aside
	before  []agent.Finding
	verdict agent.Verdict // the last one
	seq     uint64
	booted  time.Time // by the wall clock of the last round
}

// examine makes a round and judges it. One that makes things worse by silence
// alone is made again at once before anybody hears of it: a line that is gone for
// some seconds and comes back must not turn a light red. Who asked for the round
// gets its first word.
func (x *examiner) examine(ctx context.Context, why agent.Trigger, uplink func() agent.Evidence) agent.Report {
	start := time.Now()
	deep := why != agent.OnSchedule || x.verdict != agent.Ready || x.seq%deepEvery == 0
	stamp, j := x.look(ctx, deep, uplink)
	if why == agent.OnSchedule && x.sudden(j) {
		stamp, j = x.look(ctx, deep, uplink)
	}
	x.before, x.verdict = j.Findings, j.Verdict
	x.seq++
	return fleet.Redact(agent.Report{
		Schema: agent.Schema, Box: x.box, Tenant: x.tenant, Seq: x.seq, Trigger: why,
		Stamp: stamp, TookMS: time.Since(start).Milliseconds(),
		Verdict: j.Verdict, Capabilities: j.Capabilities, Profiles: nonNil(j.Profiles),
		Findings: nonNil(j.Findings), Evidence: j.Evidence,
	})
}

// deepEvery is how many scheduled rounds of a healthy box share one deep one: it
// puts some kilobytes on the line.
const deepEvery = 12

// look makes one round, enters it into the book and judges that. The uplink's
// state, if there is one, is looked at before and after it, so that a connection
// that comes and goes is not taken for one that is gone. Where it was not known
// before, it was only beginning to connect.
func (x *examiner) look(ctx context.Context, deep bool, uplink func() agent.Evidence) (agent.Stamp, assess.Judgement) {
	var before agent.Evidence
	if uplink != nil {
		before = uplink()
	}
	probes := x.probes
	if x.see != nil {
		probes = watched(probes, x.see)
	}
	passes := round.Run(ctx, probes, x.profiles, deep)
	passes[1] = append(passes[1], x.aside.take()...)
	if uplink != nil {
		after := uplink()
		if before.Outcome == agent.NotLooked {
			before = after
		}
		passes[0] = append(passes[0], before)
		passes[1] = append(passes[1], after)
	}
	if x.besides != nil {
		passes[0] = append(passes[0], x.besides()...)
	}
	x.book.Add(passes...)
	stamp := x.stamp()
	x.follow(stamp)
	return stamp, assess.Assess(x.policy, &x.book, x.before, stamp.At)
}

// sudden reports whether a judgement is worse than the last one for nothing but
// silence.
func (x *examiner) sudden(j assess.Judgement) bool {
	if x.verdict == agent.VerdictUnknown || j.Verdict <= x.verdict {
		return false
	}
	for _, f := range j.Findings {
		if f.Severity == agent.Info || has(x.before, f) {
			continue
		}
		for _, i := range f.Evidence {
			if o := j.Evidence[i].Outcome; o == agent.Refused || o == agent.Rejected || o == agent.Tampered {
				return false
			}
		}
	}
	return true
}

// follow moves the times of earlier findings when the wall clock has been set:
// many boards begin somewhere in the past, and a finding of that time would
// have a wrong date for good. The time since boot does not jump.
func (x *examiner) follow(s agent.Stamp) {
	booted := s.At.Add(-time.Duration(s.UptimeS * float64(time.Second)))
	if jump := booted.Sub(x.booted); !x.booted.IsZero() && (jump > time.Minute || jump < -time.Minute) {
		moved := slices.Clone(x.before)
		for i := range moved {
			moved[i].SinceAt = moved[i].SinceAt.Add(jump)
		}
		x.before = moved
	}
	x.booted = booted
}

// nonNil keeps empty lists as [] in JSON.
func nonNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
