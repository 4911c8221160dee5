package daemon

import (
	"context"
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/idle"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
	"github.com/sprechprobe/sprechprobe/agent/schedule"
)

// silences is how often a box finds out for how long connections may be silent:
// that takes minutes, and routers do not change their mind by the hour.
const silences = 24 * time.Hour

// aside are looks that were made beside the rounds, for the next one to take in.
type aside struct {
	mu    sync.Mutex
	found []agent.Evidence
}

func (a *aside) put(e agent.Evidence) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.found = append(a.found, e)
}

func (a *aside) take() []agent.Evidence {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := a.found
	a.found = nil
	return out
}

// silence looks once a day for how long connections may be silent, at what
// answered in the newest round.
func (l *loop) silence(ctx context.Context) error {
	job := schedule.Job{Name: "silence", Every: silences}
	schedule.Run(ctx, l.setup.Config.Box.ID, []schedule.Job{job}, func(string) {
		for _, look := range silent(l.facts.Load().Report) {
			l.examiner.aside.put(look.probe(ctx, look.at))
		}
	})
	return nil
}

// silentLook is a look at how long silence is borne, and where to make it.
type silentLook struct {
	probe agent.Probe
	at    agent.Target
}

// silent are the looks at silence that a report allows: one over TCP and one over
// UDP, at targets that answered.
func silent(r agent.Report) []silentLook {
	var out []silentLook
	pick := func(p agent.Probe, service agent.Service, from agent.ProbeName, tr agent.Transport) bool {
		for _, e := range r.Evidence {
			if e.Probe == from && e.Outcome == agent.Answered && e.Target.Transport == tr && e.Target.Addr.IsValid() {
				e.Target.Service = service
				out = append(out, silentLook{p, e.Target})
				return true
			}
		}
		return false
	}
	tcp := idle.TCP(idle.Usual())
	_ = pick(tcp, agent.NATS, agent.ProbeNATS, agent.TCP) || pick(tcp, agent.HTTPS, agent.ProbeWeb, agent.TCP)
	pick(webrtc.Idle(webrtc.UsualSilences()), agent.STUN, agent.ProbeSTUN, agent.UDP)
	return out
}
