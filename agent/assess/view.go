package assess

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
)

// view is the settled evidence as the rules read it.
type view struct {
	profiles []agent.Profile // what of them the practice uses
	evidence []agent.Evidence
	controls controls
	line     line
	at       time.Time // of the judgement
}

// controls are the facts that give silence its meaning.
type controls struct {
	addrs  map[netip.Addr]bool // something answered at this address
	beyond bool                // something beyond the practice answered, or a name that no cache knew
}

func newView(profiles []agent.Profile, settled []look, l line, at time.Time) *view {
	v := &view{profiles: profiles, evidence: make([]agent.Evidence, len(settled)), line: l, at: at}
	for i := range settled {
		v.evidence[i] = settled[i].Evidence
	}
	v.controls = controlsOf(v.evidence)
	for i := range settled {
		v.evidence[i].Grade = v.grade(&settled[i])
	}
	return v
}

// grade is the look's final grade: silence with a control becomes D, and a
// failure that was seen only once proves nothing yet.
func (v *view) grade(l *look) agent.Grade {
	switch {
	case !l.firm:
		return agent.GradeE
	case l.Outcome == agent.Silent && v.controls.beyond:
		return agent.GradeD
	default:
		return agent.GradeOf(l.Outcome)
	}
}

func controlsOf(all []agent.Evidence) controls {
	c := controls{addrs: map[netip.Addr]bool{}}
	for i := range all {
		e := &all[i]
		fresh := e.Probe == agent.ProbeDNS && e.Target.Variant == agent.Uncached
		if !answered(e) || !fresh && (!remote(e) || e.Probe == agent.ProbeCaptive) {
			continue
		}
		c.beyond = true
		if remote(e) {
			c.addrs[e.Target.Addr] = true
		}
	}
	return c
}

// machineUp reports whether the very machine that e asked answered in another
// way: then its silence is no outage of its own.
func (v *view) machineUp(e *agent.Evidence) bool { return v.controls.addrs[e.Target.Addr] }

// remote reports whether e is about something beyond the practice.
func remote(e *agent.Evidence) bool {
	switch e.Probe {
	case agent.ProbeWeb, agent.ProbeCaptive, agent.ProbeSTUN, agent.ProbeTURN, agent.ProbeNATS, agent.ProbePorts:
		return true
	default:
		return false
	}
}

// where returns the indexes of the evidence that matches.
func (v *view) where(match func(*agent.Evidence) bool) []int {
	var out []int
	for i := range v.evidence {
		if match(&v.evidence[i]) {
			out = append(out, i)
		}
	}
	return out
}

func (v *view) of(p agent.ProbeName) []int {
	return v.where(func(e *agent.Evidence) bool { return e.Probe == p })
}

// any reports whether one of the indexed looks matches.
func (v *view) any(ix []int, match func(*agent.Evidence) bool) bool {
	return slices.ContainsFunc(ix, func(i int) bool { return match(&v.evidence[i]) })
}

// pick returns those of the indexed looks that match.
func (v *view) pick(ix []int, match func(*agent.Evidence) bool) []int {
	var out []int
	for _, i := range ix {
		if match(&v.evidence[i]) {
			out = append(out, i)
		}
	}
	return out
}

func (v *view) all(ix []int, match func(*agent.Evidence) bool) bool {
	return len(ix) > 0 && len(v.pick(ix, match)) == len(ix)
}

// probeOf says which probe looks at a service.
func probeOf(s agent.Service) agent.ProbeName {
	switch s {
	case agent.HTTPS:
		return agent.ProbeWeb
	case agent.STUN:
		return agent.ProbeSTUN
	case agent.TURN:
		return agent.ProbeTURN
	case agent.NATS:
		return agent.ProbeNATS
	default:
		return agent.ProbePorts
	}
}

// looks returns the evidence about one target of a profile: all its addresses,
// variants and alternative ports.
func (v *view) looks(t agent.Target) []int {
	probe := probeOf(t.Service)
	return v.where(func(e *agent.Evidence) bool {
		return e.Probe == probe && e.Target.Host == t.Host && e.Target.Transport == t.Transport && e.Target.LastPort == t.LastPort &&
			(e.Target.Port == t.Port || slices.Contains(t.AltPorts, e.Target.Port))
	})
}

// targets returns the profile's targets of one service and transport; an empty
// transport means any.
func targets(p agent.Profile, s agent.Service, tr agent.Transport) []agent.Target {
	var out []agent.Target
	for _, t := range p.Targets {
		if t.Service == s && (tr == "" || t.Transport == tr) {
			out = append(out, t)
		}
	}
	return out
}

func (v *view) looksAt(ts []agent.Target) []int {
	var out []int
	for _, t := range ts {
		out = append(out, v.looks(t)...)
	}
	return out
}

// Classes of failed looks.

func answered(e *agent.Evidence) bool { return e.Outcome == agent.Answered }
func tampered(e *agent.Evidence) bool { return e.Outcome == agent.Tampered && e.Grade != agent.GradeE }

// foreignCert reports whether somebody showed a certificate of their own in the
// service's place. PCs of the practice may trust it.
func foreignCert(e *agent.Evidence) bool {
	return tampered(e) && (e.Reason == agent.TLSUnknownCA || e.Reason == agent.TLSWrongName)
}

// usable reports whether a browser could work with what answered.
func usable(e *agent.Evidence) bool {
	return answered(e) && e.Reason != agent.TLSExpired && e.Reason != agent.HTTPError
}

// barred reports whether something between the box and the target swallows or
// rejects: silence with a control, a middlebox that is named, or a reset that
// came faster than the target could have sent it.
func (v *view) barred(e *agent.Evidence) bool {
	return e.Outcome == agent.Silent && e.Grade == agent.GradeD ||
		e.Outcome == agent.Rejected && e.Grade == agent.GradeC ||
		v.forged(e)
}

// refused reports whether the target itself said no to the very first packet.
func (v *view) refused(e *agent.Evidence) bool {
	return e.Outcome == agent.Refused && e.Grade == agent.GradeB && !connected(e) && !v.forged(e)
}

// cut reports whether the connection came up and was ended before an answer.
func cut(e *agent.Evidence) bool {
	return e.Outcome == agent.Refused && e.Grade == agent.GradeB && connected(e)
}

// connected reports whether TCP came up before the look failed.
func connected(e *agent.Evidence) bool {
	switch e.Reason {
	case agent.Reset, agent.PortUnreachable, agent.AdminProhibited, agent.ProtoUnreach:
		return false
	case agent.ResetAfter, agent.Closed, agent.TLSAlert, agent.NotTLS, agent.UpgradeRefused, agent.NoInfo:
		return true
	}
	_, ok := e.Values.Num(agent.ConnectTime)
	return ok
}

// shortestForgeable is the round trip below which two times cannot be told
// apart, milliseconds.
const shortestForgeable = 6

// forged reports whether a refusal came from a place that the target's packets had
// not passed yet, or a reset much sooner than the same address is away: then a
// middlebox sent it in the target's name.
func (v *view) forged(e *agent.Evidence) bool {
	if e.Outcome != agent.Refused || connected(e) {
		return false
	}
	for _, i := range v.of(agent.ProbeWalk) {
		w := &v.evidence[i]
		if w.Outcome == agent.Tampered && w.Target.AddrPort() == e.Target.AddrPort() && w.Target.Transport == e.Target.Transport {
			return true
		}
	}
	if e.Reason != agent.Reset {
		return false
	}
	took, ok := e.Values.Num(agent.RTT)
	if !ok {
		return false
	}
	for i := range v.evidence {
		o := &v.evidence[i]
		away, timed := o.Values.Num(agent.ConnectTime)
		if timed && o.Target.Addr == e.Target.Addr && answered(o) && away > shortestForgeable && took < away/2 {
			return true
		}
	}
	return false
}

// sender is the address of the device that rejected one of the looks.
func (v *view) sender(ix []int) string {
	for _, i := range ix {
		e := &v.evidence[i]
		if s := e.Values.Text(agent.ICMPFrom); s != "" && s != e.Target.Addr.String() {
			return s
		}
	}
	return ""
}

// Words for arguments.

func (v *view) hosts(ix []int) string {
	return v.list(ix, func(e *agent.Evidence) string {
		if e.Target.Host != "" {
			return e.Target.Host
		}
		return e.Target.Addr.String()
	})
}

func (v *view) addrs(ix []int) string {
	return v.list(ix, func(e *agent.Evidence) string {
		if !e.Target.Addr.IsValid() {
			return ""
		}
		return e.Target.Addr.String()
	})
}

func (v *view) list(ix []int, word func(*agent.Evidence) string) string {
	var out []string
	for _, i := range ix {
		if w := word(&v.evidence[i]); w != "" && !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return strings.Join(out, ", ")
}

// parseAddrs reads a list of addresses as probes write it.
func parseAddrs(s string) []netip.Addr {
	var out []netip.Addr
	for _, w := range strings.Fields(s) {
		if a, err := netip.ParseAddr(w); err == nil {
			out = append(out, a.Unmap())
		}
	}
	return out
}
