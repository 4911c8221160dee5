package daemon

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/assess"
	"github.com/sprechprobe/sprechprobe/agent/config"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/agent/probe/bandwidth"
	"github.com/sprechprobe/sprechprobe/agent/profile"
	hours "github.com/sprechprobe/sprechprobe/agent/schedule/quiet"
)

// instrument is a gauge whose looks are told, and told what to find.
type instrument struct {
	*gauge
	finds []agent.Evidence // one after the other; the last one again and again
	asked []bandwidth.Need
	moves int64
	takes time.Duration // of a look
}

// count is how often it was asked.
func (i *instrument) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.asked)
}

var reflectAt = agent.Target{Host: "192.0.2.9", Port: 5201, Transport: agent.TCP}

func lineOf(down, up float64) agent.Evidence {
	return agent.See(agent.ProbeBandwidth, reflectAt, agent.Answered, "").With(agent.DownRate, down*1e6).With(agent.UpRate, up*1e6).
		With(agent.DownLimit, "line").With(agent.UpLimit, "line").With(agent.TestBytes, 3_000_000)
}

func postponed(why agent.Reason) agent.Evidence {
	return agent.See(agent.ProbeBandwidth, reflectAt, agent.NotLooked, why)
}

func newInstrument(t *testing.T, edit func(*config.Bandwidth), finds ...agent.Evidence) *instrument {
	t.Helper()
	c := config.Default().Bandwidth
	c.Server, c.Closed = "192.0.2.9:5201", nil
	if edit != nil {
		edit(&c)
	}
	i := &instrument{finds: finds, moves: 3_000_000}
	i.gauge = &gauge{
		config: c, box: "nord", log: slog.New(slog.DiscardHandler), now: time.Now, synced: func() bool { return true }, spent: &usage{},
		gateway: func(_ context.Context, t agent.Target) agent.Evidence {
			return agent.See(agent.ProbeGateway, t, agent.NotLooked, agent.Unsupported)
		},
	}
	i.probe = func(n bandwidth.Need) agent.Probe {
		return func(ctx context.Context, _ agent.Target) agent.Evidence {
			i.mu.Lock()
			i.asked = append(i.asked, n)
			i.mu.Unlock()
			n.Moved(i.moves)
			if i.takes > 0 {
				select {
				case <-time.After(i.takes):
				case <-ctx.Done():
					return postponed(agent.Cancelled)
				}
			}
			if n.Backup() {
				return postponed(agent.BackupLine)
			}
			e := i.finds[0]
			if len(i.finds) > 1 {
				i.finds = i.finds[1:]
			}
			return e
		}
	}
	return i
}

// zpp asks for 1 Mbit/s, and for 5 in high definition.
func zpp(t *testing.T, without ...agent.Capability) occasion {
	t.Helper()
	ps, err := profile.Load("", []string{"zpp-hd"})
	if err != nil {
		t.Fatal(err)
	}
	return occasion{policy: assess.Policy{Profiles: ps, Without: without}}
}

// What the first look finds wrong is looked at again at once, and only what both
// have seen counts.
func TestSecondLook(t *testing.T) {
	for _, tt := range []struct {
		name  string
		finds []agent.Evidence
		looks int
		down  float64
	}{
		{"good", []agent.Evidence{lineOf(5.5, 5.5)}, 1, 5.5e6},
		{"bad once", []agent.Evidence{lineOf(3, 5.5), lineOf(5.5, 5.5)}, 2, 5.5e6},
		{"bad twice", []agent.Evidence{lineOf(3, 5.5), lineOf(3.2, 5.5)}, 2, 3.2e6},
		{"bad and then put off", []agent.Evidence{lineOf(3, 5.5), postponed(agent.LineInUse)}, 2, 3e6},
		{"put off", []agent.Evidence{postponed(agent.ServerBusy)}, 1, 0},
		{"the server gives no more", []agent.Evidence{lineOf(3, 5.5).With(agent.DownLimit, "server")}, 1, 3e6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newInstrument(t, nil, tt.finds...)
			e := g.look(t.Context(), zpp(t))
			if down, _ := e.Values.Num(agent.DownRate); len(g.asked) != tt.looks || down != tt.down {
				t.Errorf("after %d looks %v; want %d and %v", len(g.asked), e.Values, tt.looks, tt.down)
			}
		})
	}
}

// What has to be proven follows from the profiles that the practice uses.
func TestNeedOfProfiles(t *testing.T) {
	g := newInstrument(t, func(c *config.Bandwidth) { c.Capacity = true }, lineOf(5.5, 5.5))
	for _, tt := range []struct {
		o        occasion
		down, up float64
	}{{zpp(t), 5e6, 5e6}, {zpp(t, agent.HD), 2e6, 1e6}} {
		if n := g.need(tt.o); n.Down != tt.down || n.Up != tt.up || !n.Capacity || n.Box != "nord" {
			t.Errorf("%+v, want %v and %v", n, tt.down, tt.up)
		}
	}
	o := zpp(t)
	o.spare = true
	if e := g.look(t.Context(), o); e.Reason != agent.BackupLine {
		t.Errorf("on the spare line: %v", e.Reason)
	}
}

// A profile may ask what the line carries at most, for the hours and the data that
// the box has for it.
func TestCapacityOfProfile(t *testing.T) {
	monday := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC) // ten o'clock in Germany
	for _, tt := range []struct {
		name     string
		at       time.Time
		perDay   int64
		looks    int
		capacity bool
	}{
		{"after the practice's hours", monday.Add(11 * time.Hour), 50_000_000, 1, true},
		{"in them", monday, 50_000_000, 1, false},
		{"without data left", monday.Add(11 * time.Hour), 1000, 0, false},
	} {
		g := newInstrument(t, func(c *config.Bandwidth) { c.Closed, c.PerDay = config.Default().Bandwidth.Closed, tt.perDay }, lineOf(5.5, 5.5))
		g.now = func() time.Time { return tt.at }
		o := zpp(t)
		if g.need(o).Capacity {
			t.Error("nobody has asked for the capacity")
		}
		o.policy.Profiles[0].Capacity = true
		g.look(t.Context(), o)
		switch {
		case len(g.asked) != tt.looks:
			t.Errorf("%s: %d looks", tt.name, len(g.asked))
		case tt.looks > 0 && (g.asked[0].Capacity != tt.capacity || g.asked[0].Most != tt.perDay):
			t.Errorf("%s: %+v", tt.name, g.asked[0])
		}
	}
}

// In the practice's hours a look that somebody asks for is gentle, and so is one
// of a box that does not know the time.
func TestConsultingHours(t *testing.T) {
	monday := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC) // ten o'clock in Germany
	for _, tt := range []struct {
		name   string
		at     time.Time
		synced bool
		gentle bool
	}{
		{"in them", monday, true, true},
		{"after them", monday.Add(11 * time.Hour), true, false},
		{"on Sunday", monday.Add(-24 * time.Hour), true, false},
		{"without a clock", monday.Add(11 * time.Hour), false, true},
	} {
		g := newInstrument(t, func(c *config.Bandwidth) { c.Closed, c.Capacity = config.Default().Bandwidth.Closed, true }, lineOf(5.5, 5.5))
		g.now, g.synced = func() time.Time { return tt.at }, func() bool { return tt.synced }
		g.look(t.Context(), zpp(t))
		if n := g.asked[0]; n.Gentle != tt.gentle || n.Capacity == tt.gentle {
			t.Errorf("%s: gentle %v, capacity %v", tt.name, n.Gentle, n.Capacity)
		}
	}
}

// The budget holds over restarts, a look that the power ended counts, and a torn
// file keeps nobody from measuring.
func TestBudget(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	start := func() *instrument {
		g := newInstrument(t, func(c *config.Bandwidth) { c.PerDay = 10_000_000 }, lineOf(5.5, 5.5))
		used, err := openUsage(dir)
		if err != nil {
			t.Error(err)
		}
		g.spent, g.now = used, func() time.Time { return now }
		return g
	}
	for i, most := range []int64{10_000_000, 7_000_000, 4_000_000} {
		g := start()
		if g.look(t.Context(), zpp(t)); len(g.asked) != 1 || g.asked[0].Most != most {
			t.Fatalf("look %d: %+v, want up to %d bytes", i, g.asked, most)
		}
	}
	g := start()
	if e := g.look(t.Context(), zpp(t)); e.Reason != agent.BudgetUsed || len(g.asked) > 0 {
		t.Errorf("with an empty budget: %v", e)
	}
	if at, why := g.next(zpp(t), now); why != hours.DayUsed || at.Before(now.Add(11*time.Hour)) {
		t.Errorf("next at %v, %s", at, why)
	}
	now = now.Add(24 * time.Hour)
	if g = start(); len(g.spent.used) != 3 {
		t.Errorf("%d uses are known on the next day", len(g.spent.used))
	}
	g.moves = 0
	g.reserve(8_000_000) // and then the power goes
	if e := start().look(t.Context(), zpp(t)); e.Reason != agent.BudgetUsed {
		t.Errorf("what the power ended does not count: %v", e)
	}
	if err := os.WriteFile(filepath.Join(dir, usageFile), []byte(`[{"at":"2026-1`), 0o600); err != nil {
		t.Fatal(err)
	}
	used, err := openUsage(dir)
	if err == nil || errors.Is(err, fs.ErrNotExist) || len(used.used) != 0 {
		t.Errorf("torn: %v, %v", used.used, err)
	}
}

func TestUsageForgets(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	u := &usage{used: []hours.Use{{At: now.AddDate(0, 0, -40), Bytes: 1}, {At: now.AddDate(0, 0, -30), Bytes: 2}, {At: now.AddDate(1, 0, 0), Bytes: 4}}}
	if got := u.at(now); len(got) != 1 || got[0].Bytes != 2 {
		t.Errorf("%v", got)
	}
	for range 2 * maxUses {
		if _, err := u.book(now, 1); err != nil {
			t.Fatal(err)
		}
	}
	if len(u.used) > maxUses {
		t.Errorf("%d uses are kept", len(u.used))
	}
}

// A line at rest is told from one that others keep full by what it was before, until
// that never comes again.
func TestUsualAnswer(t *testing.T) {
	g := newInstrument(t, nil, lineOf(5.5, 5.5).With(agent.IdleRTT, 30), lineOf(5.5, 5.5).With(agent.IdleRTT, 20), postponed(agent.LineInUse))
	for range 9 {
		g.look(t.Context(), zpp(t))
	}
	var got []time.Duration
	for _, n := range g.asked {
		got = append(got, n.Usual/time.Millisecond)
	}
	if want := []time.Duration{0, 30, 20, 20, 20, 20, 20, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("taken for usual: %v ms, want %v", got, want)
	}
}

// Who was sent away comes at the time that the server has named.
func TestRetry(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	if at, n := retry(lineOf(5, 5), now, 3, time.Hour); !at.IsZero() || n != 0 {
		t.Errorf("after a good look %v, %d", at, n)
	}
	if at, n := retry(postponed(agent.ServerBusy).With(agent.RetryIn, 30.5), now, 0, time.Hour); at.Sub(now) != 30500*time.Millisecond || n != 1 {
		t.Errorf("with a place in 30.5 s: in %v, %d", at.Sub(now), n)
	}
	if at, n := retry(postponed(agent.LineInUse), now, 1, time.Hour); at.Sub(now) < retrySoon || at.Sub(now) > 2*retrySoon || n != 2 {
		t.Errorf("with a line in use: in %v, %d", at.Sub(now), n)
	}
	if at, n := retry(postponed(agent.ServerBusy).With(agent.RetryIn, 60), now, retryOnce, 6*time.Hour); at.Sub(now) < 3*time.Hour || n != 0 {
		t.Errorf("sent away again and again: in %v, %d", at.Sub(now), n)
	}
}

// A router that answers later than before ends a measurement.
func TestGatewayIsWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trips := []float64{2, 3, 60}
		s := watchGateway(t.Context(), func(_ context.Context, at agent.Target) agent.Evidence {
			time.Sleep(time.Second)
			e := agent.See(agent.ProbeGateway, at, agent.Answered, "").With(agent.RTT, trips[0])
			if len(trips) > 1 {
				trips = trips[1:]
			}
			return e
		})
		defer s.stop()
		time.Sleep(2500 * time.Millisecond)
		if synctest.Wait(); s.rises.Load() {
			t.Error("3 ms after 2 ms is taken for trouble")
		}
		time.Sleep(time.Second)
		if synctest.Wait(); !s.rises.Load() {
			t.Error("60 ms after 2 ms is not seen")
		}
	})
}

// tale is what happened, in its order.
type tale struct {
	mu    sync.Mutex
	lines []string
}

func (d *tale) add(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
}

// take is what happened since it was called last.
func (d *tale) take() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := d.lines
	d.lines = nil
	return out
}

// gauging is a stage whose loop measures. Its rounds are told.
func gauging(t *testing.T, i *instrument) (s *stage, told *tale) {
	t.Helper()
	told = &tale{}
	probe := i.probe
	i.probe = func(n bandwidth.Need) agent.Probe {
		return func(ctx context.Context, at agent.Target) agent.Evidence {
			told.add("measures")
			e := probe(n)(ctx, at)
			told.add("measured " + e.Outcome.String())
			return e
		}
	}
	s = perform(t, Options{}, func(ctx context.Context, at agent.Target) agent.Evidence {
		told.add("round")
		return up(ctx, at)
	})
	synctest.Wait()
	s.gauge = i.gauge
	s.examiner.policy = zpp(t).policy
	s.plan()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.measures(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return s, told
}

// The box measures by itself, in its own time, with nothing beside it, and the
// round after it tells what was found.
func TestMeasuresByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newInstrument(t, nil, lineOf(5.5, 5.5))
		i.takes = 20 * time.Second
		s, told := gauging(t, i)
		time.Sleep(30 * time.Hour)
		synctest.Wait()
		n := i.count()
		if n < 3 || n > 10 {
			t.Errorf("%d measurements in 30 hours, want one in 6 on average", n)
		}
		lines := told.take()
		for k, what := range lines {
			if what == "measures" && lines[k+1] != "measured answered" {
				t.Errorf("%s beside a measurement", lines[k+1])
			}
		}
		r := s.facts.Load().Report
		if !slices.ContainsFunc(r.Evidence, func(e agent.Evidence) bool { return e.Probe == agent.ProbeBandwidth }) {
			t.Errorf("the newest report tells nothing of it: %v", r.Evidence)
		}
	})
}

// Who waits for a round does not wait for a measurement; the schedule does.
func TestRoundsAndMeasurements(t *testing.T) {
	for why, ends := range map[agent.Trigger]string{agent.OnCommand: "measured not-looked", agent.OnSchedule: "measured answered"} {
		synctest.Test(t, func(t *testing.T) {
			i := newInstrument(t, nil, lineOf(5.5, 5.5))
			i.takes = 20 * time.Second
			s, told := gauging(t, i)
			told.take()
			signal(s.measure)
			time.Sleep(time.Second)
			synctest.Wait()
			s.trigger(why)
			time.Sleep(time.Second)
			synctest.Wait()
			soon := told.take()
			if slices.Contains(soon, "round") != (why == agent.OnCommand) {
				t.Errorf("%s: after 2 s of 20: %v", why, soon)
			}
			time.Sleep(30 * time.Second)
			synctest.Wait()
			all := append(soon, told.take()...)
			if want := []string{"measures", ends, "round"}; !slices.Equal(all[:min(3, len(all))], want) {
				t.Errorf("%s: %v, want %v", why, all, want)
			}
		})
	}
}

// The vendor's command measures at once, and is answered as one that the box can
// do only where it can.
func TestBandwidthByCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newInstrument(t, nil, postponed(agent.LineInUse))
		s, told := gauging(t, i)
		if _, can := (&loop{}).deeds()["bandwidth"]; can {
			t.Error("a box without a server says that it can measure")
		}
		told.take()
		if done := s.deeds()["bandwidth"](); !done.Accepted {
			t.Errorf("%+v", done)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		r := s.facts.Load().Report
		lines := told.take()
		if want := []string{"measures", "measured not-looked", "round"}; !slices.Equal(lines, want) || r.Trigger != agent.OnCommand ||
			!slices.ContainsFunc(r.Findings, func(f agent.Finding) bool { return f.Code == agent.BandwidthPostponed }) {
			t.Errorf("%v, then a report by %s: %v", lines, r.Trigger, r.Findings)
		}
	})
}

// A measurement that never comes back shows as a round that does.
func TestHungMeasurement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		i := newInstrument(t, nil, lineOf(5.5, 5.5))
		i.probe = func(bandwidth.Need) agent.Probe {
			return func(context.Context, agent.Target) agent.Evidence { <-free; return postponed(agent.LineInUse) }
		}
		s, _ := gauging(t, i)
		signal(s.measure)
		time.Sleep(endless + 30*time.Second)
		s.wants(t, light.Unknown)
		close(free)
	})
}

// A daemon that ends does not wait for a measurement.
func TestEndAmidAMeasurement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newInstrument(t, nil, lineOf(5.5, 5.5))
		i.takes = time.Hour
		s, _ := gauging(t, i)
		signal(s.measure)
		time.Sleep(time.Second)
		synctest.Wait()
		start := time.Now()
		if err := s.end(); err != nil || time.Since(start) > time.Second {
			t.Errorf("ended after %v with %v", time.Since(start), err)
		}
	})
}
