package advice

import (
	"strings"
	"unicode/utf8"
)

// page collects lines of at most width runes.
type page struct {
	strings.Builder
	width int
}

// blank ends a paragraph.
func (p *page) blank() { p.WriteByte('\n') }

// para writes text after a label, broken at blanks; further lines stand below
// the text's begin. A word that is longer than a line is broken anywhere.
func (p *page) para(label, text string) {
	room := p.width - utf8.RuneCountInString(label)
	line, n := label, 0
	flush := func() {
		p.WriteString(strings.TrimRight(line, " ") + "\n")
		line, n = strings.Repeat(" ", p.width-room), 0
	}
	for _, word := range strings.Fields(text) {
		if size := utf8.RuneCountInString(word); n > 0 && n+1+size > room {
			flush()
		} else if n > 0 {
			line, n = line+" ", n+1
		}
		for runes := []rune(word); len(runes) > 0; {
			if n == room {
				flush()
			}
			k := min(len(runes), room-n)
			line, n, runes = line+string(runes[:k]), n+k, runes[k:]
		}
	}
	flush()
}

// rows writes paragraphs under labels of one width; rows without text are left
// out, and a row without a label goes on with the one before.
func (p *page) rows(indent string, rows [][2]string) {
	wide := 0
	for _, r := range rows {
		if r[1] != "" {
			wide = max(wide, utf8.RuneCountInString(r[0]))
		}
	}
	for _, r := range rows {
		if r[1] != "" {
			p.para(indent+pad(r[0], wide+2), r[1])
		}
	}
}

func pad(s string, n int) string {
	return s + strings.Repeat(" ", max(0, n-utf8.RuneCountInString(s)))
}
