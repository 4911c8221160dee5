package led

import (
	"fmt"
	"io"
	"strings"

	"golang.org/x/term"

	"github.com/sprechprobe/sprechprobe/hal"
)

// Drawing draws lights as text. On a terminal they are one line, redrawn in
// place, in colour, each with its name and its pattern's picture. Anywhere
// else there is one line whenever a pattern or the word changes:
//
//	lights: box=GGGGGGGGGGGGGGG- video=R-R-R-R------ (blocked)
//
// The lights come in the order in which they were made, each as name=picture
// (see [hal.Pattern]; '-' alone is dark), then the word in brackets. The last
// line has the word "gone". Other programs read these lines.
//
// Its lights belong to one goroutine; a writer that blocks holds them up.
type Drawing struct {
	w      io.Writer
	live   bool
	lights []*drawn
	word   string
	dirty  bool
}

// Draw makes a drawing on w, with no lights yet.
func Draw(w io.Writer) *Drawing {
	f, ok := w.(interface{ Fd() uintptr })
	return &Drawing{w: w, live: ok && term.IsTerminal(int(f.Fd()))}
}

// Light adds a light.
func (d *Drawing) Light(name string) Patterned {
	l := &drawn{d: d, name: name}
	d.lights = append(d.lights, l)
	return l
}

// drawn is one light of a drawing.
type drawn struct {
	d       *Drawing
	name    string
	pattern hal.Pattern
	color   hal.Color
	closed  bool
}

func (l *drawn) Name() string { return l.name }

// Show notes the pattern; only a terminal has use for each colour of it.
func (l *drawn) Show(p hal.Pattern, word string) (drive bool) {
	l.pattern, l.d.word, l.d.dirty = p, word, true
	return l.d.live
}

func (l *drawn) Set(c hal.Color) error {
	l.color, l.d.dirty = c, true
	return nil
}

// Flush draws once for all lights that changed.
func (l *drawn) Flush() error {
	if !l.d.dirty {
		return nil
	}
	l.d.dirty = false
	_, err := io.WriteString(l.d.w, l.d.text())
	return err
}

// Close ends the drawing with its last light.
func (l *drawn) Close() error {
	l.closed, l.pattern, l.color = true, nil, hal.Off
	for _, other := range l.d.lights {
		if !other.closed {
			return nil
		}
	}
	l.d.word, l.d.dirty = "gone", true
	err := l.Flush()
	if l.d.live && err == nil {
		_, err = io.WriteString(l.d.w, "\n")
	}
	return err
}

func (d *Drawing) text() string {
	if d.live {
		return d.redraw()
	}
	var b strings.Builder
	b.WriteString("lights:")
	for _, l := range d.lights {
		fmt.Fprintf(&b, " %s=%s", l.name, l.pattern)
	}
	fmt.Fprintf(&b, " (%s)\n", d.word)
	return b.String()
}

// redraw is the line with its own way back to its start. Wrapping is off
// meanwhile: a line that wrapped could not be drawn over.
func (d *Drawing) redraw() string {
	var b strings.Builder
	b.WriteString("\r\x1b[?7l")
	for _, l := range d.lights {
		fmt.Fprintf(&b, "%s %s %s  ", l.name, bulb(l.color), l.pattern)
	}
	fmt.Fprintf(&b, "%s\x1b[K\x1b[?7h", d.word)
	return b.String()
}

// bulb is a lamp in a terminal's bright colours.
func bulb(c hal.Color) string {
	sgr := map[hal.Color]int{hal.Green: 92, hal.Yellow: 93, hal.Red: 91, hal.Blue: 94, hal.White: 97}[c]
	if sgr == 0 {
		return "○"
	}
	return fmt.Sprintf("\x1b[%dm●\x1b[0m", sgr)
}
