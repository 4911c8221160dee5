// Package hal holds the words of hardware: what a board is, what a light is and
// what it shows, what a button is. It knows patterns, never verdicts, and does
// nothing itself; package board finds out what there is, package led drives
// lights, package button listens to buttons, and package console drives
// terminals and serial panels.
package hal

import (
	"context"
	"strings"
	"time"
)

// Board says what machine this is.
type Board struct {
	ID   string // as the kernel knows it, such as "raspberrypi,4-model-b"; "pc"; empty: not known
	Name string // as people know it, such as "Raspberry Pi 4 Model B Rev 1.4"; may be empty
}

// Button is something to press.
type Button interface {
	// Run reports each change, true for down, until ctx ends or the button is
	// lost. It must be called by one goroutine at a time. Changes may be
	// missing where the hardware loses them, and repeated.
	Run(ctx context.Context, changed func(down bool)) error
}

// Color is what a light shows at one moment. Lights of one colour show any
// colour but Off as on.
type Color uint8

// The colours, with the letter that a picture uses.
const (
	Off    Color = iota // '-'
	Green               // 'G'
	Yellow              // 'Y'
	Red                 // 'R'
	Blue                // 'B'
	White               // 'W'
)

const letters = "-GYRBW"

// String is the colour's letter in a picture.
func (c Color) String() string {
	if int(c) < len(letters) {
		return letters[c : c+1]
	}
	return "?"
}

// Beat is the time that one letter of a picture stands for.
const Beat = 250 * time.Millisecond

// Step is one colour and how long it lasts.
type Step struct {
	Color Color
	For   time.Duration
}

// Pattern is what one light shows, over and over. A pattern of one step is
// steady, whatever its length; the zero value is dark.
type Pattern []Step

// Steady is a pattern that never changes.
func Steady(c Color) Pattern { return Pattern{{Color: c, For: Beat}} }

// Picture reads a pattern from its picture: one letter a [Beat], as in
// "R-R-----". Letters that are no colour panic: pictures are written by us.
func Picture(s string) Pattern {
	var p Pattern
	for _, r := range s {
		c := strings.IndexRune(letters, r)
		if c < 0 {
			panic("hal: no colour in picture " + s)
		}
		if n := len(p); n > 0 && p[n-1].Color == Color(c) {
			p[n-1].For += Beat
		} else {
			p = append(p, Step{Color(c), Beat})
		}
	}
	return p
}

// String is the pattern's picture, steps rounded up to whole beats.
func (p Pattern) String() string {
	if len(p) == 0 {
		return Off.String()
	}
	var b strings.Builder
	for _, s := range p {
		n := max(1, int((s.For+Beat-1)/Beat))
		b.WriteString(strings.Repeat(s.Color.String(), n))
	}
	return b.String()
}

// IsSteady reports whether the pattern never changes.
func (p Pattern) IsSteady() bool { return len(p) <= 1 }

// Light is one lamp, of one or several colours. It is driven by one goroutine.
type Light interface {
	// Name is the light's role or its name on the board.
	Name() string
	// Set shows a colour now.
	Set(c Color) error
	// Close gives the lamp back to whoever drove it before.
	Close() error
}
