// Package trend keeps when a line was looked at and whether it was poor, and finds
// the hours of the day in which it regularly is. It knows no probe: what a look is,
// and what poor is, others say.
package trend

import (
	"maps"
	"slices"
	"time"
)

// Look is what one measurement came to.
type Look struct {
	At   time.Time
	What string // was looked at: two kinds of looks are not held against each other
	Poor bool
}

// Hours are those of a day in which a line is poor time and again, while it is well
// at others.
type Hours struct {
	From, Until int // by the clock on the wall, 0 to 23; until may be before from: through midnight
	Poor, Of    int // days on which it was poor then, of those on which anybody looked
	Now         bool
}

// What it takes to speak of hours: four days are no accident, and whoever never
// looks at other times does not know that those are better.
const (
	remembered = 14 * 24 * time.Hour
	fresh      = 4 * 24 * time.Hour // the newest poor look in those hours
	widest     = 8                  // hours; a third of a day
	fewestPoor = 4                  // days
	fewestElse = 8                  // hours looked at at other times
	fewestDays = 4                  // on which that was done
)

// cell is an hour of a day.
type cell struct {
	day  time.Time // its midnight, as if in UTC
	hour int
	poor bool
}

// Find finds the hours. An hour of a day is poor when any look in it was. A
// stretch counts where three of four days were poor in it and nine of ten looked-at
// hours beside it were not; of several it is the one with the most poor hours, and
// of those the shortest.
func Find(looks []Look, now time.Time, zone *time.Location) (Hours, bool) {
	kinds := map[string][]Look{}
	for _, l := range looks {
		kinds[l.What] = append(kinds[l.What], l)
	}
	var best Hours
	most := 0
	for _, what := range slices.Sorted(maps.Keys(kinds)) {
		cells := cellsOf(kinds[what], now, zone)
		for width := 1; width <= widest; width++ {
			for from := range 24 {
				if h, hits, ok := stretch(cells, from, width, now, zone); ok && hits > most {
					best, most = h, hits
				}
			}
		}
	}
	if most == 0 {
		return Hours{}, false
	}
	best.Now = inside(now.In(zone).Hour(), best.From, (best.Until-best.From+24)%24)
	return best, true
}

// cellsOf are the hours that were looked at, in order.
func cellsOf(looks []Look, now time.Time, zone *time.Location) []cell {
	var out []cell
	for _, l := range looks {
		if l.At.After(now) || now.Sub(l.At) > remembered {
			continue
		}
		at := l.At.In(zone)
		y, m, d := at.Date()
		c := cell{day: time.Date(y, m, d, 0, 0, 0, 0, time.UTC), hour: at.Hour(), poor: l.Poor}
		if i := slices.IndexFunc(out, func(x cell) bool { return x.day.Equal(c.day) && x.hour == c.hour }); i >= 0 {
			out[i].poor = out[i].poor || c.poor
			continue
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b cell) int { return a.at().Compare(b.at()) })
	return out
}

func (c cell) at() time.Time { return c.day.Add(time.Duration(c.hour) * time.Hour) }

// inside reports whether an hour is one of width from another on.
func inside(hour, from, width int) bool { return (hour-from+24)%24 < width }

// stretch judges width hours from one on; hits is how many of them were poor.
func stretch(cells []cell, from, width int, now time.Time, zone *time.Location) (h Hours, hits int, ok bool) {
	poorOn, lookedOn, elseOn := map[time.Time]bool{}, map[time.Time]bool{}, map[time.Time]bool{}
	var looked, others, otherPoor int
	var last cell
	for _, c := range cells {
		if !inside(c.hour, from, width) {
			others++
			elseOn[c.day] = true
			if c.poor {
				otherPoor++
			}
			continue
		}
		// What begins before midnight belongs to the day on which it begins.
		day := c.at().Add(-time.Duration(from) * time.Hour).Truncate(24 * time.Hour)
		looked, last, lookedOn[day] = looked+1, c, true
		if c.poor {
			hits++
			poorOn[day] = true
		}
	}
	y, m, d := now.In(zone).Date()
	today := time.Date(y, m, d, now.In(zone).Hour(), 0, 0, 0, time.UTC)
	h = Hours{From: from, Until: (from + width) % 24, Poor: len(poorOn), Of: len(lookedOn)}
	return h, hits, h.Poor >= fewestPoor && 4*h.Poor >= 3*h.Of && 4*hits >= 3*looked &&
		others >= fewestElse && len(elseOn) >= fewestDays && 10*otherPoor <= others &&
		last.poor && today.Sub(last.at()) <= fresh
}
