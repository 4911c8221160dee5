package path

import (
	"context"
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

// Walk looks for where t's packets end, beside those to a control, which is a
// target that answered in this round. Packets to both may travel one to six hops,
// three times each, within 2.8 s; over TCP only a SYN. How far they came is
// last_hop_count and control_hop_count, and last_hop_from the last router that
// t's packets met. A router that hears the control's packets and not t's is where
// they end, or just behind one that hears both.
//
//   - Answered: that much is known. connect_ms or rtt_ms is there only where t
//     itself answered after all.
//   - Refused: t itself said no, as far as this look can tell.
//   - Rejected: somebody on the way said no by ICMP, and is named.
//   - Tampered: an answer or a refusal in t's name came from hops at which packets
//     to t's own address are still on the way. The control must be at that
//     address. The reason is rst or the ICMP error, or foreign-answer for an
//     answer.
//   - NotLooked too-few-answers: no router speaks, so there is nothing to compare.
//   - Silent: nothing came back, from nobody.
//
// Without a control (the zero Target) there is no control_hop_count, and silence
// has no meaning beyond the last router that spoke.
func Walk(control agent.Target) agent.Probe {
	return func(ctx context.Context, t agent.Target) agent.Evidence {
		if e, bad := unfit(agent.ProbeWalk, t); bad {
			return e
		}
		var w walk
		w.both(ctx, t, control)
		if ctx.Err() != nil {
			return agent.See(agent.ProbeWalk, t, agent.NotLooked, agent.Cancelled)
		}
		w.sameAddr = control.Addr.Unmap() == t.Addr.Unmap()
		return w.evidence(t)
	}
}

// walk is what the packets to both met.
type walk struct {
	target, control series
	sameAddr        bool
}

func (w *walk) both(ctx context.Context, t, control agent.Target) {
	// Routers ration ICMP errors, as a rule to one a second for each receiver
	// after a few at once: so the tries are almost that far apart.
	plan := []time.Duration{0, 900 * time.Millisecond, 1800 * time.Millisecond, 2700 * time.Millisecond}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { w.target = send(ctx, t, plan, farthest) })
	if _, bad := unfit(agent.ProbeWalk, control); !bad {
		wg.Go(func() { w.control = send(ctx, control, plan, farthest) })
	}
}

func (w *walk) evidence(t agent.Target) agent.Evidence {
	r := w.result()
	e := r.Evidence(agent.ProbeWalk, t)
	if r.Outcome == agent.NotLooked || r.Outcome == agent.Silent {
		return e
	}
	hop, router := w.target.last()
	e = e.With(agent.LastHop, hop)
	if router.IsValid() {
		e = e.With(agent.LastHopFrom, router.String())
	}
	if w.control.spoke() {
		control, _ := w.control.last()
		e = e.With(agent.ControlHop, control)
	}
	return e
}

// result says what the look is worth.
func (w *walk) result() reach.Result {
	at := w.target.end()
	routers, _ := w.target.last()
	known, _ := w.control.last()
	switch {
	case at > 0:
		return w.ended(at)
	case routers > 0 || known > 0:
		return reach.Result{Outcome: agent.Answered}
	case w.control.spoke():
		return reach.Result{Outcome: agent.NotLooked, Reason: agent.TooFew}
	default:
		return w.target[0] // Silent, or what kept this machine from looking
	}
}

// ended is the result where the way of t's packets ended at a hop.
func (w *walk) ended(at int) reach.Result {
	r := w.target[at-1]
	if r.Outcome == agent.Rejected || !w.tooNear(at) {
		return r
	}
	r.Outcome = agent.Tampered
	if r.Reason == "" {
		r.Reason = agent.ForeignAnswer
	}
	return r
}

// tooNear reports whether packets to t's address that may travel this many hops do
// not arrive, because the control's still died at a router. One hop of difference
// is not enough far away, where a service's own front answers on one port and
// passes the other on; nobody's front is right behind the practice's gateway.
func (w *walk) tooNear(at int) bool {
	const gateway = 1
	known, _ := w.control.last()
	return w.sameAddr && (known > at || known == at && at <= gateway+1)
}
