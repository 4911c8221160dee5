package uplink

import "time"

// Pace changes the windows of the attempts to connect, before Run.
func (u *Uplink) Pace(start, loss, most time.Duration) {
	u.pace.start, u.pace.loss, u.pace.most, u.pace.window = start, loss, most, start
}
