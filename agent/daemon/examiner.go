package daemon

import (
	"context"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/assess"
	"github.com/sprechprobe/sprechprobe/agent/round"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// examiner makes rounds and turns each into a report. It owns the Book and what
// is known of earlier findings, so it belongs to one goroutine at a time.
type examiner struct {
	box      agent.Box
	tenant   string
	probes   round.Probes
	profiles []agent.Profile
	policy   assess.Policy
	stamp    func() agent.Stamp

	book   assess.Book
	before []agent.Finding
	seq    uint64
}

// examine makes a round. The uplink's state, if there is one, is looked at in
// each pass like any other evidence.
func (x *examiner) examine(ctx context.Context, why agent.Trigger, uplink func() agent.Evidence) agent.Report {
	start := time.Now()
	passes := round.Run(ctx, x.probes, x.profiles)
	if uplink != nil {
		for i := range passes {
			passes[i] = append(passes[i], uplink())
		}
	}
	x.book.Add(passes...)
	stamp := x.stamp()
	j := assess.Assess(x.policy, &x.book, x.before, stamp.At)
	x.before = j.Findings
	x.seq++
	return fleet.Redact(agent.Report{
		Schema: agent.Schema, Box: x.box, Tenant: x.tenant, Seq: x.seq, Trigger: why,
		Stamp: stamp, TookMS: time.Since(start).Milliseconds(),
		Verdict: j.Verdict, Capabilities: j.Capabilities, Profiles: nonNil(j.Profiles),
		Findings: nonNil(j.Findings), Evidence: j.Evidence,
	})
}

// nonNil keeps empty lists as [] in JSON.
func nonNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
