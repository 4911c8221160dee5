package webrtc

import (
	"context"

	"github.com/sprechprobe/sprechprobe/agent"
)

// STUN sends a Binding request (RFC 8489) over UDP and waits 5 s for the answer
// to it. Any answer to our own request counts as Answered, an error with its
// code. Values: rtt_ms (a lower bound where sends_count is over 1), sends_count,
// mapped_addr, software, stun_error_code, and alg_rewrite where the server sent both forms of the mapped address, of
// which only one can be recognised and rewritten on the way.
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
	if a.mapped.IsValid() && a.bare.IsValid() {
		e = e.With(agent.ALGRewrite, a.mapped != a.bare)
	}
	return e
}
