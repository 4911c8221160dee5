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
// address family, within 4 s in all, and compares how they saw that socket. A
// destination that does not answer proves nothing, so it takes two answers: one
// is NotLooked with too-few-answers, none is what happened at t (Silent, as a
// rule). Values: destinations_count, mapped_ports_count, mapped_ips_count,
// mapped_addr (as the first to answer saw it) and nat_mapping.
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
		seen, first := survey(ctx, s, destinations(t.AddrPort(), others))
		switch {
		case ctx.Err() != nil:
			return agent.See(agent.ProbeMapping, t, agent.NotLooked, agent.Cancelled)
		case len(seen) == 0:
			return first.Evidence(agent.ProbeMapping, t)
		default:
			return compare(t, seen)
		}
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

// survey asks one destination after the other. Each may take an equal share of
// the time that is left, so that one that is silent does not starve the rest.
func survey(ctx context.Context, s *reach.Socket, to []netip.AddrPort) (seen []netip.AddrPort, first reach.Result) {
	until := time.Now().Add(mappingEnd)
	for i, d := range to {
		e := &ear{asked: d, req: newBinding()}
		r := e.ask(ctx, s, time.Until(until)/time.Duration(len(to)-i))
		if i == 0 {
			first = r
		}
		if p := e.answer.public(); r.Outcome == agent.Answered && p.IsValid() {
			seen = append(seen, p)
		}
	}
	if len(seen) == 0 && first.Outcome == agent.Answered { // an answer without an address
		first.Outcome, first.Reason = agent.NotLooked, agent.TooFew
	}
	return seen, first
}

// compare says what at least one mapped address tells about the NAT.
func compare(t agent.Target, seen []netip.AddrPort) agent.Evidence {
	ips, ports := map[netip.Addr]bool{}, map[uint16]bool{}
	for _, p := range seen {
		ips[p.Addr()], ports[p.Port()] = true, true
	}
	o, why := agent.Answered, agent.Reason("")
	if len(seen) < 2 {
		o, why = agent.NotLooked, agent.TooFew
	}
	e := agent.See(agent.ProbeMapping, t, o, why).
		With(agent.Destinations, len(seen)).
		With(agent.MappedIPs, len(ips)).
		With(agent.MappedPorts, len(ports)).
		With(agent.MappedAddr, seen[0].String())
	switch {
	case len(seen) < 2:
		return e
	case len(ips) > 1:
		return e.With(agent.Mapping, manyAddrs)
	case len(ports) > 1:
		return e.With(agent.Mapping, manyMappings)
	default:
		return e.With(agent.Mapping, oneMapping)
	}
}
