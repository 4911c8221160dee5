package assignment

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/profile"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// What an assignment may ask for. The bounds are those of a guest: a vendor whose
// keys are lost can neither fill the practice's line with his boxes nor anybody
// else's.
const (
	leastEvery  = time.Minute
	mostEvery   = 24 * time.Hour
	maxProfiles = 8
	maxTargets  = 64        // of all profiles together, to end a round in time
	MaxDaily    = 200 << 20 // bytes a day, by the reckoning of [Daily]
)

// settings turns an assignment into settings, or says why not.
func (o Options) settings(a fleet.Assignment) (Settings, error) {
	set := Settings{Version: a.Version, Every: o.Every}
	if a.EveryS != 0 {
		least, most := int64(leastEvery/time.Second), int64(mostEvery/time.Second)
		if a.EveryS < least || a.EveryS > most {
			return set, fmt.Errorf("every_s %d: want %d to %d", a.EveryS, least, most)
		}
		set.Every = time.Duration(a.EveryS) * time.Second
	}
	pushed, err := o.pushed(a.Profiles)
	if err != nil {
		return set, err
	}
	if set.Profiles, err = o.used(a.Use, pushed); err != nil {
		return set, err
	}
	var costing []agent.Profile
	for _, p := range set.Profiles {
		if _, ok := pushed[p.Name]; ok || a.EveryS != 0 { // else it is the box's own affair
			costing = append(costing, p)
		}
	}
	return set, affordable(costing, set.Every)
}

// pushed reads the profiles that came with an assignment.
func (o Options) pushed(texts []string) (map[string]agent.Profile, error) {
	if len(texts) > maxProfiles {
		return nil, fmt.Errorf("%d profiles, want at most %d", len(texts), maxProfiles)
	}
	all := map[string]agent.Profile{}
	for i, text := range texts {
		p, err := profile.Parse(fmt.Sprintf("profile %d", i+1), []byte(text))
		if err != nil {
			return nil, err
		}
		if _, ok := all[p.Name]; ok {
			return nil, fmt.Errorf("profile %d: %s has come before", i+1, p.Name)
		}
		for n := range p.Targets {
			t := &p.Targets[n]
			if err := o.mayAsk(*t); err != nil {
				return nil, fmt.Errorf("profile %s: %w", p.Name, err)
			}
			t.Pushed = !o.Private
		}
		all[p.Name] = p
	}
	return all, nil
}

// used are the profiles to check for.
func (o Options) used(names []string, pushed map[string]agent.Profile) ([]agent.Profile, error) {
	if len(names) > maxProfiles {
		return nil, fmt.Errorf("use: %d names, want at most %d", len(names), maxProfiles)
	}
	if len(names) == 0 {
		own, err := o.Local(nil)
		for i, p := range own {
			if sent, ok := pushed[p.Name]; ok {
				own[i] = sent
			}
		}
		return own, err
	}
	var all []agent.Profile
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("use: %.70q stands here twice", name)
		}
		p, ok := pushed[name]
		if !ok {
			own, err := o.Local([]string{name})
			if err != nil {
				return nil, fmt.Errorf("use: %w", err)
			}
			p = own[0]
		}
		all = append(all, p)
	}
	return all, nil
}

// mayAsk says why an assignment may not name a target. Where a name leads is only
// known when it is asked: see [Public].
func (o Options) mayAsk(t agent.Target) error {
	if o.Private {
		return nil
	}
	if a, err := netip.ParseAddr(t.Host); err == nil {
		t.Pins = append(slices.Clone(t.Pins), a)
	} else if local(t.Host) {
		return fmt.Errorf("target %s: a name of the practice's own network", t)
	}
	for _, a := range t.Pins {
		if !Public(a) {
			return fmt.Errorf("target %s: %s is no address of the public internet", t, a)
		}
	}
	return nil
}

// localTops are top-level domains that are not of the public DNS (RFC 6761, 6762,
// 7686, 8375, and .internal), and what routers make up.
var localTops = []string{"local", "localhost", "localdomain", "lan", "home", "internal", "intranet", "private", "corp", "arpa", "onion", "test", "invalid"}

// local reports whether a name belongs to a local network.
func local(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	dot := strings.LastIndexByte(host, '.')
	return dot < 0 || slices.Contains(localTops, host[dot+1:]) || host == "fritz.box" || strings.HasSuffix(host, ".fritz.box") ||
		host == "speedport.ip" || strings.HasSuffix(host, ".speedport.ip")
}

// What one look costs at most where it succeeds, bytes on the wire in both
// directions, rounded up from captures.
const (
	costName  = 1 << 10
	costPlain = 1 << 10  // a few datagrams, or a connection
	costTLS   = 6 << 10  // with a chain of certificates
	costNATS  = 10 << 10 // a ladder of them
	mostAddrs = 4        // of one name that a round asks
)

// Daily is how much checking for profiles costs at most in a day, bytes.
func Daily(profiles []agent.Profile, every time.Duration) int64 {
	var round int64
	for _, p := range profiles {
		for _, t := range p.Targets {
			round += cost(t)
		}
	}
	return round * int64(24*time.Hour/every)
}

func cost(t agent.Target) int64 {
	addrs := int64(mostAddrs)
	if _, err := netip.ParseAddr(t.Host); err == nil {
		addrs = 1
	}
	one := int64(costPlain)
	switch t.Service {
	case agent.HTTPS:
		one = costTLS
	case agent.NATS:
		one = costNATS
	case agent.Range:
		one = 8 * costPlain // ports of a sample
	case agent.TURN:
		one = 0
		for _, v := range t.Variants {
			if v == agent.Plain {
				one += costPlain
			} else {
				one += costTLS
			}
		}
	}
	return costName + addrs*int64(1+len(t.AltPorts))*one
}

// affordable says why a round of profiles costs too much.
func affordable(profiles []agent.Profile, every time.Duration) error {
	targets := 0
	for _, p := range profiles {
		targets += len(p.Targets)
	}
	if targets > maxTargets {
		return fmt.Errorf("%d targets, want at most %d", targets, maxTargets)
	}
	if len(profiles) > 0 && every < leastEvery {
		return errors.New("the box's own interval is too short for assigned profiles: set every_s")
	}
	if n := Daily(profiles, every); n > MaxDaily {
		return fmt.Errorf("it would cost up to %d MB a day, want at most %d: ask for less, or less often", n>>20, MaxDaily>>20)
	}
	return nil
}

// Public reports whether an address is one of the public internet: not of the
// practice's network, the box itself, a provider's inside, or a group. An IPv4
// address that an IPv6 one carries counts as itself.
func Public(a netip.Addr) bool {
	a = a.Unmap()
	if a.Zone() != "" || !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	if a.Is4() {
		return public4(a.As4())
	}
	return public6(a.As16())
}

// public4 knows what package netip does not: "this network" (RFC 1122), carriers'
// inside (RFC 6598), protocol assignments (RFC 6890), reserved (RFC 1112).
func public4(b [4]byte) bool {
	return b[0] != 0 && !(b[0] == 100 && b[1]&0xc0 == 64) && !(b[0] == 192 && b[1] == 0 && b[2] == 0) && b[0] < 240
}

// public6 lets only 2000::/3 (RFC 4291) pass, less Teredo (RFC 4380), which may
// carry any address; of NAT64 (RFC 6052) and 6to4 (RFC 3056) what they carry.
func public6(b [16]byte) bool {
	switch {
	case string(b[:12]) == "\x00\x64\xff\x9b\x00\x00\x00\x00\x00\x00\x00\x00":
		return Public(netip.AddrFrom4([4]byte(b[12:])))
	case b[0] == 0x20 && b[1] == 0x02:
		return Public(netip.AddrFrom4([4]byte(b[2:6])))
	}
	return b[0]>>5 == 1 && string(b[:4]) != "\x20\x01\x00\x00"
}
