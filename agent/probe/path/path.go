// Package path looks at the routers between the box and a service: who they are,
// and how far a target's packets come. Packets that may travel one hop, two hops
// and so on make each router on the way name itself (icmp-ttl-exceeded, as
// traceroute does), and that needs no root.
//
// It does not know which of the routers is the practice's own, whose the others
// are, or what a private address among them means. Many routers keep silent or
// ration what they say: what was not heard proves nothing by itself.
package path

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

// Path looks for the first six routers on the way to t, a STUN server that
// answers, with at most two Binding requests for each, within 1.3 s. It is
// Answered if a router or t itself answered, and Silent if nobody did. Value hops
// are the routers, nearest first, up to the last that answered or to t.
func Path(ctx context.Context, t agent.Target) agent.Evidence {
	if e, bad := unfit(agent.ProbePath, t); bad {
		return e
	}
	if t.Transport != agent.UDP {
		return agent.See(agent.ProbePath, t, agent.NotLooked, agent.Unsupported)
	}
	plan := []time.Duration{0, 500 * time.Millisecond, 1200 * time.Millisecond}
	s := send(ctx, t, plan, wholeWay)
	if ctx.Err() != nil {
		return agent.See(agent.ProbePath, t, agent.NotLooked, agent.Cancelled)
	}
	e := s.outcome().Evidence(agent.ProbePath, t)
	if hops := s.hops(); e.Outcome == agent.Answered && hops != "" {
		e = e.With(agent.Hops, hops)
	}
	return e
}

// unfit says why a target cannot be asked at all, if it cannot.
func unfit(p agent.ProbeName, t agent.Target) (agent.Evidence, bool) {
	switch {
	case !t.Addr.IsValid() || t.Port == 0:
		return agent.See(p, t, agent.NotLooked, agent.NoAddress), true
	case t.Transport != agent.UDP && t.Transport != agent.TCP:
		return agent.See(p, t, agent.NotLooked, agent.Unsupported), true
	}
	return agent.Evidence{}, false
}

// outcome is Answered if anybody on the way spoke.
func (s series) outcome() reach.Result {
	if _, router := s.last(); router.IsValid() {
		return reach.Result{Outcome: agent.Answered}
	}
	if at := s.end(); at > 0 {
		return s[at-1]
	}
	return s[0] // Silent, or what kept this machine from looking
}

// hops are the routers as a report writes them.
func (s series) hops() string {
	way, known := len(s), 0
	if at := s.end(); at > 0 {
		way, known = at-1, at-1
	}
	var words []string
	for i := range way {
		word := "*"
		if router := routerOf(s[i]); router.IsValid() {
			word, known = router.String(), max(known, i+1)
		}
		words = append(words, word)
	}
	return strings.Join(words[:known], " ")
}

// routerOf is the router that let a packet die; invalid: none did.
func routerOf(r reach.Result) netip.Addr {
	if r.Reason == agent.TTLExceeded {
		return r.ICMP.From
	}
	return netip.Addr{}
}
