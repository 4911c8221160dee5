package assess

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent"
)

// lookups are the looks at names that the profile needs, without the control.
func (v *view) lookups(pr agent.Profile) []int {
	return v.where(func(e *agent.Evidence) bool {
		return e.Probe == agent.ProbeDNS && e.Target.Variant != agent.Uncached && len(requiring(pr, e.Target.Host)) > 0
	})
}

// requiring is the profile's required targets at a host.
func requiring(pr agent.Profile, host string) []agent.Target {
	var out []agent.Target
	for _, t := range pr.Targets {
		if t.Required && t.Host == host {
			out = append(out, t)
		}
	}
	return out
}

// dnsFail: no name resolves, and it is not the line: an address without a name
// answered, or the resolver stays silent where there is nothing to compare.
func dnsFail(v *view, _ agent.Profile) []claim {
	ix := v.where(func(e *agent.Evidence) bool {
		return e.Probe == agent.ProbeDNS && e.Target.Variant != agent.Uncached && !isLiteral(e.Target.Host)
	})
	dead := func(e *agent.Evidence) bool {
		return e.Reason == agent.NoResolver || tampered(e) && e.Reason != agent.Bogon || e.Grade != agent.GradeE && failed(e) && (e.Outcome == agent.Silent ||
			e.Outcome == agent.Rejected || e.Reason == agent.ServFail || e.Reason == agent.DNSRefused ||
			e.Reason == agent.PortUnreachable)
	}
	if v.noLiteral() {
		dead = func(e *agent.Evidence) bool {
			return failed(e) && e.Outcome == agent.Silent || e.Reason == agent.NoResolver
		}
	}
	if !v.all(ix, dead) {
		return nil
	}
	return one(found(ix, "", "resolver", v.evidence[ix[0]].Values.Text(agent.Resolver)))
}

// noLiteral reports whether no address could be tried without a name.
func (v *view) noLiteral() bool { return len(v.attempts()) == 0 }

func isLiteral(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// dnsNX: names are denied while the resolver works. That it could not find out
// may as well be the fault of the service's own name servers.
func dnsNX(v *view, pr agent.Profile) []claim {
	out := v.names(pr, func(e *agent.Evidence) bool {
		switch e.Reason {
		case agent.NXDomain, agent.NoData, agent.DNSRefused, agent.ServFail:
			return e.Outcome == agent.Refused && e.Grade == agent.GradeB
		}
		return false
	})
	for i := range out {
		out[i].open = v.all(out[i].Evidence, upstreamDead)
	}
	return out
}

// dnsBogon: names lead to an address that cannot be the service's.
func dnsBogon(v *view, pr agent.Profile) []claim {
	return v.names(pr, func(e *agent.Evidence) bool { return e.Reason == agent.Bogon && tampered(e) })
}

// names makes one claim of all names of the profile whose look-up is bad.
func (v *view) names(pr agent.Profile, bad func(*agent.Evidence) bool) []claim {
	ix := v.pick(v.lookups(pr), bad)
	if len(ix) == 0 {
		return nil
	}
	target := ""
	if len(ix) == 1 {
		target = v.evidence[ix[0]].Target.Host
	}
	c := found(ix, target, "hosts", v.hosts(ix), "resolver", v.evidence[ix[0]].Values.Text(agent.Resolver),
		"addrs", v.list(ix, func(e *agent.Evidence) string { return commas(e.Values.Text(agent.Addrs)) }))
	c.harms = agent.Capabilities{}
	var lost []string
	for _, i := range ix {
		lost = append(lost, v.evidence[i].Target.Host)
	}
	for _, host := range lost {
		for k, s := range v.hostHarms(pr, host, lost) {
			c.harms[k] = max(c.harms[k], s)
		}
	}
	return one(c)
}

// hostHarms is what the loss of one name does: everything that its targets
// feed, but a group that NATS hosts still carry which are not lost is only
// limited.
func (v *view) hostHarms(pr agent.Profile, host string, lost []string) agent.Capabilities {
	harms := agent.Capabilities{}
	for _, t := range requiring(pr, host) {
		for _, c := range t.Feeds {
			s := agent.No
			if t.Service == agent.NATS && v.otherNATS(pr, lost) || t.Service == agent.TURN && c == agent.Group {
				s = agent.Limited
			}
			harms[c] = max(harms[c], s)
		}
	}
	return harms
}

// otherNATS reports whether a NATS host works that is not lost.
func (v *view) otherNATS(pr agent.Profile, lost []string) bool {
	for _, t := range targets(pr, agent.NATS, "") {
		if !slices.Contains(lost, t.Host) && v.any(v.looks(t), usable) {
			return true
		}
	}
	return false
}

// drift is a name whose answer differs from what the service has published.
type drift struct {
	look       int
	host       string
	addrs      string // not published
	pins       string
	open, shut []int // looks that get through, at any of its addresses, and that do not, where the name leads
}

func (v *view) drifts(pr agent.Profile) []drift {
	var out []drift
	for _, i := range v.lookups(pr) {
		e := &v.evidence[i]
		pins := requiring(pr, e.Target.Host)[0].Pins
		if len(pins) == 0 || e.Outcome != agent.Answered {
			continue
		}
		d := drift{look: i, host: e.Target.Host, pins: addrList(pins)}
		leads := slices.DeleteFunc(parseAddrs(e.Values.Text(agent.Addrs)), netip.Addr.Is6)
		foreign := slices.DeleteFunc(slices.Clone(leads), func(a netip.Addr) bool { return slices.Contains(pins, a) })
		if len(foreign) == 0 {
			continue
		}
		d.addrs = addrList(foreign)
		d.open, d.shut = v.passage(requiring(pr, d.host), leads)
		out = append(out, d)
	}
	return out
}

// passage sorts the looks at targets of one host: those that get through, and
// those at one of the addresses that do not.
func (v *view) passage(ts []agent.Target, addrs []netip.Addr) (open, shut []int) {
	for _, i := range v.looksAt(ts) {
		e := &v.evidence[i]
		switch {
		case usable(e):
			open = append(open, i)
		case v.barred(e) && slices.Contains(addrs, e.Target.Addr):
			shut = append(shut, i)
		}
	}
	return open, shut
}

func dnsDrift(v *view, pr agent.Profile) []claim {
	var out []claim
	for _, d := range v.drifts(pr) {
		if len(d.open) == 0 || len(d.shut) > 0 {
			continue
		}
		out = append(out, found(append([]int{d.look}, d.open...), d.host, "host", d.host, "addrs", d.addrs, "pins", d.pins))
	}
	return out
}

// dnsDriftBlock: the name leads to an address that is shut, while another of the
// host's is open: a rule in the practice tells them apart. Browsers go where the
// name leads, so a published address that it has left may be shut.
func dnsDriftBlock(v *view, pr agent.Profile) []claim {
	var out []claim
	var bad []drift
	var lost []string
	for _, d := range v.drifts(pr) {
		if len(d.open) > 0 && len(d.shut) > 0 {
			bad, lost = append(bad, d), append(lost, d.host)
		}
	}
	for _, d := range bad {
		c := found(append(append([]int{d.look}, d.open...), d.shut...), d.host,
			"host", d.host, "open", v.addrs(d.open), "blocked", v.addrs(d.shut))
		c = v.blame(c, d.shut, agent.CausePractice)
		c.harms = v.hostHarms(pr, d.host, lost)
		out = append(out, c)
	}
	return out
}

func addrList(as []netip.Addr) string {
	words := make([]string, len(as))
	for i, a := range as {
		words[i] = a.String()
	}
	return strings.Join(words, ", ")
}

// commas joins the words of a list, however its probe has separated them.
func commas(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' }), ", ")
}

// dnsPartBlock: of several addresses to which a name leads some work and others
// are kept away, at the same port: who comes there by chance fails.
func dnsPartBlock(v *view, pr agent.Profile) []claim {
	var out []claim
	for _, i := range v.lookups(pr) {
		e := &v.evidence[i]
		leads := slices.DeleteFunc(parseAddrs(e.Values.Text(agent.Addrs)), netip.Addr.Is6)
		if len(leads) < 2 || !answered(e) {
			continue
		}
		var open, shut []int
		ts := requiring(pr, e.Target.Host)
		for _, t := range ts {
			o, s := v.split(t, leads)
			open, shut = append(open, o...), append(shut, s...)
		}
		if len(open) == 0 || len(shut) == 0 {
			continue
		}
		c := found(append(append([]int{i}, open...), shut...), e.Target.Host,
			"host", e.Target.Host, "open", v.addrs(open), "blocked", v.addrs(shut))
		c = v.blame(c, shut, v.unlessProven(shut))
		c.harms = agent.Capabilities{}
		for _, t := range ts {
			for _, k := range t.Feeds {
				c.harms[k] = agent.Limited
			}
		}
		out = append(out, c)
	}
	return out
}

// split sorts the addresses of a target: those where any look got through, and
// those where every look was kept away.
func (v *view) split(t agent.Target, addrs []netip.Addr) (open, shut []int) {
	all := v.looks(t)
	for _, a := range addrs {
		here := v.pick(all, func(e *agent.Evidence) bool { return e.Target.Addr == a })
		through := v.pick(here, usable)
		switch {
		case len(through) > 0:
			open = append(open, through...)
		case v.all(here, v.barred):
			shut = append(shut, here...)
		}
	}
	if len(open) == 0 {
		return nil, nil
	}
	return open, shut
}

// asked sums up what looks at names cost: how many questions were sent and lost,
// and how long an answer took.
func (v *view) asked() (ix []int, sent, lost, ms float64) {
	n := 0.0
	for _, i := range v.of(agent.ProbeDNS) {
		e := &v.evidence[i]
		s, l := series(e)
		took, timed := e.Values.Num(agent.RTT)
		if e.Target.Variant == agent.Uncached || !answered(e) || !timed {
			continue
		}
		if s == l {
			s, l = 0, 0 // one that answers nothing is gone, and another stepped in
		}
		ix, sent, lost, ms, n = append(ix, i), sent+s, lost+l, ms+took, n+1
	}
	if n > 0 {
		ms /= n
	}
	return ix, sent, lost, ms
}

// dnsSlow is worth knowing, no more.
func dnsSlow(v *view, _ agent.Profile) []claim {
	const slow = 500 // milliseconds
	ix, _, _, ms := v.asked()
	if len(ix) == 0 || ms < slow {
		return nil
	}
	return one(found(ix, "", "ms", whole(ms), "resolver", v.evidence[ix[0]].Values.Text(agent.Resolver)))
}

// dnsFlaky: a good part of the questions is lost, too many for chance, and more than
// what the line loses of anything: a question and its answer both cross it, and may
// do so again behind the resolver.
func dnsFlaky(v *view, _ agent.Profile) []claim {
	const enough, many, share, crossings = 8, 3, 0.1, 4
	ix, sent, lost, _ := v.asked()
	if sent < enough || lost < many+crossings*v.lossy()*sent || lost/sent < share {
		return nil
	}
	return one(found(ix, "", "lost", whole(lost), "of", whole(sent), "resolver", v.evidence[ix[0]].Values.Text(agent.Resolver)))
}
