// Package beacon says that a box is alive when nothing but name look-ups gets out:
// it asks for a name below the vendor's beacon zone in which the box's short id,
// a reason word and its count of starts stand, signed with the box's own key.
// Nothing else leaves. It does not know why the box cannot report, and judges no
// answer but that of the zone.
package beacon

import (
	"context"
	"log/slog"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// How long the box waits before it calls for help, and how often it does.
const (
	Patience = 10 * time.Minute // without the vendor, and up to twice as long
	Least    = 15 * time.Minute // between two, whatever changes
	Again    = 2 * time.Hour    // between two that say the same
	limit    = 15 * time.Second // of one look-up
	look     = 30 * time.Second // between two looks at the uplink
)

// Signer is the box's key.
type Signer interface {
	PublicKey() string
	Sign(input []byte) ([]byte, error)
}

// Options say who calls where.
type Options struct {
	Zone   string
	Key    Signer
	Starts uint64
	// State is the uplink's; an answered one needs no beacon.
	State func() agent.Evidence
	// Resolvers are asked; none: the system's.
	Resolvers []netip.AddrPort
	// Ask looks a name up; nil: through the resolvers.
	Ask func(ctx context.Context, name string) ([]netip.Addr, error)
	Log *slog.Logger // may be nil
}

// caller calls and remembers when it did.
type caller struct {
	Options
	sent   uint64
	since  time.Time     // without the vendor; zero: with him
	wait   time.Duration // until the first call
	last   time.Time
	reason agent.Reason
}

// Run calls for help whenever the vendor has been out of reach for [Patience],
// until ctx ends. It returns nil.
func Run(ctx context.Context, o Options) error {
	c := &caller{Options: o}
	t := time.NewTicker(look)
	defer t.Stop()
	for {
		c.look(ctx, time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// look calls if it is time to.
func (c *caller) look(ctx context.Context, now time.Time) {
	e := c.State()
	if e.Outcome == agent.Answered {
		c.since = time.Time{}
		return
	}
	if c.since.IsZero() {
		// When the vendor is away, all his boxes are without him at once.
		c.since, c.wait = now, Patience+mrand.N(Patience)
	}
	if !c.due(e.Reason, now) {
		return
	}
	c.sent++
	c.last, c.reason = now, e.Reason
	if heard, err := c.Call(ctx, c.sent, reasonWord(e)); c.Log != nil {
		c.Log.Info("called for help by a name", "reason", reasonWord(e), "heard", heard, "err", err)
	}
}

// Call asks for one name, and reports whether the vendor's zone has answered that
// it heard. That it was asked is what counts: a resolver may keep the answer.
func (o Options) Call(ctx context.Context, seq uint64, reason string) (heard bool, err error) {
	b := fleet.Beacon{ID: fleet.ShortID(o.Key.PublicKey()), Reason: reason, Starts: o.Starts, Seq: seq}
	name, err := b.Name(o.Zone, o.Key.Sign)
	if err != nil {
		return false, err
	}
	ask := o.Ask
	if ask == nil {
		ask = o.lookUp
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	addrs, err := ask(ctx, name)
	return slices.Contains(addrs, fleet.BeaconAck), err
}

// due reports whether to call.
func (c *caller) due(why agent.Reason, now time.Time) bool {
	if now.Sub(c.since) < c.wait {
		return false
	}
	wait := Least
	if why == c.reason {
		wait = Again
	}
	return c.last.IsZero() || now.Sub(c.last) >= wait
}

// reasonWord is why the box is not heard, in one word.
func reasonWord(e agent.Evidence) string {
	if e.Reason != "" {
		return string(e.Reason)
	}
	return e.Outcome.String()
}

// lookUp asks for the name's address. It follows no search list, for the name ends
// with a dot.
func (o Options) lookUp(ctx context.Context, name string) ([]netip.Addr, error) {
	r := &net.Resolver{PreferGo: true}
	if len(o.Resolvers) > 0 {
		next := roundRobin{of: o.Resolvers}
		r.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, next.take().String())
		}
	}
	return r.LookupNetIP(ctx, "ip4", name+".")
}

// roundRobin takes one name server after another.
type roundRobin struct {
	of []netip.AddrPort
	mu sync.Mutex
	n  int
}

func (r *roundRobin) take() netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	return r.of[(r.n-1)%len(r.of)]
}
