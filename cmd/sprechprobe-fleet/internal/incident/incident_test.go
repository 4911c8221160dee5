package incident_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/incident"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/simulate"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

const turn = "turn.video.example:3478/udp"

func failing(cause agent.Cause, since time.Time) agent.Finding {
	return agent.Finding{Code: agent.TURNAllBlock, Severity: agent.Critical, Cause: cause, Target: turn, SinceAt: since}
}

// boxes makes n boxes of a provider, of which some fail since a moment.
func boxes(isp string, n, fail int, since time.Time) []incident.Box {
	out := make([]incident.Box, n)
	for i := range out {
		out[i] = incident.Box{Address: fleet.Address{Tenant: "acme", Box: fmt.Sprint(isp, i)}, ISP: isp, Profiles: []string{"webprax"}}
		if i < fail {
			out[i].Findings = []agent.Finding{failing(agent.CausePractice, since)}
		}
	}
	return out
}

func join(parts ...[]incident.Box) (all []incident.Box) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func TestCauses(t *testing.T) {
	at := noon.Add(-2 * time.Minute)
	tests := []struct {
		name  string
		boxes []incident.Box
		want  string // cause and provider of each incident
	}{
		{"nobody fails", join(boxes("a", 20, 0, at), boxes("b", 20, 0, at)), ""},
		{"one box is its practice", join(boxes("a", 20, 1, at), boxes("b", 20, 0, at), boxes("c", 20, 0, at)), ""},
		{"one of few is its practice", boxes("a", 1, 1, at), ""},
		{"two boxes of one provider may be chance", join(boxes("a", 20, 2, at), boxes("b", 20, 0, at)), ""},
		{"single ones at many providers are practices", join(boxes("a", 20, 1, at), boxes("b", 20, 1, at), boxes("c", 20, 1, at), boxes("d", 20, 1, at)), ""},
		{"all of one provider", join(boxes("a", 20, 18, at), boxes("b", 20, 0, at), boxes("c", 20, 1, at)), "isp a;"},
		{"two providers of five", join(boxes("a", 20, 18, at), boxes("b", 20, 20, at), boxes("c", 20, 0, at), boxes("d", 20, 0, at), boxes("e", 20, 0, at)), "isp b;isp a;"},
		{"all at all providers", join(boxes("a", 20, 20, at), boxes("b", 20, 19, at), boxes("c", 20, 20, at), boxes("d", 3, 3, at)), "vendor ;"},
		{"a part at all providers", join(boxes("a", 30, 12, at), boxes("b", 30, 14, at), boxes("c", 30, 11, at)), "vendor ;"},
		{"a small fleet of many providers", join(boxes("a", 2, 2, at), boxes("b", 2, 2, at), boxes("c", 2, 2, at), boxes("d", 2, 1, at)), "vendor ;"},
		{"providers that are not known", boxes("", 60, 55, at), "vendor ;"},
		{"a part of providers that are not known", boxes("", 60, 6, at), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var w incident.Watch
			if open, _ := w.Look(noon, tt.boxes); len(open) != 0 {
				t.Errorf("at the first look: %+v, want to wait", open)
			}
			open, _ := w.Look(noon.Add(30*time.Second), tt.boxes)
			got := ""
			for _, i := range open {
				got += fmt.Sprintf("%v %s;", i.Cause, i.ISP)
				if i.Target != turn || !i.FromAt.Equal(at) {
					t.Errorf("%+v, want %s from %v", i, turn, at)
				}
			}
			if got != tt.want {
				t.Errorf("incidents %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAnIncidentBeginsAndEndsOnce(t *testing.T) {
	var w incident.Watch
	bad := join(boxes("a", 20, 20, noon), boxes("b", 20, 20, noon), boxes("c", 20, 20, noon))
	good := join(boxes("a", 20, 0, noon), boxes("b", 20, 0, noon), boxes("c", 20, 0, noon))
	var id string
	for i, fleet := range [][]incident.Box{bad, bad, bad, good, bad, good, good} {
		open, ended := w.Look(noon.Add(time.Duration(i)*time.Minute), fleet)
		if i > 0 && (len(open) != 1 || len(ended) != 0) {
			t.Fatalf("look %d: %+v, ended %+v, want one that lasts", i, open, ended)
		}
		if i == 1 {
			id = open[0].ID
		}
		if i > 1 && open[0].ID != id {
			t.Errorf("look %d: another incident %s, want %s", i, open[0].ID, id)
		}
	}
	open, ended := w.Look(noon.Add(9*time.Minute), good)
	if len(open) != 0 || len(ended) != 1 || ended[0].ID != id || !ended[0].UntilAt.Equal(noon.Add(4*time.Minute)) {
		t.Errorf("when all is well for 5 minutes: %+v, ended %+v", open, ended)
	}
}

// Programs that watch beside each other, or after a restart, mean the same by an id.
func TestAnIncidentIsTheSameForAllWhoWatch(t *testing.T) {
	seen := func(first time.Duration, isp string) string {
		var w incident.Watch
		bad := join(boxes(isp, 20, 20, noon), boxes("other", 20, 0, noon), boxes("third", 20, 0, noon))
		var open []incident.Incident
		for i := range 3 {
			open, _ = w.Look(noon.Add(first+time.Duration(i)*time.Minute), bad)
		}
		if len(open) != 1 {
			t.Fatalf("%d incidents, want 1", len(open))
		}
		return open[0].ID
	}
	if a, b := seen(0, "a"), seen(7*time.Minute, "a"); a != b {
		t.Errorf("%s and %s are one incident", a, b)
	}
	if a, b := seen(0, "a"), seen(0, "b"); a == b {
		t.Errorf("two incidents are both %s", a)
	}
}

func TestAPracticesOwnFaultStays(t *testing.T) {
	open := []incident.Incident{{Target: turn, Cause: agent.CauseVendor, FromAt: noon}, {Target: "wan-down", Cause: agent.CauseISP, ISP: "a", FromAt: noon}}
	wan := agent.Finding{Code: agent.WANDown, Severity: agent.Critical, Cause: agent.CauseISP, SinceAt: noon}
	cable := agent.Finding{Code: agent.LANUnstable, Severity: agent.Major, Cause: agent.CausePractice, SinceAt: noon}
	tests := []struct {
		name, isp string
		f         agent.Finding
		want      agent.Cause
	}{
		{"began with the incident", "b", failing(agent.CausePractice, noon.Add(time.Minute)), agent.CauseVendor},
		{"was there before", "b", failing(agent.CausePractice, noon.Add(-time.Hour)), agent.CausePractice},
		{"is about something else", "b", cable, agent.CausePractice},
		{"the provider's", "a", wan, agent.CauseISP},
	}
	for _, tt := range tests {
		r := agent.Report{Findings: []agent.Finding{tt.f, cable}}
		got := incident.Rewrite(open, tt.isp, r)
		if got.Findings[0].Cause != tt.want || got.Findings[1].Cause != agent.CausePractice {
			t.Errorf("%s: %v and %v, want %v and practice", tt.name, got.Findings[0].Cause, got.Findings[1].Cause, tt.want)
		}
		if r.Findings[0].Cause != tt.f.Cause {
			t.Errorf("%s: the report that came was altered", tt.name)
		}
	}
}

// Simulated days, with outages of the service and of providers, alone and at the same
// time, over practices of which 6 % have a fault of their own on a day: how often the
// cause of a finding is right, minute by minute and box by box.
func TestSimulatedFleets(t *testing.T) {
	type score struct{ right, wrong, missed int }
	var sum score
	hidden, own := 0, 0
	for _, size := range []int{300, 1000} {
		for seed := range uint64(3) {
			outages := []simulate.Outage{
				{Cause: agent.CauseVendor, Service: 0, From: noon.Add(20 * time.Minute), Until: noon.Add(50 * time.Minute)},
				{Cause: agent.CauseISP, ISP: int(seed % 3), Service: 1, From: noon.Add(40 * time.Minute), Until: noon.Add(80 * time.Minute)},
				{Cause: agent.CauseISP, ISP: int(seed%3) + 1, Service: 2, From: noon.Add(100 * time.Minute), Until: noon.Add(120 * time.Minute)},
			}
			f := simulate.New(simulate.Config{Boxes: size, Seed: seed, ISPs: 20, Outages: outages})
			var w incident.Watch
			newest := make([]incident.Box, size)
			sent := make([]uint64, size)
			for now := noon; now.Before(noon.Add(150 * time.Minute)); now = now.Add(time.Minute) {
				for i := range newest {
					for at := f.At(i, sent[i], noon); !at.After(now); at = f.At(i, sent[i], noon) {
						_, r := f.Report(i, sent[i], at)
						newest[i] = incident.Box{Address: f.Address(i), ISP: fmt.Sprint(f.ISP(i)), Profiles: []string{"webprax"}, Findings: r.Findings}
						sent[i]++
					}
				}
				open, _ := w.Look(now, newest)
				for i, b := range newest {
					for _, x := range b.Findings {
						if fleet.OutageTarget(x) == "" {
							continue
						}
						at := f.At(i, sent[i]-1, noon) // of the newest report
						o, out := f.Outage(i, at)
						theirs := out && simulate.Services[o.Service] == x.Target
						_, said := incident.Of(open, b.ISP, x)
						switch mine, has := f.Own(i, at); {
						case theirs && said:
							sum.right++
						case theirs:
							sum.missed++
						case said:
							sum.wrong++
							fallthrough
						default:
							if has && mine.Target == x.Target {
								own++
								if said {
									hidden++
								}
							}
						}
					}
				}
			}
		}
	}
	precision := float64(sum.right) / float64(sum.right+sum.wrong)
	recall := float64(sum.right) / float64(sum.right+sum.missed)
	t.Logf("precision %.4f, recall %.4f (%+v); of %d moments of a practice's own fault %d were hidden", precision, recall, sum, own, hidden)
	if precision < 0.99 || recall < 0.85 {
		t.Errorf("precision %.4f, recall %.4f, want at least 0.99 and 0.85", precision, recall)
	}
}
