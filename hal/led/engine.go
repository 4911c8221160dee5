package led

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sprechprobe/sprechprobe/hal"
)

// Patterned is a light that shows more than a colour at a time.
type Patterned interface {
	hal.Light
	// Show tells the pattern that begins now, and the word of the call that
	// brought it. It reports whether the light also wants each colour through
	// Set; if not, nothing wakes up for it.
	Show(p hal.Pattern, word string) (drive bool)
	// Flush ends a batch of Show and Set, on any number of lights.
	Flush() error
}

// Engine plays patterns on lights, all on the goroutine that called Run. A
// steady light costs no wake-up.
type Engine struct {
	players []*player
	trouble func(light string, err error)
	news    chan struct{}
	wakes   atomic.Uint64 // rounds of Run
	last    fallback

	mu     sync.Mutex
	next   map[string]hal.Pattern // not yet taken by Run
	asked  map[string]hal.Pattern // all that Show was given
	word   string
	kept   time.Time // when somebody last answered for what is shown
	fallen bool      // nobody did: the lights show the fallback
	turn   time.Time // of Run's last round
}

// fallback is what the lights show when nobody answers for them any more.
type fallback struct {
	after    time.Duration // 0: never
	word     string
	patterns map[string]hal.Pattern
}

// NewEngine makes an engine for lights. Trouble is called once when a light
// begins to fail and once, with a nil error, when it works again; it must not
// block, and may be nil. A light stays as it is until it is given a pattern.
func NewEngine(lights []hal.Light, trouble func(light string, err error)) *Engine {
	if trouble == nil {
		trouble = func(string, error) {}
	}
	e := &Engine{trouble: trouble, news: make(chan struct{}, 1), next: map[string]hal.Pattern{}, asked: map[string]hal.Pattern{}}
	for _, l := range lights {
		e.players = append(e.players, newPlayer(l))
	}
	return e
}

// Show sets patterns by light's name; lights that are not named go on, names
// without a light are passed over. If any of the patterns is new, all of them
// begin anew at the same moment and so stay in step; if none is, nothing
// happens. The word is for lights that can write. Show never blocks and may be
// called from any goroutine; the patterns must not be changed afterwards.
func (e *Engine) Show(word string, patterns map[string]hal.Pattern) {
	e.mu.Lock()
	maps.Copy(e.asked, patterns)
	maps.Copy(e.next, patterns)
	e.word = word
	e.keep()
	e.mu.Unlock()
	e.nudge()
}

// Fallback makes the lights show these patterns by themselves once neither Show
// nor Keep was called for so long: whoever knows the truth is stuck then, and
// what it said last must not stand. It costs a steady light one wake-up in that
// time. Fallback is called before Run.
func (e *Engine) Fallback(after time.Duration, word string, patterns map[string]hal.Pattern) {
	e.last = fallback{after, word, patterns}
}

// Keep says that what was shown last is still true. It never blocks. It reports
// whether the lights follow: false if a light has held up Run for longer than
// the fallback's time.
func (e *Engine) Keep() bool {
	e.mu.Lock()
	fallen := e.fallen
	e.keep()
	stuck := e.last.after > 0 && !e.turn.IsZero() && time.Since(e.turn) > 2*e.last.after
	e.mu.Unlock()
	if fallen {
		e.nudge()
	}
	return !stuck
}

// keep notes that somebody answers for what is shown, and brings that back if
// nobody did for a while.
func (e *Engine) keep() {
	e.kept = time.Now()
	if e.fallen {
		e.fallen, e.next = false, maps.Clone(e.asked)
	}
}

func (e *Engine) nudge() {
	select {
	case e.news <- struct{}{}:
	default: // Run has not taken the last ones yet and will see these as well
	}
}

// Run plays until ctx ends and then gives all lamps back. It returns nil.
func (e *Engine) Run(ctx context.Context) error {
	defer e.close()
	timer := time.NewTimer(0)
	timer.Stop()
	defer timer.Stop()
	e.Keep()
	for {
		e.wakes.Add(1)
		now := time.Now()
		left := e.take(now)
		if wait := sooner(e.play(now), left); wait > 0 {
			timer.Reset(time.Until(now.Add(wait)))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-e.news:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// take hands the newest patterns to their players, and returns how long they may
// stand without being kept; 0 is for ever.
func (e *Engine) take(now time.Time) (left time.Duration) {
	next, word, left := e.due(now)

	var named []*player
	restart := false
	for _, p := range e.players {
		if pattern, ok := next[p.light.Name()]; ok {
			named = append(named, p)
			restart = restart || !p.started || !slices.Equal(p.pattern, pattern)
		}
	}
	for _, p := range named {
		switch {
		case restart:
			p.begin(next[p.light.Name()], word, now)
		case p.word != word:
			p.say(word)
		}
	}
	return left
}

// due is what was asked for since the last round, or the fallback once its time
// has come.
func (e *Engine) due(now time.Time) (next map[string]hal.Pattern, word string, left time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.turn = now
	if e.last.after > 0 && !e.fallen {
		if left = e.last.after - now.Sub(e.kept); left <= 0 {
			e.fallen, e.next, left = true, maps.Clone(e.last.patterns), 0
		}
	}
	next, word = e.next, e.word
	if e.fallen {
		word = e.last.word
	}
	e.next = map[string]hal.Pattern{}
	return next, word, left
}

// sooner is the shorter of two times, of which 0 is for ever.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// play brings all lights up to date and returns how long they stay so; 0 is
// for ever.
func (e *Engine) play(now time.Time) time.Duration {
	for _, p := range e.players {
		p.step(now)
	}
	var wait time.Duration
	for _, p := range e.players {
		was := p.failed
		if err := p.settle(now); err != nil && !was {
			e.trouble(p.light.Name(), err)
		} else if was && !p.failed {
			e.trouble(p.light.Name(), nil)
		}
		wait = sooner(wait, p.rest(now))
	}
	return wait
}

func (e *Engine) close() {
	for _, p := range e.players {
		if err := p.light.Close(); err != nil && !p.failed {
			e.trouble(p.light.Name(), err)
		}
	}
}
