package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/agent/panel"
	"github.com/sprechprobe/sprechprobe/agent/probe/link"
	"github.com/sprechprobe/sprechprobe/agent/schedule"
	"github.com/sprechprobe/sprechprobe/agent/spool"
	"github.com/sprechprobe/sprechprobe/agent/uplink"
	"github.com/sprechprobe/sprechprobe/hal/console"
)

// Options are what run gets from its caller.
type Options struct {
	Setup  Setup
	Reload func() (Setup, error) // reads the configuration again
	Log    *slog.Logger
	Out    io.Writer // where a terminal's lights are drawn

	Door net.Listener // for the page, of the service manager; nil: none

	Checks   <-chan struct{} // "make a round now"
	Reloads  <-chan struct{} // "read the configuration again"
	Identify <-chan struct{} // "show which box this is"

	// Identity says who the box is at this moment; nil: by its own key. It must
	// not block.
	Identity func() Identity
	// Forget makes the box belong to nobody any more; nil: by taking its key.
	Forget func() error
}

// Identity is who the box is to its vendor.
type Identity struct {
	Key  string // public key; may be empty
	Code string // to claim the box by; empty: it is claimed, or cannot be
}

// Check makes one round with its retest and returns the report.
func Check(ctx context.Context, s Setup, more More) agent.Report {
	x := s.examiner()
	d := s.diary(nil)
	x.besides = d.evidence
	if g := s.gauge(nil); more.Bandwidth && g != nil {
		e := g.look(ctx, occasion{policy: x.policy})
		d.note(byBandwidth, x.policy, e)
		x.aside.put(e)
	}
	up, stop := s.lookUplink(ctx)
	defer stop()
	var state func() agent.Evidence
	if up != nil {
		state = up.Evidence
	}
	r := x.examine(ctx, agent.OnCheck, state)
	if st, ok := s.rehearser(up, x.policy); ok && more.Rehearsal {
		for _, e := range st.rehearse(ctx, r) {
			x.aside.put(e)
		}
		r = x.examine(ctx, agent.OnCheck, state)
	}
	return r
}

// More is what a check looks at besides a round.
type More struct {
	Bandwidth bool // against the configured server, before the round
	Rehearsal bool // of a call, where there are credentials; then another round
}

// Run is the daemon. It returns nil when ctx ends, and an error only for a
// mistake of ours or a setup that cannot work.
func Run(ctx context.Context, o Options) (err error) {
	defer alive()()
	v := newVendor(o.Log)
	defer func() {
		if err == nil { // a run that falls over is none that went well
			v.end()
		}
	}()
	if o.Identity == nil {
		o.Identity = func() Identity { return *v.who.Load() }
	}
	if o.Forget == nil && o.Setup.own {
		o.Forget = v.forget
	}
	s := v.adopt(o.Setup)
	x := s.examiner()
	var lit *lamps
	defer func() { lit.close() }()
	var last agent.Report
	var before face
	for {
		next, err := lit.follow(s.Config.Lights, o.Out, o.Log)
		if err != nil {
			return err
		}
		lit = next
		l := newLoop(o, s, x, lit, last)
		if now := time.Now(); before.over.State == light.Unclaimed {
			l.face.put(before.over, now, before.left(now)) // that the box has forgotten is being confirmed
		}
		l.obey(v)
		err = l.generation(ctx)
		if err != nil || ctx.Err() != nil {
			notify(o.Log, daemon.SdNotifyStopping)
			return err
		}
		s, last, before = v.adopt(l.next), l.last, l.face
		x.adopt(s)
	}
}

// generation runs the daemon with one setup, until ctx ends or another setup
// takes its place.
func (l *loop) generation(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o, c := l.opts, l.setup.Config
	way := l.setup.uplinkOptions(o.Log)
	if _, err := l.setup.newUplink(way); err != nil { // before anything is opened for it
		return err
	}
	kept := l.setup.openSpool(o.Log)
	defer kept.Close() // when everything else has ended
	b := l.openButton()
	way.Spool, way.Boot, way.Orders = kept, l.examiner.boot, l.orders()
	if l.uplink, err = l.setup.newUplink(way); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	start := func(name string, task func(context.Context) error) {
		g.Go(func() error { return supervised(gctx, name, task) })
	}
	start("lights", l.lamps.watch)
	start("schedule", l.schedule)
	start("silence", l.silence)
	l.rehearser = func() (rehearser, bool) {
		r, ok := l.setup.rehearser(l.uplink, *l.policy.Load())
		r.report = func() agent.Report { return l.facts.Load().Report }
		return r, ok
	}
	if _, ok := l.rehearser(); ok && c.Relay.Rehearse {
		start("rehearsal", l.rehearses)
	}
	if l.gauge != nil {
		start("bandwidth", l.measures)
	}
	start("news", l.news)
	if w, ok := procdWatchdog(); ok {
		start("procd", func(ctx context.Context) error { return l.feed(ctx, w) })
	}
	if b != nil {
		start("button", func(ctx context.Context) error { return l.follow(ctx, b) })
	}
	if l.uplink != nil {
		start("uplink", l.uplink.Run)
		l.asked = l.uplink.Outages
		start("outages", l.asksOutages)
	}
	if l.vendor.starts != nil {
		start("settle", l.vendor.settle)
	}
	if task := l.vendor.claimTask(l.uplinkState()); task != nil {
		start("claim", task)
	}
	if task := l.vendor.beaconTask(l.uplinkState()); task != nil {
		start("beacon", task)
	}
	if c.Panel.Port != "" {
		l.panel = &console.Panel{Port: c.Panel.Port, Baud: c.Panel.Baud, Trouble: trouble(o.Log, "serial panel")}
		start("panel", l.panel.Run)
	}
	if c.Console.Port != "" {
		start("console", l.console)
	}
	l.openPage(start)
	start("loop", func(ctx context.Context) error {
		defer cancel()
		return l.run(ctx)
	})
	return g.Wait()
}

// console lets people talk to the box on a serial port.
func (l *loop) console(ctx context.Context) error {
	c := l.setup.Config
	t := console.Terminal{Port: c.Console.Port, Baud: c.Console.Baud, Trouble: trouble(l.opts.Log, "console")}
	return t.Run(ctx, func(d *console.Dialogue) error {
		return panel.Console{
			Lang:  advice.Lang(c.Language),
			Facts: func() panel.Facts { return *l.facts.Load() },
			Check: func() { l.trigger(agent.OnCommand) },
			Identify: func() {
				select {
				case l.shows <- struct{}{}:
				default:
				}
			},
		}.Serve(d)
	})
}

// supervised runs a task and turns a panic into an error that names it: the
// service manager starts the program again, and the lights go out meanwhile.
func supervised(ctx context.Context, name string, task func(context.Context) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: panic: %v\n%s", name, r, debug.Stack())
		}
	}()
	if err := task(ctx); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// trouble says in the log how something on a serial port fares.
func trouble(log *slog.Logger, what string) func(error) {
	return func(err error) {
		if err != nil {
			log.Warn(what, "err", err)
			return
		}
		log.Info(what + " answers")
	}
}

// schedule asks for a round whenever the box's turn comes.
func (l *loop) schedule(ctx context.Context) error {
	for every := l.setup.Config.Schedule.Every; ctx.Err() == nil; {
		until, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() {
			job := schedule.Job{Name: "round", Every: every}
			schedule.Run(until, l.setup.Config.Box.ID, []schedule.Job{job}, func(string) { l.trigger(agent.OnSchedule) })
		})
		select {
		case <-ctx.Done():
		case next := <-l.every:
			every = next
		}
		cancel()
		wg.Wait()
	}
	return nil
}

// news asks for a round as soon as the way out has changed: whoever plugs in a
// cable looks at the lights now. A system that tells no news leaves it to the
// schedule.
func (l *loop) news(ctx context.Context) error {
	if err := link.Watch(ctx, l.setup.here(), func() { l.trigger(agent.OnLink) }); err != nil {
		l.opts.Log.Warn("changes of the network are found by schedule only", "err", err)
	}
	return nil
}

// newUplink is the way to report, nil where none is configured, or where the box
// belongs to nobody.
func (s Setup) newUplink(o uplink.Options) (*uplink.Uplink, error) {
	if len(s.Config.Central.Servers) == 0 || s.own && s.Config.Box.Tenant == "" {
		return nil, nil
	}
	return uplink.New(o)
}

// uplinkOptions say where the vendor is and as whom to come.
func (s Setup) uplinkOptions(log *slog.Logger) uplink.Options {
	c := s.Config.Central
	o := uplink.Options{
		Servers: c.Servers, Credentials: c.Credentials, NKeySeed: c.NKeySeed, CA: c.CA,
		Tenant: s.Config.Box.Tenant, Box: s.Config.Box.ID, Log: log, Now: s.Build.floor, ClockSet: s.clockSet,
		Stamp: s.stamp,
	}
	if s.clock != nil {
		o.SetClock = func(now time.Time) {
			if now.Before(s.Build.Time) {
				return // the program was not written by then
			}
			log.Info("time of the vendor taken over", "time", now.UTC())
			s.clock.set(now)
		}
	}
	if s.id != nil {
		o.Device = s.id
	}
	return o
}

// spooled is where reports wait.
func (s Setup) spooled() spool.Options {
	return spool.Options{Dir: s.Config.Spool.Dir, Max: s.Config.Spool.MaxBytes, Journal: filepath.Join(runtimeDir(), "spool")}
}

// openSpool opens what keeps reports until they are sent; where none are, it is
// one in memory that stays empty.
func (s Setup) openSpool(log *slog.Logger) *spool.Spool {
	if len(s.Config.Central.Servers) == 0 {
		kept, _ := spool.Open(spool.Options{})
		return kept
	}
	where := s.spooled()
	where.Trouble = func(err error) {
		if err != nil {
			log.Warn("reports can wait in memory only", "err", err)
			return
		}
		log.Info("reports can wait on disk again")
	}
	kept, found := spool.Open(where)
	if found.Lost > 0 || found.Err != nil {
		log.Warn("waiting reports", "lost", found.Lost, "bad_bytes", found.Bad, "err", found.Err)
	}
	if found.Waiting > 0 {
		log.Info("reports wait from before", "count", found.Waiting)
	}
	return kept
}

// lookUplink connects for the time of a check, so that its report can say
// whether the vendor is reached. It sends nothing.
func (s Setup) lookUplink(ctx context.Context) (up *uplink.Uplink, stop func()) {
	up, err := s.newUplink(s.uplinkOptions(slog.New(slog.DiscardHandler)))
	if up == nil || err != nil {
		return nil, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { _ = up.Run(ctx) })
	return up, func() { cancel(); wg.Wait() }
}

// notify tells systemd, if it started us; elsewhere it does nothing.
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("service manager not told", "err", err)
	}
}
