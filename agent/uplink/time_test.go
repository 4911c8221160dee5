package uplink_test

import (
	"crypto/x509"
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/uplink"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// timekeeper is a vendor who tells the time, and how often he was asked.
func timekeeper(t *testing.T, s *server.Server, at time.Time) (asked *atomic.Int32) {
	t.Helper()
	asked = new(atomic.Int32)
	nc := vendor(t, s)
	if _, err := nc.Subscribe(fleet.Times, func(m *nats.Msg) {
		asked.Add(1)
		answer, _ := json.Marshal(fleet.Time{Schema: fleet.TimeSchema, At: at})
		_ = m.Respond(answer)
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return asked
}

// A box whose clock nobody has set gets the time of its vendor when it connects.
func TestTimeOfTheVendor(t *testing.T) {
	s := bus(t, nil)
	there := time.Now().AddDate(3, 0, 0) // what the vendor's clock says
	timekeeper(t, s, there)
	got := make(chan time.Time, 10)
	start(t, uplink.Options{Servers: []string{s.ClientURL()}, ClockSet: func() bool { return false }, SetClock: func(now time.Time) { got <- now }})
	select {
	case now := <-got:
		if d := now.Sub(there); d < 0 || d > 2*time.Second { // more is no answer
			t.Errorf("the box was told %v, want %v", now, there)
		}
	case <-time.After(patience):
		t.Error("the box was told nothing")
	}
}

// One whose clock was set asks nobody.
func TestTimeIsKnown(t *testing.T) {
	s := bus(t, nil)
	asked := timekeeper(t, s, time.Now())
	put(t, assignments(t, s), box1, "it")
	read := make(chan struct{}, 10)
	start(t, uplink.Options{Servers: []string{s.ClientURL()}, ClockSet: func() bool { return true }, SetClock: func(now time.Time) { t.Errorf("told %v", now) },
		Orders: uplink.Orders{Assignment: func([]byte) { read <- struct{}{} }}})
	<-read // it has done what it does when it has connected
	if n := asked.Load(); n > 0 {
		t.Errorf("asked %d times", n)
	}
}

// An authority that everybody trusts is one whose certificates end; the vendor's
// own is known by its key.
func TestNearest(t *testing.T) {
	y := func(n int) time.Time { return time.Date(n, 1, 1, 0, 0, 0, 0, time.UTC) }
	chain := []*x509.Certificate{{NotBefore: y(2026), NotAfter: y(2028)}, {NotBefore: y(2025), NotAfter: y(2030)}}
	for _, tt := range []struct{ now, pinned, public time.Time }{
		{y(2020), y(2026), y(2026)},
		{y(2027), y(2027), y(2027)},
		{y(2029), y(2028), y(2029)},
		{y(2099), y(2028), y(2099)},
	} {
		if got := uplink.Nearest(chain, tt.now, true); !got.Equal(tt.pinned) {
			t.Errorf("pinned, in %v: %v, want %v", tt.now.Year(), got, tt.pinned)
		}
		if got := uplink.Nearest(chain, tt.now, false); !got.Equal(tt.public) {
			t.Errorf("public, in %v: %v, want %v", tt.now.Year(), got, tt.public)
		}
	}
}

// A vendor whose fleet program is away tells no time, which is no trouble.
func TestNobodyTellsTheTime(t *testing.T) {
	s := bus(t, nil)
	st := stream(t, s)
	u := start(t, uplink.Options{Servers: []string{s.ClientURL()}, ClockSet: func() bool { return false },
		SetClock: func(now time.Time) { t.Errorf("told %v", now) }})
	u.Offer(report(1))
	until(t, "the report arrives", func() bool { return len(stored(t, st)) == 1 && u.Evidence().Outcome == agent.Answered })
}
