package demo

import (
	"fmt"
	"strings"
	"time"
)

// lights is what the box's lights show, as its program draws them where there is
// no terminal:
//
//	lights: box=GGGG video=R-R-R-R------ (blocked)
type lights struct {
	lamps []lamp
	word  string
}

// lamp is one light with its picture: one letter for each beat.
type lamp struct {
	name, picture string
}

// beat is the time that one letter of a picture stands for.
const beat = 250 * time.Millisecond

const maxPicture = 240 // letters: a minute

// parseLights reads such a line, and leaves out what it does not understand.
func parseLights(line string) (lights, bool) {
	rest, ok := strings.CutPrefix(line, "lights: ")
	if !ok {
		return lights{}, false
	}
	var l lights
	if i := strings.LastIndex(rest, "("); i >= 0 {
		l.word = strings.TrimSuffix(strings.TrimSpace(rest[i+1:]), ")")
		rest = rest[:i]
	}
	for field := range strings.FieldsSeq(rest) {
		name, picture, ok := strings.Cut(field, "=")
		if !ok || name == "" || picture == "" || len(picture) > maxPicture || strings.Trim(picture, "-GYRBW") != "" {
			continue
		}
		l.lamps = append(l.lamps, lamp{name, picture})
	}
	return l, true
}

// String is the lights in one line, as pictures.
func (l lights) String() string {
	var parts []string
	for _, lamp := range l.lamps {
		parts = append(parts, lamp.name+"="+lamp.picture)
	}
	return strings.Join(parts, " ") + " (" + l.word + ")"
}

// at is the colour that a lamp shows at a time since its picture began.
func (l lamp) at(since time.Duration) byte {
	return l.picture[int(since/beat)%len(l.picture)]
}

// bulb draws a colour for a terminal; the letter says it without colour.
func bulb(letter byte) string {
	sgr, lit := map[byte]int{'G': 92, 'Y': 93, 'R': 91, 'B': 94, 'W': 97}[letter]
	if !lit {
		return "\x1b[90m○ \x1b[0m"
	}
	return fmt.Sprintf("\x1b[%dm●\x1b[2m%c\x1b[0m", sgr, letter)
}
