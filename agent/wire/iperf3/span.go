package iperf3

import (
	"sync"
	"time"
)

// What is counted by the clock holds too much or too little at either end: on a
// slow line a segment, and behind a lost one, on a far line, all that TCP holds
// back until that comes again, which is several round trips' worth. So what comes
// first after such an edge is spread over the time since what came before it.

// arrivals are when a receiver gets something. The zero value is ready for use.
type arrivals struct {
	mu    sync.Mutex
	first burst // since the last mark
	last  time.Duration
}

// burst is what comes at once. Times are since the run's start; 0: nothing came.
type burst struct {
	begun, ended time.Duration
	bytes        int64
}

// atOnce is how long a burst takes: a sender that is paced hands over more than a
// segment, and what has waited for a lost one is read bit by bit.
const atOnce = 5 * time.Millisecond

func (a *arrivals) note(at time.Duration, n int) {
	at = max(at, 1)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = at
	if a.first.begun == 0 {
		a.first.begun = at
	}
	if at-a.first.begun < atOnce {
		a.first.ended = at
		a.first.bytes += int64(n)
	}
}

// mark has the next burst be the first.
func (a *arrivals) mark() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.first = burst{}
}

// seen is the first burst since the mark, and when the newest came.
func (a *arrivals) seen() (first burst, last time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.first, a.last
}

// by is how much of a burst had come by a time, if it was on its way since a
// time before that.
func (b burst) by(at, since time.Duration) float64 {
	if b.begun <= at || at <= since {
		return 0
	}
	return float64(b.bytes) * float64(at-since) / float64(b.begun-since)
}

const (
	// tardy is the longest that the first arrival may come after the start and
	// still count as the start: an answer takes a round trip.
	tardy = time.Second
	// lull is the longest that nothing arrives without the line standing still, if
	// nobody knows what would have come next.
	lull = 300 * time.Millisecond
)

// span is the time in which what was counted of a stream came, from the run's
// start.
func (r *run) span(s *stream) (from, to time.Duration) {
	from, to = s.base.at.Sub(r.start), s.total.at.Sub(r.start)
	if s.sends {
		return from, to
	}
	bytes := float64(s.total.bytes - s.base.bytes)
	switch {
	case r.t.bounded() && s.total.arrived > from:
		to = s.total.arrived // it was all there by then
	case s.sealed:
		to = s.reaches(from, to, bytes)
	}
	switch b := s.total.first.begun; {
	case s.base.bytes == 0 && b > from && b < from+tardy:
		from = s.departed()
	case s.base.bytes > 0 && !r.t.UDP:
		if early := s.total.first.by(from, s.base.arrived); early < bytes/2 {
			from = to - time.Duration(float64(to-from)*bytes/(bytes-early))
		}
	}
	return from, max(to, from)
}

// reaches is until when the bytes that were counted by to took.
func (s *stream) reaches(from, to time.Duration, bytes float64) time.Duration {
	last := s.total.arrived
	switch next, _ := s.arrivals.seen(); {
	case last <= from:
		return to
	case next.begun > 0:
		return from + time.Duration(float64(to-from)*bytes/(bytes+next.by(to, last)))
	case to-last < lull:
		return last
	}
	return to
}

// departed is when the first burst must have begun to be on its way, by what came
// after it.
func (s *stream) departed() time.Duration {
	first, rest := s.total.first, s.total.bytes-s.total.first.bytes
	if rest <= 0 || s.total.arrived <= first.ended {
		return first.begun
	}
	took := float64(first.bytes) / float64(rest) * float64(s.total.arrived-first.ended)
	return first.ended - min(time.Duration(took), lull)
}
