// Package haltest holds hardware for tests: lights that record what they
// showed, LED class trees, files of known boards, and pairs of terminals. They
// are small real things, not mocks, and know no verdict.
package haltest

import (
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/hal"
)

// Change is one colour that a light was set to, and when.
type Change struct {
	At    time.Time
	Color hal.Color
}

// Light is a light that records. All methods may be called at once.
type Light struct {
	name string

	mu     sync.Mutex
	seen   []Change
	tries  int
	err    error
	closed bool
}

// NewLight makes a light of this name.
func NewLight(name string) *Light { return &Light{name: name} }

// Name is the light's name.
func (l *Light) Name() string { return l.name }

// Set records the colour, or fails as [Light.Fail] told it to.
func (l *Light) Set(c hal.Color) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tries++
	if l.err != nil {
		return l.err
	}
	l.seen = append(l.seen, Change{time.Now(), c})
	return nil
}

// Close records that the lamp was given back.
func (l *Light) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return l.err
}

// Fail lets Set and Close return err from now on; nil repairs the light.
func (l *Light) Fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// Seen is what the light showed so far.
func (l *Light) Seen() []Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Change(nil), l.seen...)
}

// Tries is how often Set was called, failures included.
func (l *Light) Tries() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tries
}

// Closed reports whether Close was called.
func (l *Light) Closed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}
