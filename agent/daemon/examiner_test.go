package daemon

import (
	"context"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/round"
)

// A box without a clock chip starts in the past and finds a fault; when NTP sets
// the clock, the fault's time follows.
func TestTimeOfAFindingFollowsTheClock(t *testing.T) {
	down := func(_ context.Context, t agent.Target) agent.Evidence {
		return agent.See(agent.ProbeLink, t, agent.Refused, agent.NoCarrier).With(agent.Interface, "eth0")
	}
	start := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	set := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	stamps := []agent.Stamp{
		{At: start.Add(10 * time.Second), UptimeS: 10},
		{At: set.Add(5 * time.Minute), UptimeS: 310},
		{At: set.Add(10 * time.Minute), UptimeS: 610},
	}
	x := &examiner{probes: round.Probes{Link: down}, profiles: []agent.Profile{{Name: "p"}}}
	x.policy.Profiles = x.profiles
	for i, want := range []time.Time{start.Add(10 * time.Second), set, set} {
		x.stamp = func() agent.Stamp { return stamps[i] }
		r := x.examine(t.Context(), agent.OnSchedule, nil)
		if len(r.Findings) != 1 || r.Findings[0].Code != agent.LinkDown {
			t.Fatalf("round %d: findings %v, want link-down", i, r.Findings)
		}
		if got := r.Findings[0].SinceAt; !got.Equal(want) {
			t.Errorf("round %d: since %v, want %v", i, got, want)
		}
	}
}
