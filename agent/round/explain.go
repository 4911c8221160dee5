package round

import (
	"slices"

	"github.com/sprechprobe/sprechprobe/agent"
)

// Bounds on looks that only explain.
const (
	mostWalks  = 6
	mostHellos = 4
)

// troubled reports whether a look at a service failed. A port range need not
// answer.
func troubled(first []agent.Evidence) bool {
	return slices.ContainsFunc(first, func(e agent.Evidence) bool { return service(e) && e.Probe != agent.ProbePorts && bad(e) })
}

// service reports whether a look was one at a service.
func service(e agent.Evidence) bool {
	switch e.Probe {
	case agent.ProbeWeb, agent.ProbeSTUN, agent.ProbeTURN, agent.ProbeNATS, agent.ProbePorts:
		return e.Target.Addr.IsValid()
	}
	return false
}

func bad(e agent.Evidence) bool { return e.Outcome != agent.Answered && e.Outcome != agent.NotLooked }

// connected reports whether a connection came up before the look failed.
func connected(e agent.Evidence) bool {
	_, ok := e.Values.Num(agent.ConnectTime)
	return ok
}

// explain are the looks that say why others failed, and over which routers the
// way leads.
func (p Probes) explain(first []agent.Evidence, deep bool) []step {
	out := p.walks(first)
	out = append(out, p.hellos(first)...)
	if noWeb(first) {
		out = append(out, maybe(p.Proxy, agent.ProbeProxy, firstWeb(first))...)
	}
	t, ok := carrier(first)
	if deep && ok {
		// A path that loses large packets explains much, so it must not be left to the
		// end of a round that has none left.
		out = append(out, maybe(p.MTU, agent.ProbeMTU, t)...)
	}
	if !ok && !slices.ContainsFunc(first, func(e agent.Evidence) bool { return service(e) && !bad(e) }) {
		t, ok = anywhere(first)
	}
	if deep && ok {
		out = append(out, maybe(p.Path, agent.ProbePath, t)...)
	}
	return out
}

// walks asks where packets end that came to nothing, at each door once, with one
// that is open as the control.
func (p Probes) walks(first []agent.Evidence) []step {
	if p.Walk == nil {
		return nil
	}
	var out []step
	for _, e := range first {
		control, ok := controlFor(e.Target, first)
		t := agent.Target{Host: e.Target.Host, Addr: e.Target.Addr, Port: e.Target.Port, Transport: e.Target.Transport}
		known := slices.ContainsFunc(out, func(s step) bool { return s.target.AddrPort() == t.AddrPort() && s.target.Transport == t.Transport })
		if !ok || known || spare(e, first) || len(out) == mostWalks || !service(e) || !bad(e) || connected(e) || e.Outcome == agent.Tampered ||
			e.Probe == agent.ProbePorts || e.Probe == agent.ProbeWalk {
			continue
		}
		out = append(out, step{probe: p.Walk(control), name: agent.ProbeWalk, target: t})
	}
	return out
}

// besideRanges asks where the packets to UDP ranges end, beside those to a STUN
// server on the same machine, and does not wait for either: most servers are
// silent on most ports, and only this tells silence from a wall.
func (p Probes) besideRanges(steps []step) []step {
	var out []step
	for _, s := range steps {
		t := s.target
		i := slices.IndexFunc(steps, func(o step) bool {
			return o.name == agent.ProbeSTUN && o.target.Addr == t.Addr && o.target.Transport == t.Transport
		})
		if p.Walk != nil && s.name == agent.ProbePorts && t.Transport == agent.UDP && t.Addr.IsValid() && i >= 0 {
			at := agent.Target{Host: t.Host, Addr: t.Addr, Port: t.Port, Transport: t.Transport}
			out = append(out, step{probe: p.Walk(steps[i].target), name: agent.ProbeWalk, target: at})
		}
	}
	return out
}

// spare reports whether a look was one over IPv6 at what answers over IPv4.
func spare(e agent.Evidence, first []agent.Evidence) bool {
	return e.Target.Addr.Is6() && slices.ContainsFunc(first, func(o agent.Evidence) bool {
		return o.Outcome == agent.Answered && o.Target.Addr.Is4() && o.Probe == e.Probe && o.Target.String() == e.Target.String()
	})
}

// controlFor is a target that answered: best the same machine, then one over the
// same transport.
func controlFor(t agent.Target, first []agent.Evidence) (control agent.Target, ok bool) {
	best := 0
	for _, e := range first {
		if e.Outcome != agent.Answered || !service(e) || e.Target.LastPort > e.Target.Port || e.Target.Addr.Is4() != t.Addr.Is4() {
			continue
		}
		rank := 1
		if e.Target.Transport == t.Transport {
			rank += 1
		}
		if e.Target.Addr == t.Addr {
			rank += 2
		}
		if rank > best {
			best, control = rank, e.Target
		}
	}
	return control, best > 0
}

// hellos compares ClientHellos where a connection came up and no handshake did.
func (p Probes) hellos(first []agent.Evidence) []step {
	var out []step
	for _, e := range first {
		known := slices.ContainsFunc(out, func(s step) bool { return s.target.AddrPort() == e.Target.AddrPort() })
		tls := e.Probe == agent.ProbeWeb || e.Probe == agent.ProbeNATS || e.Probe == agent.ProbeTURN && e.Target.Variant == agent.TLS
		if p.Hello == nil || known || len(out) == mostHellos || !tls || !bad(e) || !connected(e) || certificate(e) {
			continue
		}
		out = append(out, step{probe: p.Hello, name: agent.ProbeHello, target: e.Target})
	}
	return out
}

// certificate reports whether a look saw a certificate: then the handshake went
// through.
func certificate(e agent.Evidence) bool { return e.Values.Text(agent.TLSIssuer) != "" }

// noWeb reports whether web hosts were asked and not one took a connection.
func noWeb(first []agent.Evidence) bool {
	asked := false
	for _, e := range first {
		if e.Probe != agent.ProbeWeb || e.Outcome == agent.NotLooked {
			continue
		}
		if asked = true; !bad(e) || connected(e) {
			return false
		}
	}
	return asked
}

func firstWeb(first []agent.Evidence) agent.Target {
	for _, e := range first {
		if e.Probe == agent.ProbeWeb && e.Target.Addr.IsValid() {
			return e.Target
		}
	}
	return agent.Target{}
}

// carrier is a STUN server that just answered over UDP, to carry the looks at
// the line itself.
func carrier(first []agent.Evidence) (agent.Target, bool) {
	for _, family := range []func(agent.Target) bool{
		func(t agent.Target) bool { return t.Addr.Is4() }, func(t agent.Target) bool { return t.Addr.Is6() },
	} {
		for _, e := range first {
			if e.Probe == agent.ProbeSTUN && e.Outcome == agent.Answered && e.Target.Transport == agent.UDP && family(e.Target) {
				return e.Target, true
			}
		}
	}
	return agent.Target{}, false
}

// stumbled reports whether a look at a service or a name failed, or one at a service
// had to ask more than once. What is wrong in the box itself many flows do not explain.
func stumbled(e agent.Evidence) bool {
	n, _ := e.Values.Num(agent.Sends)
	return service(e) && (bad(e) || n > 1) || e.Probe == agent.ProbeDNS && bad(e)
}

// load are the looks that put packets on the line by the dozen, one after the
// other: many at once while the gateway is asked too, then many new flows where
// something has failed.
func (p Probes) load(first []agent.Evidence) [][]step {
	t, ok := carrier(first)
	if !ok {
		return nil
	}
	out := [][]step{
		append(maybe(p.Burst, agent.ProbeBurst, t), maybe(p.Gateway, agent.ProbeGateway, agent.Target{})...),
	}
	if slices.ContainsFunc(first, stumbled) {
		out = append(out, maybe(p.Flows, agent.ProbeFlows, t))
	}
	return out
}

// anywhere is a target to send towards where nothing answers: the routers on the
// way may.
func anywhere(first []agent.Evidence) (agent.Target, bool) {
	for _, e := range first {
		if service(e) && e.Target.Addr.Is4() {
			return agent.Target{Host: e.Target.Host, Addr: e.Target.Addr, Port: e.Target.Port, Transport: agent.UDP}, true
		}
	}
	return agent.Target{}, false
}
