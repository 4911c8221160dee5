package fleet

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent"
)

// Redact returns r with public addresses of the practice cut to their network:
// IPv4 to /24, IPv6 to /48. Private addresses and the service's own stay. The
// gateway, a device that rejects, and a resolver with an IPv6 address can be the
// practice's router, seen from outside.
func Redact(r agent.Report) agent.Report {
	r = eachEvidence(r, func(e agent.Evidence) agent.Evidence {
		for _, k := range []agent.Key{agent.MappedAddr, agent.LocalAddr, agent.Gateway, agent.ICMPFrom, agent.Resolver, agent.BadResolver, agent.Hops, agent.LastHopFrom} {
			s := e.Values.Text(k)
			if s != "" && s != e.Target.Addr.String() {
				e = e.With(k, cutAll(s, k == agent.Resolver || k == agent.BadResolver))
			}
		}
		if e.Values.Text(agent.ClientAddr) != "" {
			e.Values = maps.Clone(e.Values)
			delete(e.Values, agent.ClientAddr)
		}
		return e
	})
	findings := slices.Clone(r.Findings)
	for i, f := range findings {
		findings[i].Args = maps.Clone(f.Args)
		for _, k := range []string{"gateway", "sender", "resolver"} {
			if s, ok := f.Args[k]; ok {
				findings[i].Args[k] = cutAll(s, k == "resolver")
			}
		}
	}
	r.Findings = findings
	return r
}

// cutAll shortens each of the addresses between blanks. A resolver's public IPv4
// address is a provider's and stays.
func cutAll(s string, resolver bool) string {
	words := strings.Fields(s)
	for i, w := range words {
		if w == "*" {
			continue // a router that did not answer
		}
		a, err := netip.ParseAddr(w)
		if ap, portErr := netip.ParseAddrPort(w); portErr == nil {
			a, err = ap.Addr(), nil
		}
		if !resolver || err != nil || !a.Unmap().Is4() {
			words[i] = cut(w)
		}
	}
	return strings.Join(words, " ")
}

// cut shortens an address, address with port or prefix; what is none of them
// is dropped rather than passed on.
func cut(s string) string {
	host := s
	if ap, err := netip.ParseAddrPort(s); err == nil {
		host = ap.Addr().String()
	} else if p, err := netip.ParsePrefix(s); err == nil {
		host = p.Addr().String()
	}
	a, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return ""
	case a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast():
		return s
	}
	bits := 48
	if a = a.Unmap().WithZone(""); a.Is4() {
		bits = 24
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}
