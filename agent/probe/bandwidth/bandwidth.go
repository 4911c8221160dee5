// Package bandwidth finds out whether a line carries what a video service needs,
// in both directions, and how long packets wait and get lost while it does. It
// proves the needed rate and no more: a test that is capped a little above it,
// one direction at a time, ended as soon as the answer is certain. Only if that
// fails, or on request, does it fill the line for a few seconds.
//
// It measures against the vendor's reflector, or any iperf3 server. Latency is
// measured by STUN Binding requests beside the test. It does not know when it
// may run: package quiet does; nor what its figures mean: package assess judges.
//
// Other probes end within 6 s. This one takes 5 s on a line that is good enough
// and up to 30 s otherwise: it runs alone, not within a round.
package bandwidth

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
	"github.com/sprechprobe/sprechprobe/agent/wire/iperf3"
)

// Need is what to prove, and how.
type Need struct {
	Down, Up float64 // bit/s; 0: nothing is needed in this direction
	// Echo answers latency probes (STUN Binding over UDP); zero: the server
	// does, at the port that is measured against.
	Echo netip.AddrPort
	// Capacity looks for what the line can do at most, even if it does enough; after
	// everything else, so that this does not go short of data.
	Capacity bool
	// Backup reports whether the practice is on its backup line, where nothing
	// is measured. Nil: there is none.
	Backup func() bool
	// Usual is how long an answer takes while nobody uses the line; 0: not known.
	// Who keeps it full all the time shows by that alone.
	Usual time.Duration
	// Strained reports whether the practice's own network suffers while something
	// is measured, which then ends. Nil: nobody watches.
	Strained func() bool
	// Gentle never fills the line, and puts off what cannot be known without.
	Gentle bool
	Most   int64         // bytes; what would move more is ended. 0: no limit
	Moved  func(int64)   // is told how many bytes were moved, figures or none; may be nil
	Box    string        // who asks for a slot
	Login  *iperf3.Login // nil: none
}

// Of is what a profile needs: the highest rate that it or the law asks for, and at
// least what a call takes: without any load nothing is known of how long packets
// wait then.
func Of(t agent.Thresholds) Need {
	return Need{
		Down: max(t.MinDownBitsPerS, t.HDDownBitsPerS, t.RegulatedDownBitsPerS, callRate),
		Up:   max(t.MinUpBitsPerS, t.HDUpBitsPerS, callRate),
	}
}

// Cost is what a look moves where the line carries what is needed, bytes, at most.
func (n Need) Cost() int64 {
	both := n.Down + n.Up
	return int64((headroom*both*provingTime.Seconds() + min(both, 2*mediaRate)*mediaTime.Seconds()) / 8)
}

const (
	bound        = 30 * time.Second
	idleTime     = time.Second
	provingTime  = 1800 * time.Millisecond // with the media beside it 1.5 MB for 5 Mbit/s
	shortTime    = 3 * time.Second         // of looking for what the line carries, if it is too little
	fillingTime  = 5 * time.Second         // of looking for what it carries at most
	fillingOmit  = time.Second             // while a connection finds its speed
	leastFilling = time.Second             // that still says something, if the data end
	mediaTime    = 2 * time.Second         // 500 datagrams, so that one lost one is not much
	mediaBound   = 3 * time.Second         // a network without UDP keeps silent
	slotTime     = 10 * time.Second        // of a line that is good enough
	stockPause   = 300 * time.Millisecond  // a stock server recovers from a client
	stockTries   = 4
	slotPatience = 2 * time.Second // that a slot is waited for on the spot

	headroom   = 1.1    // of the cap above the need
	roomToFill = 2      // times the need, for a line that carries hardly less
	mediaRate  = 2.5e6  // bit/s, high definition
	callRate   = 1e6    // bit/s, a usual picture
	mediaSize  = 1200   // bytes of a datagram, as browsers send them
	writeSize  = 1448   // bytes: a segment. Larger writes would be bursts
	background = 8 << 2 // DSCP CS1, least effort: consultations go first
)

// Values of agent.DownLimit and agent.UpLimit.
const (
	byOffer  = "offer"
	byServer = "server"
	byBox    = "box"
	byLine   = "line"
)

// Probe returns a probe that measures against the iperf3 server at the target,
// TCP. It is Answered if any direction was measured, and NotLooked with a reason
// if the server or the line is in use: then it wants to be asked again.
func Probe(n Need) agent.Probe {
	return func(ctx context.Context, t agent.Target) agent.Evidence {
		m := &measuring{Need: n, target: t, e: agent.See(agent.ProbeBandwidth, t, agent.Answered, "")}
		within, cancel := context.WithTimeout(ctx, bound)
		defer cancel()
		why := m.run(within)
		if n.Moved != nil {
			n.Moved(m.bytes)
		}
		if why != nil {
			return m.failed(ctx, why)
		}
		return m.e
	}
}

// measuring is one look.
type measuring struct {
	Need
	target agent.Target
	e      agent.Evidence
	slot   iperf3.SlotAnswer
	stock  bool // the server knows no slots
	echo   *latency
	idle   time.Duration // median; 0: not known
	bytes  int64         // that were moved
}

// postponed is why a measurement is put off.
type postponed struct {
	reason agent.Reason
	until  time.Duration // when to ask again; 0: nobody knows
}

func (p postponed) Error() string { return string(p.reason) }

// unreached is how the server could not be reached.
type unreached struct{ reach.Result }

func (u unreached) Error() string { return string(u.Reason) }

// run climbs the ladder, cheapest proof first.
func (m *measuring) run(ctx context.Context) error {
	switch {
	case !m.target.Addr.IsValid():
		return postponed{reason: agent.NoAddress}
	case m.target.Port == 0:
		return postponed{reason: agent.Unsupported}
	case m.Backup != nil && m.Backup():
		return postponed{reason: agent.BackupLine}
	}
	if err := m.book(ctx); err != nil {
		return err
	}
	var err error
	if m.echo, err = watch(ctx, m.echoAt()); err == nil {
		defer m.echo.close()
	}
	if err := m.quiet(ctx); err != nil {
		return err
	}
	var first error
	for _, d := range []iperf3.Direction{iperf3.Down, iperf3.Up} {
		if err := m.prove(ctx, d); err != nil {
			first = errors.Join(first, err)
			break
		}
		m.media(ctx, d)
	}
	if first == nil && m.Capacity {
		first = m.fill(ctx)
	}
	if first == nil {
		return ctx.Err()
	}
	if _, some := m.e.Values.Num(agent.TestBytes); !some {
		return first
	}
	if p := (postponed{}); errors.As(first, &p) {
		m.e = m.e.With(agent.PutOff, string(p.reason))
	}
	return ctx.Err()
}

func (m *measuring) echoAt() netip.AddrPort {
	if m.Echo.IsValid() {
		return m.Echo
	}
	return m.target.AddrPort()
}

// book asks for a slot, which shows as well whether the server is there.
func (m *measuring) book(ctx context.Context) error {
	var seen *reach.Result
	c := iperf3.Client{Dial: dialer(&seen)}
	q := iperf3.SlotRequest{Box: m.Box, Rate: int64(roomToFill * max(m.Down, m.Up)), TakesMS: slotTime.Milliseconds()}
	if m.Capacity {
		q.Rate = 0 // all that the server gives
		q.TakesMS += 2 * (fillingOmit + fillingTime).Milliseconds()
	}
	var err error
	m.slot, err = c.AskSlot(ctx, m.target.AddrPort().String(), q)
	wait := time.Duration(m.slot.InMS) * time.Millisecond
	switch {
	case seen != nil:
		return unreached{*seen}
	case errors.Is(err, iperf3.ErrNoSlots):
		m.stock = true
		return pause(ctx, stockPause)
	case errors.Is(err, iperf3.ErrBusy):
		return postponed{reason: agent.ServerBusy}
	case err != nil:
		return unreached{reach.Classify(err, m.target.Addr)}
	case m.slot.Slot == "" || wait > slotPatience:
		return postponed{reason: agent.ServerBusy, until: wait}
	}
	return pause(ctx, wait)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// failed is the evidence of a look that found no figure. ctx is the caller's.
func (m *measuring) failed(ctx context.Context, why error) agent.Evidence {
	var p postponed
	var u unreached
	var refusal *iperf3.Error
	see := func(o agent.Outcome, r agent.Reason) agent.Evidence {
		return agent.See(agent.ProbeBandwidth, m.target, o, r)
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return see(agent.NotLooked, agent.Cancelled)
	case errors.As(why, &p):
		e := see(agent.NotLooked, p.reason)
		if p.until > 0 {
			e = e.With(agent.RetryIn, p.until.Seconds())
		}
		return e
	case errors.As(why, &u):
		return u.Evidence(agent.ProbeBandwidth, m.target)
	case errors.Is(why, iperf3.ErrBusy), errors.Is(why, iperf3.ErrTerminated):
		return see(agent.NotLooked, agent.ServerBusy)
	case errors.Is(why, iperf3.ErrDenied):
		return see(agent.Answered, agent.AuthRefused)
	case errors.As(why, &refusal):
		return see(agent.NotLooked, agent.ServerBusy).With(agent.Detail, refusal.Error())
	case errors.Is(why, iperf3.ErrProtocol):
		return see(agent.Tampered, agent.Garbage)
	}
	r := reach.Classify(why, m.target.Addr)
	if r.Reason == agent.Cancelled {
		r = reach.Classify(context.DeadlineExceeded, m.target.Addr) // our own bound, not the caller's
	}
	return r.Evidence(agent.ProbeBandwidth, m.target)
}
