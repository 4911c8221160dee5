package webrtc

import (
	"context"
	"net/netip"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/trust"
)

const (
	codeTryAlternate = 300
	codeUnauthorized = 401
)

// TURN asks for an allocation without credentials (RFC 8656 section 7): one
// Allocate over t's transport and variant, of UDP Plain and DTLS, TCP Plain and
// TLS. Being refused is the proof: 401 with realm and nonce is Answered with
// reason unauthorized. It shows that a TURN server answered, not whose; only
// the certificate of DTLS and TLS, judged by c, shows that.
//
//   - Any other error code on our request is Answered as well, with its code.
//   - An allocation is Answered with reason open-relay, and given back.
//   - 300 leads to the other server, once, and only where that cannot point a
//     practice's box into its own network; what happened there is the outcome,
//     and detail says so.
//   - A certificate that is not the target's is Tampered with trust's reason;
//     the Allocate is sent all the same. An expired one is Answered with that
//     reason.
//   - A server that gives no 401 over UDP, because it has given too many to this
//     practice's public address or does STUN only, is asked for a Binding at the
//     same port: an answer to that is Answered too, for the way is open, without
//     reason and code, and detail says so.
//   - On a connection that came up, HTTP or anything else that is not TURN is
//     Tampered; an alert, a reset or a close is Refused; 3 s of nothing are
//     Silent. connect_ms stays beside each of them.
//
// Values: rtt_ms (as [STUN]; over DTLS from the first send), sends_count (UDP
// without DTLS), connect_ms, stun_error_code, realm, software, detail, and what
// package trust says of a certificate.
func TURN(c trust.Checker) agent.Probe {
	return func(ctx context.Context, t agent.Target) agent.Evidence {
		if e, bad := unaskable(agent.ProbeTURN, t); bad {
			return e
		}
		until := time.Now().Add(bound)
		e, a := allocate(ctx, c, t, until)
		if a.code == codeTryAlternate && e.Outcome == agent.Answered {
			e = follow(ctx, c, e, a.alternate, until)
		}
		return e
	}
}

// allocate asks once, the way t says.
func allocate(ctx context.Context, c trust.Checker, t agent.Target, until time.Time) (agent.Evidence, answer) {
	var e agent.Evidence
	var a answer
	if t.Transport == agent.UDP && t.Variant == agent.Plain {
		e, a = askOnce(ctx, agent.ProbeTURN, t, newAllocate(), left(until, allocateEnd))
		if e.Outcome == agent.Silent {
			return unchallenged(ctx, e, until), a
		}
	} else {
		var w *way
		if w, e = open(ctx, c, t, until); w != nil {
			defer w.close()
			e, a = w.ask(ctx, e)
			e = w.seen.over(e)
		}
	}
	if e.Outcome == agent.Answered && e.Reason == "" {
		e.Reason = a.reason()
	}
	return e, a
}

// unchallenged asks a server that was silent to an Allocate for what costs it no
// challenge. coturn counts its 401 per second and source address, over UDP only
// (unauthorized-ratelimit), and says nothing beyond its limit.
func unchallenged(ctx context.Context, e agent.Evidence, until time.Time) agent.Evidence {
	b, _ := askOnce(ctx, agent.ProbeTURN, e.Target, newBinding(), left(until, bindingAfter))
	if b.Outcome != agent.Answered {
		return e
	}
	sends := e.Values[agent.Sends]
	e = found(with(e, b.Values), agent.Answered, "").With(agent.Detail, "no answer to Allocate, but to Binding")
	e.Values[agent.Sends] = sends
	return e
}

// reason says what an answer to an Allocate without credentials proves.
func (a answer) reason() agent.Reason {
	switch {
	case a.allocated():
		return agent.OpenRelay
	case a.code == codeUnauthorized && a.challenge:
		return agent.Unauthorized
	default:
		return ""
	}
}

// worthFollowing is the time that a second server must at least have.
const worthFollowing = 1500 * time.Millisecond

// follow asks the server that a 300 names. e keeps the target that was asked
// first: that is what the profile and a firewall's rule know.
func follow(ctx context.Context, c trust.Checker, e agent.Evidence, to netip.AddrPort, until time.Time) agent.Evidence {
	switch {
	case !to.IsValid() || to.Port() == 0 || to.Addr().Is4() != e.Target.Addr.Unmap().Is4():
		return e.With(agent.Detail, "300 names no usable other server")
	case to == e.Target.AddrPort():
		return e.With(agent.Detail, "300 names the same server again")
	case !mayFollow(e.Target.Addr, to.Addr()):
		return e.With(agent.Detail, "300 names a server outside the internet, not followed")
	case time.Until(until) < worthFollowing:
		return e.With(agent.Detail, "300 names another server, no time was left to ask it")
	}
	t := e.Target
	t.Addr, t.Port = to.Addr(), to.Port()
	there, _ := allocate(ctx, c, t, until)
	there.Target = e.Target
	if d := there.Values.Text(agent.Detail); d != "" {
		return there.With(agent.Detail, "other server after 300: "+d)
	}
	return there.With(agent.Detail, "asked the other server that 300 named")
}

// mayFollow reports whether a server at from may send us to an address. One on
// the internet must not make the box knock at addresses of the practice's LAN.
func mayFollow(from, to netip.Addr) bool {
	usable := !to.IsUnspecified() && !to.IsMulticast() && to.Unmap() != netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return usable && (isPublic(to) || !isPublic(from))
}
