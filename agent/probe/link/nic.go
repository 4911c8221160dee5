package link

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent"
)

const (
	sysNet = "sys/class/net"

	iffUp    = 0x1
	iffNoARP = 0x80

	ethernet = 1 // ARPHRD_ETHER

	maxNICs = 256
	maxMbit = 10_000_000 // 10 Tbit/s; more is a driver's way to say unknown
)

// interfaces lists the interfaces that could lead somewhere, sorted by name.
func (s System) interfaces() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join("/", s.Root, sysNet))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if outward(e.Name()) && s.has(e.Name(), "flags") && len(names) < maxNICs {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// choose returns the way out: by the best default route of the wanted interface
// or of all; without one, by the interface that a cable would be plugged into.
func (s System) choose(names []string, routes []route) route {
	if r, ok := best(routes, s.Interface); ok {
		return r
	}
	if s.Interface != "" {
		return route{device: s.Interface}
	}
	var won string
	for _, n := range names {
		rank := s.rank(n)
		if rank < unfit && (won == "" || rank < s.rank(won)) {
			won = n
		}
	}
	return route{device: won}
}

// unfit is the rank of an interface that is not a way out by itself.
const unfit = 100

// rank says how likely a cable or radio of this machine ends at the interface;
// lower is likelier.
func (s System) rank(name string) int {
	rank := 0
	switch {
	case s.has(name, "master"), s.has(name, "dsa"):
		return unfit // a port of a bridge or bond; the inner side of a switch chip
	case s.has(name, "phy80211"), s.has(name, "wireless"):
		rank = 4
	case s.has(name, "device"):
	case s.bridgesHardware(name):
		rank = 2
	case s.number(name, "type") == ethernet && !s.has(name, "bridge"):
		rank = 6 // a container's end of a veth pair
	default:
		return unfit // tunnels, and bridges between containers
	}
	if up, known := s.carrier(name); known && !up {
		rank++
	}
	return rank
}

// bridgesHardware tells br-lan, with the switch's ports in it, from docker0.
func (s System) bridgesHardware(name string) bool {
	ports, err := os.ReadDir(filepath.Join("/", s.Root, sysNet, name, "brif"))
	if err != nil {
		return false
	}
	for _, p := range ports {
		if outward(p.Name()) && s.has(p.Name(), "device") {
			return true
		}
	}
	return false
}

// describe writes what sys tells of an interface into v, and whether its cable
// has a link.
func (s System) describe(name string, v agent.Values) (up, known bool) {
	v[agent.Interface] = name
	if !outward(name) || !s.has(name, "flags") {
		v[agent.Carrier] = false
		v[agent.Detail] = "no such interface"
		return false, true
	}
	if up, known = s.carrier(name); known {
		v[agent.Carrier] = up
	}
	if mbit := s.number(name, "speed"); mbit > 0 && mbit <= maxMbit {
		v[agent.Speed] = float64(mbit) * 1e6
	}
	if d := s.attribute(name, "duplex"); d == "full" || d == "half" {
		v[agent.Duplex] = d
	}
	if mtu := s.number(name, "mtu"); mtu > 0 {
		v[agent.MTU] = float64(mtu)
	}
	return up, known
}

// carrier reports whether the interface has a link. An interface that is
// switched off has none, and its carrier file cannot be read (EINVAL).
func (s System) carrier(name string) (up, known bool) {
	if flags, ok := s.flags(name); ok && flags&iffUp == 0 {
		return false, true
	}
	switch s.attribute(name, "carrier") {
	case "1":
		return true, true
	case "0":
		return false, true
	}
	switch s.attribute(name, "operstate") {
	case "up":
		return true, true
	case "down", "lowerlayerdown", "notpresent":
		return false, true
	}
	return false, false
}

func (s System) flags(name string) (uint64, bool) {
	text := strings.TrimPrefix(s.attribute(name, "flags"), "0x")
	n, err := strconv.ParseUint(text, 16, 32)
	return n, err == nil
}

// number is an attribute's value, 0 if it has none: drivers that do not know a
// speed answer EINVAL or -1.
func (s System) number(name, attribute string) int64 {
	n, err := strconv.ParseInt(s.attribute(name, attribute), 10, 32)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func (s System) attribute(name, attribute string) string {
	b, err := s.read(filepath.Join(sysNet, name, attribute))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (s System) has(name, attribute string) bool {
	_, err := os.Lstat(filepath.Join("/", s.Root, sysNet, name, attribute))
	return err == nil
}
