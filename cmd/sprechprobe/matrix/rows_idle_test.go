package matrix

import (
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab/practice"
	"github.com/sprechprobe/sprechprobe/agent/probe/idle"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
)

// What the box finds out once a day: for how long connections may be silent. Here
// the routers forget in seconds, so that the looks need not take minutes.
var quiet = []row{
	{id: "D11", what: "TCP connections forgotten after a few seconds", want: "nats-idle-cut", caps: "ool", verdict: agent.VerdictLimited,
		inject: func(s *scene) { s.forget("tcp_timeout_established", 3, 432000) },
		look: func(s *scene) agent.Report {
			times := idle.Times{Speak: []time.Duration{time.Second, 7 * time.Second}, Wait: 10 * time.Second, Awake: time.Second, Grace: 2 * time.Second}
			return s.silent(agent.ProbeTURN, agent.TURN, agent.TCP, idle.TCP(times))
		}},
	{id: "D12", what: "UDP mappings forgotten after 5 s", want: "nat-short", caps: "lll", verdict: agent.VerdictLimited,
		inject: func(s *scene) { s.forgetUDP(5) },
		look: func(s *scene) agent.Report {
			return s.silent(agent.ProbeSTUN, agent.STUN, agent.UDP, webrtc.Idle([]time.Duration{2 * time.Second, 12 * time.Second}))
		}},
	{id: "N38", what: "UDP mappings forgotten after 30 s", notes: "nat-short", caps: "ooo", verdict: agent.Ready,
		inject: func(s *scene) { s.forgetUDP(30) },
		look: func(s *scene) agent.Report {
			return s.silent(agent.ProbeSTUN, agent.STUN, agent.UDP, webrtc.Idle([]time.Duration{12 * time.Second, 45 * time.Second}))
		}},
}

func TestQuiet(t *testing.T) { play(t, practice.Plan{}, quiet) }

func (s *scene) forgetUDP(seconds int) {
	s.forget("udp_timeout", seconds, 30)
	s.forget("udp_timeout_stream", seconds, 120)
}

// silent is one check, and a look at silence at what answered in it.
func (s *scene) silent(from agent.ProbeName, service agent.Service, tr agent.Transport, look agent.Probe) agent.Report {
	s.t.Helper()
	r := s.check()
	for _, e := range r.Evidence {
		if e.Probe == from && e.Target.Transport == tr && e.Outcome == agent.Answered {
			e.Target.Service = service
			found := look(s.t.Context(), e.Target)
			s.t.Log(found.Outcome, found.Reason, found.Values)
			return judged(r, s.profiles(), func(es []agent.Evidence) []agent.Evidence { return append(es, found) })
		}
	}
	s.t.Fatalf("nothing answered %s over %s", from, tr)
	return r
}
