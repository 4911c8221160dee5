package daemon

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/assess"
	"github.com/sprechprobe/sprechprobe/agent/config"
	"github.com/sprechprobe/sprechprobe/agent/probe/bandwidth"
	"github.com/sprechprobe/sprechprobe/agent/probe/dns"
	"github.com/sprechprobe/sprechprobe/agent/probe/link"
	hours "github.com/sprechprobe/sprechprobe/agent/schedule/quiet"
	"github.com/sprechprobe/sprechprobe/agent/wire/iperf3"
)

// gauge measures the bandwidth, within its hours and its budget. Its looks are
// made one at a time.
type gauge struct {
	config  config.Bandwidth
	box     string
	login   *iperf3.Login
	log     *slog.Logger
	resolve agent.Probe                      // of a name
	probe   func(bandwidth.Need) agent.Probe // of the line
	gateway agent.Probe                      // of the way to the router
	now     func() time.Time
	synced  func() bool

	mu    sync.Mutex
	spent *usage
	usual time.Duration // quickest median answer of a line at rest; 0: not known
	busy  int           // looks in a row that found the line in use
}

// occasion is what a look is made for.
type occasion struct {
	policy    assess.Policy       // what the line is needed for
	commanded bool                // by somebody who waits for it
	spare     bool                // the internet runs over a spare line
	done      chan agent.Evidence // is told what was found; room for one

	rehearse func(context.Context) []agent.Evidence // instead of measuring; nil: it measures
	heard    chan []agent.Evidence                  // is told what that found; room for one
}

// gauge is what measures the bandwidth for the setup; nil where it is not measured.
func (s Setup) gauge(log *slog.Logger) *gauge {
	if s.Config.Bandwidth.Server == "" {
		return nil
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	used, err := openUsage(s.Config.StateDir)
	if err != nil {
		log.Warn("what measurements have used begins anew", "err", err)
	}
	return &gauge{
		config: s.Config.Bandwidth, box: s.Config.Box.ID, login: s.login, log: log,
		resolve: dns.Probe(s.Config.Network.Resolvers), probe: bandwidth.Probe, gateway: link.Gateway(s.here()),
		now: time.Now, synced: s.clockSet, spent: used,
	}
}

// need is what has to be proven: what any of the profiles asks for.
func (g *gauge) need(o occasion) bandwidth.Need {
	n := bandwidth.Need{Box: g.box, Login: g.login, Capacity: g.config.Capacity}
	for _, p := range o.policy.Used() {
		of := bandwidth.Of(p.Thresholds)
		n.Down, n.Up = max(n.Down, of.Down), max(n.Up, of.Up)
		n.Capacity = n.Capacity || p.Capacity
	}
	n.Backup = func() bool { return o.spare }
	return n
}

// next says when the next look is due at or after a time, and what it waits for.
// Without a time nobody knows.
func (g *gauge) next(o occasion, from time.Time) (time.Time, hours.Why) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.config.Policy(g.need(o).Cost()).Next(from, g.synced(), g.spent.at(g.now()), rand.Float64())
}

// leave is what a look that somebody asks for may do now: whether there is data
// for it, how much, and whether it has to be gentle because these are the
// practice's hours.
func (g *gauge) leave(o occasion) (most int64, gentle, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	cost, now, used := g.need(o).Cost(), g.now(), g.spent.at(g.now())
	p := g.config.Policy(cost)
	p.Every = 0
	p.PerDay, p.PerMonth = 0, 0
	_, why := p.Next(now, true, nil, 0)
	gentle = why == hours.ClosedHours || why == hours.NoTime || len(p.Closed) > 0 && !g.synced()
	most = g.config.Policy(cost).Left(now, used)
	return most, gentle, most < 0 || most >= cost
}

// look measures, and measures again at once what would be a finding: only what
// both looks have seen counts.
func (g *gauge) look(ctx context.Context, o occasion) agent.Evidence {
	t, why := g.target(ctx)
	if why != "" {
		return agent.See(agent.ProbeBandwidth, t, agent.NotLooked, why)
	}
	var e agent.Evidence
	for i := range 2 {
		most, gentle, ok := g.leave(o)
		if !ok {
			if i == 0 {
				return agent.See(agent.ProbeBandwidth, t, agent.NotLooked, agent.BudgetUsed)
			}
			return e
		}
		n := g.need(o)
		n.Most, n.Gentle = max(most, 0), gentle
		n.Capacity = n.Capacity && !gentle
		again := g.once(ctx, n, t)
		if i > 0 {
			again = bandwidth.Better(e, again)
		}
		if e = again; ctx.Err() != nil || sound(o.policy, e) {
			return e
		}
	}
	return e
}

// once makes one look, watches the practice's own network beside it, and keeps the
// books.
func (g *gauge) once(ctx context.Context, n bandwidth.Need, t agent.Target) agent.Evidence {
	settle := g.reserve(n.Cost())
	n.Moved = settle
	strain := watchGateway(ctx, g.gateway)
	defer strain.stop()
	n.Strained = strain.rises.Load
	n.Usual = g.usual
	e := g.probe(n)(ctx, t)
	g.remember(e)
	return e
}

// remember learns how quick an answer is on a line at rest. Where the line seems to
// be in use whenever one looks, that is what has changed.
func (g *gauge) remember(e agent.Evidence) {
	if g.busy++; e.Reason != agent.LineInUse {
		g.busy = 0
	}
	if g.busy >= retryOnce {
		g.usual = 0
	}
	if ms, ok := e.Values.Num(agent.IdleRTT); ok {
		if idle := time.Duration(ms * float64(time.Millisecond)); g.usual == 0 || idle < g.usual {
			g.usual = idle
		}
	}
}

// reserve books what a look costs, until it is known what it has cost.
func (g *gauge) reserve(cost int64) (settle func(int64)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	say := func(err error) {
		if err != nil {
			g.log.Debug("what a measurement uses is not kept", "err", err)
		}
	}
	settled, err := g.spent.book(g.now(), cost)
	say(err)
	return func(n int64) {
		g.mu.Lock()
		defer g.mu.Unlock()
		say(settled(n))
	}
}

// sound reports whether there is nothing in a look that a second one should
// confirm: what is postponed or capped is no trouble of the line.
func sound(p assess.Policy, e agent.Evidence) bool { return !poor(p, []agent.Evidence{e}) }

// target is where the server is, by the practice's own resolver.
func (g *gauge) target(ctx context.Context) (agent.Target, agent.Reason) {
	host, port, _ := net.SplitHostPort(g.config.Server)
	n, _ := strconv.ParseUint(port, 10, 16)
	t := agent.Target{Host: host, Port: uint16(n), Transport: agent.TCP}
	if a, err := netip.ParseAddr(host); err == nil {
		t.Addr = a
		return t, ""
	}
	addrs := dns.Addrs(g.resolve(ctx, agent.Target{Host: host}))
	for _, a := range addrs {
		if !t.Addr.IsValid() || a.Is4() && !t.Addr.Is4() {
			t.Addr = a
		}
	}
	if !t.Addr.IsValid() {
		return t, agent.NoAddress
	}
	return t, ""
}

// strain watches the way to the practice's router while something is measured.
type strain struct {
	rises atomic.Bool
	stop  func()
}

// risen is how much longer the router may take than before, milliseconds: a cable
// takes one.
const risen = 50

// watchGateway begins to watch. A router that answers to no echo is not watched.
func watchGateway(ctx context.Context, gateway agent.Probe) *strain {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	s := &strain{stop: func() { cancel(); wg.Wait() }}
	wg.Go(func() {
		usual := -1.0
		for ctx.Err() == nil {
			e := gateway(ctx, agent.Target{})
			rtt, ok := e.Values.Num(agent.RTT)
			switch {
			case e.Outcome != agent.Answered || !ok:
				return
			case usual < 0:
				usual = rtt
			case rtt > usual+risen:
				s.rises.Store(true)
			}
		}
	})
	return s
}

// How a look that was put off is tried again.
const (
	retrySoon = 10 * time.Minute
	retryOnce = 5           // times in a row; then it waits for its usual turn
	askAgain  = time.Minute // where nobody knows when the turn comes

	// endless is when a measurement counts as hung: one takes half a minute, and
	// a second one may follow.
	endless = 2 * time.Minute
)

// measures asks for measurements when their turn comes, and on command.
func (l *loop) measures(ctx context.Context) error {
	var notBefore time.Time
	told := hours.Spread
	for putOff := 0; ; {
		from := l.gauge.now()
		if notBefore.After(from) {
			from = notBefore
		}
		o := occasion{policy: *l.policy.Load()}
		at, why := l.gauge.next(o, from)
		if why != told {
			l.opts.Log.Info("bandwidth", "waits_for", string(why))
			told = why
		}
		wait := at.Sub(l.gauge.now())
		if at.IsZero() {
			wait = askAgain
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-l.measure:
			o.commanded = true
		case <-timer.C:
			if again, why := l.gauge.next(o, l.gauge.now()); again.IsZero() || why != hours.Spread {
				continue // the clock was set meanwhile, or the data are used
			}
		}
		timer.Stop()
		o.done = make(chan agent.Evidence, 1)
		select {
		case <-ctx.Done():
			return nil
		case l.gauging <- o:
		}
		select {
		case <-ctx.Done():
			return nil
		case e := <-o.done:
			notBefore, putOff = retry(e, l.gauge.now(), putOff, l.gauge.config.Every)
		}
	}
}

// retry says when to try again what was put off: at the time that the server names
// if it names one, for that is when it has a place.
func retry(e agent.Evidence, now time.Time, putOff int, every time.Duration) (notBefore time.Time, times int) {
	if e.Outcome == agent.Answered && e.Reason == "" {
		return time.Time{}, 0
	}
	seconds, told := e.Values.Num(agent.RetryIn)
	switch in := time.Duration(seconds * float64(time.Second)); {
	case putOff >= retryOnce:
		return now.Add(jitter(every)), 0
	case told && in < every:
		return now.Add(in), putOff + 1
	default:
		return now.Add(retrySoon + jitter(retrySoon)), putOff + 1
	}
}

// begin starts a round, or lets it wait for the measurement under way: one that
// somebody waits for ends that.
func (l *loop) begin(ctx context.Context, why agent.Trigger) {
	if l.stopping == nil {
		l.start(ctx, why)
		return
	}
	if l.pending = why; why != agent.OnSchedule {
		l.stopping()
	}
}

// gaugeNow measures in the background, with nothing beside it on the line.
func (l *loop) gaugeNow(ctx context.Context, o occasion) {
	o.policy, o.spare = l.examiner.policy, l.examiner.book.Spare()
	ctx, l.stopping = context.WithCancel(ctx)
	l.gaugedAt = time.Now()
	go func() {
		out := outcome{occasion: o}
		out.err = supervised(ctx, "bandwidth", func(ctx context.Context) error {
			if o.rehearse != nil {
				out.looks = o.rehearse(ctx)
				return nil
			}
			out.look = l.gauge.look(ctx, o)
			return nil
		})
		l.gauged <- out
	}()
}

// takeGauged takes in what a measurement has found, and makes the round that tells
// of it.
func (l *loop) takeGauged(ctx context.Context, o outcome) error {
	l.stopping()
	l.stopping = nil
	if o.err != nil {
		return o.err
	}
	if o.occasion.rehearse != nil {
		l.takeRehearsed(ctx, o)
		return nil
	}
	why := l.pending
	l.pending = ""
	if o.look.Reason != agent.Cancelled {
		l.diary.note(byBandwidth, o.occasion.policy, o.look)
		l.examiner.aside.put(o.look)
	}
	o.occasion.done <- o.look
	switch {
	case why != "":
		l.start(ctx, why)
	case o.occasion.commanded:
		l.start(ctx, agent.OnCommand)
	case o.look.Outcome == agent.Answered:
		l.start(ctx, agent.OnSchedule)
	}
	return nil
}
