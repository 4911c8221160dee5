package daemon

import (
	"context"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/round"
	"github.com/sprechprobe/sprechprobe/agent/steps"
)

// arrival follows a box from the plug to its vendor, for whoever has just plugged
// it in and watches. It belongs to the loop.
type arrival struct {
	plan  steps.Sequence
	steps steps.Sequence
	since time.Time     // of the plug; zero: that is over
	took  time.Duration // from the plug to the first report after it; 0: none yet
}

// While an installer watches, a box that is not through with its steps looks
// again soon; after arrivalTime it is a box like any other.
const (
	arrivalTime = 90 * time.Second
	lookAgain   = 10 * time.Second
)

// await prepares for a sequence, of which nothing is known yet.
func (a *arrival) await(plan steps.Sequence) { a.plan, a.steps = plan, plan }

// begin notes why a round is made. A start and a change of the network are when
// somebody plugs.
func (a *arrival) begin(why agent.Trigger) {
	if why == agent.OnStart || why == agent.OnLink {
		a.steps, a.since, a.took = a.plan, time.Now(), 0
	}
}

// looking reports whether the first round since the plug is still under way.
func (a *arrival) looking() bool { return !a.since.IsZero() && a.took == 0 }

// see takes one look of a round under way.
func (a *arrival) see(e agent.Evidence) {
	if a.looking() {
		a.steps = a.steps.See(e)
	}
}

// end takes a report, and reports whether the next one should come soon.
func (a *arrival) end(r agent.Report) (again bool) {
	a.steps = a.plan.End(r)
	if a.since.IsZero() {
		return false
	}
	passed := time.Since(a.since)
	if a.took == 0 {
		a.took = passed
	}
	if a.steps.Done() || passed+lookAgain > arrivalTime {
		a.since = time.Time{}
		return false
	}
	return true
}

// watched are the same probes, with see told what they saw. It is called by many
// goroutines.
func watched(p round.Probes, see func(agent.Evidence)) round.Probes {
	for _, probe := range []*agent.Probe{&p.Link, &p.DNS, &p.HTTPS, &p.STUN, &p.TURN, &p.NATS, &p.Relay} {
		if look := *probe; look != nil {
			*probe = func(ctx context.Context, t agent.Target) agent.Evidence {
				e := look(ctx, t)
				see(e)
				return e
			}
		}
	}
	return p
}
