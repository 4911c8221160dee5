package assess

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent"
)

// udpLooks are the looks at the profile's UDP services, ranges left out: there
// silence means nothing.
func (v *view) udpLooks(pr agent.Profile) []int {
	return append(v.looksAt(targets(pr, agent.STUN, agent.UDP)), v.looksAt(targets(pr, agent.TURN, agent.UDP))...)
}

// udpAllBlock: none of several UDP services answers, while the same host answers
// over TCP, so that neither the line nor the server is to blame.
func udpAllBlock(v *view, pr agent.Profile) []claim {
	ix := v.udpLooks(pr)
	services := len(targets(pr, agent.STUN, agent.UDP)) + len(targets(pr, agent.TURN, agent.UDP))
	if !v.all(ix, v.barred) || services < 2 || !v.proven(ix) || v.gone(v.looksAt(targets(pr, agent.TURN, agent.TCP))) {
		return nil
	}
	c := found(ix, "", "hosts", v.hosts(ix), "ports", strings.Join(v.ports(ix), ", "), "sender", v.sender(ix))
	return one(v.blame(c, ix, agent.CausePractice))
}

// gone reports whether looks were made and none was answered.
func (v *view) gone(ix []int) bool { return len(ix) > 0 && !v.any(ix, answered) }

// ports lists the different ports of looks, as words in order.
func (v *view) ports(ix []int) []string {
	var out []string
	for _, i := range ix {
		if p := strconv.Itoa(int(v.evidence[i].Target.Port)); !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

func stunBlock(v *view, pr agent.Profile) []claim {
	kept := func(t agent.Target, ix []int) []int {
		if len(v.onPort(t, v.pick(ix, v.refused))) > 0 {
			return nil
		}
		return v.pick(ix, v.kept)
	}
	return v.stun(pr, kept, func(t agent.Target, ix []int) claim {
		c := found(ix, t.String(), "host", t.Host, "port", port(t), "sender", v.sender(ix))
		return v.blame(c, ix, v.unlessProven(ix))
	})
}

// kept reports whether something in between keeps the target away, however it
// does so.
func (v *view) kept(e *agent.Evidence) bool { return v.barred(e) || cut(e) || tampered(e) }

func stunServer(v *view, pr agent.Profile) []claim {
	refused := func(_ agent.Target, ix []int) []int { return v.pick(ix, v.refused) }
	return v.stun(pr, refused, func(t agent.Target, ix []int) claim {
		return found(ix, t.String(), "host", t.Host, "port", port(t))
	})
}

// onPort are those of the looks that went to the target's own port and not to an
// alternative: nothing need listen there.
func (v *view) onPort(t agent.Target, ix []int) []int {
	return v.pick(ix, func(e *agent.Evidence) bool { return e.Target.Port == t.Port })
}

// stun asks about each required STUN target of which no look was answered and
// at least one at its own port is bad in the given way. Where a relay exists the loss of STUN
// makes direct calls rarer; where none exists, or no UDP passes at all, it ends
// them.
func (v *view) stun(pr agent.Profile, bad func(agent.Target, []int) []int, make func(agent.Target, []int) claim) []claim {
	var out []claim
	for _, t := range targets(pr, agent.STUN, "") {
		ix := v.looks(t)
		hit := bad(t, ix)
		if !t.Required || v.any(ix, answered) || len(v.onPort(t, hit)) == 0 {
			continue
		}
		c := make(t, hit)
		c.harms = agent.Capabilities{agent.Direct: agent.Limited}
		if !pr.Offers(agent.Relay) || !v.any(v.udpLooks(pr), answered) {
			c.harms[agent.Direct] = agent.No
		}
		out = append(out, c)
	}
	return out
}

// turnAllBlock: no transport reaches the relay, and it is not the relay itself
// that says no on all of them. One that is inspected is open.
func turnAllBlock(v *view, pr agent.Profile) []claim {
	ix := v.looksAt(targets(pr, agent.TURN, ""))
	bad := v.pick(ix, v.kept)
	if v.any(ix, answered) || v.any(ix, foreignCert) || !v.all(ix, failed) || len(bad) == 0 {
		return nil
	}
	c := found(ix, "", "hosts", v.hosts(ix), "ports", v.portsAndTransports(ix), "sender", v.sender(ix))
	return one(v.blame(c, bad, v.unlessProven(bad))) // else the server may be gone as well
}

// portsAndTransports lists what is missing as a rule would: "UDP 5349".
func (v *view) portsAndTransports(ix []int) string {
	return v.list(ix, func(e *agent.Evidence) string {
		return strings.ToUpper(string(e.Target.Transport)) + " " + strconv.Itoa(int(e.Target.Port))
	})
}

// turnServer: the relay itself refuses on every transport.
func turnServer(v *view, pr agent.Profile) []claim {
	ix := v.looksAt(targets(pr, agent.TURN, ""))
	if !v.all(ix, v.refusedOrLost) || !v.any(ix, v.refused) {
		return nil
	}
	return one(found(ix, "", "hosts", v.hosts(ix), "ports", v.portsAndTransports(ix)))
}

// refusedOrLost reports a refusal, or silence beside refusals of the same host:
// Linux answers only some of many packets to closed ports with an error.
func (v *view) refusedOrLost(e *agent.Evidence) bool {
	return v.refused(e) || e.Outcome == agent.Silent
}

// turnBlock: one transport of the relay is kept away, in every variant. One that
// is inspected is open: another finding says what to change there.
func turnBlock(tr agent.Transport) func(*view, agent.Profile) []claim {
	return func(v *view, pr agent.Profile) []claim {
		out := v.turn(pr, tr, func(ix []int) []int {
			if v.any(ix, v.refused) || v.any(ix, foreignCert) {
				return nil
			}
			return v.pick(ix, v.kept)
		})
		for i := range out {
			out[i] = v.blame(out[i], out[i].Evidence, agent.CausePractice)
		}
		return out
	}
}

// turnPartServer: the relay's host itself refuses one transport.
func turnPartServer(tr agent.Transport) func(*view, agent.Profile) []claim {
	return func(v *view, pr agent.Profile) []claim {
		return v.turn(pr, tr, func(ix []int) []int { return v.pick(ix, v.refused) })
	}
}

func (v *view) turn(pr agent.Profile, tr agent.Transport, bad func(ix []int) []int) []claim {
	var out []claim
	for _, t := range targets(pr, agent.TURN, tr) {
		ix := v.looks(t)
		if !t.Required || v.any(ix, answered) || !v.all(ix, failed) {
			continue
		}
		if hit := bad(ix); len(hit) > 0 {
			out = append(out, found(hit, t.String(), "host", t.Host, "port", port(t), "sender", v.sender(hit)))
		}
	}
	return out
}

// turnDPIPlain: TCP opens and TLS passes, but plain TURN is cut off or answered
// by something else. A server that merely closes or stays silent does not speak
// plain TURN on this port, which is its right.
func turnDPIPlain(v *view, pr agent.Profile) []claim {
	var out []claim
	for _, t := range targets(pr, agent.TURN, agent.TCP) {
		ix := v.looks(t)
		cut := v.pick(ix, func(e *agent.Evidence) bool {
			return e.Target.Variant == agent.Plain && e.Grade != agent.GradeE &&
				(e.Reason == agent.ResetAfter || e.Reason == agent.HTTPAnswer)
		})
		tls := v.pick(ix, func(e *agent.Evidence) bool { return e.Target.Variant == agent.TLS && answered(e) })
		if len(cut) > 0 && len(tls) > 0 {
			out = append(out, found(append(cut, tls...), t.String(), "host", t.Host, "port", port(t)))
		}
	}
	return out
}

func turnOpen(v *view, pr agent.Profile) []claim {
	var out []claim
	for _, t := range targets(pr, agent.TURN, "") {
		if ix := v.pick(v.looks(t), func(e *agent.Evidence) bool { return e.Reason == agent.OpenRelay }); len(ix) > 0 {
			out = append(out, found(ix, t.String(), "host", t.Host, "port", port(t)))
		}
	}
	return out
}

// turnAuth: the relay is there, but does not take the box's own credentials. That
// says nothing about the practice's calls.
func turnAuth(v *view, pr agent.Profile) []claim {
	var out []claim
	for _, t := range targets(pr, agent.TURN, "") {
		ix := v.where(func(e *agent.Evidence) bool {
			return e.Probe == agent.ProbeRelay && e.Reason == agent.AuthRefused && e.Target.Host == t.Host &&
				e.Target.Port == t.Port && e.Target.Transport == t.Transport
		})
		if len(ix) > 0 {
			out = append(out, found(ix, t.String(), "host", t.Host, "port", port(t)))
		}
	}
	return out
}

// mappedByAddress is the word of agent.Mapping for a NAT that gives every
// destination another public port. Several public addresses are another matter:
// several lines, or a box with several addresses of its own.
const mappedByAddress = "address-dependent"

// dependent returns the looks that show such a NAT.
func (v *view) dependent(pr agent.Profile) []int {
	if len(targets(pr, agent.STUN, "")) == 0 {
		return nil
	}
	seen := v.pick(v.of(agent.ProbeMapping), func(e *agent.Evidence) bool {
		return answered(e) && e.Values.Text(agent.Mapping) == mappedByAddress
	})
	return append(seen, v.moving(pr)...)
}

// natEDM is worth knowing, no more: the relay carries the calls.
func natEDM(v *view, pr agent.Profile) []claim {
	ix := v.dependent(pr)
	if len(ix) == 0 {
		return nil
	}
	return one(found(ix, ""))
}

// natEDMNoRelay: without a relay such a NAT leaves no path.
func natEDMNoRelay(v *view, pr agent.Profile) []claim {
	ix := v.dependent(pr)
	relay := v.looksAt(targets(pr, agent.TURN, ""))
	if len(ix) == 0 || len(relay) > 0 && !v.all(relay, func(e *agent.Evidence) bool { return v.kept(e) || v.refused(e) }) {
		return nil
	}
	return one(found(append(ix, relay...), ""))
}

// natIPFlap: one socket, or UDP and TCP, leave with different public addresses.
func natIPFlap(v *view, pr agent.Profile) []claim {
	ix := v.pick(v.of(agent.ProbeMapping), func(e *agent.Evidence) bool {
		n, _ := e.Values.Num(agent.MappedIPs)
		return answered(e) && n > 1 && !v.ownTarget(e.Values.Text(agent.MappedAddr))
	})
	if len(ix) == 0 {
		ix = v.otherOverTCP()
	}
	if len(ix) == 0 || len(targets(pr, agent.STUN, "")) == 0 {
		return nil
	}
	return one(found(ix, ""))
}

// otherOverTCP are the looks of this round that show two public IPv4 addresses,
// one over UDP and another over TCP.
func (v *view) otherOverTCP() []int {
	for _, i := range v.mapped() {
		udp, err := netip.ParseAddrPort(v.evidence[i].Values.Text(agent.MappedAddr))
		if err != nil || !outside(udp.Addr()) || udp.Addr().Unmap() == v.evidence[i].Target.Addr {
			continue
		}
		for _, j := range v.of(agent.ProbeNATS) {
			tcp, err := netip.ParseAddr(v.evidence[j].Values.Text(agent.ClientAddr))
			if err == nil && outside(tcp) && tcp.Unmap() != v.evidence[j].Target.Addr && tcp.Unmap() != udp.Addr().Unmap() {
				return []int{i, j}
			}
		}
	}
	return nil
}

// stunALG: something on the way rewrites addresses inside STUN answers.
func stunALG(v *view, pr agent.Profile) []claim {
	var out []claim
	for _, t := range targets(pr, agent.STUN, "") {
		ix := v.pick(v.looks(t), func(e *agent.Evidence) bool {
			rewritten, _ := e.Values.Flag(agent.ALGRewrite)
			return rewritten && answered(e)
		})
		if t.Required && len(ix) > 0 {
			out = append(out, found(ix, t.String(), "host", t.Host, "port", port(t)))
		}
	}
	return out
}

// outside reports whether a is an IPv4 address that a provider gives a line.
func outside(a netip.Addr) bool {
	a = a.Unmap()
	return a.Is4() && a.IsGlobalUnicast() && !a.IsPrivate()
}

// ownTarget reports whether a public address is one of those that were asked: then
// the box stands beside the service, and has several addresses itself.
func (v *view) ownTarget(mapped string) bool {
	ap, err := netip.ParseAddrPort(mapped)
	return err == nil && v.any(v.where(remote), func(e *agent.Evidence) bool { return e.Target.Addr == ap.Addr().Unmap() })
}
