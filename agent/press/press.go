// Package press is what pressing the box's one button means: let go at once and
// it checks, hold it for a while and it shows itself, hold it long and it
// forgets who it belongs to. It knows times, not what the actions do, nor where
// the button is.
package press

import (
	"context"
	"fmt"
	"time"

	"github.com/sprechprobe/sprechprobe/hal"
)

// Action is what a press asks for. The zero value is None.
type Action uint8

// The actions.
const (
	None     Action = iota
	Check           // look at once
	Identify        // show that this is the box, and its address
	Forget          // belong to nobody any more
)

func (a Action) String() string {
	words := []string{"none", "check", "identify", "forget"}
	if int(a) < len(words) {
		return words[a]
	}
	return fmt.Sprintf("invalid(%d)", uint8(a))
}

// Times of a press. A contact bounces for a few milliseconds; what is held for
// too long is stuck, or something lies on it, and means nothing.
const (
	bounce       = 30 * time.Millisecond
	holdIdentify = 5 * time.Second
	holdForget   = 15 * time.Second
	holdStuck    = 30 * time.Second
)

// Held is what it means to let go after so long.
func Held(d time.Duration) Action {
	switch {
	case d < bounce || d >= holdStuck:
		return None
	case d < holdIdentify:
		return Check
	case d < holdForget:
		return Identify
	default:
		return Forget
	}
}

// Run follows a button until ctx ends or the button is lost; only that is an
// error. While it is held, felt tells what letting go now would do, from
// Identify on and whenever that changes; it ends with None. Done tells what was
// asked for. Neither must block.
func Run(ctx context.Context, b hal.Button, felt, done func(Action)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changes := make(chan bool)
	lost := make(chan error, 1)
	go func() {
		lost <- b.Run(ctx, func(down bool) {
			select {
			case changes <- down:
			case <-ctx.Done():
			}
		})
	}()
	p := press{felt: felt, done: done, timer: time.NewTimer(time.Hour)}
	p.timer.Stop()
	for {
		select {
		case down := <-changes:
			p.change(down, time.Now())
		case <-p.timer.C:
			p.due(time.Now())
		case err := <-lost:
			p.feel(None)
			return err
		}
	}
}

// press is one press under way.
type press struct {
	felt, done func(Action)
	timer      *time.Timer
	told       Action // by felt

	held  bool
	since time.Time
	until time.Time // it was let go, if that lasts; zero: it was not
}

func (p *press) change(down bool, now time.Time) {
	switch {
	case down && !p.held:
		p.held, p.since, p.until = true, now, time.Time{}
		p.await(now)
	case down: // it bounced, or was told twice
		p.until = time.Time{}
		p.await(now)
	case p.held && p.until.IsZero():
		p.until = now
		p.timer.Reset(bounce)
	}
}

// due is called when letting go begins to mean something else, or when it has
// lasted.
func (p *press) due(now time.Time) {
	if p.until.IsZero() {
		p.feel(Held(now.Sub(p.since)))
		p.await(now)
		return
	}
	p.held = false
	p.feel(None)
	if a := Held(p.until.Sub(p.since)); a != None {
		p.done(a)
	}
}

func (p *press) feel(a Action) {
	if a != p.told {
		p.told = a
		p.felt(a)
	}
}

// await sets the timer to the next time that letting go means something else.
func (p *press) await(now time.Time) {
	for _, hold := range []time.Duration{holdIdentify, holdForget, holdStuck} {
		if left := p.since.Add(hold).Sub(now); left > 0 {
			p.timer.Reset(left)
			return
		}
	}
	p.timer.Stop()
}
