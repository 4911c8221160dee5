// Package webrtc asks STUN and TURN servers whether they can be reached and
// what the way there does to addresses and packets: Binding over UDP, Allocate
// without and with credentials over UDP, DTLS, TCP and TLS; how the NAT maps,
// filters and forgets; and what becomes of large packets, of many at once and of
// many flows.
//
// It does not know whose servers they are (only a certificate says that), what
// a silence means, or what a video service does when one way is closed.
package webrtc

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"net/netip"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

// bound is how long a probe of this package takes at most.
const bound = 5800 * time.Millisecond

// How long single steps may take.
const (
	bindingEnd   = 5 * time.Second
	allocateEnd  = 4500 * time.Millisecond // over UDP
	bindingAfter = 1200 * time.Millisecond // of an Allocate that nobody answered
	mappingEnd   = 4 * time.Second         // all destinations together
	handshakeEnd = 4 * time.Second         // TLS or DTLS
	streamEnd    = 3 * time.Second         // an answer on a connection that is up
	releaseEnd   = 400 * time.Millisecond  // giving an allocation back
)

// schedule says when a request is sent over UDP, and last when its answer is no
// longer waited for. The waits double as in RFC 8489 section 6.2.1, but start
// at WebRTC's own 250 ms, because a person waits for the round.
func schedule(end time.Duration) []time.Duration {
	var plan []time.Duration
	for _, ms := range []int{0, 250, 750, 1750, 3750} {
		if at := time.Duration(ms) * time.Millisecond; at < end {
			plan = append(plan, at)
		}
	}
	return append(plan, end)
}

// left is how much of d remains before until. The caller's own deadline is not
// looked at here: what it cuts short is a look that did not happen, not silence.
func left(until time.Time, d time.Duration) time.Duration {
	return max(0, min(d, time.Until(until)))
}

// found returns e with another outcome and reason, its values kept.
func found(e agent.Evidence, o agent.Outcome, why agent.Reason) agent.Evidence {
	e.Outcome, e.Reason, e.Grade = o, why, agent.GradeOf(o)
	return e
}

// ended returns e with the way in which a later step of it ended.
func ended(e agent.Evidence, r reach.Result) agent.Evidence {
	late := r.Evidence(e.Probe, e.Target)
	return found(with(e, late.Values), late.Outcome, late.Reason)
}

// failed returns e with what an error on a connection that was up means.
func failed(ctx context.Context, e agent.Evidence, err error) agent.Evidence {
	var record tls.RecordHeaderError
	var op *net.OpError
	switch {
	case ctx.Err() != nil:
		return found(e, agent.NotLooked, agent.Cancelled)
	case errors.As(err, &record):
		return found(e, agent.Tampered, agent.NotTLS)
	case errors.As(err, &op) && op.Op == "remote error": // how crypto/tls reports an alert
		return found(e, agent.Refused, agent.TLSAlert)
	case errors.As(err, &op) && op.Op == "local error": // and records that it will not have
		return found(e, agent.Tampered, agent.Garbage)
	default:
		return ended(e, reach.Classify(err, e.Target.Addr))
	}
}

// with returns e that also has all of v.
func with(e agent.Evidence, v agent.Values) agent.Evidence {
	values := agent.Values{}
	maps.Copy(values, e.Values)
	maps.Copy(values, v)
	e.Values = values
	return e
}

// unaskable says why t cannot be asked at all, if it cannot.
func unaskable(p agent.ProbeName, t agent.Target) (agent.Evidence, bool) {
	if t.Addr.IsValid() && t.Port != 0 {
		return agent.Evidence{}, false
	}
	return agent.See(p, t, agent.NotLooked, agent.NoAddress), true
}

// isPublic reports whether a is an address of the internet.
func isPublic(a netip.Addr) bool {
	shared := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10) // RFC 6598
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a)
}
