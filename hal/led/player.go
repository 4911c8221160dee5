package led

import (
	"time"

	"github.com/sprechprobe/sprechprobe/hal"
)

// How long a failing light is left alone: from firstRetry, doubled each time.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// player plays one light's pattern.
type player struct {
	light   hal.Light
	writes  Patterned // nil: an ordinary light
	pattern hal.Pattern
	word    string
	since   time.Time
	started bool
	drive   bool // the light wants colours

	color hal.Color // that the lamp shows, if shown
	shown bool
	dirty bool // something was said or shown since the last flush
	err   error

	failed  bool
	retryAt time.Time
	backoff time.Duration
}

func newPlayer(l hal.Light) *player {
	p := &player{light: l}
	p.writes, _ = l.(Patterned)
	return p
}

// begin starts a pattern from its first step.
func (p *player) begin(pattern hal.Pattern, word string, now time.Time) {
	p.pattern, p.since, p.started, p.drive = pattern, now, true, true
	p.say(word)
}

// say tells pattern and word to a light that can write.
func (p *player) say(word string) {
	p.word = word
	if p.writes != nil {
		p.drive = p.writes.Show(p.pattern, word)
		p.dirty = true
	}
}

// step shows the colour that is due.
func (p *player) step(now time.Time) {
	if !p.started || p.resting(now) {
		return
	}
	if p.failed && p.writes != nil {
		p.say(p.word) // it may have missed it
	}
	if !p.drive {
		return
	}
	c, _ := at(p.pattern, now.Sub(p.since))
	if p.shown && c == p.color {
		return
	}
	p.err = p.light.Set(c)
	p.color, p.shown, p.dirty = c, true, true
}

// settle flushes what step did, and keeps the account of failures.
func (p *player) settle(now time.Time) error {
	if !p.dirty || p.resting(now) {
		return nil
	}
	err := p.err
	if p.writes != nil && err == nil {
		err = p.writes.Flush()
	}
	p.dirty, p.err = false, nil
	if err == nil {
		p.failed, p.backoff = false, 0
		return nil
	}
	p.backoff = min(max(2*p.backoff, firstRetry), lastRetry)
	p.failed, p.shown, p.retryAt = true, false, now.Add(p.backoff)
	return err
}

// resting reports whether a failed light is left alone for now.
func (p *player) resting(now time.Time) bool { return p.failed && now.Before(p.retryAt) }

// rest is how long the light needs no attention; 0 is for ever.
func (p *player) rest(now time.Time) time.Duration {
	switch {
	case p.failed:
		return p.retryAt.Sub(now)
	case !p.started || !p.drive:
		return 0
	default:
		_, d := at(p.pattern, now.Sub(p.since))
		return d
	}
}

// at returns a pattern's colour at a time since its start, and how long that
// lasts; 0 is for ever.
func at(p hal.Pattern, t time.Duration) (hal.Color, time.Duration) {
	if len(p) == 0 {
		return hal.Off, 0
	}
	if p.IsSteady() {
		return p[0].Color, 0
	}
	var period time.Duration
	for _, s := range p {
		period += length(s)
	}
	t %= period
	for _, s := range p {
		if t < length(s) {
			return s.Color, length(s) - t
		}
		t -= length(s)
	}
	return hal.Off, hal.Beat // not reached: t is less than the sum
}

// length is a step's time; one without any would spin.
func length(s hal.Step) time.Duration {
	if s.For <= 0 {
		return hal.Beat
	}
	return s.For
}
