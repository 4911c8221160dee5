package daemon

import (
	"context"
	"slices"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// How soon a box in trouble asks its vendor whether that is an outage, and how often
// then: the vendor knows of one when several boxes have told of it.
const (
	outageFirst = 30 * time.Second
	outageEvery = 2 * time.Minute
)

// outages is what the vendor says of what the box suffers from, for a while.
type outages struct {
	fleet.Outages
	until time.Time // zero: nothing is known
}

// suffers reports whether a report has something that may be an outage.
func suffers(r agent.Report) bool {
	return slices.ContainsFunc(r.Findings, func(f agent.Finding) bool { return fleet.OutageTarget(f) != "" })
}

// asksOutages asks the vendor, for as long as the box suffers from something, until
// ctx ends.
func (l *loop) asksOutages(ctx context.Context) error {
	for wait := outageFirst; ; wait = min(2*wait, outageEvery) {
		if !suffers(*l.raw.Load()) {
			wait = outageFirst
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(jitter(wait)):
		}
		if !suffers(*l.raw.Load()) {
			continue
		}
		o, err := l.asked(ctx)
		if err != nil {
			l.opts.Log.Debug("vendor's outages not known", "err", err)
			continue // what is known holds until its end
		}
		select {
		case l.told <- o:
		case <-ctx.Done():
			return nil
		}
	}
}

// tell takes what the vendor has said, and shows it.
func (l *loop) tell(o fleet.Outages) {
	before := l.shown()
	l.outages = outages{o, time.Now().Add(time.Duration(o.ForS) * time.Second)}
	l.reshow(before)
}

// forgetOutages ends what the vendor has said when its time is over.
func (l *loop) forgetOutages() {
	if !l.outages.until.IsZero() && !time.Now().Before(l.outages.until) {
		before := l.shown()
		l.outages = outages{}
		l.reshow(before)
	}
}

// shown is the newest report as people see it: what the vendor knows to be an outage
// has that cause. The vendor himself gets the report as it is.
func (l *loop) shown() agent.Report { return l.outages.Explain(l.last) }

// reshow shows the newest report again where it reads otherwise than before.
func (l *loop) reshow(before agent.Report) {
	now := l.shown()
	same := slices.EqualFunc(before.Findings, now.Findings, func(a, b agent.Finding) bool { return a.Args[agent.ArgOutage] == b.Args[agent.ArgOutage] })
	if same {
		return
	}
	l.judge()
	l.show()
	l.keepShown()
}
