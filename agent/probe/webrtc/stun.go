package webrtc

import (
	"context"
	"net/netip"

	"github.com/sprechprobe/sprechprobe/agent"
)

// STUN sends a Binding request (RFC 8489) over UDP and waits 5 s for the answer
// to it. Any answer to our own request counts as Answered, an error with its
// code. Values: rtt_ms (a lower bound where sends_count is over 1), sends_count,
// mapped_addr, software, stun_error_code, other_addr where the server offers one
// in its own neighbourhood (OTHER-ADDRESS, RFC 5780 section 7.4), and alg_rewrite
// where it sent both forms of the mapped address, of which only one can be
// recognised and rewritten on the way.
func STUN(ctx context.Context, t agent.Target) agent.Evidence {
	if e, bad := unaskable(agent.ProbeSTUN, t); bad {
		return e
	}
	e, a := askOnce(ctx, agent.ProbeSTUN, t, newBinding(), bindingEnd)
	if e.Outcome != agent.Answered {
		return e
	}
	if p := a.public(); p.IsValid() {
		e = e.With(agent.MappedAddr, p.String())
	}
	if other := offered(t.Addr, a.other); other != "" {
		e = e.With(agent.OtherAddr, other)
	}
	if a.mapped.IsValid() && a.bare.IsValid() {
		e = e.With(agent.ALGRewrite, a.mapped != a.bare)
	}
	return e
}

// offered is where a server may send us for another view: only next to itself, so
// that nobody points the box at a stranger. Empty: nowhere.
func offered(server netip.Addr, at netip.AddrPort) string {
	server, other := server.Unmap().WithZone(""), at.Addr().Unmap()
	if at.Port() == 0 || other == server || other.Is4() != server.Is4() {
		return ""
	}
	bits := 24
	if server.Is6() {
		bits = 64
	}
	if p, err := server.Prefix(bits); err != nil || !p.Contains(other) {
		return ""
	}
	return netip.AddrPortFrom(other, at.Port()).String()
}
