package uplink

import "time"

// Pace changes the windows of the attempts to connect, before Run.
func (u *Uplink) Pace(start, loss, most time.Duration) {
	u.pace.start, u.pace.loss, u.pace.most, u.pace.window = start, loss, most, start
}

// AckLimit changes how long an acknowledgement is waited for, before Run.
func (u *Uplink) AckLimit(d time.Duration) { u.ackLimit = d }

// DialLimit changes how long one server may take to let us in, before Run.
func (u *Uplink) DialLimit(d time.Duration) { u.dialLimit = d }

// BeatEvery changes how often the uplink beats, before Run.
func (u *Uplink) BeatEvery(d time.Duration) { u.beatEvery = d }

// Nearest is the time by which a box without a clock judges certificates.
var Nearest = nearest

// NewPace, Next, Connected and Lost are for looking at the pace itself.
var NewPace = newPace

func (p *pace) Next() time.Duration { return p.next() }
func (p *pace) Connected()          { p.connected() }
func (p *pace) Lost()               { p.lost() }
func (p *pace) Sooner()             { p.sooner() }

// Wait is how the client waits.
var Wait = (*pace).wait
