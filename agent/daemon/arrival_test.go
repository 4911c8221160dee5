package daemon

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/round"
	"github.com/sprechprobe/sprechprobe/agent/steps"
)

// through is a report of a box whose way is known as far as these looks go.
func through(codes ...agent.Code) agent.Report {
	r := agent.Report{Schema: agent.Schema}
	link := agent.See(agent.ProbeLink, agent.Target{}, agent.Answered, "").With(agent.LocalAddr, "10.0.0.2/24").With(agent.ClockSynced, true)
	r.Evidence = append(r.Evidence, link)
	for _, p := range []agent.ProbeName{agent.ProbeDNS, agent.ProbeWeb, agent.ProbeSTUN, agent.ProbeNATS} {
		r.Evidence = append(r.Evidence, agent.See(p, agent.Target{Transport: agent.TCP}, agent.Answered, ""))
	}
	for _, tr := range []agent.Transport{agent.UDP, agent.TCP} {
		r.Evidence = append(r.Evidence, agent.See(agent.ProbeTURN, agent.Target{Transport: tr}, agent.Answered, ""))
	}
	for _, c := range codes {
		r.Findings = append(r.Findings, agent.Finding{Code: c, Severity: agent.Major})
	}
	return r
}

// From the plug on the box looks again soon until it is through, and stops doing
// so after a minute and a half.
func TestArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := arrival{plan: steps.Plan(nil, false)}
		a.begin(agent.OnStart)
		a.see(through().Evidence[0])
		if !a.looking() || a.steps[steps.Gateway] != steps.Passed || a.steps[steps.Names] != steps.Waiting {
			t.Errorf("in the first round: %v, looking %v", a.steps, a.looking())
		}
		time.Sleep(4 * time.Second)
		rounds := 1
		for a.end(through(agent.STUNUDPBlock)) {
			rounds++
			time.Sleep(lookAgain + 4*time.Second)
			a.begin(agent.OnSchedule)
			a.see(through().Evidence[3])
			if a.steps[steps.STUN] != steps.Failed {
				t.Fatal("a later look takes the finding away before the round is judged")
			}
			if rounds > 20 {
				t.Fatal("it never stops")
			}
		}
		if a.took != 4*time.Second || a.looking() || rounds < 4 || !a.since.IsZero() {
			t.Errorf("took %v, %d rounds, looking %v", a.took, rounds, a.looking())
		}
		if a.end(through(agent.STUNUDPBlock)) {
			t.Error("it looks again soon for the rest of its life")
		}

		a.begin(agent.OnLink) // another cable
		if !a.looking() || a.steps != a.plan || a.took != 0 {
			t.Errorf("after a change of the network: %v, took %v", a.steps, a.took)
		}
		time.Sleep(time.Second)
		if a.end(through()) || a.took != time.Second || !a.steps.Done() {
			t.Errorf("all well: %v, took %v", a.steps, a.took)
		}
	})
}

// What is watched is what the round gets, and a look that is not made is none.
func TestWatched(t *testing.T) {
	n := 0
	look := func(_ context.Context, target agent.Target) agent.Evidence {
		return agent.See(agent.ProbeSTUN, target, agent.Answered, "")
	}
	var seen []agent.Evidence
	p := watched(round.Probes{STUN: look}, func(e agent.Evidence) { n++; seen = append(seen, e) })
	got := p.STUN(t.Context(), agent.Target{Host: "stun.example"})
	if n != 1 || seen[0].Target.Host != "stun.example" || got.Outcome != agent.Answered || p.Relay != nil {
		t.Errorf("saw %v, returned %v", seen, got)
	}
}
