package iperf3

import "time"

// pacer spreads what a stream sends evenly over time, on average since the
// start, as iperf3 does. Who was held up catches up at no more than twice the
// rate: a burst at the speed of the wire would measure its own queue.
type pacer struct {
	rate  float64 // bytes/s; 0: no limit
	start time.Time
	free  time.Time // before it nothing goes: what keeps twice the rate
	sent  float64   // bytes
}

// slack is the longest gap that is made up for at once: timers of busy machines
// are late by some milliseconds. Pieces that at twice the rate are further apart
// than single are made up for one by one.
const (
	slack  = 5 * time.Millisecond
	single = 500 * time.Microsecond
)

func newPacer(bitsPerS float64, now time.Time) pacer {
	return pacer{rate: bitsPerS / 8, start: now, free: now}
}

// take says how many of at most most pieces of size bytes may go now, or, if
// none, how long to wait.
func (p *pacer) take(now time.Time, size, most int) (n int, wait time.Duration) {
	if p.rate <= 0 {
		return most, 0
	}
	due := p.rate*now.Sub(p.start).Seconds() - p.sent
	if due < 0 {
		return 0, time.Duration(-due/p.rate*float64(time.Second)) + 1 // never 0: the caller would not sleep
	}
	if wait := p.free.Sub(now); wait > 0 {
		return 0, wait
	}
	piece := float64(size) / (2 * p.rate) // s, at twice the rate
	late := min(now.Sub(p.free), slack)
	if piece > single.Seconds() {
		late = 0
	}
	n = min(int(due/float64(size))+1, int(late.Seconds()/piece)+1, most)
	p.free = now.Add(time.Duration(float64(n)*piece*float64(time.Second)) - late)
	p.sent += float64(n * size)
	return n, 0
}

// forgive leaves behind what is overdue by more than slack. In the part that is
// omitted nothing is made up for: what slow start leaves behind would come as a
// queue, into the part that counts.
func (p *pacer) forgive(now time.Time) {
	p.sent = max(p.sent, p.rate*(now.Sub(p.start)-slack).Seconds())
}

// gave notes that n bytes that were taken have not been sent.
func (p *pacer) gave(n int) { p.sent -= float64(n) }

// took is for a receiver, which learns afterwards how much it was: it says how
// long to wait before more.
func (p *pacer) took(now time.Time, n int) time.Duration {
	if p.rate <= 0 {
		return 0
	}
	p.sent += float64(n)
	return time.Duration(p.sent/p.rate*float64(time.Second)) - now.Sub(p.start)
}
