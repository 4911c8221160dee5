package webrtc

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

// What nat_mapping says.
const (
	oneMapping   = "endpoint-independent"
	manyMappings = "address-dependent" // or port-dependent: calls suffer alike
	manyAddrs    = "several-addresses" // several lines, or a pool of addresses
)

// maxDestinations bounds who is asked: three answers tell all there is to know.
const maxDestinations = 6

// Mapping sends Binding requests from one socket to t and to others of the same
// address family, within 4 s, and compares how they saw that socket. A destination
// that does not answer proves nothing, so it takes two answers: one is NotLooked
// with too-few-answers, none is what happened at t (Silent, as a rule). A difference
// counts only if it shows again when all that answered are asked once more, for a
// line that is dialled anew in between makes one, too; if it does not, that is
// too-few-answers as well.
//
// Values: destinations_count, mapped_ports_count, mapped_ips_count, mapped_addr (as
// the first to answer saw it), nat_mapping and nat_filtering. nat_mapping is absent
// where all saw the same, but at one address: a NAT that maps by address cannot be
// told from one that does not then. nat_filtering is there only where t's server
// offers to find it out (RFC 5780) and that is certain.
func Mapping(others []netip.AddrPort) agent.Probe {
	return func(ctx context.Context, t agent.Target) agent.Evidence {
		if e, bad := unaskable(agent.ProbeMapping, t); bad {
			return e
		}
		s, err := reach.Listen(t.Addr)
		if err != nil {
			return reach.Classify(err, t.Addr).Evidence(agent.ProbeMapping, t)
		}
		defer s.Close()
		until := time.Now().Add(bound)
		to := destinations(t.AddrPort(), others)
		filter := filtering(ctx, to[0], to[1:]) // before anything opens filters
		seen, first := survey(ctx, s, to, left(until, mappingEnd))
		again := seen
		if seen.differ() {
			again, _ = survey(ctx, s, seen.from(), left(until, mappingEnd))
		}
		switch {
		case ctx.Err() != nil:
			return agent.See(agent.ProbeMapping, t, agent.NotLooked, agent.Cancelled)
		case len(seen) == 0:
			return first.Evidence(agent.ProbeMapping, t)
		case seen.differ() && !again.differ():
			return found(seen.evidence(t), agent.NotLooked, agent.TooFew)
		case len(seen) < 2:
			return found(seen.evidence(t), agent.NotLooked, agent.TooFew)
		}
		e := again.judge(again.evidence(t))
		if filter != "" {
			e = e.With(agent.Filtering, filter)
		}
		return e
	}
}

// destinations are the different ones of first's family, first leading.
func destinations(first netip.AddrPort, others []netip.AddrPort) []netip.AddrPort {
	var all []netip.AddrPort
	for _, d := range append([]netip.AddrPort{first}, others...) {
		d = netip.AddrPortFrom(d.Addr().Unmap(), d.Port())
		family := d.Addr().Is4() == first.Addr().Unmap().Is4()
		if d.IsValid() && d.Port() != 0 && family && !slices.Contains(all, d) && len(all) < maxDestinations {
			all = append(all, d)
		}
	}
	return all
}

// views are how destinations saw one socket.
type views []view

type view struct{ by, seen netip.AddrPort }

// survey asks one destination after the other. Each may take an equal share of
// the time that is left, so that one that is silent does not starve the rest.
func survey(ctx context.Context, s *reach.Socket, to []netip.AddrPort, within time.Duration) (seen views, first reach.Result) {
	until := time.Now().Add(within)
	for i, d := range to {
		e := &ear{asked: d, req: newBinding()}
		r := e.ask(ctx, s, time.Until(until)/time.Duration(len(to)-i))
		if i == 0 {
			first = r
		}
		if p := e.answer.public(); r.Outcome == agent.Answered && p.IsValid() {
			seen = append(seen, view{d, p})
		}
	}
	if len(seen) == 0 && first.Outcome == agent.Answered { // an answer without an address
		first.Outcome, first.Reason = agent.NotLooked, agent.TooFew
	}
	return seen, first
}

// from are the destinations that answered.
func (v views) from() []netip.AddrPort {
	var all []netip.AddrPort
	for _, x := range v {
		all = append(all, x.by)
	}
	return all
}

// differ reports whether not all saw the same.
func (v views) differ() bool {
	return slices.ContainsFunc(v, func(x view) bool { return x.seen != v[0].seen })
}

// count is how many different things of the views there are.
func count[T comparable](v views, of func(view) T) int {
	all := map[T]bool{}
	for _, x := range v {
		all[of(x)] = true
	}
	return len(all)
}

func (v views) addrs() int { return count(v, func(x view) netip.Addr { return x.seen.Addr() }) }
func (v views) ports() int { return count(v, func(x view) uint16 { return x.seen.Port() }) }

// evidence is what at least one view shows.
func (v views) evidence(t agent.Target) agent.Evidence {
	return agent.See(agent.ProbeMapping, t, agent.Answered, "").
		With(agent.Destinations, len(v)).
		With(agent.MappedIPs, v.addrs()).
		With(agent.MappedPorts, v.ports()).
		With(agent.MappedAddr, v[0].seen.String())
}

// judge says what at least two views tell about the NAT.
func (v views) judge(e agent.Evidence) agent.Evidence {
	switch {
	case v.addrs() > 1:
		return e.With(agent.Mapping, manyAddrs)
	case v.ports() > 1:
		return e.With(agent.Mapping, manyMappings)
	case count(v, func(x view) netip.Addr { return x.by.Addr() }) > 1:
		return e.With(agent.Mapping, oneMapping)
	}
	return e
}
