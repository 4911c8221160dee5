package round_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/round"
)

// desk answers every probe from a table and keeps who asked.
type desk struct {
	mu     sync.Mutex
	asked  []string
	answer map[string]func(n int) agent.Evidence // by question; n counts from 1
	counts map[string]int
}

func newDesk() *desk {
	return &desk{answer: map[string]func(int) agent.Evidence{}, counts: map[string]int{}}
}

func question(p agent.ProbeName, t agent.Target) string {
	q := string(p) + " " + t.String()
	if t.Addr.IsValid() {
		q += " " + t.Addr.String()
	}
	if t.Variant != "" {
		q += " " + string(t.Variant)
	}
	return strings.TrimSpace(q)
}

func (d *desk) probe(p agent.ProbeName) agent.Probe {
	return func(_ context.Context, t agent.Target) agent.Evidence {
		q := question(p, t)
		d.mu.Lock()
		d.asked = append(d.asked, q)
		d.counts[q]++
		n, answer := d.counts[q], d.answer[q]
		d.mu.Unlock()
		if answer != nil {
			e := answer(n)
			return agent.Evidence{Probe: p, Target: t, Outcome: e.Outcome, Grade: agent.GradeOf(e.Outcome), Reason: e.Reason, Values: e.Values}
		}
		e := agent.See(p, t, agent.Answered, "")
		if p == agent.ProbeDNS {
			e = e.With(agent.Addrs, "203.0.113.7")
		}
		return e
	}
}

func (d *desk) probes() round.Probes {
	return round.Probes{
		Link: d.probe(agent.ProbeLink), DNS: d.probe(agent.ProbeDNS), HTTPS: d.probe(agent.ProbeWeb),
		Captive: d.probe(agent.ProbeCaptive), STUN: d.probe(agent.ProbeSTUN), TURN: d.probe(agent.ProbeTURN),
		NATS: d.probe(agent.ProbeNATS), Ports: d.probe(agent.ProbePorts),
		Mapping: func(others []netip.AddrPort) agent.Probe {
			return func(ctx context.Context, t agent.Target) agent.Evidence {
				for _, o := range others {
					t.Host += "+" + o.String()
				}
				return d.probe(agent.ProbeMapping)(ctx, t)
			}
		},
		Addrs: func(e agent.Evidence) []netip.Addr {
			var out []netip.Addr
			for _, w := range strings.Fields(e.Values.Text(agent.Addrs)) {
				out = append(out, netip.MustParseAddr(w))
			}
			return out
		},
		IPv6: func() bool { return false },
	}
}

func is(o agent.Outcome, why agent.Reason) func(int) agent.Evidence {
	return func(int) agent.Evidence { return agent.Evidence{Outcome: o, Reason: why} }
}

var (
	stun = agent.Target{Host: "turn.example", Port: 3478, Transport: agent.UDP, Service: agent.STUN, Required: true}
	turn = agent.Target{Host: "turn.example", Port: 5349, Transport: agent.UDP, Service: agent.TURN, Required: true,
		Variants: []agent.Variant{agent.Plain, agent.DTLS}}
	web  = agent.Target{Host: "video.example", Port: 443, Transport: agent.TCP, Service: agent.HTTPS, Required: true}
	nats = agent.Target{Host: "nats.example", Port: 8443, Transport: agent.TCP, Service: agent.NATS, Required: true,
		Variants: []agent.Variant{agent.WSS}, Pins: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
)

func profile(ts ...agent.Target) []agent.Profile { return []agent.Profile{{Name: "p", Targets: ts}} }

func (d *desk) run(t *testing.T, ps []agent.Profile) [][]agent.Evidence {
	t.Helper()
	passes := round.Run(t.Context(), d.probes(), ps, true)
	if len(passes) != 2 {
		t.Fatalf("%d passes, want 2", len(passes))
	}
	return passes
}

func TestHealthyRoundAsksEverythingOnce(t *testing.T) {
	d := newDesk()
	passes := d.run(t, profile(stun, turn, web, nats))
	slices.Sort(d.asked)
	want := []string{
		"dns nats.example", "dns turn.example", "dns video.example", "link",
		"mapping turn.example+203.0.113.7:5349:3478/udp 203.0.113.7",
		"nats nats.example:8443/tcp 192.0.2.1", "nats nats.example:8443/tcp 203.0.113.7",
		"stun turn.example:3478/udp 203.0.113.7 plain",
		"turn turn.example:5349/udp 203.0.113.7 dtls", "turn turn.example:5349/udp 203.0.113.7 plain",
		"web video.example:443/tcp 203.0.113.7",
	}
	d.asked[4] = strings.NewReplacer("[", "", "]", "").Replace(d.asked[4])
	if diff := cmp.Diff(want, d.asked); diff != "" {
		t.Errorf("questions (-want +got):\n%s", diff)
	}
	if len(passes[1]) != 1 || passes[1][0].Probe != agent.ProbeMapping {
		t.Errorf("second pass %v, want only the comparison of mappings", passes[1])
	}
}

func TestFailuresAreAskedAgain(t *testing.T) {
	d := newDesk()
	d.answer["turn turn.example:5349/udp 203.0.113.7 plain"] = is(agent.Silent, agent.Timeout)
	passes := d.run(t, profile(turn, web))
	if len(passes[1]) != 1 || passes[1][0].Target.Variant != agent.Plain {
		t.Errorf("second pass %v, want only the failed look", passes[1])
	}
}

func TestControlsOnlyWhenNeeded(t *testing.T) {
	tests := []struct {
		name string
		fail []string
		want []string // controls in the second pass
	}{
		{"web kept away", []string{"web video.example:443/tcp 203.0.113.7"}, []string{"captive video.example:80/tcp 203.0.113.7"}},
		{"nothing answers", []string{"web video.example:443/tcp 203.0.113.7", "stun turn.example:3478/udp 203.0.113.7 plain"},
			[]string{"captive video.example:80/tcp 203.0.113.7", "dns turn.example uncached"}},
		{"all is well", nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk()
			for _, q := range tt.fail {
				d.answer[q] = is(agent.Silent, agent.Timeout)
			}
			passes := d.run(t, profile(stun, web))
			var got []string
			for _, e := range passes[1] {
				if e.Probe == agent.ProbeCaptive || e.Target.Variant == agent.Uncached {
					got = append(got, question(e.Probe, e.Target))
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("controls (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNameThatResolvesLate(t *testing.T) {
	d := newDesk()
	d.answer["dns video.example"] = func(n int) agent.Evidence {
		if n == 1 {
			return agent.Evidence{Outcome: agent.Silent, Reason: agent.Timeout}
		}
		return agent.Evidence{Outcome: agent.Answered, Values: agent.Values{agent.Addrs: "203.0.113.9"}}
	}
	passes := d.run(t, profile(web, stun))
	var firstWeb, secondWeb agent.Outcome
	for i, pass := range passes {
		for _, e := range pass {
			if e.Probe == agent.ProbeWeb {
				if i == 0 {
					firstWeb = e.Outcome
				} else {
					secondWeb = e.Outcome
				}
			}
		}
	}
	if firstWeb != agent.NotLooked || secondWeb != agent.Answered {
		t.Errorf("web host %s, then %s; want not-looked, then answered", firstWeb, secondWeb)
	}
}

func TestSharedDoorIsAskedOnce(t *testing.T) {
	d := newDesk()
	d.run(t, []agent.Profile{{Name: "a", Targets: []agent.Target{web}}, {Name: "b", Targets: []agent.Target{web, stun}}})
	if n := d.counts["web video.example:443/tcp 203.0.113.7"]; n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
}

func TestAlternativePorts(t *testing.T) {
	d := newDesk()
	s := stun
	s.AltPorts = []uint16{443}
	d.run(t, profile(s))
	for _, q := range []string{"stun turn.example:3478/udp 203.0.113.7 plain", "stun turn.example:443/udp 203.0.113.7 plain"} {
		if d.counts[q] != 1 {
			t.Errorf("%q asked %d times, want once", q, d.counts[q])
		}
	}
}

// Two services that name each other's port as an alternative ask each port once:
// two looks in one pass would count as a look and its retest.
func TestSwappedAlternativesAreAskedOnce(t *testing.T) {
	d := newDesk()
	a, b := stun, stun
	a.AltPorts = []uint16{443}
	b.Port, b.AltPorts = 443, []uint16{3478}
	d.run(t, []agent.Profile{{Name: "a", Targets: []agent.Target{a}}, {Name: "b", Targets: []agent.Target{b}}})
	for _, q := range []string{"stun turn.example:3478/udp 203.0.113.7 plain", "stun turn.example:443/udp 203.0.113.7 plain"} {
		if d.counts[q] != 1 {
			t.Errorf("%q asked %d times, want once", q, d.counts[q])
		}
	}
}

func TestPanicIsOurMistake(t *testing.T) {
	d := newDesk()
	d.answer["web video.example:443/tcp 203.0.113.7"] = func(int) agent.Evidence { panic("a bug") }
	for _, e := range d.run(t, profile(web, stun))[0] {
		if e.Probe == agent.ProbeWeb && (e.Outcome != agent.NotLooked || e.Reason != agent.Panicked) {
			t.Errorf("panic became %s %s, want not-looked panic", e.Outcome, e.Reason)
		}
		if d := e.Values.Text(agent.Detail); e.Probe == agent.ProbeWeb && (!strings.HasPrefix(d, "a bug") || !strings.Contains(d, "round_test.go:")) {
			t.Errorf("detail %q, want what was wrong, and where", d)
		}
		if e.Probe == agent.ProbeSTUN && e.Outcome != agent.Answered {
			t.Errorf("panic of one probe took another with it")
		}
	}
}

// Probes that only end with their context must not hold a round for longer than
// its limit, nor leave one of its looks out.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		p := d.probes()
		hang := func(name agent.ProbeName) agent.Probe {
			return func(ctx context.Context, t agent.Target) agent.Evidence {
				<-ctx.Done()
				return agent.See(name, t, agent.Silent, agent.Timeout)
			}
		}
		p.HTTPS, p.STUN = hang(agent.ProbeWeb), hang(agent.ProbeSTUN)
		start := time.Now()
		passes := round.Run(t.Context(), p, profile(web, stun), false)
		if took := time.Since(start); took > round.Limit {
			t.Errorf("took %v, over %v", took, round.Limit)
		}
		if n := len(passes[0]); n != 5 {
			t.Errorf("%d looks in the first pass, want 5", n)
		}
	})
}
