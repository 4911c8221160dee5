package reflector

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/wire/iperf3"
)

// Limits bound what tests may take. Zero values mean the defaults.
type Limits struct {
	Rate     int64         // bit/s of all tests together, each direction, where a datagram counts as at least 500 bytes; 0: 1 Gbit/s
	TestRate int64         // bit/s of one test, each direction; 0: as Rate
	TestTime time.Duration // of one test with everything; 0: a minute
	Tests    int           // at once; 0: 100
	Source   int           // tests of one address at once, and leases; 0: 4
}

func (l Limits) filled() Limits {
	if l.Rate <= 0 {
		l.Rate = 1_000_000_000
	}
	l.Rate = min(l.Rate, maxRate)
	if l.TestRate <= 0 || l.TestRate > l.Rate {
		l.TestRate = l.Rate
	}
	if l.TestTime <= 0 {
		l.TestTime = time.Minute
	}
	if l.Tests <= 0 {
		l.Tests = 100
	}
	if l.Source <= 0 {
		l.Source = 4
	}
	return l
}

const (
	maxLeases = 4096
	horizon   = time.Hour        // leases are given no further ahead
	early     = 2 * time.Second  // a client may come so much before its lease
	tardy     = 10 * time.Second // or after it
	again     = time.Minute      // when to ask again where there is no lease to be had

	// least is what a datagram counts as, bytes: a small one costs us no less.
	least   = 500
	maxRate = 1e15 // bit/s, which floating point still counts one by one
)

// booking is a test that runs, or a lease: a promise of one test after the other
// for a while.
type booking struct {
	slot   string // of a lease; empty: a test without one
	box    string
	used   bool // a test of the lease has begun
	busy   bool // a test runs
	source netip.Addr
	rate   int64
	from   time.Time
	until  time.Time
}

// desk decides who may test when. It is safe for use by several goroutines.
type desk struct {
	Limits
	now func() time.Time

	mu    sync.Mutex
	books []*booking
}

func newDesk(l Limits) *desk { return &desk{Limits: l.filled(), now: time.Now} }

// expire forgets leases that are over, or that nobody came for. A test that runs
// over its time takes its place until it has ended.
func (d *desk) expire(now time.Time) {
	d.books = slices.DeleteFunc(d.books, func(b *booking) bool {
		return !b.busy && (now.After(b.until) || !b.used && now.After(b.from.Add(tardy)))
	})
	for _, b := range d.books {
		if soon := now.Add(time.Second); b.busy && b.until.Before(soon) {
			b.until = soon
		}
	}
}

// load is what is taken in some part of a span of time, at its worst.
func (d *desk) load(from, until time.Time) (tests int, rate int64) {
	for _, at := range d.edges(from, until) {
		n, r := 0, int64(0)
		for _, b := range d.books {
			if !b.from.After(at) && b.until.After(at) {
				n, r = n+1, r+b.rate
			}
		}
		tests, rate = max(tests, n), max(rate, r)
	}
	return tests, rate
}

// edges are the times in a span at which the load rises.
func (d *desk) edges(from, until time.Time) []time.Time {
	out := []time.Time{from}
	for _, b := range d.books {
		if b.from.After(from) && b.from.Before(until) {
			out = append(out, b.from)
		}
	}
	return out
}

// fits reports whether one more test has room in a span of time.
func (d *desk) fits(from, until time.Time, rate int64) bool {
	tests, taken := d.load(from, until)
	return tests < d.Tests && taken+rate <= d.Rate
}

// of counts bookings of an address.
func (d *desk) of(source netip.Addr, leases bool) (n int) {
	for _, b := range d.books {
		if b.source == source && (b.slot != "") == leases {
			n++
		}
	}
	return n
}

// counted is a rate of payload as it counts against the limits.
func counted(rate int64, t iperf3.Test) int64 {
	return int64(math.Ceil(min(float64(rate)/worth(t), maxRate)))
}

// paid is the rate of payload that a test gets for what was counted.
func paid(rate int64, t iperf3.Test) int64 { return int64(float64(rate) * worth(t)) }

// worth is the part of what a test's packets count as that is payload.
func worth(t iperf3.Test) float64 {
	if !t.UDP || t.Length <= 0 || t.Length >= least {
		return 1
	}
	return float64(t.Length) / least
}

// rateOf is what a test wants, each direction, and may have; both as they count.
func (d *desk) rateOf(t iperf3.Test) (want, may int64) {
	want = max(t.Rate, 0)
	if streams := int64(t.Streams); want > d.Rate/streams {
		want = d.Rate + 1
	} else {
		want *= streams
	}
	if want == 0 {
		want = d.Rate
	}
	want = counted(want, t)
	return want, min(want, d.TestRate)
}

// Admit is the server's question.
func (d *desk) Admit(_ context.Context, q iperf3.Request) (iperf3.Grant, error) {
	takes := q.Test.Omit + q.Test.Duration
	if takes > d.TestTime {
		return iperf3.Grant{}, iperf3.ErrTooLong
	}
	if q.Test.Duration == 0 {
		takes = d.TestTime
	}
	want, may := d.rateOf(q.Test)
	if q.Test.UDP && q.Test.Direction != iperf3.Down && want > may {
		return iperf3.Grant{}, iperf3.ErrTooFast
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	d.expire(now)
	b := d.redeem(q, now)
	if b == nil {
		b = &booking{source: q.From.Addr(), rate: may, from: now, until: now.Add(takes)}
		if d.of(b.source, false) >= d.Source || !d.fits(b.from, b.until, may) {
			return iperf3.Grant{}, iperf3.ErrBusy
		}
		d.books = append(d.books, b)
	}
	b.used, b.busy = true, true
	return iperf3.Grant{Rate: paid(b.rate, q.Test), Time: d.TestTime, Done: func() { d.done(b) }}, nil
}

// redeem finds the lease that a test shows, nil if it shows none that holds now.
func (d *desk) redeem(q iperf3.Request, now time.Time) *booking {
	for _, b := range d.books {
		if b.slot != "" && b.slot == q.Test.Slot && b.source == q.From.Addr() && !b.busy && now.After(b.from.Add(-early)) {
			return b
		}
	}
	return nil
}

// done ends a test. A lease holds on until its time is over.
func (d *desk) done(b *booking) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b.busy = false
	d.books = slices.DeleteFunc(d.books, func(o *booking) bool { return o == b && b.slot == "" })
}

// Slot is the server's question for a lease.
func (d *desk) Slot(q iperf3.SlotRequest) iperf3.SlotAnswer {
	takes := time.Duration(q.TakesMS) * time.Millisecond
	rate := q.Rate
	if rate <= 0 || rate > d.TestRate {
		rate = d.TestRate
	}
	if takes <= 0 || takes > d.TestTime {
		takes = d.TestTime
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	d.expire(now)
	for _, b := range d.books {
		if b.slot != "" && !b.used && q.Box != "" && b.box == q.Box && b.source == q.From.Addr() {
			return answer(b, now)
		}
	}
	at, ok := d.earliest(now, takes, rate)
	if !ok || d.leases() >= maxLeases || d.of(q.From.Addr(), true) >= d.Source {
		return iperf3.SlotAnswer{InMS: again.Milliseconds()}
	}
	b := &booking{slot: newSlot(), box: q.Box, source: q.From.Addr(), rate: rate, from: at, until: at.Add(takes)}
	d.books = append(d.books, b)
	return answer(b, now)
}

func answer(b *booking, now time.Time) iperf3.SlotAnswer {
	return iperf3.SlotAnswer{Slot: b.slot, InMS: max(b.from.Sub(now), 0).Milliseconds(), Rate: b.rate}
}

// earliest is the first time at which a test has room: now, or when another one
// ends.
func (d *desk) earliest(now time.Time, takes time.Duration, rate int64) (time.Time, bool) {
	times := []time.Time{now}
	for _, b := range d.books {
		if b.until.After(now) && b.until.Before(now.Add(horizon)) {
			times = append(times, b.until)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	for _, at := range slices.CompactFunc(times, time.Time.Equal) {
		if d.fits(at, at.Add(takes), rate) {
			return at, true
		}
	}
	return time.Time{}, false
}

func (d *desk) leases() (n int) {
	for _, b := range d.books {
		if b.slot != "" {
			n++
		}
	}
	return n
}

func newSlot() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
