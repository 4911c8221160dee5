package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/assess"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/agent/panel"
	"github.com/sprechprobe/sprechprobe/agent/press"
	"github.com/sprechprobe/sprechprobe/agent/round"
	"github.com/sprechprobe/sprechprobe/agent/steps"
	"github.com/sprechprobe/sprechprobe/agent/uplink"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/hal/console"
)

// loop owns the newest report. Rounds are made beside it, one at a time, so that
// it stays able to answer while one is under way.
type loop struct {
	opts     Options
	setup    Setup
	examiner *examiner
	lamps    *lamps
	uplink   *uplink.Uplink // nil: no reporting
	panel    *console.Panel // nil: no panel
	notice   *notice        // nil: no page
	arrival  arrival

	triggers chan agent.Trigger
	seen     chan agent.Evidence // of the round under way; what nobody takes in time is lost
	done     chan outcome
	felt     chan press.Action // what letting go of the button would do
	pressed  chan press.Action // what the button asks for
	shows    chan struct{}     // "show which box this is"
	forgot   chan error        // how forgetting ended
	facts    atomic.Pointer[panel.Facts]
	every    chan time.Duration // the time between two rounds, when it changes
	lives    chan struct{}      // for procd's watchdog
	vendor   *vendor            // nil in tests of the loop alone
	renewed  <-chan struct{}    // the box is somebody else now
	assigned <-chan struct{}    // the vendor has other settings for it

	rehearser func() (rehearser, bool) // what calls are rehearsed with
	diary     *diary
	gauge     *gauge                        // nil: the bandwidth is not measured
	gauging   chan occasion                 // "measure, as soon as no round is under way"
	gauged    chan outcome                  // how that ended
	measure   chan struct{}                 // "measure now", by command
	policy    atomic.Pointer[assess.Policy] // for who plans measurements
	stopping  context.CancelFunc            // ends the measurement under way; nil: none is
	gaugedAt  time.Time                     // when it began
	pending   agent.Trigger                 // of the round that waits for its end; empty: none does

	asked   func(context.Context) (fleet.Outages, error) // the vendor, which outages the box suffers from
	told    chan fleet.Outages                           // what he said
	raw     atomic.Pointer[agent.Report]                 // the newest report as it is
	outages outages

	started time.Time // of the round under way; zero: none
	last    agent.Report
	face    face
	timer   *time.Timer // until the truth is shown again
	next    Setup       // what takes over when run returns
	leaving bool        // as soon as the round under way has ended

	forgetting bool // is under way; how it ended is shown before anything else
}

// outcome is how a round ended: with a report, or with a mistake of ours.
type outcome struct {
	report agent.Report
	err    error

	look     agent.Evidence   // of a measurement
	looks    []agent.Evidence // of a rehearsal
	occasion occasion         // of it
}

const (
	// overdue is when a round under way counts as hung: then the lamps say that
	// nothing is known, the watchdog is no longer fed, and the service manager
	// starts the program again.
	overdue = 2*round.Limit + 2*time.Second
	// beat is how often the loop says that it goes round.
	beat = 5 * time.Second
)

// newLoop makes a loop for one setup, which goes on from the newest report.
func newLoop(o Options, s Setup, x *examiner, lit *lamps, last agent.Report) *loop {
	l := &loop{
		opts: o, setup: s, examiner: x, lamps: lit, last: last,
		triggers: make(chan agent.Trigger, 1), seen: make(chan agent.Evidence, 64), done: make(chan outcome, 1), forgot: make(chan error, 1),
		felt: make(chan press.Action), pressed: make(chan press.Action), shows: make(chan struct{}, 1),
		timer: time.NewTimer(0), every: make(chan time.Duration, 1), lives: make(chan struct{}, 1),
		gauging: make(chan occasion), gauged: make(chan outcome, 1), measure: make(chan struct{}, 1),
		told: make(chan fleet.Outages),
	}
	l.gauge, l.diary = s.gauge(o.Log), s.diary(o.Log)
	l.raw.Store(&last)
	l.plan()
	l.judge()
	return l
}

// plan says what measurements are for.
func (l *loop) plan() {
	p := l.examiner.policy
	l.policy.Store(&p)
}

// obey makes the loop do what the box's vendor wants.
func (l *loop) obey(v *vendor) {
	l.vendor, l.renewed, l.assigned = v, v.renew, v.assigned
	l.examiner.besides = func() []agent.Evidence { return append(v.evidence(), l.diary.evidence()...) }
}

func (l *loop) run(ctx context.Context) error {
	l.arrival.await(steps.Plan(l.setup.Profiles, l.uplink != nil))
	l.show()
	notify(l.opts.Log, daemon.SdNotifyReady)
	tick := l.heart()
	defer tick.Stop()
	l.trigger(agent.OnStart)
	for {
		var triggers <-chan agent.Trigger
		var assigned <-chan struct{}
		var gauging <-chan occasion
		switch idle := l.started.IsZero(); {
		case l.stopping != nil:
			if l.leaving {
				l.stopping()
			}
			if l.pending == "" || l.pending == agent.OnSchedule {
				triggers = l.triggers
			}
		case idle && l.leaving && !l.forgetting:
			return nil
		case idle && !l.leaving:
			triggers = l.triggers // one round at a time; the next waits here
			assigned = l.assigned // and what it shall look for
			gauging = l.gauging   // alone on the line
		}
		select {
		case <-ctx.Done():
			l.wait()
			return nil
		case why := <-triggers:
			l.begin(ctx, why)
		case o := <-gauging:
			l.gaugeNow(ctx, o)
		case o := <-l.gauged:
			if err := l.takeGauged(ctx, o); err != nil {
				return err
			}
		case e := <-l.seen:
			l.see(e)
		case o := <-l.done:
			l.started = time.Time{}
			if o.err != nil {
				return o.err
			}
			l.take(o.report)
		case <-l.opts.Checks:
			l.trigger(agent.OnCommand)
		case <-l.opts.Identify:
			l.identify()
		case <-l.shows:
			l.identify()
		case <-l.opts.Reloads:
			l.reload()
		case <-l.renewed:
			l.next, l.leaving = l.vendor.base, true
		case <-assigned:
			l.reassign()
		case a := <-l.felt:
			l.feel(a)
		case a := <-l.pressed:
			l.press(a)
		case err := <-l.forgot:
			l.confirm(err)
			l.show()
		case o := <-l.told:
			l.tell(o)
		case <-l.timer.C:
			l.show()
		case <-tick.C:
			l.beat()
		}
	}
}

// start makes a round in the background.
func (l *loop) start(ctx context.Context, why agent.Trigger) {
	l.started = time.Now()
	l.arrival.begin(why)
	l.judge()
	l.show()
	if l.uplink != nil {
		l.uplink.Hurry() // so that its state is one of now
	}
	l.examiner.see = func(e agent.Evidence) {
		select {
		case l.seen <- e:
		default:
		}
	}
	go func() {
		var o outcome
		o.err = supervised(ctx, "round", func(ctx context.Context) error {
			o.report = l.examiner.examine(ctx, why, l.uplinkState())
			if l.vendor != nil {
				l.vendor.complete(&o.report)
			}
			return nil
		})
		l.done <- o
	}()
}

// uplinkState says how the way to report stands; nil where none is configured.
func (l *loop) uplinkState() func() agent.Evidence {
	switch {
	case l.uplink != nil:
		return l.uplink.Evidence
	case l.vendor != nil && l.vendor.id != nil:
		return func() agent.Evidence {
			return agent.See(agent.ProbeUplink, agent.Target{}, agent.NotLooked, agent.Unclaimed)
		}
	}
	return nil
}

// wait lets the round under way end: the examiner has one owner at a time.
func (l *loop) wait() {
	if !l.started.IsZero() {
		<-l.done
	}
	if l.stopping != nil {
		<-l.gauged
		l.stopping()
	}
}

// see takes one look of the round under way: whoever has just plugged the box in
// watches how far it gets.
func (l *loop) see(e agent.Evidence) {
	if l.notice != nil {
		l.notice.place(e)
	}
	l.arrival.see(e)
	l.judge()
	l.show()
}

// take hands a new report to everything that shows or sends it.
func (l *loop) take(r agent.Report) {
	before := l.last
	l.last = r
	l.raw.Store(&r)
	again := l.arrival.end(r)
	if l.face.over.State == light.Checking {
		l.face.lift()
	}
	l.judge()
	l.show()
	if l.uplink != nil {
		l.uplink.Offer(r)
	}
	l.keepShown()
	l.say(before, r)
	if l.notice != nil {
		l.keepHistory()
		if again {
			time.AfterFunc(lookAgain, func() { l.trigger(agent.OnSchedule) })
		}
	}
}

// keepShown leaves the newest report to other commands.
func (l *loop) keepShown() {
	if err := keep(ReportFile(), l.shown()); err != nil {
		l.opts.Log.Debug("newest report not kept for other commands", "err", err)
	}
}

// hung reports whether the round or the measurement under way should have ended
// long ago.
func (l *loop) hung() bool {
	return !l.started.IsZero() && time.Since(l.started) >= overdue || l.stopping != nil && time.Since(l.gaugedAt) >= endless
}

// judge finds out what is true by now.
func (l *loop) judge() {
	switch {
	case l.hung():
		l.face.truth = light.Show{State: light.Unknown}
	case !l.started.IsZero() && (l.last.Schema == "" || l.last.Verdict == agent.Offline && l.arrival.looking()):
		l.face.truth = light.Show{State: light.Checking, Online: l.arrival.steps.Online()}
	case l.last.Schema != "":
		l.face.truth = light.Of(l.last)
	default:
		l.face.truth = light.Show{State: light.Starting}
	}
	if l.setup.refused != "" { // somebody waits for it to be taken over
		l.face.truth = light.Show{State: light.Unknown}
	}
	id := l.identity()
	if id.Code != "" {
		l.face.truth = l.face.truth.Unclaimed()
	}
	l.facts.Store(&panel.Facts{Report: l.shown(), Show: l.face.truth, Box: l.setup.box(), Key: id.Key, Code: id.Code, Refused: l.setup.refused})
}

func (l *loop) identity() Identity {
	if l.opts.Identity == nil {
		return Identity{}
	}
	return l.opts.Identity()
}

// show brings lamps and panel up to date.
func (l *loop) show() {
	now := time.Now()
	s := l.face.at(now)
	l.timer.Stop()
	if left := l.face.left(now); left > 0 {
		l.timer.Reset(left)
	}
	l.lamps.show(s)
	if l.panel != nil {
		if err := l.panel.Show(panel.Word(s)); err != nil {
			l.opts.Log.Error("word for the serial panel", "err", err)
		}
	}
	l.post(s)
}

// say writes changes to the log, and the verdict to the service manager.
func (l *loop) say(before, r agent.Report) {
	notify(l.opts.Log, "STATUS="+l.status(r))
	if before.Schema == "" || before.Verdict != r.Verdict {
		l.opts.Log.Info("verdict", "verdict", r.Verdict.String(), "took_ms", r.TookMS)
	}
	for _, f := range r.Findings {
		if !has(before.Findings, f) {
			l.opts.Log.Info("finding", "code", string(f.Code), "cause", f.Cause.String(), "profile", f.Profile, "target", f.Target)
		}
	}
	for _, f := range before.Findings {
		if !has(r.Findings, f) {
			l.opts.Log.Info("cleared", "code", string(f.Code), "profile", f.Profile, "target", f.Target)
		}
	}
}

// status is one line for the service manager.
func (l *loop) status(r agent.Report) string {
	text := fmt.Sprintf("%s (%d findings)", r.Verdict, len(r.Findings))
	if l.setup.refused != "" {
		wrong, _, _ := strings.Cut(l.setup.refused, "\n")
		text += "; not taken over: " + wrong
	}
	return text
}

func has(fs []agent.Finding, f agent.Finding) bool {
	for _, o := range fs {
		if o.Code == f.Code && o.Profile == f.Profile && o.Target == f.Target {
			return true
		}
	}
	return false
}

// reload reads the configuration again. A bad one is refused and the old one
// stays; a good one takes over when the round under way has been reported.
func (l *loop) reload() {
	notify(l.opts.Log, daemon.SdNotifyReloading+"\n"+daemon.SdNotifyMonotonicUsec())
	next, err := l.opts.Reload()
	if err == nil {
		_, err = next.newUplink(next.uplinkOptions(slog.New(slog.DiscardHandler)))
	}
	if err != nil {
		l.opts.Log.Error("configuration refused, the old one stays", "err", err)
		notify(l.opts.Log, daemon.SdNotifyReady)
		return
	}
	l.opts.Log.Info("configuration taken over")
	l.next, l.leaving = next, true
}

// heart ticks as often as the loop has to say that it goes round: for the lamps,
// and at a third of the interval that systemd wants to hear from us in.
func (l *loop) heart() *time.Ticker {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every <= 0 || every/3 > beat {
		return time.NewTicker(beat)
	}
	return time.NewTicker(every / 3)
}

// beat says to lamps, panel and service manager that the loop goes round, unless
// a round hangs, or a light holds up all others.
func (l *loop) beat() {
	l.forgetOutages()
	before := l.face.truth
	if l.judge(); l.face.truth != before {
		l.show()
	}
	if l.showsPage() != (l.notice != nil) { // the box has been claimed, or has forgotten
		l.next, l.leaving = l.setup, true
	}
	if l.hung() {
		return
	}
	follow := l.lamps.engine.Keep()
	if l.panel != nil {
		l.panel.Keep()
	}
	if follow {
		notify(l.opts.Log, daemon.SdNotifyWatchdog)
		select {
		case l.lives <- struct{}{}:
		default: // procd is being told; it may be slow
		}
	}
}
