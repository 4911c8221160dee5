package link

import (
	"net/netip"
	"slices"

	"github.com/sprechprobe/sprechprobe/agent"
)

// Families is what the kernel knows of ways beyond this network. Whether they
// lead anywhere is another matter.
type Families struct {
	IPv4Route bool // there is a default route for IPv4
	IPv6Route bool // and one for IPv6
	IPv6Addr  bool // there is a public IPv6 address on the way out

	unread bool // addresses cannot be asked for
}

// FamiliesOf reads the route tables and addresses of a machine. It fails where
// there are none to read.
func FamiliesOf(s System) (Families, error) {
	s = s.withDefaults()
	routes, err := s.defaultRoutes()
	if err != nil {
		return Families{}, err
	}
	names, err := s.interfaces()
	if err != nil {
		return Families{}, err
	}
	return s.families(routes, s.choose(names, routes)), nil
}

// families looks for addresses where routes lead: at the way out, and at that of
// IPv6 where it is another.
func (s System) families(routes []route, way route) Families {
	var f Families
	devices := map[string]bool{}
	if way.device != "" {
		devices[way.device] = true
	}
	for _, r := range routes {
		if s.Interface != "" && r.device != s.Interface {
			continue
		}
		if !r.v6 {
			f.IPv4Route = true
			continue
		}
		f.IPv6Route = true
		devices[r.device] = true
	}
	for device := range devices {
		all, err := s.Addrs(device)
		f.IPv6Addr = f.IPv6Addr || slices.ContainsFunc(all, isPublic6)
		f.unread = f.unread || err != nil
	}
	return f
}

// global is what has been given out of IPv6 (RFC 4291 section 2.4).
var global = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20}), 3)

func isPublic6(p netip.Prefix) bool { return global.Contains(p.Addr()) }

// write adds f to what is told of the local side.
func (f Families) write(v agent.Values) {
	v[agent.IPv6Route] = f.IPv6Route
	if f.IPv6Addr || !f.unread {
		v[agent.IPv6Addr] = f.IPv6Addr
	}
}
