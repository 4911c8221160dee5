package iperf3

import (
	"math"
	"testing"
	"time"
)

// A line of one segment every 24 ms, half a Mbit/s, is found to be that, whatever
// comes at the edges of the time.
func TestSpan(t *testing.T) {
	const beat, size = 24 * time.Millisecond, 1448
	const line = size * 8 / 0.024 // bit/s
	hold := func(from, until time.Duration) func(time.Duration) time.Duration {
		return func(at time.Duration) time.Duration {
			if at > from && at < until {
				return until // what waits for a lost segment
			}
			return at
		}
	}
	for _, tt := range []struct {
		name string
		omit time.Duration
		held func(at time.Duration) time.Duration // when TCP hands on what comes at a time
		lost func(at time.Duration) bool
		want float64 // of the line
	}{
		{name: "plain"},
		{name: "after an omitted part", omit: time.Second},
		{name: "a lost segment when that ends", omit: time.Second, held: hold(600*time.Millisecond, 1200*time.Millisecond)},
		{name: "one when the test ends", omit: time.Second, held: hold(2900*time.Millisecond, 3150*time.Millisecond)},
		{name: "and for long", held: hold(2500*time.Millisecond, 3150*time.Millisecond)},
		{name: "one in between", held: hold(time.Second, 1500*time.Millisecond)},
		{name: "the line stands still for half a second", want: 0.75,
			lost: func(at time.Duration) bool { return at > 1400*time.Millisecond && at < 1900*time.Millisecond }},
		{name: "the line is dead in the end", want: 0.5, lost: func(at time.Duration) bool { return at > time.Second }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			end := 2*time.Second + tt.omit
			if tt.omit == 0 && tt.held != nil {
				end = 3 * time.Second
			}
			s := &stream{}
			r := &run{start: time.Now(), streams: []*stream{s}}
			s.base.at, s.total.at = r.start, r.start.Add(end)
			count := func(c *counts, at time.Duration) {
				c.at, c.bytes = r.start.Add(at), s.bytes.Load()
				c.first, c.arrived = s.arrivals.seen()
				s.arrivals.mark()
			}
			omitted := tt.omit == 0
			for at := 40 * time.Millisecond; at < end+300*time.Millisecond; at += beat {
				now := at
				if tt.held != nil {
					now = tt.held(at)
				}
				if !omitted && now > tt.omit {
					count(&s.base, tt.omit)
					omitted = true
				}
				if !s.sealed && now > end {
					count(&s.total, end)
					s.sealed = true
				}
				if tt.lost == nil || !tt.lost(at) {
					s.bytes.Add(size)
					s.arrivals.note(now, size)
				}
			}
			from, to := r.span(s)
			got := float64(s.total.bytes-s.base.bytes) * 8 / (to - from).Seconds() / line
			want := tt.want
			if want == 0 {
				want = 1
			}
			if math.Abs(got-want) > 0.02 {
				t.Errorf("%.3f of the line, want %.3f (%v to %v)", got, want, from, to)
			}
		})
	}
}
