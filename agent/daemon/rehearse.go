package daemon

import (
	"context"
	"slices"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/assess"
	"github.com/sprechprobe/sprechprobe/agent/probe/rehearsal"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
	"github.com/sprechprobe/sprechprobe/agent/schedule"
	hours "github.com/sprechprobe/sprechprobe/agent/schedule/quiet"
	"github.com/sprechprobe/sprechprobe/agent/trust"
	"github.com/sprechprobe/sprechprobe/agent/uplink"
)

// How often a box rehearses a call: soon after its start, every 17 hours while all
// is well, which in time brings it to each hour of the day, and every hour by sound
// alone while it is not, so that it is known when the trouble ends. Where there was
// trouble the day before it is also made at that hour, to know whether it comes
// back. A whole rehearsal moves up to 3 MB each way and is made twice at most, one
// by sound alone up to half a megabyte: 18 MB each way on the worst day.
const (
	rehearseFirst = time.Hour
	rehearseEvery = 17 * time.Hour
	rehearseAgain = time.Hour
	mostRelays    = 2 // hosts that are rehearsed with
	// rehearseLimit ends a rehearsal that comes to nothing before it counts as hung.
	rehearseLimit = endless - 20*time.Second
)

// rehearser is what a rehearsal needs.
type rehearser struct {
	policy assess.Policy
	probe  func(rehearsal.Plan) agent.Probe
	plan   rehearsal.Plan
	report func() agent.Report // the newest, which says what answers
}

// rehearser is what the setup rehearses with; ok is false where nobody gives
// credentials. They come from the configuration, or else from the vendor, for
// minutes.
func (s Setup) rehearser(up *uplink.Uplink, policy assess.Policy) (r rehearser, ok bool) {
	var cred rehearsal.Credentials
	switch {
	case s.relay.Username != "":
		cred = rehearsal.Static(s.relay)
	case up != nil:
		cred = func(ctx context.Context) (webrtc.Credentials, error) {
			a, err := up.RelayAccess(ctx)
			return webrtc.Credentials{Username: a.Username, Password: a.Password}, err
		}
	default:
		return rehearser{}, false
	}
	r.policy, r.plan = policy, rehearsal.Usual()
	cred = once(cred)
	r.probe = func(p rehearsal.Plan) agent.Probe { return rehearsal.Probe(p, cred, trust.Checker{}) }
	return r, true
}

// once asks for credentials once: a rehearsal is over before they are.
func once(ask rehearsal.Credentials) rehearsal.Credentials {
	var got webrtc.Credentials
	return func(ctx context.Context) (webrtc.Credentials, error) {
		if got.Username != "" {
			return got, nil
		}
		c, err := ask(ctx)
		if err == nil {
			got = c
		}
		return c, err
	}
}

// brief leaves the pictures out, which load the line.
func (s rehearser) brief() rehearser {
	s.plan.Rates = nil
	return s
}

// rehearse looks at each relay that a report has seen. What would be a finding is
// looked at again at once, and the second look counts.
func (s rehearser) rehearse(ctx context.Context, r agent.Report) []agent.Evidence {
	ctx, cancel := context.WithTimeout(ctx, rehearseLimit)
	defer cancel()
	var out []agent.Evidence
	for _, w := range relays(r) {
		seen := s.once(ctx, w)
		if ctx.Err() == nil && s.troubled(seen) {
			seen = s.brief().once(ctx, w)
		}
		out = append(out, seen...)
	}
	return out
}

// once rehearses over UDP, and over TCP where that brings no media: a witness
// beside the first tells up from down.
func (s rehearser) once(ctx context.Context, w relayWays) []agent.Evidence {
	var out []agent.Evidence
	if w.udp.Addr.IsValid() {
		p := s.plan
		p.Witness = w.tcp
		e := s.probe(p)(ctx, w.udp)
		out = append(out, e)
		if came, _ := e.Values.Flag(agent.Relayed); came || e.Outcome == agent.NotLooked {
			return out
		}
	}
	if w.tcp.Addr.IsValid() {
		out = append(out, s.probe(s.brief().plan)(ctx, w.tcp))
	}
	return out
}

// troubled reports whether looks would come to a finding that harms.
func (s rehearser) troubled(es []agent.Evidence) bool {
	var b assess.Book
	b.Add(es)
	j := assess.Assess(s.policy, &b, nil, time.Time{})
	return slices.ContainsFunc(j.Findings, func(f agent.Finding) bool {
		return f.Severity > agent.Info && slices.ContainsFunc(f.Evidence, func(i int) bool {
			return j.Evidence[i].Probe == agent.ProbeRehearsal
		})
	})
}

// relayWays are the two ways to one relay; without an address there is none.
type relayWays struct{ udp, tcp agent.Target }

// relays are those that answered in a report, plain before encrypted. What the
// vendor named over the network is told no credentials.
func relays(r agent.Report) []relayWays {
	var out []relayWays
	for _, e := range r.Evidence {
		if e.Probe != agent.ProbeTURN || e.Outcome != agent.Answered || e.Target.Pushed || !e.Target.Addr.IsValid() {
			continue
		}
		i := slices.IndexFunc(out, func(w relayWays) bool { return w.udp.Host == e.Target.Host || w.tcp.Host == e.Target.Host })
		if i < 0 {
			if len(out) == mostRelays {
				continue
			}
			i, out = len(out), append(out, relayWays{})
		}
		way := &out[i].udp
		if e.Target.Transport == agent.TCP {
			way = &out[i].tcp
		}
		if !way.Addr.IsValid() || way.Variant != agent.Plain && e.Target.Variant == agent.Plain {
			*way = e.Target
		}
	}
	return out
}

// rehearses asks for rehearsals when their turn comes.
func (l *loop) rehearses(ctx context.Context) error {
	due := schedule.Job{Name: "rehearsal", Every: rehearseFirst}.Phase(l.setup.Config.Box.ID)
	for again := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(due):
		}
		s, ok := l.rehearser()
		if !ok {
			return nil
		}
		what := byCall
		if again || l.practiceHours() {
			s, what = s.brief(), bySound
		}
		es, ok := l.alone(ctx, func(ctx context.Context) []agent.Evidence {
			return s.rehearse(ctx, s.report())
		})
		if !ok {
			return nil
		}
		l.diary.note(what, s.policy, es...)
		due = l.diary.next(rehearseEvery)
		if again = s.troubled(es); again || !said(es) {
			due = rehearseAgain
		}
	}
}

// said reports whether rehearsals were made and came to something.
func said(es []agent.Evidence) bool {
	return len(es) > 0 && !slices.ContainsFunc(es, func(e agent.Evidence) bool { return e.Outcome == agent.NotLooked })
}

// practiceHours reports whether the line belongs to the practice now, or may:
// then only sound is rehearsed.
func (l *loop) practiceHours() bool {
	p := l.setup.Config.Bandwidth.Policy(0)
	p.Every, p.PerDay, p.PerMonth = 0, 0, 0
	_, why := p.Next(time.Now(), true, nil, 0)
	return why == hours.ClosedHours || why == hours.NoTime || len(p.Closed) > 0 && !l.setup.clockSet()
}

// alone has something done with nothing beside it on the line; ok is false where
// the daemon ends first.
func (l *loop) alone(ctx context.Context, do func(context.Context) []agent.Evidence) (es []agent.Evidence, ok bool) {
	o := occasion{rehearse: do, heard: make(chan []agent.Evidence, 1)}
	select {
	case <-ctx.Done():
		return nil, false
	case l.gauging <- o:
	}
	select {
	case <-ctx.Done():
		return nil, false
	case es = <-o.heard:
		return es, true
	}
}

// takeRehearsed takes in what a rehearsal has found. Where nobody gave credentials
// there is nothing to tell, and where it was broken off it is made another time.
func (l *loop) takeRehearsed(ctx context.Context, o outcome) {
	why := l.pending
	l.pending = ""
	news := false
	for _, e := range o.looks {
		if e.Reason != agent.Cancelled && e.Reason != agent.NoCredentials {
			l.examiner.aside.put(e)
			news = true
		}
	}
	o.occasion.heard <- o.looks
	switch {
	case why != "":
		l.start(ctx, why)
	case news:
		l.start(ctx, agent.OnSchedule)
	}
}
