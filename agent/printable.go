package agent

import (
	"strings"
	"unicode"
)

// Printable is text from a foreign host made fit for a report: control and other
// invisible runes become blanks, runs of blanks one, and what is over most runes
// is cut.
func Printable(s string, most int) string {
	s = s[:min(len(s), 4*most)] // a rune has at most four bytes
	s = strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > most {
		s = string(r[:most])
	}
	return s
}
