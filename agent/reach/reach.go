// Package reach makes one graded attempt to reach an address: a TCP connection
// or a UDP question. It tells an answer from a refusal by the target, a
// rejection by somebody on the way (with that device's address, from the ICMP
// error), silence, and not having been able to look. An attempt can be limited to
// a number of hops, which makes the router at that distance show itself. It needs
// no root: the kernel's error queue (ip(7), IP_RECVERR) carries the sender of ICMP
// errors.
//
// It knows no protocol above TCP and UDP, no names, no retries over rounds and
// no judgement. It runs on Linux only.
package reach

import (
	"net/netip"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
)

// ICMP is an ICMP or ICMPv6 error that an attempt met.
type ICMP struct {
	Type, Code uint8
	From       netip.Addr // who sent it; invalid: there was none
}

// Result is how one attempt ended.
type Result struct {
	// Outcome is Answered (TCP: connected; UDP: an accepted answer came),
	// Refused, Rejected, Silent or NotLooked.
	Outcome agent.Outcome
	Reason  agent.Reason // empty only with Answered
	// RTT of the answer or refusal; 0 if there was none, or if a UDP message
	// had been sent again and the answer may belong to either (Karn's rule,
	// RFC 6298 section 3).
	RTT    time.Duration
	Sends  int    // UDP datagrams sent
	ICMP   ICMP   // From is invalid if none came
	Detail string // the system's words without addresses; usually empty
}

// Evidence is what probe p says of target t, given that r is all it saw.
func (r Result) Evidence(p agent.ProbeName, t agent.Target) agent.Evidence {
	e := agent.See(p, t, r.Outcome, r.Reason)
	if r.RTT > 0 {
		key := agent.RTT
		if t.Transport == agent.TCP && r.Outcome == agent.Answered {
			key = agent.ConnectTime
		}
		e = e.With(key, r.RTT)
	}
	if r.Sends > 0 {
		e = e.With(agent.Sends, r.Sends)
	}
	if r.ICMP.From.IsValid() {
		e = e.With(agent.ICMPType, r.ICMP.Type).
			With(agent.ICMPCode, r.ICMP.Code).
			With(agent.ICMPFrom, r.ICMP.From.String())
	}
	if r.Detail != "" {
		e = e.With(agent.Detail, r.Detail)
	}
	return e
}
