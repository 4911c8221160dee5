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

// proofs says which answers prove which step, by the probe and, where it matters,
// the transport. All but the first two come from beyond the practice.
var proofs = []struct {
	probe     agent.ProbeName
	transport agent.Transport
	step      Step
}{
	{agent.ProbeDNS, "", Names},
	{agent.ProbeUplink, "", Report},
	{agent.ProbeWeb, "", Service},
	{agent.ProbeSTUN, "", STUN},
	{agent.ProbeTURN, agent.UDP, TURNUDP},
	{agent.ProbeRelay, agent.UDP, TURNUDP},
	{agent.ProbeTURN, agent.TCP, TURNTCP},
	{agent.ProbeRelay, agent.TCP, TURNTCP},
	{agent.ProbeNATS, "", Group},
}

// See returns the sequence with what e proves. Nothing fails by one look.
func (s Sequence) See(e agent.Evidence) Sequence {
	switch {
	case e.Probe == agent.ProbeLink:
		s.local(e)
	case e.Outcome == agent.Answered:
		s.answer(e)
	}
	return s
}

func (s *Sequence) answer(e agent.Evidence) {
	for i, p := range proofs {
		if e.Probe != p.probe || p.transport != "" && e.Target.Transport != p.transport {
			continue
		}
		s.pass(p.step)
		if i > 1 { // whoever answers from outside came this way
			s.pass(Link)
			s.pass(Address)
			s.pass(Gateway)
		}
	}
	if skew, told := e.Values.Num(agent.ClockSkew); told && math.Abs(skew) <= maxSkew {
		s.pass(Clock)
	}
}

// local reads the look at the local side.
func (s *Sequence) local(e agent.Evidence) {
	answered := e.Outcome == agent.Answered
	if up, _ := e.Values.Flag(agent.Carrier); up || answered {
		s.pass(Link)
	}
	if e.Values.Text(agent.LocalAddr) != "" {
		s.pass(Address)
	}
	if answered {
		s.pass(Gateway)
	}
	if synced, _ := e.Values.Flag(agent.ClockSynced); synced {
		s.pass(Clock)
	}
}

func (s *Sequence) pass(step Step) {
	if s[step] != Unneeded {
		s[step] = Passed
	}
}

// stops says at which step a finding's matter lies. The relay as a whole is
// asked over UDP first. A captive portal stands before the service, a dead line
// before the names. Codes that are not here stop nothing on the way.
var stops = []struct {
	code agent.Code
	step Step
}{
	{agent.LinkDown, Link},
	{agent.LinkSlow, Link},
	{agent.AddressConflict, Address},
	{agent.DHCPNone, Address},
	{agent.GatewayUnreachable, Gateway},
	{agent.RouteLocal, Gateway},
	{agent.LANUnstable, Gateway},
	{agent.ClockWrong, Clock},
	{agent.WANDown, Names},
	{agent.LineFailover, Names},
	{agent.DNSFail, Names},
	{agent.DNSFlaky, Names},
	{agent.DNSNX, Names},
	{agent.DNSBogon, Names},
	{agent.Captive, Service},
	{agent.MTUBlackhole, Service},
	{agent.DNSDriftBlock, Service},
	{agent.DNSPartBlock, Service},
	{agent.TISeries, Service},
	{agent.ProxyRequired, Service},
	{agent.TLSBigHello, Service},
	{agent.TLSSNIReset, Service},
	{agent.HTTPSBlock, Service},
	{agent.HTTPSServer, Service},
	{agent.TLSIntercept, Service},
	{agent.CertBad, Service},
	{agent.GuestNet, STUN},
	{agent.NATTableFull, STUN},
	{agent.UDPRateLimited, STUN},
	{agent.UDPAllBlock, STUN},
	{agent.STUNUDPBlock, STUN},
	{agent.STUNServer, STUN},
	{agent.STUNALG, STUN},
	{agent.NATShort, STUN},
	{agent.PortRangeUDP, STUN},
	{agent.PortRangeTCP, STUN},
	{agent.PortRangePartial, STUN},
	{agent.TURNUDPBlock, TURNUDP},
	{agent.TURNUDPServer, TURNUDP},
	{agent.TURNAllBlock, TURNUDP},
	{agent.TURNServer, TURNUDP},
	{agent.TURNQuota, TURNUDP},
	{agent.TURNNoMedia, TURNUDP},
	{agent.TURNTCPOnly, TURNUDP},
	{agent.TURNDPITLS, TURNUDP},
	{agent.NATEDMNoRelay, TURNUDP},
	{agent.TURNTCPBlock, TURNTCP},
	{agent.TURNTCPServer, TURNTCP},
	{agent.TURNDPIPlain, TURNTCP},
	{agent.GroupBlockAll, Group},
	{agent.GroupBlockSome, Group},
	{agent.GroupServer, Group},
	{agent.WSStripped, Group},
	{agent.NATSProtoBad, Group},
	{agent.NATSIdleCut, Group},
	{agent.BandwidthMin, STUN},
	{agent.Bloat, STUN},
	{agent.Loss, STUN},
	{agent.Jittery, STUN},
	{agent.Distant, STUN},
	{agent.CentralDown, Report},
	{agent.CentralAuth, Report},
	{agent.BoxStorage, Report},
}

// Of says at which step a finding's matter lies, if at any.
func Of(f agent.Finding) (Step, bool) {
	for _, s := range stops {
		if s.code == f.Code {
			return s.step, f.Severity > agent.Info
		}
	}
	return 0, false
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
