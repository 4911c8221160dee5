// Package ipv6 says what of IPv6 there is, each for itself: an address, a route,
// and whether anything comes back; and on a network without IPv4 the prefix by
// which a translator (NAT64) reaches IPv4 addresses. It does not know whether a
// service has IPv6, and asks no translator for anything.
package ipv6

import (
	"context"
	"net/netip"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/dns"
	"github.com/sprechprobe/sprechprobe/agent/probe/link"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

// bound is how long one look may take in all.
const bound = 5800 * time.Millisecond

// translated is the name by which networks tell their translator's prefix (RFC
// 7050). Only the practice's own name servers are asked for it.
const translated = "ipv4only.arpa"

// Probe returns the probe of IPv6 on a machine, whose name servers are resolvers,
// or those of /etc/resolv.conf if nil.
//
// Values ipv6_addr and ipv6_route are what the kernel has; without both it is
// NotLooked, no-ipv6. Where IPv4 has no route, the name servers are asked for a
// translator, and nat64_prefix is its prefix. With t.Addr and a port of TCP the
// outcome is that of a connection there: to an IPv6 address, or by way of the
// translator to an IPv4 address, which is NotLooked, no-address without one.
// Where nothing is to be asked, Answered says no more than that IPv6 is there.
func Probe(s link.System, resolvers []netip.AddrPort) agent.Probe {
	return func(ctx context.Context, t agent.Target) agent.Evidence {
		if ctx.Err() != nil {
			return agent.See(agent.ProbeIPv6, t, agent.NotLooked, agent.Cancelled)
		}
		has, err := link.FamiliesOf(s)
		if err != nil {
			return agent.See(agent.ProbeIPv6, t, agent.NotLooked, agent.Unsupported)
		}
		within, cancel := context.WithTimeout(ctx, bound)
		defer cancel()
		var prefix netip.Prefix
		if has.IPv6Route && !has.IPv4Route {
			prefix = discover(dns.Lookup(within, resolvers, translated))
		}
		e := connect(within, t, has, prefix)
		if ctx.Err() != nil && e.Outcome != agent.Answered {
			e = agent.See(agent.ProbeIPv6, t, agent.NotLooked, agent.Cancelled)
		}
		e = e.With(agent.IPv6Addr, has.IPv6Addr).With(agent.IPv6Route, has.IPv6Route)
		if prefix.IsValid() {
			e = e.With(agent.NAT64, prefix.String())
		}
		return e
	}
}

// connect looks whether anything comes back.
func connect(ctx context.Context, t agent.Target, has link.Families, prefix netip.Prefix) agent.Evidence {
	switch {
	case !has.IPv6Route || !has.IPv6Addr && !prefix.IsValid():
		return agent.See(agent.ProbeIPv6, t, agent.NotLooked, agent.NoIPv6)
	case !t.Addr.IsValid() || t.Port == 0 || t.Transport != agent.TCP:
		return agent.See(agent.ProbeIPv6, t, agent.Answered, "")
	case t.Addr.Is4() && !prefix.IsValid():
		return agent.See(agent.ProbeIPv6, t, agent.NotLooked, agent.NoAddress)
	case t.Addr.Is4():
		t.Addr = Synthesize(prefix, t.Addr)
	}
	conn, r := reach.TCP(ctx, t.AddrPort())
	if conn != nil {
		conn.Close()
	}
	return r.Evidence(agent.ProbeIPv6, t)
}
