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

	mu   sync.Mutex
	next map[string]hal.Pattern // not yet taken by Run
	word string
}

// NewEngine makes an engine for lights. Trouble is called once when a light
// begins to fail and once, with a nil error, when it works again; it must not
// block, and may be nil. A light stays as it is until it is given a pattern.
func NewEngine(lights []hal.Light, trouble func(light string, err error)) *Engine {
	if trouble == nil {
		trouble = func(string, error) {}
	}
	e := &Engine{trouble: trouble, news: make(chan struct{}, 1), next: map[string]hal.Pattern{}}
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
	maps.Copy(e.next, patterns)
	e.word = word
	e.mu.Unlock()
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
	for {
		e.wakes.Add(1)
		now := time.Now()
		e.take(now)
		if wait := e.play(now); wait > 0 {
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

// take hands the newest patterns to their players.
func (e *Engine) take(now time.Time) {
	e.mu.Lock()
	next, word := e.next, e.word
	e.next = map[string]hal.Pattern{}
	e.mu.Unlock()

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
		if d := p.rest(now); d > 0 && (wait == 0 || d < wait) {
			wait = d
		}
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
