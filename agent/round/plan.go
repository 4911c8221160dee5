package round

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/sprechprobe/sprechprobe/agent"
)

// distinct is every target of the profiles, once: two services that need the
// same door ask it once.
func distinct(profiles []agent.Profile) []agent.Target {
	type door struct {
		host       string
		port, last uint16
		transport  agent.Transport
		service    agent.Service
	}
	index := map[door]int{}
	var out []agent.Target
	for _, p := range profiles {
		for _, t := range p.Targets {
			d := door{t.Host, t.Port, t.LastPort, t.Transport, t.Service}
			if i, ok := index[d]; ok {
				out[i] = merge(out[i], t)
				continue
			}
			index[d] = len(out)
			out = append(out, t)
		}
	}
	return out
}

// merge asks for what either target wants to know.
func merge(a, b agent.Target) agent.Target {
	a.Pins = union(a.Pins, b.Pins)
	a.Variants = union(a.Variants, b.Variants)
	a.AltPorts = union(a.AltPorts, b.AltPorts)
	if a.Path == "" {
		a.Path = b.Path
	}
	a.Pushed = a.Pushed && b.Pushed
	return a
}

func union[T comparable](a, b []T) []T {
	out := slices.Clone(a)
	for _, x := range b {
		if !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	return out
}

// names is one target per name that must be resolved, with the pins of all that
// share it.
func names(targets []agent.Target) []agent.Target {
	var out []agent.Target
	for _, t := range targets {
		if t.Host == "" || literal(t.Host) {
			continue
		}
		i := slices.IndexFunc(out, func(o agent.Target) bool { return o.Host == t.Host })
		if i < 0 {
			out = append(out, agent.Target{Host: t.Host, Pins: t.Pins})
			continue
		}
		out[i].Pins = union(out[i].Pins, t.Pins)
	}
	return out
}

func literal(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// Bounds on how many addresses of one name are asked.
const (
	mostV4 = 3
	mostV6 = 1
)

// addresses are what to ask for a target: where its name leads, and what the
// service has published, each family bounded. What the vendor names over the
// network is only asked at public addresses, wherever its name leads.
func (p Probes) addresses(t agent.Target, known map[string][]netip.Addr) []netip.Addr {
	var all []netip.Addr
	if a, err := netip.ParseAddr(t.Host); err == nil {
		all = append(all, a)
	}
	all = union(union(all, known[t.Host]), t.Pins)
	var out []netip.Addr
	v4, v6 := 0, 0
	for _, a := range all {
		a = p.lead(a.Unmap())
		switch {
		case t.Pushed && (p.Public == nil || !p.Public(a)):
			continue
		case a.Is4() && v4 < mostV4:
			v4++
		case a.Is6() && v6 < mostV6 && p.IPv6():
			v6++
		default:
			continue
		}
		out = union(out, []netip.Addr{a})
	}
	return out
}

// through leaves only the way over a translator, if this round found one, which
// is looked for where there is no IPv4.
func (p Probes) through(first []agent.Evidence) Probes {
	translate := p.Translate
	p.Translate = nil
	for _, e := range first {
		if translate != nil && e.Probe == agent.ProbeIPv6 && e.Values.Text(agent.NAT64) != "" {
			p.Translate = func(_ agent.Evidence, a netip.Addr) netip.Addr { return translate(e, a) }
		}
	}
	return p
}

// lead is where packets to an address have to go.
func (p Probes) lead(a netip.Addr) netip.Addr {
	if p.Translate == nil || !a.Is4() {
		return a
	}
	return p.Translate(agent.Evidence{}, a)
}

// steps are the looks at all targets: each address, port and variant.
func (p Probes) steps(targets []agent.Target, known map[string][]netip.Addr) []step {
	var out []step
	for _, t := range targets {
		addrs := p.addresses(t, known)
		if len(addrs) == 0 {
			out = append(out, step{name: p.of(t.Service).name, target: t})
		}
		for _, a := range addrs {
			for _, s := range p.at(t, a) {
				if !slices.ContainsFunc(out, s.same) {
					out = append(out, s)
				}
			}
		}
	}
	return out
}

// same reports whether two steps look at the same thing: services may name each
// other's main port as an alternative.
func (s step) same(o step) bool {
	a, b := s.target, o.target
	return s.name == o.name && a.Host == b.Host && a.AddrPort() == b.AddrPort() && a.LastPort == b.LastPort &&
		a.Transport == b.Transport && a.Variant == b.Variant
}

// at are the looks at one address of a target.
func (p Probes) at(t agent.Target, a netip.Addr) []step {
	var out []step
	s := p.of(t.Service)
	for _, port := range append([]uint16{t.Port}, t.AltPorts...) {
		for _, v := range variants(t) {
			one := t.At(a, v)
			one.Port = port
			out = append(out, step{probe: s.probe, name: s.name, target: one, kin: s.kin(t)})
		}
	}
	return out
}

// variants are the ways to ask apart. NATS climbs its own ladder; a web host and
// a range have only one.
func variants(t agent.Target) []agent.Variant {
	switch {
	case t.Service == agent.TURN && len(t.Variants) > 0:
		return t.Variants
	case t.Service == agent.TURN || t.Service == agent.STUN:
		return []agent.Variant{agent.Plain}
	default:
		return []agent.Variant{""}
	}
}

// kin names the looks at a target of which one is enough. Every address of a
// range, and every page, stands for itself.
func (n named) kin(t agent.Target) string {
	if t.Service == agent.Range {
		return ""
	}
	return fmt.Sprintf("%s %s", n.name, t)
}

type named struct {
	probe agent.Probe
	name  agent.ProbeName
}

func (p Probes) of(s agent.Service) named {
	switch s {
	case agent.HTTPS:
		return named{p.HTTPS, agent.ProbeWeb}
	case agent.STUN:
		return named{p.STUN, agent.ProbeSTUN}
	case agent.TURN:
		return named{p.TURN, agent.ProbeTURN}
	case agent.NATS:
		return named{p.NATS, agent.ProbeNATS}
	default:
		return named{p.Ports, agent.ProbePorts}
	}
}

// controls are the looks that explain others.
func (p Probes) controls(targets []agent.Target, first []agent.Evidence) []step {
	var out []step
	out = append(out, p.captive(first)...)
	out = append(out, p.uncached(targets, first)...)
	out = append(out, p.relay(first)...)
	return append(out, p.mapping(first)...)
}

// relay gets an allocation where the relay has just shown itself, once for each
// transport: its plain form if that answered.
func (p Probes) relay(first []agent.Evidence) []step {
	var out []step
	for _, e := range first {
		known := slices.ContainsFunc(out, func(s step) bool {
			return s.target.Host == e.Target.Host && s.target.Transport == e.Target.Transport
		})
		if p.Relay != nil && e.Probe == agent.ProbeTURN && e.Reason == agent.Unauthorized && !known && !e.Target.Pushed {
			out = append(out, step{probe: p.Relay, name: agent.ProbeRelay, target: e.Target})
		}
	}
	return out
}

// captive looks for a login page, at the service's own host, when a web host
// did not show itself; and where only web hosts do, whether plain HTTP passes.
func (p Probes) captive(first []agent.Evidence) []step {
	only := onlyWeb(first)
	for _, e := range first {
		if e.Probe == agent.ProbeWeb && (e.Outcome != agent.Answered || only) && e.Target.Addr.IsValid() {
			t := agent.Target{Host: e.Target.Host, Addr: e.Target.Addr, Port: 80, Transport: agent.TCP}
			return []step{{probe: p.Captive, name: agent.ProbeCaptive, target: t}}
		}
	}
	return nil
}

// uncached asks the resolver for a name that no cache can know, when nothing at
// all answered.
func (p Probes) uncached(targets []agent.Target, first []agent.Evidence) []step {
	for _, e := range first {
		if e.Outcome == agent.Answered && e.Probe != agent.ProbeLink && e.Probe != agent.ProbeDNS {
			return nil
		}
	}
	for _, t := range names(targets) {
		t.Variant = agent.Uncached
		return []step{{probe: p.DNS, name: agent.ProbeDNS, target: t}}
	}
	return nil
}

// mapping compares the addresses that several destinations see of one socket:
// all IPv4 destinations that just answered over UDP without encryption. Where
// that is one, a STUN server's other address may be the second.
func (p Probes) mapping(first []agent.Evidence) []step {
	var to []netip.AddrPort
	for _, e := range first {
		t := e.Target
		if (e.Probe == agent.ProbeSTUN || e.Probe == agent.ProbeTURN) && t.Transport == agent.UDP &&
			t.Variant == agent.Plain && e.Outcome == agent.Answered && t.Addr.Is4() && !slices.Contains(to, t.AddrPort()) {
			to = append(to, t.AddrPort())
		}
	}
	if len(to) == 1 {
		to = append(to, offered(first)...)
	}
	if len(to) < 2 {
		return nil
	}
	first0 := to[0]
	t := agent.Target{Addr: first0.Addr(), Port: first0.Port(), Transport: agent.UDP}
	for _, e := range first {
		if e.Target.AddrPort() == first0 {
			t.Host = e.Target.Host
		}
	}
	return []step{{probe: p.Mapping(to[1:]), name: agent.ProbeMapping, target: t}}
}

// onlyWeb reports whether web hosts answered and nothing else that was asked did.
func onlyWeb(first []agent.Evidence) bool {
	others := 0
	for _, e := range first {
		switch {
		case !service(e) || e.Probe == agent.ProbePorts:
		case e.Probe == agent.ProbeWeb && e.Outcome != agent.Answered:
			return false
		case e.Probe != agent.ProbeWeb && e.Outcome == agent.Answered:
			return false
		case e.Probe != agent.ProbeWeb:
			others++
		}
	}
	return others > 1
}

// offered are the other addresses of STUN servers that they offered.
func offered(first []agent.Evidence) []netip.AddrPort {
	for _, e := range first {
		if a, err := netip.ParseAddrPort(e.Values.Text(agent.OtherAddr)); err == nil && e.Probe == agent.ProbeSTUN {
			return []netip.AddrPort{a}
		}
	}
	return nil
}
