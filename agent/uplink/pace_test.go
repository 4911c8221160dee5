package uplink_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/uplink"
)

// widest is about the widest of many waits that one attempt might have.
func widest(t *testing.T, prepare func() interface{ Next() time.Duration }) time.Duration {
	t.Helper()
	var all []time.Duration
	for range 2000 {
		all = append(all, prepare().Next())
	}
	slices.Sort(all)
	if low, top := all[0], all[len(all)-1]; low < 200*time.Millisecond || low > 200*time.Millisecond+top/100 {
		t.Errorf("the shortest wait is %v, the longest %v", low, top)
	}
	if mid, top := all[len(all)/2], all[len(all)-1]; mid < top*4/10 || mid > top*6/10 {
		t.Errorf("half of the waits are within %v of %v: not evenly spread", mid, top)
	}
	return all[len(all)-1].Round(time.Second)
}

// paced is what the tests use of a pace.
type paced interface {
	Next() time.Duration
	Connected()
	Lost()
}

// Windows double; they begin wide after the loss of a connection, for others may
// have lost theirs at the same moment.
func TestWindows(t *testing.T) {
	up := func(p paced, d time.Duration) {
		p.Connected()
		time.Sleep(d)
		p.Lost()
	}
	tries := func(p paced, n int) {
		for range n {
			p.Next()
		}
	}
	for _, tt := range []struct {
		name   string
		before func(p paced)
		want   time.Duration
	}{
		{"after a start", func(p paced) { tries(p, 1) }, 4 * time.Second},
		{"long after a start", func(p paced) { tries(p, 20) }, 5 * time.Minute},
		{"after a loss", func(p paced) { up(p, time.Hour) }, time.Minute},
		{"again after a loss", func(p paced) { up(p, time.Hour); tries(p, 1) }, 2 * time.Minute},
		{"after a loss that followed an outage", func(p paced) { tries(p, 20); up(p, time.Hour) }, time.Minute},
		{"a server that takes and drops", func(p paced) {
			for range 2 {
				up(p, time.Second)
				tries(p, 1)
			}
			up(p, time.Second)
		}, 4 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := widest(t, func() interface{ Next() time.Duration } {
					p := uplink.NewPace()
					tt.before(p)
					return p
				})
				if got < tt.want*95/100 || got > tt.want {
					t.Errorf("waits are spread over %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// Who waits has lost his connection, told or not.
func TestWaitingIsALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := 0
		for range 100 {
			p := uplink.NewPace()
			p.Connected()
			began := time.Now()
			uplink.Wait(p, t.Context())
			if time.Since(began) > 2*time.Second {
				long++
			}
		}
		if long < 50 {
			t.Errorf("%d of 100 waits are longer than 2 s", long)
		}
	})
}

// A round does not wait for the next attempt, but rounds in a row do not become
// attempts.
func TestSooner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := uplink.NewPace()
		p.Sooner() // it is connecting: nothing to do
		p.Connected()
		time.Sleep(time.Second)
		p.Sooner() // there is a connection: nothing to do
		p.Lost()
		for range 6 { // the window is at its widest
			p.Next()
		}
		began := time.Now()
		go func() {
			time.Sleep(time.Millisecond)
			p.Sooner()
		}()
		uplink.Wait(p, t.Context())
		if took := time.Since(began); took != time.Millisecond {
			t.Errorf("waited %v after somebody was in a hurry", took)
		}
		began = time.Now()
		go func() {
			time.Sleep(time.Millisecond)
			p.Sooner()
		}()
		uplink.Wait(p, t.Context())
		if took := time.Since(began); took == time.Millisecond {
			t.Error("two attempts within a moment")
		}
	})
}
