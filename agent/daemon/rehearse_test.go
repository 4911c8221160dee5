package daemon

import (
	"context"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/assess"
	"github.com/sprechprobe/sprechprobe/agent/probe/rehearsal"
	"github.com/sprechprobe/sprechprobe/agent/profile"
	"github.com/sprechprobe/sprechprobe/agent/trend"
)

var relayAddr = netip.MustParseAddr("192.0.2.20")

func relayTarget(tr agent.Transport, v agent.Variant) agent.Target {
	return agent.Target{Host: "coturn.webprax.de", Port: 5349, Transport: tr}.At(relayAddr, v)
}

// cast is a rehearser whose rehearsals are told, and told what to find.
type cast struct {
	rehearser
	finds func(agent.Target) agent.Evidence
	made  []rehearsal.Plan
	at    []agent.Target
	takes time.Duration
}

func newCast(t *testing.T, finds func(agent.Target) agent.Evidence) *cast {
	t.Helper()
	ps, err := profile.Load("", []string{"webprax"})
	if err != nil {
		t.Fatal(err)
	}
	c := &cast{finds: finds}
	c.policy, c.plan = assess.Policy{Profiles: ps}, rehearsal.Usual()
	c.probe = func(p rehearsal.Plan) agent.Probe {
		return func(ctx context.Context, at agent.Target) agent.Evidence {
			c.made, c.at = append(c.made, p), append(c.at, at)
			select {
			case <-time.After(c.takes):
			case <-ctx.Done():
				return agent.See(agent.ProbeRehearsal, at, agent.NotLooked, agent.Cancelled)
			}
			return finds(at)
		}
	}
	return c
}

func lossy(loss float64) func(agent.Target) agent.Evidence {
	return func(at agent.Target) agent.Evidence {
		return agent.See(agent.ProbeRehearsal, at, agent.Answered, "").With(agent.Relayed, true).
			With(agent.LossBothWays, loss).With(agent.UpLoss, loss).With(agent.DownLoss, 0.0)
	}
}

// answeringRelay is a report in which the relay has shown itself in all its forms.
func answeringRelay() agent.Report {
	r := agent.Report{Schema: agent.Schema}
	for _, t := range []agent.Target{relayTarget(agent.UDP, agent.DTLS), relayTarget(agent.UDP, agent.Plain),
		relayTarget(agent.TCP, agent.Plain), relayTarget(agent.TCP, agent.TLS)} {
		r.Evidence = append(r.Evidence, agent.See(agent.ProbeTURN, t, agent.Answered, agent.Unauthorized))
	}
	return r
}

// A rehearsal goes over UDP with a witness over TCP, plain where that answers, and
// over TCP alone where nothing came back over UDP.
func TestWhatIsRehearsed(t *testing.T) {
	c := newCast(t, lossy(0))
	c.rehearse(t.Context(), answeringRelay())
	if len(c.made) != 1 || !reflect.DeepEqual(c.at[0], relayTarget(agent.UDP, agent.Plain)) ||
		!reflect.DeepEqual(c.made[0].Witness, relayTarget(agent.TCP, agent.Plain)) || len(c.made[0].Rates) == 0 {
		t.Errorf("%v with %+v", c.at, c.made)
	}
	deaf := newCast(t, func(at agent.Target) agent.Evidence {
		e := agent.See(agent.ProbeRehearsal, at, agent.Answered, "").With(agent.Relayed, at.Transport == agent.TCP)
		if at.Transport == agent.UDP {
			e.Reason = agent.NoMedia
		}
		return e
	})
	es := deaf.rehearse(t.Context(), answeringRelay())
	if len(es) != 2 || es[0].Target.Transport != agent.UDP || es[1].Target.Transport != agent.TCP || len(deaf.made) != 4 {
		t.Errorf("%d rehearsals came to %v; want both ways, twice", len(deaf.made), es)
	}
	pushed := answeringRelay()
	for i := range pushed.Evidence {
		pushed.Evidence[i].Target.Pushed = true
	}
	if es := newCast(t, lossy(0)).rehearse(t.Context(), pushed); len(es) != 0 {
		t.Errorf("credentials were shown to what was named over the network: %v", es)
	}
}

// What would be a finding is rehearsed again at once, without pictures, and the
// second look counts.
func TestRehearsedAgain(t *testing.T) {
	first := true
	c := newCast(t, func(at agent.Target) agent.Evidence {
		loss := 0.0
		if first {
			loss = 0.03
		}
		first = false
		return lossy(loss)(at)
	})
	es := c.rehearse(t.Context(), answeringRelay())
	if len(c.made) != 2 || len(c.made[1].Rates) != 0 || c.troubled(es) {
		t.Errorf("%d rehearsals, the last of %+v, came to %v", len(c.made), c.made[len(c.made)-1], es)
	}
}

// rehearsing is a loop that rehearses with a cast.
func rehearsing(t *testing.T, c *cast) (s *stage, told *[]string) {
	t.Helper()
	told = &[]string{}
	s = perform(t, Options{}, func(ctx context.Context, at agent.Target) agent.Evidence {
		*told = append(*told, "round")
		return up(ctx, at)
	})
	synctest.Wait()
	s.examiner.policy = c.policy
	s.plan()
	probe := c.probe
	c.probe = func(p rehearsal.Plan) agent.Probe {
		return func(ctx context.Context, at agent.Target) agent.Evidence {
			*told = append(*told, "rehearses")
			e := probe(p)(ctx, at)
			*told = append(*told, "rehearsed "+string(e.Reason))
			return e
		}
	}
	s.rehearser = func() (rehearser, bool) { return c.rehearser, true }
	c.report = answeringRelay
	return s, told
}

// A box rehearses by itself within the hour, then every 17, with nothing beside
// it, and the round after it tells what was found.
func TestRehearsesByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCast(t, lossy(0))
		c.takes = 30 * time.Second
		s, told := rehearsing(t, c)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.rehearses(ctx) }()
		time.Sleep(time.Hour + time.Minute)
		synctest.Wait()
		if len(c.made) != 1 {
			t.Errorf("%d rehearsals in the first hour, want 1", len(c.made))
		}
		r := s.facts.Load().Report
		if !slices.ContainsFunc(r.Evidence, func(e agent.Evidence) bool { return e.Probe == agent.ProbeRehearsal }) {
			t.Errorf("the newest report tells nothing of it: %v", r.Evidence)
		}
		for k, what := range *told {
			if what == "rehearses" && (*told)[k+1] != "rehearsed " {
				t.Errorf("%s beside a rehearsal", (*told)[k+1])
			}
		}
		time.Sleep(15 * time.Hour)
		synctest.Wait()
		if len(c.made) != 1 {
			t.Errorf("%d rehearsals in 16 hours, want 1", len(c.made))
		}
		cancel()
		<-done
	})
}

// While something is wrong the box rehearses every hour, by sound alone.
func TestRehearsesOftenInTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCast(t, lossy(0.03))
		s, _ := rehearsing(t, c)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.rehearses(ctx) }()
		for range 6 {
			time.Sleep(time.Hour)
			synctest.Wait()
		}
		if n := len(c.made); n < 8 || n > 14 { // each is made again at once
			t.Errorf("%d rehearsals in six hours of trouble, want two an hour", n)
		}
		for i, p := range c.made[1:] {
			if len(p.Rates) > 0 {
				t.Errorf("rehearsal %d in trouble has pictures", i+1)
			}
		}
		cancel()
		<-done
	})
}

// Who waits for a round does not wait for a rehearsal.
func TestRoundEndsARehearsal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCast(t, lossy(0))
		c.takes = time.Minute
		s, told := rehearsing(t, c)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, _ = s.alone(ctx, func(ctx context.Context) []agent.Evidence { return c.rehearse(ctx, answeringRelay()) })
			done <- nil
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		*told = nil
		s.trigger(agent.OnCommand)
		time.Sleep(time.Second)
		synctest.Wait()
		if want := []string{"rehearsed cancelled", "round"}; len(*told) < 2 || !slices.Equal((*told)[:2], want) {
			t.Errorf("%v, want %v", *told, want)
		}
		cancel()
		<-done
	})
}

// A line that is congested every evening is found to be so within ten days, by
// looks that cost a few megabytes: in the evening that limits, and in the morning
// it is worth knowing.
func TestFindsTheBadHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCast(t, func(at agent.Target) agent.Evidence {
			if h := time.Now().UTC().Hour(); h >= 17 && h < 20 {
				return lossy(0.03)(at)
			}
			return lossy(0)(at)
		})
		s, _ := rehearsing(t, c)
		s.diary = &diary{kept: &trend.Diary{}, zone: time.UTC, now: time.Now, set: func() bool { return true }, log: slog.New(slog.DiscardHandler)}
		s.examiner.besides = s.diary.evidence
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.rehearses(ctx) }()
		for _, tt := range []struct {
			day, hour int
			want      string
		}{{2, 21, ""}, {10, 18, "minor 17 20"}, {11, 9, "info 17 20"}} {
			time.Sleep(time.Until(time.Date(2000, 1, 1+tt.day, tt.hour, 10, 0, 0, time.UTC)))
			s.trigger(agent.OnCommand)
			time.Sleep(time.Second)
			synctest.Wait()
			got := ""
			for _, f := range s.facts.Load().Report.Findings {
				if f.Code == agent.TrendCongestion {
					got = f.Severity.String() + " " + f.Args["from"] + " " + f.Args["until"]
				}
			}
			if got != tt.want {
				t.Errorf("day %d, %d h: %q, want %q", tt.day, tt.hour, got, tt.want)
			}
		}
		if n := len(c.made); n > 120 {
			t.Errorf("%d rehearsals in eleven days", n)
		}
		cancel()
		<-done
	})
}
