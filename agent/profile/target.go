package profile

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/strict"
)

// targets are all targets of a file, one for each transport of an entry.
func targets(doc *strict.Doc, raw []rawTarget) []agent.Target {
	var all []agent.Target
	lines := map[string]int{}
	for i, r := range raw {
		at := doc.Key("target").Item(i)
		for _, t := range expand(at, r) {
			what := string(t.Service) + " " + t.String()
			if line, ok := lines[what]; ok {
				at.Errorf("%s is also the target of line %d", what, line)
			}
			lines[what] = at.Line()
			all = append(all, t)
		}
	}
	if len(raw) == 0 {
		doc.Key("target").Errorf("missing: a profile needs at least one")
	}
	if len(all) > maxTargets {
		doc.Key("target").Errorf("%d targets, want at most %d", len(all), maxTargets)
	}
	return all
}

// expand makes the targets of one entry, and none where its service or
// transports do not say what it is.
func expand(at strict.Place, r rawTarget) []agent.Target {
	t := agent.Target{Service: agent.Service(r.Service), Path: r.Path, Required: r.Required == nil || *r.Required}
	t.Host, t.Pins = address(at, r)
	t.Port, t.LastPort, t.AltPorts = ports(at, r)
	t.Feeds = feeds(at.Key("feeds"), r.Feeds, t.Required)
	path(at.Key("path"), t)
	if !service(at.Key("service"), t.Service) {
		return nil
	}
	var all []agent.Target
	for _, transport := range transports(at.Key("transports"), r.Transports) {
		t.Transport = transport
		t.Variants = variants(at, r.Variants, t)
		all = append(all, t)
	}
	return all
}

// address checks where the target is. Pins that are private are fine: a vendor
// may have its servers in the house.
func address(at strict.Place, r rawTarget) (host string, pins []netip.Addr) {
	if r.Host == "" {
		at.Key("host").Errorf("missing")
	} else if err := strict.Host(r.Host); err != nil {
		at.Key("host").Errorf("%v", err)
	}
	if _, err := netip.ParseAddr(r.Host); err == nil && len(r.Pins) > 0 {
		at.Key("pins").Errorf("host is an address already")
	}
	for i, s := range r.Pins {
		at := at.Key("pins").Item(i)
		a, err := netip.ParseAddr(s)
		if err != nil {
			at.Errorf("%.60q: want an address", s)
			continue
		}
		if err := strict.Address(a); err != nil {
			at.Errorf("%v", err)
		}
		if slices.Contains(pins, a) {
			at.Errorf("%s stands here twice", a)
		}
		pins = append(pins, a)
	}
	return r.Host, pins
}

// ports checks the one port or the range, and the ports that serve as well.
func ports(at strict.Place, r rawTarget) (first, last uint16, alt []uint16) {
	isRange := agent.Service(r.Service) == agent.Range
	switch {
	case r.Port != nil && r.Ports != "":
		at.Key("ports").Errorf("want port or ports, not both")
	case isRange && r.Ports == "":
		at.Key("ports").Errorf("missing: service range wants ports, such as \"10000-20000\"")
	case isRange:
		first, last = portRange(at.Key("ports"), r.Ports)
	case r.Ports != "":
		at.Key("ports").Errorf("only for service range, want port")
	case r.Port == nil:
		at.Key("port").Errorf("missing")
	default:
		first = port(at.Key("port"), *r.Port)
	}
	if isRange && len(r.AltPorts) > 0 {
		at.Key("alt_ports").Errorf("not for service range")
	}
	for i, n := range r.AltPorts {
		at := at.Key("alt_ports").Item(i)
		p := port(at, n)
		if p != 0 && (p == first || slices.Contains(alt, p)) {
			at.Errorf("port %d stands here twice", p)
		}
		alt = append(alt, p)
	}
	return first, last, alt
}

func port(at strict.Place, n int64) uint16 {
	if n < 1 || n > 65535 {
		at.Errorf("port %d: want 1 to 65535", n)
		return 0
	}
	return uint16(n)
}

// maxRange is how many ports a range may have: twice that of any service we know.
const maxRange = 20001

func portRange(at strict.Place, s string) (first, last uint16) {
	from, to, ok := strings.Cut(s, "-")
	a, errA := strconv.ParseUint(from, 10, 16)
	b, errB := strconv.ParseUint(to, 10, 16)
	switch {
	case !ok || errA != nil || errB != nil || a == 0:
		at.Errorf("%.40q: want two ports from 1 to 65535, such as \"10000-20000\"", s)
	case a >= b:
		at.Errorf("%s: want the lower port first", s)
	case b-a >= maxRange:
		at.Errorf("%s: %d ports, want at most %d", s, b-a+1, maxRange)
	}
	return uint16(a), uint16(b)
}

// feeds checks the capabilities. Reporting is the box's own and hangs on no
// profile.
func feeds(at strict.Place, raw []string, required bool) []agent.Capability {
	known := []agent.Capability{agent.Direct, agent.Relay, agent.Group, agent.HD}
	var all []agent.Capability
	for i, s := range raw {
		c := agent.Capability(s)
		if !slices.Contains(known, c) {
			at.Item(i).Errorf("unknown capability %.40q (want one of %q)", s, known)
		}
		if slices.Contains(all, c) {
			at.Item(i).Errorf("%q stands here twice", c)
		}
		all = append(all, c)
	}
	if len(raw) == 0 && required {
		at.Errorf("missing: a required target feeds something (or say required = false)")
	}
	return all
}

func path(at strict.Place, t agent.Target) {
	switch {
	case t.Path == "":
	case t.Service != agent.HTTPS && t.Service != agent.NATS:
		at.Errorf("only for services https and nats")
	case !validPath(t.Path):
		at.Errorf("%.80q: want a path of at most 200 printable ASCII characters, starting with / and without fragment", t.Path)
	}
}

// validPath accepts what can stand in a request line (RFC 9112 section 3).
func validPath(s string) bool {
	return s[0] == '/' && len(s) <= 200 && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }) < 0
}

func service(at strict.Place, s agent.Service) bool {
	known := []agent.Service{agent.HTTPS, agent.STUN, agent.TURN, agent.NATS, agent.Range}
	switch {
	case s == "":
		at.Errorf("missing")
	case !slices.Contains(known, s):
		at.Errorf("unknown service %.40q (want one of %q)", s, known)
	}
	return slices.Contains(known, s)
}

// transports returns those that are known, each once.
func transports(at strict.Place, raw []string) []agent.Transport {
	known := []agent.Transport{agent.UDP, agent.TCP}
	var all []agent.Transport
	for i, s := range raw {
		t := agent.Transport(s)
		switch {
		case !slices.Contains(known, t):
			at.Item(i).Errorf("unknown transport %.40q (want one of %q)", s, known)
		case slices.Contains(all, t):
			at.Item(i).Errorf("%q stands here twice", t)
		default:
			all = append(all, t)
		}
	}
	if len(raw) == 0 {
		at.Errorf("missing")
	}
	return all
}

// variantsOf are the ways to speak a service over a transport, in the order in
// which they are tried by default; ok is false where it is not spoken at all.
func variantsOf(s agent.Service, t agent.Transport) (known []agent.Variant, ok bool) {
	switch s {
	case agent.HTTPS:
		return nil, t == agent.TCP
	case agent.STUN:
		return []agent.Variant{agent.Plain}, t == agent.UDP
	case agent.TURN:
		if t == agent.UDP {
			return []agent.Variant{agent.Plain, agent.DTLS}, true
		}
		return []agent.Variant{agent.Plain, agent.TLS}, true
	case agent.NATS:
		return []agent.Variant{agent.WSS, agent.TLSFirst, agent.TLS, agent.Plain, agent.WS}, t == agent.TCP
	default:
		return nil, true // a range has no protocol
	}
}

func variants(at strict.Place, raw []string, t agent.Target) []agent.Variant {
	known, ok := variantsOf(t.Service, t.Transport)
	if !ok {
		at.Key("transports").Errorf("%s is not spoken over %s", t.Service, t.Transport)
		return nil
	}
	if len(raw) == 0 {
		return known
	}
	var all []agent.Variant
	for i, s := range raw {
		v := agent.Variant(s)
		switch {
		case !slices.Contains(known, v):
			at.Key("variants").Item(i).Errorf("%s over %s has no variant %.40q (%s)", t.Service, t.Transport, s, offered(known))
		case slices.Contains(all, v):
			at.Key("variants").Item(i).Errorf("%q stands here twice", v)
		}
		all = append(all, v)
	}
	return all
}

func offered(known []agent.Variant) string {
	if len(known) == 0 {
		return "want none"
	}
	return fmt.Sprintf("want some of %q", known)
}
