// Package steps is the installer's sequence: what a box finds on its way from
// the plug to its vendor, always in the same order, so that the step at which
// it stops is what is wrong. It reads evidence and findings; it judges nothing
// and knows no page, no light and no clock.
package steps

import (
	"math"
	"slices"

	"github.com/sprechprobe/sprechprobe/agent"
)

// Step is one thing on the way.
type Step uint8

// The steps, in their order.
const (
	Link    Step   = iota // the cable has a link
	Address               // the network gave an address
	Gateway               // there is a router
	Clock                 // the wall clock can be believed
	Names                 // the video service's names lead somewhere
	Service               // its web hosts show themselves
	STUN                  // the direct way
	TURNUDP               // the relay over UDP
	TURNTCP               // the relay over TCP
	Group                 // the servers for group sessions
	Report                // the vendor hears from the box
	Count   = iota        // how many there are
)

// State is how one step fares. The zero value is Waiting.
type State uint8

// The states.
const (
	Waiting  State = iota // not seen yet
	Passed                // proven to work
	Failed                // a finding says what is wrong
	Unclear               // neither, at the end of a round
	Unneeded              // the practice's services do not ask for it
)

// Sequence is how every step fares, by step. It is a value.
type Sequence [Count]State

// Plan is the sequence before anything was seen: what these services need, and
// whether the box is to report. Without services everything is needed.
func Plan(profiles []agent.Profile, reports bool) Sequence {
	var s Sequence
	needs := func(step Step, service agent.Service, transport agent.Transport) {
		fits := func(t agent.Target) bool { return t.Service == service && t.Transport == transport }
		if !slices.ContainsFunc(profiles, func(p agent.Profile) bool { return slices.ContainsFunc(p.Targets, fits) }) {
			s[step] = Unneeded
		}
	}
	if len(profiles) > 0 {
		needs(Service, agent.HTTPS, agent.TCP)
		needs(STUN, agent.STUN, agent.UDP)
		needs(TURNUDP, agent.TURN, agent.UDP)
		needs(TURNTCP, agent.TURN, agent.TCP)
		needs(Group, agent.NATS, agent.TCP)
	}
	if !reports {
		s[Report] = Unneeded
	}
	return s
}

// maxSkew is the clock error that certificates and reports bear, seconds.
const maxSkew = 300

// See returns the sequence with what e proves. Nothing fails by one look.
func (s Sequence) See(e agent.Evidence) Sequence {
	if e.Probe == agent.ProbeLink {
		return s.local(e)
	}
	if e.Outcome != agent.Answered {
		return s
	}
	switch e.Probe {
	case agent.ProbeDNS:
		return s.pass(Names)
	case agent.ProbeUplink:
		return s.pass(Report)
	case agent.ProbeWeb:
		if skew, told := e.Values.Num(agent.ClockSkew); told && math.Abs(skew) <= maxSkew {
			s = s.pass(Clock)
		}
		s = s.pass(Service)
	case agent.ProbeSTUN:
		s = s.pass(STUN)
	case agent.ProbeTURN, agent.ProbeRelay:
		step := TURNUDP
		if e.Target.Transport == agent.TCP {
			step = TURNTCP
		}
		s = s.pass(step)
	case agent.ProbeNATS:
		s = s.pass(Group)
	default:
		return s
	}
	return s.pass(Link, Address, Gateway) // whoever answers from outside came that way
}

// local reads the look at the local side.
func (s Sequence) local(e agent.Evidence) Sequence {
	if up, _ := e.Values.Flag(agent.Carrier); up || e.Outcome == agent.Answered {
		s = s.pass(Link)
	}
	if e.Values.Text(agent.LocalAddr) != "" {
		s = s.pass(Address)
	}
	if e.Outcome == agent.Answered {
		s = s.pass(Gateway)
	}
	if synced, _ := e.Values.Flag(agent.ClockSynced); synced {
		s = s.pass(Clock)
	}
	return s
}

func (s Sequence) pass(steps ...Step) Sequence {
	for _, step := range steps {
		if s[step] != Unneeded {
			s[step] = Passed
		}
	}
	return s
}

// stops says at which step a finding's matter lies. The relay as a whole is
// asked over UDP first. A captive portal stands before the service, a dead line
// before the names. Codes that are not here are about quality, not about a way.
var stops = map[agent.Code]Step{
	agent.LinkDown:           Link,
	agent.DHCPNone:           Address,
	agent.GatewayUnreachable: Gateway,
	agent.RouteLocal:         Gateway,
	agent.ClockWrong:         Clock,
	agent.WANDown:            Names,
	agent.DNSFail:            Names,
	agent.DNSNX:              Names,
	agent.DNSBogon:           Names,
	agent.Captive:            Service,
	agent.DNSDriftBlock:      Service,
	agent.HTTPSBlock:         Service,
	agent.HTTPSServer:        Service,
	agent.TLSIntercept:       Service,
	agent.CertBad:            Service,
	agent.GuestNet:           STUN,
	agent.UDPAllBlock:        STUN,
	agent.STUNUDPBlock:       STUN,
	agent.STUNServer:         STUN,
	agent.PortRangeUDP:       STUN,
	agent.PortRangeTCP:       STUN,
	agent.PortRangePartial:   STUN,
	agent.TURNUDPBlock:       TURNUDP,
	agent.TURNUDPServer:      TURNUDP,
	agent.TURNAllBlock:       TURNUDP,
	agent.TURNServer:         TURNUDP,
	agent.NATEDMNoRelay:      TURNUDP,
	agent.TURNTCPBlock:       TURNTCP,
	agent.TURNTCPServer:      TURNTCP,
	agent.TURNDPIPlain:       TURNTCP,
	agent.GroupBlockAll:      Group,
	agent.GroupBlockSome:     Group,
	agent.GroupServer:        Group,
	agent.WSStripped:         Group,
	agent.NATSProtoBad:       Group,
	agent.CentralDown:        Report,
	agent.CentralAuth:        Report,
}

// Of says at which step a finding's matter lies, if at any.
func Of(f agent.Finding) (Step, bool) {
	step, ok := stops[f.Code]
	return step, ok && f.Severity > agent.Info
}

// End returns the sequence at the end of a round: what the report's evidence
// proves, and where its findings say that it stops.
func (s Sequence) End(r agent.Report) Sequence {
	for i := range s {
		if s[i] != Unneeded {
			s[i] = Waiting
		}
	}
	for _, e := range r.Evidence {
		s = s.See(e)
	}
	for _, f := range r.Findings {
		if step, ok := Of(f); ok {
			s[step] = Failed
		}
	}
	for i := range s {
		if s[i] == Waiting {
			s[i] = Unclear
		}
	}
	return s
}

// Done reports whether there is nothing left to wait for or to mend.
func (s Sequence) Done() bool {
	return !slices.ContainsFunc(s[:], func(x State) bool { return x != Passed && x != Unneeded })
}

// First returns the first step in a state, if there is one.
func (s Sequence) First(x State) (Step, bool) {
	i := slices.Index(s[:], x)
	return Step(max(0, i)), i >= 0
}

// Online reports whether something of the video service's has answered: the way
// out of the practice works.
func (s Sequence) Online() bool {
	return slices.Contains(s[Service:Report], Passed)
}
