package assess_test

import (
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/assess"
)

// The word about direct calls says on what it rests: on a rehearsal where there is
// one, otherwise on how the router maps, and where neither was looked at on nothing.
func TestDirectBy(t *testing.T) {
	blind := newWorld("webprax").on("mapping", gone)
	if got := blind.judge().Profiles[0].DirectBy; got != "" {
		t.Errorf("without either: %q", got)
	}
	w := newWorld("webprax", "zpp-hd")
	if got := w.judge().Profiles[0].DirectBy; got != "mapping" {
		t.Errorf("without a rehearsal: %q, want mapping", got)
	}
	w.add(rehearsal(0, 0, 1, 20))
	for _, p := range w.judge().Profiles {
		want := map[string]string{"webprax": "reflect", "zpp-hd": "mapping"}[p.Name] // which has no relay
		if p.DirectBy != want {
			t.Errorf("%s: %q, want %q", p.Name, p.DirectBy, want)
		}
	}
}

// What was rehearsed holds until it is rehearsed again, and no longer than a day or
// so: a box that was too busy takes nothing away.
func TestRehearsalHolds(t *testing.T) {
	w := newWorld("webprax")
	var b assess.Book
	judge := func(more ...agent.Evidence) string {
		b.Add(w.evidence, more)
		return codes(assess.Assess(w.policy(), &b, nil, time.Unix(1_800_000_000, 0)).Findings)
	}
	busy := becomes(agent.NotLooked, agent.BoxBusy)(call(agent.UDP))
	for i, tt := range []struct {
		look []agent.Evidence
		want string
	}{
		{nil, ""}, {[]agent.Evidence{rehearsal(0.03, 0, 1, 20)}, "loss"}, {nil, "loss"}, {[]agent.Evidence{busy}, "loss"}, {nil, "loss"},
		{[]agent.Evidence{rehearsal(0, 0, 1, 20)}, ""}, {[]agent.Evidence{busy}, ""}, {[]agent.Evidence{rehearsal(0.03, 0, 1, 20)}, "loss"},
	} {
		if got := judge(tt.look...); got != tt.want {
			t.Errorf("round %d: %q, want %q", i, got, tt.want)
		}
	}
	for range 400 {
		b.Add(w.evidence)
	}
	if got := judge(); got != "" {
		t.Errorf("after more than a day: %q", got)
	}
}
