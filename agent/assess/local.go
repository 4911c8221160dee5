package assess

import (
	"math"
	"net/netip"
	"strconv"

	"github.com/sprechprobe/sprechprobe/agent"
)

// found makes a claim on evidence. Arguments come in pairs; empty ones are
// left out.
func found(ix []int, target string, args ...string) claim {
	c := claim{Finding: agent.Finding{Target: target, Evidence: ix}}
	for i := 0; i+1 < len(args); i += 2 {
		if args[i+1] == "" {
			continue
		}
		if c.Args == nil {
			c.Args = map[string]string{}
		}
		c.Args[args[i]] = args[i+1]
	}
	return c
}

func one(c claim) []claim { return []claim{c} }

// reached reports whether anything beyond the practice spoke to us: then the
// local side works, whatever it looks like.
func (v *view) reached() bool {
	return v.any(v.where(remote), func(e *agent.Evidence) bool {
		return e.Outcome == agent.Answered || e.Outcome == agent.Tampered || e.Outcome == agent.Refused
	})
}

// link returns the look at the local side if it failed firmly for this reason
// and nothing beyond the practice was reached.
func (v *view) link(why ...agent.Reason) (int, bool) {
	ix := v.pick(v.of(agent.ProbeLink), func(e *agent.Evidence) bool {
		for _, w := range why {
			if e.Outcome == agent.Refused && e.Grade == agent.GradeB && e.Reason == w {
				return true
			}
		}
		return false
	})
	if len(ix) == 0 || v.reached() {
		return 0, false
	}
	return ix[0], true
}

func linkDown(v *view, _ agent.Profile) []claim {
	i, ok := v.link(agent.NoCarrier)
	if !ok {
		return nil
	}
	return one(found([]int{i}, "", "interface", v.evidence[i].Values.Text(agent.Interface)))
}

func dhcpNone(v *view, _ agent.Profile) []claim {
	i, ok := v.link(agent.NoLease, agent.NoGateway)
	if !ok {
		return nil
	}
	return one(found([]int{i}, "", "interface", v.evidence[i].Values.Text(agent.Interface)))
}

func gatewayUnreachable(v *view, _ agent.Profile) []claim {
	i, ok := v.link(agent.NoNeighbour)
	if !ok {
		return nil
	}
	return one(found([]int{i}, "", "gateway", v.evidence[i].Values.Text(agent.Gateway)))
}

// routeLocal: the box's own kernel refuses every way out, or the way to some
// addresses: then that is all that it explains. A box without IPv6 has no route
// there and lacks nothing.
func routeLocal(v *view, _ agent.Profile) []claim {
	ix := v.where(func(e *agent.Evidence) bool { return remote(e) && e.Target.Addr.IsValid() })
	own := func(e *agent.Evidence) bool {
		return e.Reason == agent.LocalReject || e.Reason == agent.NoRoute
	}
	if v.all(ix, own) {
		return one(found(ix, "", "host", v.hosts(ix[:1])))
	}
	shut := v.pick(ix, func(e *agent.Evidence) bool {
		return own(e) && (e.Reason == agent.LocalReject || e.Target.Addr.Unmap().Is4())
	})
	if len(shut) == 0 {
		return nil
	}
	c := found(shut, "", "host", v.hosts(shut))
	c.Severity, c.part = agent.Minor, true
	return one(c)
}

// attempts are the looks at something beyond the practice that really went out.
func (v *view) attempts() []int {
	return v.where(func(e *agent.Evidence) bool {
		return remote(e) && e.Probe != agent.ProbeCaptive && e.Outcome != agent.NotLooked
	})
}

// wanDown: the gateway is there, but nothing beyond it speaks: every attempt is
// silent, or a router says that it has no way.
func wanDown(v *view, _ agent.Profile) []claim {
	tried := v.attempts()
	if v.reached() || v.freshName() || v.named() || v.offered() != "" {
		return nil
	}
	if len(tried) == 0 {
		tried = v.pick(v.of(agent.ProbeDNS), upstreamDead)
	}
	if !v.all(tried, func(e *agent.Evidence) bool { return lost(e) || upstreamDead(e) }) {
		return nil
	}
	c := found(tried, "", "gateway", v.gateway(), "sender", v.sender(tried))
	c.open = !v.gatewayAlive() // else the practice's own router may be the dead one
	return one(c)
}

// gatewayAlive reports whether the gateway answered in this round.
func (v *view) gatewayAlive() bool {
	return v.any(v.of(agent.ProbeLink), func(e *agent.Evidence) bool {
		return e.Values.Text(agent.Neighbour) == "reachable"
	})
}

// freshName reports whether the resolver reached the world for a name that no
// cache could know.
func (v *view) freshName() bool {
	return v.any(v.of(agent.ProbeDNS), func(e *agent.Evidence) bool {
		return e.Target.Variant == agent.Uncached && answered(e)
	})
}

// named reports whether the resolver says something about a name that it could
// only know from the world, so that the line cannot be dead. An address may
// come from the resolver's cache; a denial does not stay there long.
func (v *view) named() bool {
	return v.any(v.of(agent.ProbeDNS), func(e *agent.Evidence) bool {
		return e.Reason == agent.NXDomain || e.Reason == agent.NoData || e.Outcome == agent.Tampered
	})
}

// lost reports whether a look ended in a way that a dead line explains.
func lost(e *agent.Evidence) bool {
	switch e.Outcome {
	case agent.Silent:
		_, connected := e.Values.Num(agent.ConnectTime)
		return !connected
	case agent.Rejected:
		return e.Reason == agent.NetUnreachable || e.Reason == agent.HostUnreachable
	}
	return false
}

// upstreamDead reports whether a resolver answered that it cannot find out.
func upstreamDead(e *agent.Evidence) bool {
	return e.Probe == agent.ProbeDNS && e.Reason == agent.ServFail
}

func (v *view) gateway() string {
	for _, i := range v.of(agent.ProbeLink) {
		return v.evidence[i].Values.Text(agent.Gateway)
	}
	return ""
}

// captive: plain HTTP to the service's host is answered by somebody else, no
// UDP comes back, and no web host shows its own certificate.
func captive(v *view, _ agent.Profile) []claim {
	ix := v.pick(v.of(agent.ProbeCaptive), tampered)
	udp := v.where(func(e *agent.Evidence) bool {
		return remote(e) && e.Target.Transport == agent.UDP && answered(e)
	})
	if len(ix) == 0 || len(udp) > 0 || v.any(v.of(agent.ProbeWeb), usable) {
		return nil
	}
	e := &v.evidence[ix[0]]
	return one(found(ix, e.Target.String(), "host", e.Target.Host, "portal", e.Values.Text(agent.LocationHost)))
}

// maxSkew is the clock error that certificates and reports bear, seconds.
const maxSkew = 300

// clockWrong: the web hosts agree that our clock is off, or it is before this
// program was built. One host alone may itself be wrong.
func clockWrong(v *view, _ agent.Profile) []claim {
	var off []int
	told, sum := 0, 0.0
	for _, i := range v.of(agent.ProbeWeb) {
		skew, ok := v.evidence[i].Values.Num(agent.ClockSkew)
		if !ok {
			continue
		}
		told++
		if math.Abs(skew) > maxSkew {
			off = append(off, i)
			sum += skew
		}
	}
	if len(off) > 0 && 2*len(off) > told && (len(off) > 1 || v.unsynced()) {
		return one(found(off, "", "skew_s", strconv.FormatFloat(math.Round(sum/float64(len(off))), 'f', 0, 64)))
	}
	before := v.pick(v.of(agent.ProbeLink), func(e *agent.Evidence) bool {
		old, _ := e.Values.Flag(agent.BeforeBuild)
		return old
	})
	if len(before) > 0 {
		return one(found(before, ""))
	}
	return nil
}

// confirmed reports whether a web host's clock agrees with ours.
func (v *view) confirmed() bool {
	return v.any(v.of(agent.ProbeWeb), func(e *agent.Evidence) bool {
		skew, told := e.Values.Num(agent.ClockSkew)
		return told && math.Abs(skew) <= maxSkew
	})
}

// unsynced reports whether the kernel itself says that nothing set the clock.
func (v *view) unsynced() bool {
	return v.any(v.of(agent.ProbeLink), func(e *agent.Evidence) bool {
		synced, seen := e.Values.Flag(agent.ClockSynced)
		return seen && !synced
	})
}

// fritzGuest is the network that a FRITZ!Box gives its guests.
var fritzGuest = netip.MustParsePrefix("192.168.179.0/24")

func (v *view) inFritzGuest() bool {
	return v.any(v.of(agent.ProbeLink), func(e *agent.Evidence) bool {
		p, err := netip.ParsePrefix(e.Values.Text(agent.LocalAddr))
		return err == nil && fritzGuest.Contains(p.Addr())
	})
}

// v6Only: the box has no IPv4 address, and yet the world answers.
func v6Only(v *view, _ agent.Profile) []claim {
	ix := v.pick(v.of(agent.ProbeIPv6), func(e *agent.Evidence) bool {
		has, _ := e.Values.Flag(agent.IPv6Addr)
		return answered(e) && has
	})
	p, err := netip.ParsePrefix(v.localAddr())
	if len(ix) == 0 || v.localAddr() != "" && (err != nil || p.Addr().Unmap().Is4()) || !v.reached() {
		return nil
	}
	return one(found(ix, "", "prefix", v.evidence[ix[0]].Values.Text(agent.NAT64)))
}

func (v *view) localAddr() string {
	for _, i := range v.of(agent.ProbeLink) {
		return v.evidence[i].Values.Text(agent.LocalAddr)
	}
	return ""
}

// v6Broken: what answers over IPv4 stays silent over IPv6. Worth knowing, no
// more: browsers take what answers.
func v6Broken(v *view, _ agent.Profile) []claim {
	var bad []int
	for _, i := range v.where(remote) {
		e := &v.evidence[i]
		twin := v.where(func(o *agent.Evidence) bool {
			return o.Probe == e.Probe && o.Target.Host == e.Target.Host && o.Target.Port == e.Target.Port &&
				o.Target.Transport == e.Target.Transport && o.Target.Addr.Is4() && answered(o)
		})
		if e.Target.Addr.Is6() && v.barred(e) && len(twin) > 0 {
			bad = append(bad, i)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return one(found(bad, "", "hosts", v.hosts(bad)))
}
