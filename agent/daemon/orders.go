package daemon

import (
	"encoding/json"
	"math/rand/v2"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/command"
	"github.com/sprechprobe/sprechprobe/agent/uplink"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// orders are what the vendor may want of a running box; none where the box knows
// no key of his.
func (l *loop) orders() uplink.Orders {
	if l.vendor == nil || l.vendor.guard == nil {
		return uplink.Orders{}
	}
	return uplink.Orders{Command: l.command, Assignment: l.assignment}
}

// command obeys one command, or says why not. It only starts what takes long.
func (l *loop) command(subject, reply string, sealed []byte) (uplink.Answer, bool) {
	c, no := l.vendor.guard.Admit(subject, reply, sealed)
	switch {
	case no != nil:
		return refusal(no), true
	case c == nil:
		return uplink.Answer{}, false
	}
	do, ok := l.deeds()[c.Name]
	if !ok {
		l.vendor.guard.Failed(*c, command.Unsupported)
		return refusal(command.Unsupported), true
	}
	body, err := json.Marshal(do())
	if err != nil {
		l.vendor.guard.Failed(*c, command.Failed)
		return refusal(command.Failed), true
	}
	l.opts.Log.Info("command of the vendor", "command", c.Name)
	return uplink.Answer{Body: body}, true
}

// deeds are what the box does for each command. What is missing it cannot do.
func (l *loop) deeds() map[string]func() fleet.Done {
	deeds := map[string]func() fleet.Done{
		fleet.Check: func() fleet.Done {
			l.trigger(agent.OnCommand)
			return fleet.Done{Accepted: true}
		},
		fleet.Identify: func() fleet.Done {
			signal(l.shows)
			return fleet.Done{Accepted: true}
		},
		fleet.Last: func() fleet.Done {
			r := *l.raw.Load()
			if r.Schema == "" {
				return fleet.Done{}
			}
			return fleet.Done{Accepted: true, Report: &r}
		},
		fleet.Config: func() fleet.Done {
			l.uplink.Reread()
			return fleet.Done{Accepted: true, Settings: l.vendor.store.Word()}
		},
	}
	if l.gauge != nil {
		deeds[fleet.Bandwidth] = func() fleet.Done {
			signal(l.measure)
			return fleet.Done{Accepted: true}
		}
	}
	return deeds
}

func refusal(r *command.Refusal) uplink.Answer { return uplink.Answer{Code: r.Code, Error: r.Text} }

// assignment takes settings of the vendor's, or keeps the old ones.
func (l *loop) assignment(sealed []byte) {
	changed, err := l.vendor.store.Take(sealed)
	switch {
	case err != nil:
		l.opts.Log.Warn("settings of the vendor refused, the old ones stay", "err", err)
	case changed:
		signal(l.vendor.assigned)
	}
}

// reassign lets the next round look for what the vendor wants. It is called
// between rounds.
func (l *loop) reassign() {
	set, ok := l.vendor.store.Current()
	if !ok {
		return
	}
	l.examiner.adopt(l.setup.assigned(set))
	l.plan()
	l.pace(set.Every)
	l.opts.Log.Info("settings of the vendor taken over", "version", set.Version)
	l.trigger(agent.OnCommand)
}

// pace sets the time between two rounds.
func (l *loop) pace(every time.Duration) {
	select {
	case <-l.every:
	default:
	}
	l.every <- every
}

// jitter is a time between half of d and d, so that a fleet does not act as one.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// trigger asks for a round. One that is asked for already is enough; only a mere
// schedule gives way to what somebody waits for and to what has changed.
func (l *loop) trigger(why agent.Trigger) {
	for {
		select {
		case l.triggers <- why:
			return
		default:
		}
		if why == agent.OnSchedule {
			return
		}
		select {
		case before := <-l.triggers:
			if before != agent.OnSchedule {
				why = before
			}
		default:
		}
	}
}
