// Package link collects the facts of the local side: cable, address, gateway,
// name servers and clock, and what gets lost on the way to the gateway. It needs
// no root and sends nothing but one byte to the gateway's discard port, echo
// requests to the gateway and, where it may, the question by ARP whether another
// device uses the box's own address. It does not know any target, asks no name
// server and no time server, and never reports hardware addresses.
package link

import (
	"context"
	"encoding/binary"
	"net/netip"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/dns/resolvconf"
)

// System is the machine that is looked at. The zero value is this machine; the
// functions are fields because the kernel that answers them cannot be recorded.
type System struct {
	Root      string           // where proc, sys and etc lie; empty: "/"
	Interface string           // empty: the one of the best default route
	Build     time.Time        // when this program was built; zero: not known
	Now       func() time.Time // nil: time.Now

	Order  binary.ByteOrder                              // of the machine whose proc it is; nil: this one's
	Addrs  func(name string) ([]netip.Prefix, error)     // addresses of an interface; nil: the kernel's
	Synced func() (bool, error)                          // whether NTP disciplines the clock; nil: adjtimex(2)
	Uptime func() (time.Duration, error)                 // since boot, with sleep; nil: CLOCK_BOOTTIME
	Poke   func(context.Context, netip.Addr) <-chan bool // makes the kernel resolve a neighbour; nil: one UDP datagram

	// Conflict asks whether another device uses an address of an interface, and
	// whether that is known; nil: ARP on this machine, nothing below another root.
	Conflict func(ctx context.Context, name string, own netip.Addr) (taken, known bool)
}

// ownLimit bounds a look even where ctx has no deadline.
const ownLimit = 6 * time.Second

func (s System) withDefaults() System {
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Order == nil {
		s.Order = binary.NativeEndian
	}
	if s.Addrs == nil {
		s.Addrs = s.interfaceAddrs
	}
	if s.Synced == nil {
		s.Synced = adjtimex
	}
	if s.Uptime == nil {
		s.Uptime = bootTime
	}
	if s.Poke == nil {
		s.Poke = poke
	}
	switch {
	case s.Conflict != nil:
	case s.Root == "" || s.Root == "/":
		s.Conflict = conflict
	default:
		s.Conflict = func(context.Context, string, netip.Addr) (bool, bool) { return false, false }
	}
	return s
}

// Probe returns the probe of the local side. It ignores the target and hands it
// back as it came.
//
// Answered means that cable, address and gateway are there and that the gateway
// has not failed to answer ARP. Otherwise the local kernel itself says no, which
// is Refused with no-carrier, no-lease, no-gateway or no-neighbour: the first
// that applies. A gateway of which nothing is known (it may keep silent by
// policy) does not stand in the way. A system without proc and sys is NotLooked.
func Probe(s System) agent.Probe {
	s = s.withDefaults()
	return func(ctx context.Context, t agent.Target) agent.Evidence {
		if ctx.Err() != nil {
			return agent.See(agent.ProbeLink, t, agent.NotLooked, agent.Cancelled)
		}
		ctx, cancel := context.WithTimeout(ctx, ownLimit)
		defer cancel()
		return s.look(ctx, t)
	}
}

func (s System) look(ctx context.Context, t agent.Target) agent.Evidence {
	routes, err := s.defaultRoutes()
	if err != nil {
		return s.cannot(t, "no readable route table")
	}
	names, err := s.interfaces()
	if err != nil {
		return s.cannot(t, "no readable interface list")
	}
	way := s.choose(names, routes)
	v := agent.Values{}
	s.families(routes, way).write(v)
	why := s.state(ctx, way, v)
	if why == "" && ctx.Err() != nil {
		why = agent.Cancelled // before others could claim our address
	}
	s.surroundings(v)

	e := agent.See(agent.ProbeLink, t, outcome(why), why)
	e.Values = v
	return e
}

func (s System) cannot(t agent.Target, what string) agent.Evidence {
	return agent.See(agent.ProbeLink, t, agent.NotLooked, agent.Unsupported).With(agent.Detail, what)
}

func outcome(why agent.Reason) agent.Outcome {
	switch why {
	case "":
		return agent.Answered
	case agent.Cancelled, agent.Unsupported:
		return agent.NotLooked
	default:
		return agent.Refused
	}
}

// state writes what is known of the way out into v and returns the first thing
// that is missing on it, empty if nothing is.
func (s System) state(ctx context.Context, way route, v agent.Values) agent.Reason {
	if way.device == "" {
		return agent.NoGateway // nothing but a loopback
	}
	up, known := s.describe(way.device, v)
	local, err := s.localAddr(way.device)
	if local.IsValid() {
		v[agent.LocalAddr] = local.String()
	}
	if way.gateway.IsValid() {
		v[agent.Gateway] = way.gateway.WithZone("").String()
	}
	switch {
	case known && !up:
		return agent.NoCarrier
	case err != nil:
		v[agent.Detail] = "no readable addresses"
		return agent.Unsupported
	case !local.IsValid():
		return agent.NoLease
	}
	defer s.settleConflict(ctx, way.device, local, v)()
	if !way.exists {
		return agent.NoGateway
	}
	return s.onward(ctx, way, v)
}

// onward writes what is known of the gateway into v, and returns why it is no
// way on.
func (s System) onward(ctx context.Context, way route, v agent.Values) agent.Reason {
	state := s.neighbour(ctx, way)
	v[agent.Neighbour] = string(state)
	switch {
	case state != reachable && ctx.Err() != nil:
		return agent.Cancelled
	case state == failed:
		return agent.NoNeighbour
	}
	return ""
}

// surroundings writes what does not hang on the interface.
func (s System) surroundings(v agent.Values) {
	var servers []string
	for _, a := range resolvconf.Read(s.Root) {
		servers = append(servers, a.String())
	}
	if len(servers) > 0 {
		v[agent.Resolver] = strings.Join(servers, " ")
	}
	if synced, err := s.Synced(); err == nil {
		v[agent.ClockSynced] = synced
	}
	if !s.Build.IsZero() {
		v[agent.BeforeBuild] = s.Now().Before(s.Build)
	}
}

// localAddr is the address that the interface would be reached at: the first
// IPv4 one, else the first IPv6 one; invalid if there is none that leads beyond
// the cable (169.254/16 and fe80::/10 do not).
func (s System) localAddr(device string) (netip.Prefix, error) {
	all, err := s.Addrs(device)
	var best netip.Prefix
	for _, p := range all {
		switch {
		case !p.Addr().IsGlobalUnicast():
		case p.Addr().Is4():
			return p, nil
		case !best.IsValid():
			best = p
		}
	}
	return best, err
}
