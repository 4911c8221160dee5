package daemon

import (
	"context"
	"net/netip"
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

// practice is a network of fake probes that can be cut off.
type practice struct{ rounds, cut int } // rounds made; 0-based round in which nothing answers

func (p *practice) probe(name agent.ProbeName) agent.Probe {
	return func(_ context.Context, t agent.Target) agent.Evidence {
		if p.rounds == p.cut && name != agent.ProbeLink {
			return agent.See(name, t, agent.Silent, agent.Timeout)
		}
		return agent.See(name, t, agent.Answered, "").With(agent.Addrs, "198.18.0.7").With(agent.Neighbour, "reachable")
	}
}

func (p *practice) examiner(ts ...agent.Target) *examiner {
	x := &examiner{profiles: []agent.Profile{{Name: "p", Targets: ts}}}
	x.policy.Profiles = x.profiles
	x.probes = round.Probes{
		Link: p.probe(agent.ProbeLink), DNS: p.probe(agent.ProbeDNS), HTTPS: p.probe(agent.ProbeWeb), STUN: p.probe(agent.ProbeSTUN),
		TURN: p.probe(agent.ProbeTURN), Captive: p.probe(agent.ProbeCaptive), NATS: p.probe(agent.ProbeNATS),
		Mapping: func([]netip.AddrPort) agent.Probe { return p.probe(agent.ProbeMapping) },
		Addrs: func(e agent.Evidence) []netip.Addr {
			return []netip.Addr{netip.MustParseAddr(e.Values.Text(agent.Addrs))}
		},
		IPv6: func() bool { return false },
	}
	// One round of Run is over when the judgement takes its stamp.
	x.stamp = func() agent.Stamp {
		p.rounds++
		return agent.Stamp{At: time.Unix(1_800_000_000, 0), Clock: agent.ClockSet}
	}
	return x
}

// One lost round in twenty, both of its passes, leaves the verdict as it is, and
// the report says that something was.
func TestOneLostRoundTurnsNothingRed(t *testing.T) {
	call := []agent.Capability{agent.Direct, agent.Relay}
	p := &practice{cut: 10}
	x := p.examiner(
		agent.Target{Host: "video.example", Port: 443, Transport: agent.TCP, Service: agent.HTTPS, Required: true, Feeds: call},
		agent.Target{Host: "turn.example", Port: 3478, Transport: agent.UDP, Service: agent.STUN, Required: true, Feeds: call},
		agent.Target{Host: "turn.example", Port: 5349, Transport: agent.UDP, Service: agent.TURN, Required: true, Feeds: call},
	)
	told := 0
	for range 20 {
		r := x.examine(t.Context(), agent.OnSchedule, nil)
		if r.Verdict != agent.Ready {
			t.Fatalf("round %d: verdict %s with %v, want ready", r.Seq, r.Verdict, r.Findings)
		}
		for _, f := range r.Findings {
			if f.Code != agent.Interrupted {
				t.Errorf("round %d: finding %s", r.Seq, f.Code)
			}
			told++
		}
	}
	if told != 1 || p.rounds != 21 {
		t.Errorf("%d rounds, %d of them told of an interruption; want 21 and 1", p.rounds, told)
	}
}

// What stays away is told in the round in which it is found, and who asks for a
// round gets the first word.
func TestLossIsToldAtOnce(t *testing.T) {
	for _, why := range []agent.Trigger{agent.OnSchedule, agent.OnCommand} {
		p := &practice{cut: -1}
		x := p.examiner(agent.Target{Host: "video.example", Port: 443, Transport: agent.TCP, Service: agent.HTTPS, Required: true,
			Feeds: []agent.Capability{agent.Relay}})
		x.examine(t.Context(), agent.OnStart, nil)
		p.cut = 1
		stamp := x.stamp
		x.stamp = func() agent.Stamp { s := stamp(); p.cut = p.rounds; return s } // for good
		if r := x.examine(t.Context(), why, nil); r.Verdict != agent.Blocked {
			t.Errorf("%s: verdict %s, want blocked", why, r.Verdict)
		}
		if want := map[agent.Trigger]int{agent.OnSchedule: 3, agent.OnCommand: 2}[why]; p.rounds != want {
			t.Errorf("%s: %d rounds in all, want %d", why, p.rounds, want)
		}
	}
}
