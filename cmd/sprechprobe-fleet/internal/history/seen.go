package history

import (
	"fmt"
	"strconv"
	"strings"
)

// seen says which reports of one run of a box there are, so that nobody has to look
// for a report to know that it is new: all numbers up to top but those in gaps. See [none].
type seen struct {
	top    int64
	gaps   []span
	unsure int64 // of numbers below it nothing is known: there were too many gaps
}

// span is numbers from the first to the last one, both included.
type span struct{ from, to int64 }

// mostGaps bounds what is written of one run.
const mostGaps = 24

// none is a run of which there is no report.
func none() seen { return seen{top: -1} }

// add enters a number. It says whether the number is new, and whether that is sure:
// if not, the reports have to be asked.
func (s *seen) add(n int64) (fresh, sure bool) {
	if n > s.top {
		if n > s.top+1 {
			s.gaps = append(s.gaps, span{s.top + 1, n - 1})
		}
		s.top = n
		s.bound()
		return true, true
	}
	if n < s.unsure {
		return false, false
	}
	for i, g := range s.gaps {
		if n < g.from || n > g.to {
			continue
		}
		rest := make([]span, 0, len(s.gaps)+1)
		rest = append(rest, s.gaps[:i]...)
		if g.from < n {
			rest = append(rest, span{g.from, n - 1})
		}
		if n < g.to {
			rest = append(rest, span{n + 1, g.to})
		}
		s.gaps = append(rest, s.gaps[i+1:]...)
		s.bound()
		return true, true
	}
	return false, true
}

// bound forgets the lowest gaps where there are too many.
func (s *seen) bound() {
	for len(s.gaps) > mostGaps {
		s.unsure, s.gaps = s.gaps[0].to+1, s.gaps[1:]
	}
}

// text writes the gaps for a table: "9;12-14 20", of which the first is where
// numbers begin to be known.
func (s seen) text() string {
	if s.unsure == 0 && len(s.gaps) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d;", s.unsure)
	for i, g := range s.gaps {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%d", g.from)
		if g.to != g.from {
			fmt.Fprintf(&b, "-%d", g.to)
		}
	}
	return b.String()
}

// parseSeen reads what text wrote. What cannot be read is not known.
func parseSeen(top int64, text string) seen {
	s := seen{top: top}
	if text == "" {
		return s
	}
	unsure, gaps, ok := strings.Cut(text, ";")
	n, err := strconv.ParseInt(unsure, 10, 64)
	s.unsure = n
	for _, word := range strings.Fields(gaps) {
		from, to, more := strings.Cut(word, "-")
		if !more {
			to = from
		}
		a, errA := strconv.ParseInt(from, 10, 64)
		z, errZ := strconv.ParseInt(to, 10, 64)
		ok = ok && errA == nil && errZ == nil
		s.gaps = append(s.gaps, span{a, z})
	}
	if !ok || err != nil {
		return seen{top: top, unsure: top + 1}
	}
	return s
}
