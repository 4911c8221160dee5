package round

import (
	"context"
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
)

// family are looks of which one answer is enough. Once it is there, the others get
// a moment more: they answer as fast, or nobody waits for them.
type family struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu    sync.Mutex
	timer *time.Timer
	alone bool // there is nobody to wait for
}

// A moment is this long, or so many times what the answer took: a handshake has
// several round trips.
const (
	moment = 1200 * time.Millisecond
	trips  = 8
)

// families makes the families of steps, and one for those that have none.
func families(ctx context.Context, steps []step, answered map[string]time.Duration) map[string]*family {
	out := map[string]*family{"": {alone: true}}
	for _, s := range steps {
		if out[s.kin] == nil {
			out[s.kin] = &family{}
		}
	}
	for kin, f := range out {
		f.ctx, f.cancel = context.WithCancel(ctx)
		if took, ok := answered[kin]; ok {
			f.hurry(took)
		}
	}
	return out
}

// hurry leaves the family a moment.
func (f *family) hurry(took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.timer == nil && !f.alone {
		f.timer = time.AfterFunc(max(moment, trips*took), f.cancel)
	}
}

// seen takes in a look. One that the family's end has cut short kept silent while
// its kin answered.
func (f *family) seen(e agent.Evidence, took time.Duration) agent.Evidence {
	switch {
	case e.Outcome == agent.Answered:
		f.hurry(took)
	case e.Outcome == agent.NotLooked && e.Reason == agent.Cancelled && f.cut():
		e.Outcome, e.Reason = agent.Silent, agent.Timeout
		e.Grade = agent.GradeOf(e.Outcome)
	}
	return e
}

// cut reports whether the family ended before the round did.
func (f *family) cut() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.timer != nil && f.ctx.Err() != nil
}

// answeredBy says which families have answered, and how fast.
func answeredBy(steps []step, seen []agent.Evidence) map[string]time.Duration {
	out := map[string]time.Duration{}
	for i, e := range seen {
		if kin := steps[i].kin; kin != "" && e.Outcome == agent.Answered {
			ms, _ := e.Values.Num(agent.RTT)
			took := time.Duration(ms * float64(time.Millisecond))
			if known, ok := out[kin]; !ok || took < known {
				out[kin] = took
			}
		}
	}
	return out
}
