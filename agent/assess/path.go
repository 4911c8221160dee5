package assess

import (
	"net/netip"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent"
)

// proven reports whether something is known to keep these targets away, so that
// it is not they who are gone: a device said so, their packets end before those
// of the control, or the very machines answer in another way.
func (v *view) proven(ix []int) bool {
	_, ended := v.end(ix)
	return v.sender(ix) != "" || ended || v.any(ix, v.machineUp)
}

// blame says whose the claim is, as far as the looks tell where their packets
// end; without such a look it is otherwise's.
func (v *view) blame(c claim, ix []int, otherwise agent.Cause) claim {
	c.Cause = otherwise
	switch where, ended := v.end(ix); {
	case v.sender(ix) != "":
		c.Cause = v.owner(v.sender(ix))
	case ended:
		c.Cause = where
	case len(v.walks(ix)) > 0: // they get as far as those of the control
		c.Cause = agent.CauseUnknown
	}
	c.open = c.Cause == agent.CauseUnknown
	return c
}

// unlessProven is the cause where no look says where packets end: the practice's
// if the machines are up, for then something keeps only these ports away.
func (v *view) unlessProven(ix []int) agent.Cause {
	if v.any(ix, v.machineUp) {
		return agent.CausePractice
	}
	return agent.CauseUnknown
}

// owner says in whose network a router is. Without the routers on the way a
// public address may be anybody's.
func (v *view) owner(router string) agent.Cause {
	a, err := netip.ParseAddr(router)
	switch {
	case err != nil:
		return agent.CauseUnknown
	case private(a) || router == v.gateway():
		return agent.CausePractice
	case carrier(a):
		return agent.CauseISP
	}
	for i, hop := range v.hops() {
		if hop == a && i > 0 {
			return agent.CauseISP
		}
	}
	return agent.CauseUnknown
}

func private(a netip.Addr) bool { return a.IsPrivate() || a.IsLinkLocalUnicast() }

var (
	carrierNAT = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598
	// Routes of the telematics infrastructure lie inside that range.
	telematics = []netip.Prefix{netip.MustParsePrefix("100.102.0.0/15"), netip.MustParsePrefix("100.106.0.0/20")}
)

// carrier reports whether a is an address of a provider's own translator.
func carrier(a netip.Addr) bool {
	for _, p := range telematics {
		if p.Contains(a) {
			return false
		}
	}
	return carrierNAT.Contains(a)
}

// walks are the looks at where packets to the same doors end.
func (v *view) walks(ix []int) []int {
	return v.pick(v.of(agent.ProbeWalk), func(w *agent.Evidence) bool {
		_, compared := w.Values.Num(agent.ControlHop)
		return compared && v.any(ix, func(e *agent.Evidence) bool {
			return e.Target.Addr == w.Target.Addr && e.Target.Port == w.Target.Port && e.Target.Transport == w.Target.Transport
		})
	})
}

// end says in whose network packets to these targets end, if they end before
// those of the control do, or something there answers in their name. All walks
// must agree.
func (v *view) end(ix []int) (whose agent.Cause, ended bool) {
	for _, i := range v.walks(ix) {
		e := &v.evidence[i]
		far, _ := e.Values.Num(agent.LastHop)
		control, _ := e.Values.Num(agent.ControlHop)
		if far >= control && e.Outcome != agent.Tampered {
			return agent.CauseUnknown, false
		}
		here := agent.CausePractice // not even the first router saw them
		if far > 0 {
			here = v.owner(e.Values.Text(agent.LastHopFrom))
		}
		if here == agent.CauseUnknown {
			here = agent.CauseISP // a public router that is not the practice's
		}
		if ended && here != whose {
			return agent.CauseUnknown, false
		}
		whose, ended = here, true
	}
	return whose, ended
}

// hops are the routers on the way, nearest first; an invalid address is one that
// did not answer.
func (v *view) hops() []netip.Addr {
	var out []netip.Addr
	if ix := v.of(agent.ProbePath); len(ix) > 0 {
		for _, w := range strings.Fields(v.evidence[ix[0]].Values.Text(agent.Hops)) {
			a, _ := netip.ParseAddr(w)
			out = append(out, a)
		}
	}
	return out
}

// natCGN: behind the practice's router there is the provider's translator.
func natCGN(v *view, _ agent.Profile) []claim {
	for i, a := range v.hops() {
		if i > 0 && a.IsValid() && carrier(a) {
			return one(found(v.of(agent.ProbePath), "", "hop", a.String()))
		}
	}
	return nil
}

// natDouble: behind the first router there is another private network.
func natDouble(v *view, _ agent.Profile) []claim {
	var in []netip.Addr
	for _, a := range v.hops() {
		if a.IsValid() && private(a) && a.Is4() {
			in = append(in, a)
		}
	}
	if len(in) < 2 {
		return nil
	}
	return one(found(v.of(agent.ProbePath), "", "hops", addrList(in)))
}

// usualMTU is what Ethernet carries, bytes.
const usualMTU = 1500

// hole is the look that saw large packets vanish, and whether calls or pages
// suffer from it: those that need large packets hang, or even the packets of a
// call's key exchange are too large (DTLS, about 1,200 bytes of payload).
func (v *view) hole() (look int, harm bool) {
	const keyExchange = 1200 + 8 + 20
	for _, i := range v.of(agent.ProbeMTU) {
		e := &v.evidence[i]
		lost, seen := e.Values.Num(agent.LostSize)
		if e.Reason != agent.LostLarge || !seen {
			continue
		}
		return i, lost <= keyExchange || v.any(v.where(remote), hung)
	}
	return 0, false
}

// hung reports whether a connection came up and then stayed silent.
func hung(e *agent.Evidence) bool {
	return e.Outcome == agent.Silent && e.Grade == agent.GradeD && connected(e)
}

func mtuBlackhole(v *view, _ agent.Profile) []claim {
	i, harm := v.hole()
	if !harm {
		return nil
	}
	e := &v.evidence[i]
	mtu, _ := e.Values.Num(agent.PathMTU)
	lost, _ := e.Values.Num(agent.LostSize)
	ix := append([]int{i}, v.pick(v.where(remote), hung)...)
	return one(found(ix, "", "mtu", whole(mtu), "lost", whole(lost)))
}

// mtuLow is worth knowing, no more: the line says how much it carries, or
// nothing suffers from it.
func mtuLow(v *view, _ agent.Profile) []claim {
	ix := v.pick(v.of(agent.ProbeMTU), func(e *agent.Evidence) bool {
		mtu, seen := e.Values.Num(agent.PathMTU)
		return answered(e) && seen && mtu < usualMTU
	})
	if len(ix) == 0 {
		return nil
	}
	mtu, _ := v.evidence[ix[0]].Values.Num(agent.PathMTU)
	return one(found(ix[:1], "", "mtu", whole(mtu)))
}
