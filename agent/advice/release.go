package advice

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent"
)

// selector says which targets of a profile a finding wants let through; an
// empty field means any.
type selector struct {
	service   agent.Service
	transport agent.Transport
}

// releases are the codes whose remedy is a rule in the practice's firewall. All
// other remedies are settings.
var releases = map[agent.Code]selector{
	agent.DNSDriftBlock:    {},
	agent.DNSPartBlock:     {},
	agent.HTTPSBlock:       {agent.HTTPS, agent.TCP},
	agent.UDPAllBlock:      {"", agent.UDP},
	agent.STUNUDPBlock:     {agent.STUN, agent.UDP},
	agent.TURNUDPBlock:     {agent.TURN, agent.UDP},
	agent.TURNTCPBlock:     {agent.TURN, agent.TCP},
	agent.TURNAllBlock:     {agent.TURN, ""},
	agent.NATEDMNoRelay:    {agent.TURN, ""},
	agent.GroupBlockAll:    {agent.NATS, agent.TCP},
	agent.GroupBlockSome:   {agent.NATS, agent.TCP},
	agent.PortRangeUDP:     {agent.Range, agent.UDP},
	agent.PortRangeTCP:     {agent.Range, agent.TCP},
	agent.PortRangePartial: {agent.Range, ""},
}

// opening is one line of a release request: outbound connections of one kind.
type opening struct {
	service   agent.Service
	transport string
	ports     string
	dests     []dest
	evidence  []int // what proves that it is missing
}

// dest is one host of an opening.
type dest struct {
	name      string
	published []string // addresses that the service has published
	seen      []string // further addresses, seen in this measurement
}

// openings are what the practice's firewall has to let out for one finding: the
// targets of the profiles that it concerns or, without a profile that fits,
// what its arguments say. None where its remedy is no rule.
func openings(f agent.Finding, r agent.Report, profiles []agent.Profile) []opening {
	want, ok := releases[f.Code]
	if !ok {
		return nil
	}
	switch t := agent.Transport(strings.ToLower(f.Args["transport"])); t {
	case agent.UDP, agent.TCP:
		want.transport = t
	}
	var out []opening
	for _, p := range profiles {
		if f.Profile != "" && f.Profile != p.Name {
			continue
		}
		for _, t := range p.Targets {
			if want.fits(t) && named(f.Args, t) {
				out = merge(out, openingOf(t, f, r))
			}
		}
	}
	if len(out) == 0 {
		return fromArgs(want, f, r)
	}
	if byAddress(f.Code) {
		return proven(out)
	}
	return out
}

// byAddress reports whether a finding is about addresses: its arguments name
// those that are blocked, and no port.
func byAddress(c agent.Code) bool { return c == agent.DNSDriftBlock || c == agent.DNSPartBlock }

// proven keeps the openings that have a proof, or all where none has one: a
// finding about addresses names no port, so only its evidence does.
func proven(all []opening) []opening {
	some := slices.DeleteFunc(slices.Clone(all), func(o opening) bool { return len(o.evidence) == 0 })
	if len(some) == 0 {
		return all
	}
	return some
}

func (s selector) fits(t agent.Target) bool {
	return (s.service == "" || s.service == t.Service) && (s.transport == "" || s.transport == t.Transport)
}

// named reports whether a finding's arguments speak of t. A finding without a
// host speaks of all targets.
func named(args map[string]string, t agent.Target) bool {
	leads := func(d door) bool { return d.leads(t) }
	if ds := doors(args); len(ds) > 0 && !slices.ContainsFunc(ds, leads) {
		return false
	}
	hosts := list(args, "host", "hosts")
	if len(hosts) == 0 || slices.Contains(hosts, t.Host) {
		return true
	}
	return slices.ContainsFunc(pins(t), func(a string) bool { return slices.Contains(hosts, a) })
}

// door is a port, or a range, of one transport or of any.
type door struct{ transport, ports string }

// doors reads the ports of a finding's arguments: "443", "10000-20000", "3478,
// 5349" or "UDP 5349, TCP 5349".
func doors(args map[string]string) []door {
	var out []door
	for _, s := range list(args, "port", "ports") {
		transport, ports, found := strings.Cut(s, " ")
		switch {
		case !found:
			out = append(out, door{"", s})
		case transport == "UDP" || transport == "TCP":
			out = append(out, door{transport, ports})
		}
	}
	return out
}

func (d door) leads(t agent.Target) bool {
	if d.transport != "" && d.transport != strings.ToUpper(string(t.Transport)) {
		return false
	}
	port, err := strconv.ParseUint(d.ports, 10, 16)
	return d.ports == portsOf(t) || err == nil && (covers(t, uint16(port)) || slices.Contains(t.AltPorts, uint16(port)))
}

func covers(t agent.Target, port uint16) bool {
	return port == t.Port || t.Port < port && port <= t.LastPort
}

func pins(t agent.Target) []string {
	var out []string
	for _, p := range t.Pins {
		out = append(out, p.Unmap().String())
	}
	return out
}

func openingOf(t agent.Target, f agent.Finding, r agent.Report) opening {
	d := dest{name: clean(t.Host), published: pins(t)}
	if missing := list(f.Args, "addrs", "blocked"); f.Code != agent.PortRangePartial && len(missing) > 0 {
		d.published = slices.DeleteFunc(d.published, func(a string) bool { return !slices.Contains(missing, a) })
		if byAddress(f.Code) {
			d.seen = without(missing, d.published)
		}
	}
	o := opening{service: t.Service, transport: strings.ToUpper(string(t.Transport)), ports: portsOf(t)}
	for _, i := range f.Evidence {
		if i < 0 || i >= len(r.Evidence) || !proves(r.Evidence[i], t) {
			continue
		}
		o.evidence = append(o.evidence, i)
		if a := r.Evidence[i].Target.Addr; a.IsValid() && !t.Pinned(a) {
			d.seen = union(d.seen, a.Unmap().String())
		}
	}
	o.dests = []dest{d}
	return o
}

func portsOf(t agent.Target) string {
	s := strconv.Itoa(int(t.Port))
	if t.LastPort > t.Port {
		s += "-" + strconv.Itoa(int(t.LastPort))
	}
	return s
}

// proves reports whether e shows that t did not get through.
func proves(e agent.Evidence, t agent.Target) bool {
	if !shut(e) || e.Target.Transport != t.Transport {
		return false
	}
	if !covers(t, e.Target.Port) && !slices.Contains(t.AltPorts, e.Target.Port) {
		return false
	}
	return e.Target.Host == t.Host || e.Target.Host == "" && t.Pinned(e.Target.Addr)
}

// shut reports whether e shows that something did not get through: all of it, or
// some ports of a range that otherwise answers.
func shut(e agent.Evidence) bool {
	barred, _ := e.Values.Num(agent.Barred)
	return e.Outcome > agent.Answered || e.Outcome == agent.Answered && barred > 0
}

// fromArgs makes the lines of a finding whose profile is not at hand: one for
// each transport.
func fromArgs(want selector, f agent.Finding, r agent.Report) []opening {
	hosts := list(f.Args, "host", "hosts")
	if len(hosts) == 0 {
		return nil
	}
	var out []opening
	for _, d := range doors(f.Args) {
		transport := cmp.Or(d.transport, strings.ToUpper(string(want.transport)), "UDP, TCP")
		i := slices.IndexFunc(out, func(o opening) bool { return o.transport == transport })
		if i >= 0 {
			out[i].ports += ", " + d.ports
			continue
		}
		out = append(out, opening{service: want.service, transport: transport, ports: d.ports,
			dests: destsOf(hosts, list(f.Args, "addrs")), evidence: failures(f, r, transport)})
	}
	return out
}

// destsOf are hosts whose addresses are known, but not which is whose.
func destsOf(hosts, addrs []string) []dest {
	var out []dest
	for _, h := range hosts {
		out = append(out, dest{name: h})
	}
	out[len(out)-1].seen = addrs
	return out
}

// failures are the finding's pieces of evidence that speak against a transport.
func failures(f agent.Finding, r agent.Report, transport string) []int {
	var out []int
	for _, i := range f.Evidence {
		if i >= 0 && i < len(r.Evidence) && shut(r.Evidence[i]) &&
			strings.Contains(transport, strings.ToUpper(string(r.Evidence[i].Target.Transport))) {
			out = append(out, i)
		}
	}
	return out
}

// merge adds an opening to those that there are: equal kinds become one line,
// equal hosts one destination.
func merge(all []opening, o opening) []opening {
	i := slices.IndexFunc(all, func(x opening) bool {
		return x.service == o.service && x.transport == o.transport && x.ports == o.ports
	})
	if i < 0 {
		return append(all, o)
	}
	all[i].evidence = union(all[i].evidence, o.evidence...)
	for _, d := range o.dests {
		k := slices.IndexFunc(all[i].dests, func(x dest) bool { return x.name == d.name })
		if k < 0 {
			all[i].dests = append(all[i].dests, d)
			continue
		}
		have := &all[i].dests[k]
		have.published = union(have.published, d.published...)
		have.seen = union(have.seen, d.seen...)
	}
	return all
}

// list reads the arguments that hold several values.
func list(args map[string]string, keys ...string) []string {
	var out []string
	for _, k := range keys {
		for _, v := range strings.Split(args[k], ",") {
			if v = clean(v); v != "" {
				out = append(out, v)
			}
		}
	}
	return out
}

func union[T comparable](have []T, more ...T) []T {
	for _, v := range more {
		if !slices.Contains(have, v) {
			have = append(have, v)
		}
	}
	return have
}

func without(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(some, s) })
}
