package daemon

import (
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/link"
)

// clock is the vendor's time, for boxes on whose network no time server answers:
// the box itself may not set the system's clock, and need not.
type clock struct {
	mu sync.Mutex
	at time.Time // the vendor's, zero: he has told none
	on time.Time // when, by our own; its monotonic part counts
}

// set takes the time as it is now.
func (c *clock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.on = now, time.Now()
}

// now is the vendor's time, and whether it is known.
func (c *clock) now() (time.Time, bool) {
	if c == nil {
		return time.Time{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at.Add(time.Since(c.on)), !c.at.IsZero()
}

// stamp says what time it is: by the system's clock if that was set, else by the
// vendor's.
func (s Setup) stamp() agent.Stamp {
	return s.clock.correct(link.Stamp(s.here()))
}

func (c *clock) correct(st agent.Stamp) agent.Stamp {
	if now, ok := c.now(); ok && st.Clock != agent.ClockSet {
		st.At, st.Clock = now.UTC(), agent.ClockSet
	}
	return st
}

// now is the wall time, and known whether that can be believed.
func (s Setup) now() time.Time { return s.stamp().At }
func (s Setup) known() bool    { return s.stamp().Clock == agent.ClockSet }

// clockSet reports whether the system's own clock can be believed.
func (s Setup) clockSet() bool { return link.Stamp(s.here()).Clock == agent.ClockSet }
