package led

import (
	"errors"

	"github.com/sprechprobe/sprechprobe/hal"
)

// emitter is something that is on or off.
type emitter interface {
	set(on bool) error
	release() error
}

// lamp is a light made of emitters: one, or red, green and blue, of which one
// may be nil.
type lamp struct {
	name  string
	parts []emitter
}

func (l *lamp) Name() string { return l.name }

// Set puts out before it lights, so that no third colour flashes up between.
func (l *lamp) Set(c hal.Color) error {
	on := l.levels(c)
	var errs []error
	for _, want := range []bool{false, true} {
		for i, e := range l.parts {
			if e != nil && on[i] == want {
				errs = append(errs, e.set(want))
			}
		}
	}
	return errors.Join(errs...)
}

// levels says which parts are on. A colour that none of the parts can show
// lights all of them: that something is lit matters more than its colour.
func (l *lamp) levels(c hal.Color) []bool {
	on := make([]bool, len(l.parts))
	if c == hal.Off {
		return on
	}
	lit := false
	if len(l.parts) == 3 {
		for i, want := range rgb(c) {
			on[i] = want && l.parts[i] != nil
			lit = lit || on[i]
		}
	}
	for i := range on {
		on[i] = on[i] || !lit
	}
	return on
}

func (l *lamp) Close() error {
	var errs []error
	for _, e := range l.parts {
		if e != nil {
			errs = append(errs, e.release())
		}
	}
	return errors.Join(errs...)
}

// rgb says which of red, green and blue make up a colour.
func rgb(c hal.Color) [3]bool {
	switch c {
	case hal.Red:
		return [3]bool{true, false, false}
	case hal.Green:
		return [3]bool{false, true, false}
	case hal.Yellow:
		return [3]bool{true, true, false}
	case hal.Blue:
		return [3]bool{false, false, true}
	case hal.White:
		return [3]bool{true, true, true}
	default:
		return [3]bool{}
	}
}
