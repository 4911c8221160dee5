package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/config"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/agent/press"
	"github.com/sprechprobe/sprechprobe/agent/round"
	"github.com/sprechprobe/sprechprobe/hal"
	"github.com/sprechprobe/sprechprobe/hal/haltest"
	"github.com/sprechprobe/sprechprobe/hal/led"
)

// stage is a loop with a light, whose rounds are one look at the link.
type stage struct {
	*loop
	light *haltest.Light
	begun time.Time
	end   func() error // of the loop
}

// down is a look that finds no cable.
func down(_ context.Context, t agent.Target) agent.Evidence {
	return agent.See(agent.ProbeLink, t, agent.Refused, agent.NoCarrier).With(agent.Interface, "eth0")
}

// up is a look that finds a network.
func up(_ context.Context, t agent.Target) agent.Evidence {
	return agent.See(agent.ProbeLink, t, agent.Answered, "").With(agent.Interface, "eth0").With(agent.LocalAddr, "192.168.178.47")
}

// perform starts a loop in a bubble, once it is prepared. Without a look its round
// panics. It ends with the test.
func perform(t *testing.T, o Options, look agent.Probe, prepare ...func(*loop)) *stage {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	s := &stage{light: haltest.NewLight("all"), begun: time.Now()}
	lit := &lamps{roles: map[string]light.Role{"all": light.All}, ended: make(chan struct{})}
	lit.engine = led.NewEngine([]hal.Light{s.light}, nil)
	fault := light.Show{State: light.Unknown}
	lit.engine.Fallback(silence, fault.String(), lit.patterns(fault))
	lit.start()

	x := &examiner{probes: round.Probes{Link: look}, profiles: []agent.Profile{{Name: "p"}}}
	x.policy.Profiles = x.profiles
	x.stamp = func() agent.Stamp {
		if look == nil {
			panic("no clock")
		}
		return agent.Stamp{At: time.Now()}
	}
	c := config.Default()
	c.StateDir = t.TempDir()
	s.loop = newLoop(o, Setup{Config: c}, x, lit, agent.Report{})
	for _, p := range prepare {
		p(s.loop)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	s.end = func() error {
		cancel()
		err := <-done
		done <- err
		lit.close()
		return err
	}
	t.Cleanup(func() { _ = s.end() })
	return s
}

// shown is what the light showed during some time from now, one letter a beat.
func (s *stage) shown(d time.Duration) string {
	synctest.Wait()
	var b strings.Builder
	for range int(d / hal.Beat) {
		time.Sleep(hal.Beat / 2)
		synctest.Wait()
		seen := s.light.Seen()
		if len(seen) == 0 {
			b.WriteString("?")
		} else {
			b.WriteString(seen[len(seen)-1].Color.String())
		}
		time.Sleep(hal.Beat / 2)
	}
	return b.String()
}

// wants checks that a light shows a state, whenever in its rhythm.
func (s *stage) wants(t *testing.T, state light.State) {
	t.Helper()
	picture := light.Show{State: state}.Pattern(light.All, light.Color).String()
	long := strings.Repeat(picture, 40)
	if got := s.shown(8 * time.Second); !strings.Contains(long, got) {
		t.Errorf("after %v the light shows %s, want that of %v: %s", time.Since(s.begun), got, state, picture)
	}
}

func TestLightFollowsTheTruth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := perform(t, Options{}, down)
		s.wants(t, light.NoLink)
		time.Sleep(10 * time.Minute)
		s.wants(t, light.NoLink)
		if err := s.end(); err != nil {
			t.Errorf("ended with %v", err)
		}
	})
}

// A probe that never comes back: within half a minute the light says that
// nothing is known, and goes on saying it.
func TestHungProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		s := perform(t, Options{}, func(context.Context, agent.Target) agent.Evidence { <-free; return agent.Evidence{} })
		time.Sleep(30 * time.Second)
		s.wants(t, light.Unknown)
		time.Sleep(time.Hour)
		s.wants(t, light.Unknown)
		close(free)
	})
}

// The loop itself hangs, here in reading its configuration: the light that was
// right a moment ago must not stand.
func TestDeadlockedLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reloads, free := make(chan struct{}), make(chan struct{})
		o := Options{Reloads: reloads, Reload: func() (Setup, error) { <-free; return Setup{}, errors.New("never mind") }}
		s := perform(t, o, down)
		s.wants(t, light.NoLink)
		reloads <- struct{}{}
		time.Sleep(25 * time.Second)
		s.wants(t, light.Unknown)
		close(free) // it comes back to life, and the truth with it
		time.Sleep(6 * time.Second)
		s.wants(t, light.NoLink)
	})
}

// meals counts how often a watchdog is fed.
type meals struct{ n atomic.Int32 }

func (m *meals) Feed() error { m.n.Add(1); return errors.New("a bus that is away ends nothing") }

// procd is told that the box lives for as long as its rounds come to an end.
func TestProcdIsFedByRounds(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		t.Run(fmt.Sprint(hangs), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				free := make(chan struct{})
				s := perform(t, Options{}, func(ctx context.Context, target agent.Target) agent.Evidence {
					if hangs {
						<-free
					}
					return up(ctx, target)
				})
				var w meals
				go func() { _ = s.feed(t.Context(), &w) }()
				time.Sleep(overdue + time.Minute)
				before := w.n.Load()
				time.Sleep(time.Minute)
				if fed := w.n.Load() - before; before == 0 || (fed == 0) != hangs {
					t.Errorf("fed %d times before and %d times after a round is overdue", before, fed)
				}
				close(free)
			})
		})
	}
}

// A mistake in a probe is no fault of the network: no verdict.
func TestPanicInAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := perform(t, Options{}, func(context.Context, agent.Target) agent.Evidence { panic("mistake") })
		s.wants(t, light.Unknown)
		if err := s.end(); err != nil {
			t.Errorf("ended with %v", err)
		}
	})
}

// A mistake outside of a probe ends the loop in good order, and is named.
func TestPanicInARound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := perform(t, Options{}, nil)
		time.Sleep(time.Second)
		synctest.Wait()
		err := s.end()
		if err == nil || !strings.Contains(err.Error(), "round: panic: no clock") || !strings.Contains(err.Error(), "examine") {
			t.Errorf("ended with %v, want the panic and its place", err)
		}
	})
}

func TestButton(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int32
		s := perform(t, Options{}, func(ctx context.Context, target agent.Target) agent.Evidence {
			if looks.Add(1) > 1 {
				time.Sleep(10 * time.Second)
			}
			return up(ctx, target)
		})
		time.Sleep(time.Second)
		before := looks.Load()
		s.pressed <- press.Check
		s.wants(t, light.Checking)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if looks.Load() <= before {
			t.Error("pressing the button made no round")
		}

		s.felt <- press.Identify
		s.wants(t, light.Identify)
		s.felt <- press.Forget
		s.wants(t, light.Forget)
		s.felt <- press.None
		s.pressed <- press.Identify
		digits := light.Show{State: light.Identify, Digits: "47"}.Pattern(light.All, light.Color).String()
		if got := s.shown(time.Duration(len(digits)) * hal.Beat); got != digits {
			t.Errorf("the light shows %s, want the last number of its address: %s", got, digits)
		}
		time.Sleep(identifyFor)
		s.wants(t, s.facts.Load().Show.State)
	})
}

// The box belongs to a practice, and its button is held: it forgets, the light
// confirms that, and from then on says what an unclaimed box says.
func TestForget(t *testing.T) {
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprint(fails), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var id atomic.Pointer[Identity]
				id.Store(&Identity{Key: "U1"})
				o := Options{
					Identity: func() Identity { return *id.Load() },
					Forget: func() error {
						time.Sleep(time.Second) // a slow card
						if fails {
							return errors.New("read-only file system")
						}
						id.Store(&Identity{Key: "U1", Code: "7K4-QX2"})
						return nil
					},
				}
				s := perform(t, o, down)
				s.wants(t, light.NoLink)
				s.pressed <- press.Forget
				time.Sleep(2 * time.Second)
				if fails {
					s.wants(t, light.NoLink)
					return
				}
				s.wants(t, light.Unclaimed)
				time.Sleep(confirmFor)
				s.wants(t, light.NoLink) // the cable comes first
				if f := s.facts.Load(); f.Code != "7K4-QX2" || f.Key != "U1" {
					t.Errorf("the console would tell %+v", f)
				}
			})
		})
	}
}

// Who has forgotten is somebody else, and the loop makes way for one that knows
// that; but not before it is known how forgetting ended, and not while it is under
// way for a round.
func TestForgettingIsShownBeforeTheLoopMakesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		renewed := make(chan struct{}, 1)
		s := perform(t, Options{Forget: func() error {
			renewed <- struct{}{}
			time.Sleep(time.Second)
			return nil
		}}, down, func(l *loop) { l.vendor, l.renewed = newVendor(quiet()), renewed })
		s.wants(t, light.NoLink)
		s.pressed <- press.Forget
		time.Sleep(500 * time.Millisecond)
		s.trigger(agent.OnCommand)
		time.Sleep(time.Second)
		synctest.Wait()
		if err := s.end(); err != nil {
			t.Errorf("ended with %v", err)
		}
		if s.face.over.State != light.Unclaimed || !s.leaving {
			t.Errorf("shows %v, makes way %v", s.face.over, s.leaving)
		}
	})
}

// A box without a memory of its own ignores a press that asks it to forget.
func TestForgetWithoutIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := perform(t, Options{}, down)
		s.pressed <- press.Forget
		s.wants(t, light.NoLink)
	})
}

func TestUnclaimedBox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var id atomic.Pointer[Identity]
		id.Store(&Identity{Code: "7K4-QX2"})
		free := make(chan struct{})
		defer close(free)
		slow := func(ctx context.Context, target agent.Target) agent.Evidence {
			<-free // the last report stands meanwhile
			return up(ctx, target)
		}
		s := perform(t, Options{Identity: func() Identity { return *id.Load() }}, slow,
			func(l *loop) {
				l.last = agent.Report{Schema: agent.Schema, Verdict: agent.Ready}
				l.judge()
			})
		s.wants(t, light.Unclaimed)
		id.Store(&Identity{}) // claimed
		time.Sleep(beat)
		synctest.Wait()
		if got := s.light.Seen(); got[len(got)-1].Color != hal.Green {
			t.Errorf("a box that was claimed shows %v, want that it is ready", got[len(got)-1].Color)
		}
	})
}

func TestLastNumber(t *testing.T) {
	for addr, want := range map[string]string{
		"192.168.178.47": "47", "10.0.0.7/24": "7", "::ffff:10.1.2.200": "200", "fd00::1": "", "": "", "x": "",
	} {
		r := agent.Report{Evidence: []agent.Evidence{
			agent.See(agent.ProbeDNS, agent.Target{}, agent.Answered, "").With(agent.LocalAddr, "1.2.3.4"),
			agent.See(agent.ProbeLink, agent.Target{}, agent.Answered, "").With(agent.LocalAddr, addr),
		}}
		if got := lastNumber(r); got != want {
			t.Errorf("last number of %q is %q, want %q", addr, got, want)
		}
	}
}
