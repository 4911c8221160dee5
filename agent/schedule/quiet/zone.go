package quiet

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"
)

// German is the time of Germany, as [ParseZone] reads it.
const German = "CET-1CEST,M3.5.0,M10.5.0/3"

// ParseZone reads a time zone as POSIX writes it in TZ: CET-1CEST,M3.5.0,M10.5.0/3.
// A router seldom has the files that names such as Europe/Berlin need.
func ParseZone(s string) (*time.Location, error) {
	const unread = "-00" // RFC 9636: not known
	bad := fmt.Errorf("bad time zone %.60q: want a text as POSIX has it in TZ, such as %s", s, German)
	if s == "" || len(s) > 60 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, bad
	}
	// A file of RFC 9636 with one kind of time and no changes, but for those that
	// the text in its footer describes.
	block := append([]byte("TZif2"), make([]byte, 15)...)
	for _, n := range []uint32{0, 0, 0, 0, 1, uint32(len(unread) + 1)} {
		block = binary.BigEndian.AppendUint32(block, n)
	}
	block = append(append(block, make([]byte, 6)...), unread+"\x00"...)
	zone, err := time.LoadLocationFromTZData(s, slices.Concat(block, block, []byte("\n"+s+"\n")))
	if err != nil {
		return nil, bad
	}
	for _, month := range []time.Month{time.January, time.July} {
		if name, _ := time.Date(2026, month, 15, 12, 0, 0, 0, zone).Zone(); name == unread {
			return nil, bad
		}
	}
	return zone, nil
}

// Outside is all the time that is not in a span, as closed hours: what keeps a job
// within the span.
func Outside(s Span) []Span {
	open := make([][]Span, len(days)) // by weekday, of which only From and Until count
	for _, d := range s.Days {
		if s.Until > s.From {
			open[d] = append(open[d], Span{From: s.From, Until: s.Until})
			continue
		}
		open[d] = append(open[d], Span{From: s.From, Until: day})
		next := (d + 1) % time.Weekday(len(days))
		open[next] = append(open[next], Span{Until: s.Until})
	}
	var out []Span
	for d, parts := range open {
		slices.SortFunc(parts, func(a, b Span) int { return int(a.From - b.From) })
		var from time.Duration
		for _, p := range append(parts, Span{From: day}) {
			if p.From > from {
				out = append(out, Span{From: from, Until: p.From, Days: []time.Weekday{time.Weekday(d)}})
			}
			from = max(from, p.Until)
		}
	}
	return out
}
