package light

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/hal"
)

// Entry explains one thing that the lamps may show.
type Entry struct {
	Show  Show
	Role  Role        // of the lamp that shows it
	Lamp  hal.Pattern // what that lamp shows, in colour
	Looks string      // in words
	Means string      // with what to do about it
}

// legendOrder is the order in which people look things up: the good, what there
// is to do something about, and what passes by itself.
var legendOrder = []State{
	Ready, Limited, Blocked, NoInternet, NoAddress, NoLink, Unknown, Stopped,
	Starting, Checking, Unclaimed, Updating, Identify, Forget,
}

// Legend explains the lamps in a language: every state on one lamp, then what
// only a lamp of role Box tells.
func Legend(l advice.Lang) []Entry {
	var out []Entry
	for _, s := range legendOrder {
		out = append(out, entry(Show{State: s}, All, l))
	}
	return append(out, entry(Show{State: Ready, Unheard: true}, Box, l))
}

func entry(s Show, role Role, l advice.Lang) Entry {
	return Entry{s, role, s.Pattern(role, Color), advice.LampLooks(s.String(), l), advice.LampMeans(s.String(), l)}
}

// Press explains one way to press the button.
type Press struct{ How, Does string }

// Presses explains the button, in a language.
func Presses(l advice.Lang) []Press {
	var out []Press
	for _, k := range []string{"button-short", "button-5", "button-15"} {
		out = append(out, Press{advice.BoxWord(k, l), advice.BoxWord(k+"-does", l)})
	}
	return out
}

// LegendText is the legend for a terminal of 80 columns.
func LegendText(l advice.Lang) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n%s\n", advice.BoxWord("lamps", l), wrap(advice.BoxWord("lamps-intro", l), ""))
	for _, e := range Legend(l) {
		fmt.Fprintf(&b, "%-16s  %-11s  %s\n%s", e.Lamp, e.Show, e.Looks, wrap(e.Means, strings.Repeat(" ", 18)))
	}
	fmt.Fprintf(&b, "\n%s\n\n", advice.BoxWord("button", l))
	for _, p := range Presses(l) {
		fmt.Fprintf(&b, "%s\n%s", p.How, wrap(p.Does, strings.Repeat(" ", 18)))
	}
	return b.String()
}

// wrap breaks a text at blanks into lines of less than 80 characters.
func wrap(text, indent string) string {
	var b strings.Builder
	n := 0
	for _, word := range strings.Fields(text) {
		size := utf8.RuneCountInString(word)
		switch {
		case n == 0:
		case n+1+size < 80:
			b.WriteByte(' ')
			n++
		default:
			b.WriteByte('\n')
			n = 0
		}
		if n == 0 {
			b.WriteString(indent)
			n = len(indent)
		}
		b.WriteString(word)
		n += size
	}
	return b.String() + "\n"
}
