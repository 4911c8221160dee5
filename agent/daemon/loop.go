package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/agent/panel"
	"github.com/sprechprobe/sprechprobe/agent/round"
	"github.com/sprechprobe/sprechprobe/agent/uplink"
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

	triggers chan agent.Trigger
	done     chan agent.Report
	started  time.Time // of the round under way; zero: none
	last     agent.Report
	next     Setup // what takes over when run returns
	leaving  bool  // as soon as the round under way has ended
}

// overdue is when a round under way counts as hung: then the watchdog is no
// longer fed and the service manager starts the program again.
const overdue = 2*round.Limit + 2*time.Second

// trigger asks for a round. One that is asked for already is enough.
func (l *loop) trigger(why agent.Trigger) {
	select {
	case l.triggers <- why:
	default:
	}
}

func (l *loop) run(ctx context.Context) error {
	l.show(light.Show{State: light.Starting})
	notify(l.opts.Log, daemon.SdNotifyReady)
	feed := l.watchdog()
	defer feed.Stop()
	l.trigger(agent.OnStart)
	for {
		var triggers <-chan agent.Trigger
		switch idle := l.started.IsZero(); {
		case idle && l.leaving:
			return nil
		case idle:
			triggers = l.triggers // one round at a time; the next waits here
		}
		select {
		case <-ctx.Done():
			l.wait()
			return nil
		case why := <-triggers:
			l.start(ctx, why)
		case r := <-l.done:
			l.started = time.Time{}
			l.take(r)
		case <-l.opts.Checks:
			l.trigger(agent.OnCommand)
		case <-l.opts.Reloads:
			l.reload()
		case <-feed.C:
			l.feed()
		}
	}
}

// start makes a round in the background.
func (l *loop) start(ctx context.Context, why agent.Trigger) {
	l.started = time.Now()
	if l.last.Schema == "" {
		l.show(light.Show{State: light.Checking})
	}
	go func() { l.done <- l.examiner.examine(ctx, why, l.uplinkState()) }()
}

func (l *loop) uplinkState() func() agent.Evidence {
	if l.uplink == nil {
		return nil
	}
	return l.uplink.Evidence
}

// wait lets the round under way end: the examiner has one owner at a time.
func (l *loop) wait() {
	if !l.started.IsZero() {
		<-l.done
	}
}

// take hands a new report to everything that shows or sends it.
func (l *loop) take(r agent.Report) {
	l.show(light.Of(r))
	if l.uplink != nil {
		l.uplink.Offer(r)
	}
	if err := keep(ReportFile(), r); err != nil {
		l.opts.Log.Debug("newest report not kept for other commands", "err", err)
	}
	l.say(r)
	l.last = r
}

func (l *loop) show(s light.Show) {
	l.lamps.show(s)
	if l.panel != nil {
		if err := l.panel.Show(panel.Word(s)); err != nil {
			l.opts.Log.Error("word for the serial panel", "err", err)
		}
	}
}

// say writes changes to the log, and the verdict to the service manager.
func (l *loop) say(r agent.Report) {
	notify(l.opts.Log, fmt.Sprintf("STATUS=%s (%d findings)", r.Verdict, len(r.Findings)))
	if l.last.Schema == "" || l.last.Verdict != r.Verdict {
		l.opts.Log.Info("verdict", "verdict", r.Verdict.String(), "took_ms", r.TookMS)
	}
	for _, f := range r.Findings {
		if !has(l.last.Findings, f) {
			l.opts.Log.Info("finding", "code", string(f.Code), "cause", f.Cause.String(), "profile", f.Profile, "target", f.Target)
		}
	}
	for _, f := range l.last.Findings {
		if !has(r.Findings, f) {
			l.opts.Log.Info("cleared", "code", string(f.Code), "profile", f.Profile, "target", f.Target)
		}
	}
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
		_, err = next.newUplink(slog.New(slog.DiscardHandler))
	}
	if err != nil {
		l.opts.Log.Error("configuration refused, the old one stays", "err", err)
		notify(l.opts.Log, daemon.SdNotifyReady)
		return
	}
	l.opts.Log.Info("configuration taken over")
	l.next, l.leaving = next, true
}

// watchdog is a ticker at a third of the interval that systemd wants to hear
// from us in, or one that rarely ticks where nobody does.
func (l *loop) watchdog() *time.Ticker {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every <= 0 {
		return time.NewTicker(24 * time.Hour)
	}
	return time.NewTicker(every / 3)
}

// feed tells the watchdog that the loop goes round, unless a round hangs.
func (l *loop) feed() {
	if l.started.IsZero() || time.Since(l.started) < overdue {
		notify(l.opts.Log, daemon.SdNotifyWatchdog)
	}
}
