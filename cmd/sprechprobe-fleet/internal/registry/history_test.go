package registry_test

import (
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

// kept is box one as the history has it after report 7 of run a.
func kept() history.Box {
	return history.Box{
		Address: fleet.Address{Tenant: "acme", Box: "one"}, Name: "Praxis", Version: "1.0", Verdict: agent.Blocked, Boot: "a", Seq: 7,
		EventAt: start, ArrivedAt: start.Add(time.Second), FirstAt: start.AddDate(0, -1, 0), Interval: 5 * time.Minute, Reports: 99,
	}
}

func TestRestore(t *testing.T) {
	b := newBench(t, 0)
	r := report(7, 0)
	r.Verdict = agent.Blocked
	b.Restore(kept(), r)
	b.take("a", r, 2) // the bus still holds it
	if got := b.one(); got.Report.Verdict != agent.Blocked || got.Reports != 99 || got.Duplicates != 1 || got.Interval != 5*time.Minute || !got.FirstSeen.Equal(start.AddDate(0, -1, 0)) {
		t.Errorf("restored: %+v", got)
	}
	b.take("a", report(8, 300), 301)
	b.Restore(kept(), r)
	if got := b.one(); got.Report.Seq != 8 || got.Reports != 100 {
		t.Errorf("restored over what is newer: report %d of %d", got.Report.Seq, got.Reports)
	}
	b.Forget(one)
	if _, ok := b.Box(one); ok {
		t.Error("a box that was forgotten is known")
	}
}

func TestRestoreWithoutAReport(t *testing.T) {
	b := newBench(t, 0)
	b.now = start.AddDate(0, 2, 0)
	b.Restore(kept(), agent.Report{})
	if got := b.one(); got.Report.Verdict != agent.Blocked || got.Report.Box.Name != "Praxis" || !got.Silent {
		t.Errorf("restored: %+v, want a silent box that was blocked", got)
	}
}

func TestEvidenceOfFindingsStays(t *testing.T) {
	b := newBench(t, 0)
	r := report(1, 0)
	see := func(p agent.ProbeName) agent.Evidence { return agent.See(p, agent.Target{}, agent.Silent, "") }
	r.Evidence = []agent.Evidence{see(agent.ProbeDNS), see(agent.ProbeTURN), see(agent.ProbeWeb)}
	r.Findings = []agent.Finding{{Code: agent.TURNAllBlock, Evidence: []int{1}}, {Code: agent.HTTPSBlock, Evidence: []int{2, 1}}}
	b.take("a", r, 1)
	for i, want := range [][]agent.ProbeName{{agent.ProbeTURN}, {agent.ProbeWeb, agent.ProbeTURN}} {
		got := b.one().Report
		if len(got.Findings[i].Evidence) != len(want) {
			t.Fatalf("finding %d rests on %v", i, got.Findings[i].Evidence)
		}
		for j, n := range got.Findings[i].Evidence {
			if got.Evidence[n].Probe != want[j] {
				t.Errorf("finding %d rests on %s, want %s", i, got.Evidence[n].Probe, want[j])
			}
		}
	}
}

func TestView(t *testing.T) {
	b := newBench(t, 0)
	b.take("a", report(1, 0), 1)
	before := b.one().Revision
	b.View(func(x registry.Box) registry.Box { x.Report.Verdict = agent.Offline; return x })
	if got := b.one(); got.Report.Verdict != agent.Offline || got.Revision == before || b.Boxes()[0].Report.Verdict != agent.Offline {
		t.Errorf("seen: %v, revision %d after %d", got.Report.Verdict, got.Revision, before)
	}
	if b.Raw()[0].Report.Verdict != agent.Ready {
		t.Error("the view altered what the box said")
	}
	b.View(nil)
	if got := b.one().Report.Verdict; got != agent.Ready {
		t.Errorf("seen as it is: %v", got)
	}
}
