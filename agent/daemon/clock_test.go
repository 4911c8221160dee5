package daemon

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
)

// Where no time server answers, reports bear the vendor's time; where one has set
// the system's clock, that one's.
func TestClockOfTheVendor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrong := agent.Stamp{At: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), Clock: agent.ClockUnset, UptimeS: 7}
		right := time.Date(2027, 5, 4, 3, 2, 1, 0, time.UTC)
		var none *clock
		for name, c := range map[string]*clock{"no vendor": none, "a vendor who has told nothing": {}} {
			if got := c.correct(wrong); got != wrong {
				t.Errorf("%s: %+v", name, got)
			}
		}
		var c clock
		c.set(right)
		time.Sleep(time.Hour)
		want := agent.Stamp{At: right.Add(time.Hour), Clock: agent.ClockSet, UptimeS: 7}
		if got := c.correct(wrong); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		set := agent.Stamp{At: right.AddDate(0, 0, 1), Clock: agent.ClockSet, UptimeS: 7}
		if got := c.correct(set); got != set {
			t.Errorf("a clock that was set: %+v, want %+v", got, set)
		}
	})
}

// What the vendor tells outlives a change of the settings, and a time from before
// the program was written is none.
func TestClockOutlivesASetup(t *testing.T) {
	v := newVendor(quiet())
	first := owned(t, t.TempDir(), nil)
	first.Build.Time = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	s := v.adopt(first)
	tell := s.uplinkOptions(quiet()).SetClock
	tell(first.Build.Time.Add(-time.Hour))
	if at, ok := v.clock.now(); ok {
		t.Errorf("it is %v, before the program was written", at)
	}
	tell(first.Build.Time.Add(time.Hour))
	if at, ok := v.adopt(first).clock.now(); !ok || at.Before(first.Build.Time) {
		t.Errorf("after a change of the settings: %v, %v", at, ok)
	}
	if o := first.uplinkOptions(quiet()); o.SetClock != nil {
		t.Error("a check of a moment asks for the time")
	}
}
