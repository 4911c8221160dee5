package uplink

import (
	"context"
	mrand "math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

const (
	// timeLimit is how late an answer may come that is a time: half of it is how
	// wrong that can be.
	timeLimit = 2 * time.Second
	// askAgain is when the time is asked for again after no answer, and askAnyway
	// after one: no clock runs a second wrong within it.
	askAgain  = 5 * time.Minute
	askAnyway = 6 * time.Hour
)

// askTime asks the vendor what time it is for as long as nobody else has set the
// box's clock, until ctx ends. The connection is to a server that has shown a
// trusted certificate, so it is the vendor who answers; but only some of his
// programs do.
func (u *Uplink) askTime(ctx context.Context, conn *nats.Conn, at fleet.Address) {
	wait := time.Duration(0) // until there is a connection
	for {
		var later <-chan time.Time
		if wait > 0 {
			later = time.After(wait/2 + mrand.N(wait/2))
		}
		select {
		case <-ctx.Done():
			return
		case <-u.clockless:
		case <-later:
		}
		if u.opts.ClockSet() {
			wait = askAnyway // and maybe never
			continue
		}
		if wait = askAgain; u.setTime(ctx, conn, at) {
			wait = askAnyway
		}
	}
}

// setTime asks once.
func (u *Uplink) setTime(ctx context.Context, conn *nats.Conn, at fleet.Address) bool {
	ctx, cancel := context.WithTimeout(ctx, timeLimit)
	defer cancel()
	asked := time.Now()
	m, err := conn.RequestWithContext(ctx, at.Time(), nil)
	took := time.Since(asked)
	var now time.Time
	if err == nil {
		now, err = fleet.DecodeTime(m.Data)
	}
	if err != nil {
		u.opts.Log.Debug("vendor's time not known", "err", err)
		return false
	}
	u.opts.SetClock(now.Add(took / 2))
	return true
}
