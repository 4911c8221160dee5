package assess_test

import (
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/assess"
	"github.com/sprechprobe/sprechprobe/agent/profile"
)

// world is the evidence of one pass in a practice, healthy until it is edited.
type world struct {
	profiles []agent.Profile
	without  []agent.Capability
	evidence []agent.Evidence
}

var someAddr = netip.MustParseAddr("203.0.113.7")

// newWorld is the healthy evidence for built-in profiles, as a round brings it.
func newWorld(names ...string) *world {
	w := &world{}
	for _, p := range profile.Builtin() {
		if slices.Contains(names, p.Name) {
			w.profiles = append(w.profiles, p)
		}
	}
	w.add(agent.See(agent.ProbeLink, agent.Target{}, agent.Answered, "").
		With(agent.Interface, "eth0").With(agent.Gateway, "192.168.1.1").
		With(agent.Neighbour, "reachable").With(agent.LocalAddr, "192.168.1.20/24").With(agent.ClockSynced, true))
	named := map[string]bool{}
	for _, p := range w.profiles {
		for _, t := range p.Targets {
			if !named[t.Host] {
				named[t.Host] = true
				w.add(agent.See(agent.ProbeDNS, agent.Target{Host: t.Host}, agent.Answered, "").
					With(agent.Addrs, addrOf(t).String()).With(agent.Resolver, "192.168.1.1"))
			}
			w.healthyTarget(t)
		}
	}
	w.add(agent.See(agent.ProbeMapping, agent.Target{Addr: someAddr, Port: 3478, Transport: agent.UDP}, agent.Answered, "").
		With(agent.Mapping, "endpoint-independent"))
	return w
}

func addrOf(t agent.Target) netip.Addr {
	if len(t.Pins) > 0 {
		return t.Pins[0]
	}
	h := fnv.New32a()
	h.Write([]byte(t.Host))
	return netip.AddrFrom4([4]byte{203, 0, 113, byte(h.Sum32()%200 + 20)})
}

func (w *world) healthyTarget(t agent.Target) {
	a := addrOf(t)
	switch t.Service {
	case agent.HTTPS:
		w.add(agent.See(agent.ProbeWeb, t.At(a, ""), agent.Answered, "").With(agent.HTTPStatus, 200).With(agent.ClockSkew, 0))
	case agent.STUN:
		for _, port := range append([]uint16{t.Port}, t.AltPorts...) {
			one := t.At(a, agent.Plain)
			one.Port = port
			w.add(agent.See(agent.ProbeSTUN, one, agent.Answered, "").With(agent.RTT, 20))
		}
	case agent.TURN:
		for _, v := range t.Variants {
			w.add(agent.See(agent.ProbeTURN, t.At(a, v), agent.Answered, agent.Unauthorized).With(agent.RTT, 20))
		}
	case agent.NATS:
		w.add(agent.See(agent.ProbeNATS, t.At(a, agent.WSS), agent.Answered, "").With(agent.ConnectTime, 20))
	case agent.Range:
		w.add(agent.See(agent.ProbePorts, t.At(a, ""), agent.Answered, "").With(agent.Sampled, 6).With(agent.Open, 6))
	}
}

func (w *world) add(e agent.Evidence) *world { w.evidence = append(w.evidence, e); return w }

// on edits every look that matches: words of "probe host port/transport
// variant", in any number and order.
func (w *world) on(match string, edit func(agent.Evidence) agent.Evidence) *world {
	hit := false
	for i, e := range w.evidence {
		if fits(e, strings.Fields(match)) {
			w.evidence[i] = edit(e)
			hit = true
		}
	}
	if !hit {
		panic("no evidence fits " + match)
	}
	return w
}

func fits(e agent.Evidence, words []string) bool {
	is := []string{string(e.Probe), string(e.Target.Variant), string(e.Target.Transport), e.Target.Addr.String()}
	for _, w := range words {
		if !slices.Contains(is, w) && !strings.HasPrefix(e.Target.Host, w) && !strings.HasSuffix(e.Target.String(), ":"+w) {
			return false
		}
	}
	return true
}

func becomes(o agent.Outcome, why agent.Reason) func(agent.Evidence) agent.Evidence {
	return func(e agent.Evidence) agent.Evidence { return agent.See(e.Probe, e.Target, o, why) }
}

var (
	dropped = becomes(agent.Silent, agent.Timeout)
	reset   = becomes(agent.Refused, agent.Reset)
	gone    = becomes(agent.NotLooked, agent.NoAddress)
)

func rejectedBy(router string) func(agent.Evidence) agent.Evidence {
	return func(e agent.Evidence) agent.Evidence {
		return agent.See(e.Probe, e.Target, agent.Rejected, agent.AdminProhibited).With(agent.ICMPFrom, router)
	}
}

func afterConnect(o agent.Outcome, why agent.Reason) func(agent.Evidence) agent.Evidence {
	return func(e agent.Evidence) agent.Evidence {
		return agent.See(e.Probe, e.Target, o, why).With(agent.ConnectTime, 20)
	}
}

func with(k agent.Key, v any) func(agent.Evidence) agent.Evidence {
	return func(e agent.Evidence) agent.Evidence { return e.With(k, v) }
}

// judge assesses the world as seen in both passes of one round.
func (w *world) judge() assess.Judgement {
	var b assess.Book
	b.Add(w.evidence, w.evidence)
	return assess.Assess(w.policy(), &b, nil, time.Unix(1_800_000_000, 0))
}

func (w *world) policy() assess.Policy {
	return assess.Policy{Profiles: w.profiles, Without: w.without}
}

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

// call is a rehearsal at webprax's relay that got an allocation.
func call(tr agent.Transport) agent.Evidence {
	t := agent.Target{Host: "coturn.webprax.de", Port: 5349, Transport: tr}
	return agent.See(agent.ProbeRehearsal, t.At(someAddr, agent.Plain), agent.Answered, "")
}

func ends(e agent.Evidence, why agent.Reason) agent.Evidence {
	e.Reason = why
	return e
}

// rehearsal is one that measured: shares lost up and down, milliseconds of jitter
// and of the round trip.
func rehearsal(up, down, jitter, rtt float64) agent.Evidence {
	return call(agent.UDP).With(agent.Relayed, true).With(agent.LossBothWays, up+down).With(agent.UpLoss, up).With(agent.DownLoss, down).
		With(agent.Jitter, jitter).With(agent.RTT, rtt).With(agent.HighPort, true).With(agent.Punched, true).With(agent.PortKept, true)
}
