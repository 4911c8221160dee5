package round_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/round"
)

// explaining adds the probes that only explain. A walk says what its control is.
func (d *desk) explaining() round.Probes {
	p := d.probes()
	p.Self, p.V6, p.Proxy, p.Hello = d.probe(agent.ProbeSelf), d.probe(agent.ProbeIPv6), d.probe(agent.ProbeProxy), d.probe(agent.ProbeHello)
	p.Path, p.MTU, p.Gateway = d.probe(agent.ProbePath), d.probe(agent.ProbeMTU), d.probe(agent.ProbeGateway)
	p.Burst, p.Flows = d.probe(agent.ProbeBurst), d.probe(agent.ProbeFlows)
	p.Walk = func(control agent.Target) agent.Probe {
		return d.probe(agent.ProbeName("walk beside " + control.String()))
	}
	return p
}

var explainers = []string{"burst", "flows", "gateway", "hello", "ipv6", "mtu", "path", "proxy", "self", "walk"}

// explained are the questions that a round asked only to explain.
func (d *desk) explained(t *testing.T, deep bool, ts ...agent.Target) []string {
	t.Helper()
	round.Run(t.Context(), d.explaining(), profile(ts...), deep)
	var out []string
	for _, q := range d.asked {
		if slices.Contains(explainers, strings.Fields(q)[0]) {
			out = append(out, q)
		}
	}
	slices.Sort(out)
	return out
}

func TestExplain(t *testing.T) {
	const (
		askWeb  = "web video.example:443/tcp 203.0.113.7"
		askSTUN = "stun turn.example:3478/udp 203.0.113.7 plain"
		askTURN = "turn turn.example:5349/udp 203.0.113.7 plain"
		askDTLS = "turn turn.example:5349/udp 203.0.113.7 dtls"
	)
	stuck := func(int) agent.Evidence {
		return agent.Evidence{Outcome: agent.Silent, Reason: agent.Timeout, Values: agent.Values{agent.ConnectTime: 20.0}}
	}
	always := []string{"ipv6", "self"}
	line := []string{"burst turn.example:3478/udp 203.0.113.7 plain", "gateway", "mtu turn.example:3478/udp 203.0.113.7 plain",
		"path turn.example:3478/udp 203.0.113.7 plain"}
	flows := "flows turn.example:3478/udp 203.0.113.7 plain"
	media := agent.Target{Host: "turn.example", Port: 10000, LastPort: 20000, Transport: agent.UDP, Service: agent.Range}
	tests := []struct {
		name    string
		deep    bool
		targets []agent.Target
		answer  map[string]func(int) agent.Evidence
		want    []string
	}{
		{name: "healthy"},
		{name: "healthy and deep", deep: true, want: line},
		{name: "the box itself is not well", deep: true, answer: map[string]func(int) agent.Evidence{"link": is(agent.Refused, agent.NoGateway),
			"self": is(agent.Refused, agent.OtherError)}, want: append(slices.Clone(line), "self")}, // once more
		{name: "STUN had to ask again", deep: true, answer: map[string]func(int) agent.Evidence{askSTUN: func(int) agent.Evidence {
			return agent.Evidence{Outcome: agent.Answered, Values: agent.Values{agent.Sends: 2.0}}
		}}, want: append(slices.Clone(line), flows)},
		{name: "a relay is silent", answer: map[string]func(int) agent.Evidence{askTURN: is(agent.Silent, agent.Timeout), askDTLS: is(agent.Silent, agent.Timeout)},
			want: append(slices.Clone(line), flows, "walk beside turn.example:3478/udp turn.example:5349/udp 203.0.113.7")},
		{name: "a page connects and stays silent", answer: map[string]func(int) agent.Evidence{askWeb: stuck},
			want: append(slices.Clone(line), flows, "hello video.example:443/tcp 203.0.113.7")},
		{name: "no page, no STUN", answer: map[string]func(int) agent.Evidence{
			askWeb: is(agent.Silent, agent.Timeout), askSTUN: is(agent.Silent, agent.Timeout)},
			want: []string{"proxy video.example:443/tcp 203.0.113.7",
				"walk beside turn.example:5349/udp turn.example:3478/udp 203.0.113.7",
				"walk beside turn.example:5349/udp video.example:443/tcp 203.0.113.7"}},
		{name: "nothing at all", answer: map[string]func(int) agent.Evidence{
			askWeb: is(agent.Silent, agent.Timeout), askSTUN: is(agent.Silent, agent.Timeout),
			askTURN: is(agent.Silent, agent.Timeout), askDTLS: is(agent.Silent, agent.Timeout)},
			want: []string{"path turn.example:3478/udp 203.0.113.7", "proxy video.example:443/tcp 203.0.113.7"}},
		{name: "a range is silent", targets: []agent.Target{stun, media},
			answer: map[string]func(int) agent.Evidence{"ports turn.example:10000-20000/udp 203.0.113.7": is(agent.Silent, agent.Timeout)}},
		{name: "a range is silent, deep", deep: true, targets: []agent.Target{stun, media},
			answer: map[string]func(int) agent.Evidence{"ports turn.example:10000-20000/udp 203.0.113.7": is(agent.Silent, agent.Timeout)},
			want:   append(slices.Clone(line), flows, "walk beside turn.example:3478/udp turn.example:10000/udp 203.0.113.7")},
		{name: "a range answers, deep", deep: true, targets: []agent.Target{stun, media},
			want: append(slices.Clone(line), "walk beside turn.example:3478/udp turn.example:10000/udp 203.0.113.7")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk()
			d.answer = tt.answer
			if tt.targets == nil {
				tt.targets = []agent.Target{stun, turn, web}
			}
			want := append(slices.Clone(always), tt.want...)
			slices.Sort(want)
			if diff := cmp.Diff(want, d.explained(t, tt.deep, tt.targets...)); diff != "" {
				t.Errorf("questions that explain (-want +got):\n%s", diff)
			}
		})
	}
}

// What loads the line comes when everything else has been asked.
func TestLoadComesLast(t *testing.T) {
	d := newDesk()
	d.answer["web video.example:443/tcp 203.0.113.7"] = is(agent.Silent, agent.Timeout)
	d.explained(t, true, stun, turn, web)
	load := []string{"burst", "flows", "gateway"}
	loaded := false
	for _, q := range d.asked {
		is := slices.Contains(load, strings.Fields(q)[0])
		if loaded && !is {
			t.Errorf("%q comes after the line was loaded", q)
		}
		loaded = loaded || is
	}
	if !loaded {
		t.Error("nothing loaded the line")
	}
}

// Where one answer is enough, the rest of a target gets a moment more, and then
// counts as silent; asked again, it gets only that moment.
func TestKinOfAnAnswerWaitAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		p := d.probes()
		plain := p.TURN
		p.TURN = func(ctx context.Context, t agent.Target) agent.Evidence {
			if t.Variant == agent.Plain {
				return plain(ctx, t)
			}
			<-ctx.Done()
			return agent.See(agent.ProbeTURN, t, agent.NotLooked, agent.Cancelled)
		}
		start := time.Now()
		passes := round.Run(t.Context(), p, profile(turn, web), false)
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("took %v, want less than two moments", took)
		}
		for i, pass := range passes {
			for _, e := range pass {
				if e.Target.Variant == agent.DTLS && (e.Outcome != agent.Silent || e.Grade != agent.GradeE) {
					t.Errorf("pass %d: DTLS is %s, grade %s; want silent, E", i+1, e.Outcome, e.Grade)
				}
			}
		}
		if len(passes[1]) != 1 {
			t.Errorf("second pass %v, want the silent look alone", passes[1])
		}
	})
}

// A round that ends is no silence.
func TestEndOfARoundIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		p := d.probes()
		p.STUN = func(ctx context.Context, t agent.Target) agent.Evidence {
			<-ctx.Done()
			return agent.See(agent.ProbeSTUN, t, agent.NotLooked, agent.Cancelled)
		}
		for _, e := range round.Run(t.Context(), p, profile(stun, web), false)[0] {
			if e.Probe == agent.ProbeSTUN && e.Outcome != agent.NotLooked {
				t.Errorf("STUN is %s, want not-looked", e.Outcome)
			}
		}
	})
}
