// Package idle looks for how long a TCP connection to a service may be silent
// before something on the way forgets it. It takes minutes and a handful of
// connections, so it has a schedule of its own.
//
// It sends no credentials. So it can only be silent for as long as a service
// bears with strangers, and it does not know who on the way forgot.
package idle

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

// Times says how long a look takes.
type Times struct {
	Speak []time.Duration // silences after which the box speaks, each on a connection of its own
	Wait  time.Duration   // how long the service may take to speak first
	Awake time.Duration   // between two packets that keep a connection awake
	Grace time.Duration   // for an answer, and for what should have come at the same time
}

// Usual are the times to look with. Services are known to break silence after 60 s
// (coturn 4.6.1 without an allocation), 75 s (nginx 1.22 after a request) and 120 s
// (nats-server 2.15, where it asks for no credentials).
func Usual() Times {
	return Times{
		Speak: []time.Duration{25 * time.Second, 50 * time.Second, 110 * time.Second},
		Wait:  130 * time.Second,
		Awake: 4 * time.Second,
		Grace: 8 * time.Second,
	}
}

// TCP returns the probe of a connection to t: an https, stun, turn or nats service
// over TCP. Two ways of looking go on side by side.
//
// Of two equal connections one is kept awake by TCP keepalives, of which the
// service's program knows nothing. When the service breaks the silence on it, as
// all do some time, it must have done so on the other one too; if nothing came
// there, that one was forgotten on the way. And on other connections the box
// itself speaks after a while and must be answered. The first way finds what the
// second does not: many routers take up a forgotten connection again when it is
// the box that speaks.
//
// Answered means that something was found out: idle_alive_s and idle_dead_s, with
// the reason timeout, closed or rst-after-connect for how the dead one showed
// itself. No connection is called dead unless a new one can be made, and unless the
// one that is kept awake is still there or has just heard the service. NotLooked too-few-answers: t closes silent connections before anything can
// be learned, or asks for credentials at once (nats). Otherwise as package reach
// says of the first connection. A look takes at most [Times].Wait or the longest of
// [Times].Speak, and three times [Times].Grace.
func TCP(times Times) agent.Probe {
	return func(ctx context.Context, t agent.Target) agent.Evidence {
		v, ok := voiceOf(t)
		switch {
		case !t.Addr.IsValid() || t.Port == 0:
			return agent.See(agent.ProbeIdle, t, agent.NotLooked, agent.NoAddress)
		case !ok:
			return agent.See(agent.ProbeIdle, t, agent.NotLooked, agent.Unsupported)
		}
		l := look{Times: times, target: t, voice: v}
		return l.run(ctx)
	}
}

// look is one look under way.
type look struct {
	Times
	target agent.Target
	voice  voice
}

func (l look) run(ctx context.Context) agent.Evidence {
	e, awake := l.open(ctx)
	if awake == nil {
		return e
	}
	defer awake.close()
	if err := awake.keepAwake(l.Awake); err != nil {
		return agent.See(agent.ProbeIdle, l.target, agent.NotLooked, agent.Unsupported)
	}
	w := &watch{spoken: make(chan struct{})}
	var all sync.WaitGroup
	all.Go(func() { l.listen(ctx, awake, w) })
	for _, d := range l.Speak {
		all.Go(func() { w.note(l.speak(ctx, d, w)) })
	}
	all.Go(func() { w.note(l.twin(ctx, w)) })
	all.Wait()
	return w.evidence(ctx, e)
}

// end is what one connection showed.
type end struct {
	silence time.Duration // 0: nothing
	dead    bool
	reason  agent.Reason // of its death
}

// watch is what is known of the connection that is kept awake, and of the others.
type watch struct {
	spoken chan struct{} // closed when it heard something, or the wait is over
	word   word          // then: what it was
	at     time.Duration // and after which silence

	mu   sync.Mutex
	ends []end
}

func (w *watch) note(e end) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends = append(w.ends, e)
}

// open reports whether the connection that is kept awake still is.
func (w *watch) open() bool {
	select {
	case <-w.spoken:
		return false
	default:
		return true
	}
}

// evidence sums up. Of a connection that was dead after a while and one that was
// alive after a longer one, the first counts: who spoke differed.
func (w *watch) evidence(ctx context.Context, e agent.Evidence) agent.Evidence {
	if ctx.Err() != nil {
		return agent.See(agent.ProbeIdle, e.Target, agent.NotLooked, agent.Cancelled)
	}
	var dead end
	for _, x := range w.ends {
		if x.dead && (!dead.dead || x.silence < dead.silence) {
			dead = x
		}
	}
	var alive time.Duration
	for _, x := range w.ends {
		if !x.dead && x.silence > alive && (!dead.dead || x.silence < dead.silence) {
			alive = x.silence
		}
	}
	if alive > 0 {
		e = e.With(agent.IdleAlive, seconds(alive))
	}
	if dead.dead {
		e = e.With(agent.IdleDead, seconds(dead.silence))
		e.Reason = dead.reason
	}
	if alive == 0 && !dead.dead {
		e.Outcome, e.Reason, e.Grade = agent.NotLooked, agent.TooFew, agent.Ungraded
	}
	return e
}

func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*10) / 10 }

// listen waits for the service's word on the connection that is kept awake.
func (l look) listen(ctx context.Context, c *conn, w *watch) {
	w.word = c.hear(ctx, c.begun.Add(l.Wait))
	w.at = time.Since(c.begun)
	close(w.spoken)
}

// twin is silent, and compares when it hears something with when its sister does.
func (l look) twin(ctx context.Context, w *watch) end {
	_, c := l.open(ctx)
	if c == nil {
		return end{}
	}
	defer c.close()
	own := make(chan word, 1)
	var listening sync.WaitGroup
	defer listening.Wait()
	silence, stop := context.WithCancel(ctx)
	defer stop()
	listening.Go(func() { own <- c.hear(silence, c.begun.Add(l.Wait+2*l.Grace)) })
	select {
	case <-ctx.Done():
		return end{}
	case heard := <-own:
		return l.heardFirst(ctx, w, heard, time.Since(c.begun))
	case <-w.spoken:
		return l.heardLast(ctx, w, own)
	}
}

// heardFirst is what it means that the twin heard something after a while, and its
// sister nothing yet. If she does not hear it soon, it was not the service that
// spoke, for it cannot know which of them is kept awake: somebody on the way has
// ended the silent one.
func (l look) heardFirst(ctx context.Context, w *watch, heard word, after time.Duration) end {
	select {
	case <-w.spoken:
	case <-time.After(l.grace(after)):
	case <-ctx.Done():
		return end{}
	}
	why, over := heard.ended()
	switch {
	case !w.open() && w.word.service() && heard.service():
		return end{silence: w.at}
	case !w.open() && w.word != nothing, !over, !l.fresh(ctx):
		return end{}
	}
	return end{silence: after, dead: true, reason: why}
}

// heardLast is what it means that the sister heard something, and the twin nothing
// yet.
func (l look) heardLast(ctx context.Context, w *watch, own <-chan word) end {
	if !w.word.service() {
		return end{}
	}
	select {
	case heard := <-own:
		if heard.service() {
			return end{silence: w.at}
		}
	case <-time.After(l.grace(w.at)):
		if l.fresh(ctx) {
			return end{silence: w.at, dead: true, reason: agent.Timeout}
		}
	case <-ctx.Done():
	}
	return end{}
}

// grace is how far two words after a silence may lie apart that were meant for the
// same time.
func (l look) grace(silence time.Duration) time.Duration { return max(l.Grace, silence/10) }

// speak is silent for d, and then speaks.
func (l look) speak(ctx context.Context, d time.Duration, w *watch) end {
	_, c := l.open(ctx)
	if c == nil {
		return end{}
	}
	defer c.close()
	if c.hear(ctx, c.begun.Add(d)) != nothing {
		return end{} // the service was faster
	}
	r := l.say(ctx, c)
	switch {
	case r.Outcome == agent.Answered:
		return end{silence: d}
	case r.Reason != agent.Timeout && r.Reason != agent.ResetAfter:
		return end{}
	}
	if ctx.Err() == nil && w.open() && l.fresh(ctx) {
		return end{silence: d, dead: true, reason: r.Reason}
	}
	return end{}
}

// say makes the connection's voice speak and waits for the answer.
func (l look) say(ctx context.Context, c *conn) reach.Result {
	within, cancel := context.WithTimeout(ctx, l.Grace)
	defer cancel()
	err := c.during(within, func() error { return l.voice.speak(c.Conn) })
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return reach.Classify(err, l.target.Addr)
}

// fresh reports whether a new connection to the service can be made and is
// answered: otherwise the line or the service has gone, and nobody forgot anything.
func (l look) fresh(ctx context.Context) bool {
	_, c := l.open(ctx)
	if c == nil {
		return false
	}
	defer c.close()
	return true
}
