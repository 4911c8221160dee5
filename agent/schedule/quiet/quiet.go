// Package quiet says when a job may run that others would notice: not in the
// hours that belong to the practice, not more often than its data budget allows,
// and at a random time, so that a fleet does not come at once. It is pure: time,
// chance and what was used so far come in as values, and it knows no job.
package quiet

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Span is a part of the days of a week, by the clock on the wall. Until at or
// before From reaches into the next day: 20:00 to 06:00 is a night that begins
// on one of the days.
type Span struct {
	From, Until time.Duration // since midnight, less than 24 h; Until may be 24 h
	Days        []time.Weekday
}

// days as people write them, and the order of the week.
var days = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// ParseSpan reads "08:00-18:00", every day, or "mon-fri 08:00-18:00", or
// "sat,sun 20:00-06:00".
func ParseSpan(s string) (Span, error) {
	bad := func(what string) (Span, error) { return Span{}, fmt.Errorf("bad hours %.40q: %s", s, what) }
	var out Span
	f := strings.Fields(s)
	hours := ""
	switch len(f) {
	case 1:
		hours = f[0]
		for d := range days {
			out.Days = append(out.Days, time.Weekday(d))
		}
	case 2:
		hours = f[1]
		var err error
		if out.Days, err = parseDays(f[0]); err != nil {
			return bad(err.Error())
		}
	default:
		return bad("want, for example, mon-fri 08:00-18:00")
	}
	from, until, ok := strings.Cut(hours, "-")
	var okFrom, okUntil bool
	out.From, okFrom = parseClock(from)
	out.Until, okUntil = parseClock(until)
	switch {
	case !ok:
		return bad("want, for example, 08:00-18:00")
	case !okFrom || out.From == day:
		return bad(fmt.Sprintf("bad start %q", from))
	case !okUntil:
		return bad(fmt.Sprintf("bad end %q", until))
	case out.From == out.Until:
		return bad("it ends where it starts")
	}
	return out, nil
}

const day = 24 * time.Hour

func parseDays(s string) ([]time.Weekday, error) {
	var out []time.Weekday
	for part := range strings.SplitSeq(strings.ToLower(s), ",") {
		first, last, span := strings.Cut(part, "-")
		a, b := slices.Index(days, first), slices.Index(days, last)
		if !span {
			b = a
		}
		if a < 0 || b < 0 {
			return nil, fmt.Errorf("bad days %q", part)
		}
		for d := a; ; d = (d + 1) % 7 {
			if !slices.Contains(out, time.Weekday(d)) {
				out = append(out, time.Weekday(d))
			}
			if d == b {
				break
			}
		}
	}
	return out, nil
}

// parseClock reads 00:00 to 24:00.
func parseClock(s string) (time.Duration, bool) {
	h, m, ok := strings.Cut(s, ":")
	hours, errH := strconv.ParseUint(h, 10, 8)
	minutes, errM := strconv.ParseUint(m, 10, 8)
	d := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	return d, ok && errH == nil && errM == nil && len(h) == 2 && len(m) == 2 && minutes < 60 && d <= day
}

// Policy says when a job may run.
type Policy struct {
	Closed   []Span         // hours that belong to the practice
	Zone     *time.Location // of the clock on the wall; nil: UTC
	Every    time.Duration  // from one run to the next, on average
	Takes    time.Duration  // the longest that a run takes
	Cost     int64          // bytes that a run moves at most
	PerDay   int64          // bytes; 0: no limit
	PerMonth int64          // bytes; 0: no limit
}

// Use is what one run has moved.
type Use struct {
	At    time.Time
	Bytes int64
}

// Why says what holds a job back.
type Why string

// The reasons. Spread is none: the job waits for its own time.
const (
	Spread      Why = "spread"       // its turn is later, by chance
	ClosedHours Why = "closed-hours" // the practice has the line to itself
	DayUsed     Why = "day-used"     // the budget of the day is used up
	MonthUsed   Why = "month-used"   // that of the month
	NoTime      Why = "no-time"      // there is no hour in which the job may run
	NoClock     Why = "no-clock"     // nobody knows what time it is
)

// Next says when the job runs next, at or after now, and what it waits for
// until then. used are the runs so far, in any order; chance is from 0 up to 1
// and should be new for each answer that is used. Without a time (the zero one)
// there is nothing to wait for: ask again when something has changed.
func (p Policy) Next(now time.Time, synced bool, used []Use, chance float64) (at time.Time, why Why) {
	if !synced && (len(p.Closed) > 0 || p.PerDay > 0 || p.PerMonth > 0) {
		return time.Time{}, NoClock
	}
	if p.PerDay > 0 && p.Cost > p.PerDay {
		return time.Time{}, DayUsed
	}
	if p.PerMonth > 0 && p.Cost > p.PerMonth {
		return time.Time{}, MonthUsed
	}
	why = Spread
	from := now
	if last := latest(used); !last.IsZero() && p.Every > 0 {
		// Half of the time is waited, the rest is chance: on average Every.
		if turn := last.Add(p.Every / 2); turn.After(from) && last.Before(now.Add(time.Second)) {
			from = turn
		}
	}
	for range maxSteps {
		at, free := p.affordable(from, used)
		if free != "" {
			why = free
		}
		open, until := p.open(at)
		switch {
		case open.IsZero():
			return time.Time{}, NoTime
		case !open.Equal(at):
			why, from = ClosedHours, open
			continue
		}
		width := min(until.Sub(at)-p.Takes, max(p.Every, 0))
		if edge := p.budgetEdge(at); width > 0 && edge.Sub(at) < width {
			width = max(edge.Sub(at)-p.Takes, 0)
		}
		if start := at.Add(time.Duration(chance * float64(max(width, 0)))); start.After(now) {
			return start, why
		}
		return now, why
	}
	return time.Time{}, NoTime
}

const (
	maxSteps = 100
	lookout  = 8 // days in which an open hour must come
)

func latest(used []Use) (last time.Time) {
	for _, u := range used {
		if u.At.After(last) {
			last = u.At
		}
	}
	return last
}

func (p Policy) zone() *time.Location {
	if p.Zone == nil {
		return time.UTC
	}
	return p.Zone
}

// affordable is the first time at or after from at which the budgets allow a
// run, and which of them had to be waited for.
func (p Policy) affordable(from time.Time, used []Use) (at time.Time, why Why) {
	at = from
	for range 2 { // the next day may be in a month that has budget, and the other way round
		y, m, d := at.In(p.zone()).Date()
		today, tomorrow := time.Date(y, m, d, 0, 0, 0, 0, p.zone()), time.Date(y, m, d+1, 0, 0, 0, 0, p.zone())
		month, next := time.Date(y, m, 1, 0, 0, 0, 0, p.zone()), time.Date(y, m+1, 1, 0, 0, 0, 0, p.zone())
		switch {
		case p.PerMonth > 0 && sum(used, month, next)+p.Cost > p.PerMonth:
			at, why = next, MonthUsed
		case p.PerDay > 0 && sum(used, today, tomorrow)+p.Cost > p.PerDay:
			at, why = tomorrow, DayUsed
		}
	}
	return at, why
}

// Left is how much the budgets leave at a time, bytes; less than 0: there are none.
func (p Policy) Left(now time.Time, used []Use) int64 {
	y, m, d := now.In(p.zone()).Date()
	left := int64(-1)
	for _, b := range []struct {
		most        int64
		from, until time.Time
	}{
		{p.PerDay, time.Date(y, m, d, 0, 0, 0, 0, p.zone()), time.Date(y, m, d+1, 0, 0, 0, 0, p.zone())},
		{p.PerMonth, time.Date(y, m, 1, 0, 0, 0, 0, p.zone()), time.Date(y, m+1, 1, 0, 0, 0, 0, p.zone())},
	} {
		if b.most <= 0 {
			continue
		}
		if rest := max(b.most-sum(used, b.from, b.until), 0); left < 0 || rest < left {
			left = rest
		}
	}
	return left
}

// budgetEdge is the midnight at which a day's budget ends.
func (p Policy) budgetEdge(at time.Time) time.Time {
	y, m, d := at.In(p.zone()).Date()
	if p.PerDay <= 0 && p.PerMonth <= 0 {
		d += lookout
	}
	return time.Date(y, m, d+1, 0, 0, 0, 0, p.zone())
}

func sum(used []Use, from, until time.Time) (n int64) {
	for _, u := range used {
		if !u.At.Before(from) && u.At.Before(until) {
			n += u.Bytes
		}
	}
	return n
}

// interval is a part of real time.
type interval struct{ from, until time.Time }

// open is the first time at or after at from which a run has room before closed
// hours begin, and when they do. Zero: there is none.
func (p Policy) open(at time.Time) (from, until time.Time) {
	end := at.AddDate(0, 0, lookout)
	from = at
	for _, c := range p.closed(at, end) {
		if c.from.Sub(from) >= p.Takes && c.from.After(from) {
			return from, c.from
		}
		if c.until.After(from) {
			from = c.until
		}
	}
	if end.Sub(from) < p.Takes || !from.Before(end) {
		return time.Time{}, time.Time{}
	}
	return from, end
}

// closed are the closed hours that touch a time, in order. A span is what the
// clock on the wall shows: in the night of the change of summer time it is an
// hour longer or shorter.
func (p Policy) closed(at, end time.Time) (out []interval) {
	y, m, d := at.In(p.zone()).Date()
	for i := -1; i <= lookout; i++ {
		noon := time.Date(y, m, d+i, 12, 0, 0, 0, p.zone())
		for _, s := range p.Closed {
			if !slices.Contains(s.Days, noon.Weekday()) {
				continue
			}
			v := interval{p.wall(y, m, d+i, s.From, false), p.wall(y, m, d+i, s.Until, true)}
			if s.Until <= s.From {
				v.until = p.wall(y, m, d+i+1, s.Until, true)
			}
			if v.until.After(at) && v.from.Before(end) {
				out = append(out, v)
			}
		}
	}
	slices.SortFunc(out, func(a, b interval) int { return cmp.Or(a.from.Compare(b.from), a.until.Compare(b.until)) })
	return out
}

// wall is when the clock on the wall shows a time of a day: the first time, or
// the last, if it does so twice.
func (p Policy) wall(y int, m time.Month, d int, since time.Duration, last bool) time.Time {
	at := time.Date(y, m, d, int(since/time.Hour), int(since%time.Hour/time.Minute), 0, 0, p.zone())
	other := at.Add(-time.Hour)
	if last {
		other = at.Add(time.Hour)
	}
	if other.Hour() == at.Hour() && other.Minute() == at.Minute() {
		return other
	}
	return at
}
