// Package round makes one round: it decides what to ask for a set of profiles,
// asks it in the order in which one answer gives another its meaning, and asks
// again at once whatever failed. It knows the probes only as values, judges
// nothing and remembers nothing.
//
// A round has two passes. The first looks at the local side and the names, then
// at every target. The second, the retest, looks again at what failed; beside
// it run the controls that only matter when something failed (is it a login
// page, does the resolver reach the world, where do packets end, is it the size
// or the name of a ClientHello) and the comparison of NAT mappings, which needs
// to know who answers. A deep round then loads the line for a moment, with
// nothing beside it that could suffer.
package round

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
)

// Limit bounds a whole round. The worst case, everything dropped, ends sooner.
const Limit = 13 * time.Second

// Probes are the looks that a round is made of.
type Probes struct {
	Link    agent.Probe
	DNS     agent.Probe
	HTTPS   agent.Probe
	Captive agent.Probe
	STUN    agent.Probe
	TURN    agent.Probe
	NATS    agent.Probe
	Ports   agent.Probe
	Relay   agent.Probe // nil: no credentials to get an allocation with
	Mapping func(others []netip.AddrPort) agent.Probe

	// What explains, each nil where it cannot be looked at.
	Self    agent.Probe
	V6      agent.Probe
	Proxy   agent.Probe
	Hello   agent.Probe
	Path    agent.Probe
	Walk    func(control agent.Target) agent.Probe
	MTU     agent.Probe
	Gateway agent.Probe
	Burst   agent.Probe
	Flows   agent.Probe

	// Addrs reads the addresses of a DNS look.
	Addrs func(agent.Evidence) []netip.Addr
	// Public reports whether an address is neither of the practice's network nor
	// of the box; nil: none is.
	Public func(netip.Addr) bool
	// IPv6 reports whether the box has a route to public IPv6 addresses.
	IPv6 func() bool
	// Translate is the address that leads to an IPv4 address through the translator
	// that a look at IPv6 has found; nil: there is none.
	Translate func(v6 agent.Evidence, a netip.Addr) netip.Addr
}

// Run makes a round for the profiles and returns its passes. A deep one also asks
// what need not be known every few minutes; it always does where something fails.
func Run(ctx context.Context, p Probes, profiles []agent.Profile, deep bool) [][]agent.Evidence {
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	targets := distinct(profiles)

	opening := []step{{probe: p.Link, name: agent.ProbeLink}}
	opening = append(opening, maybe(p.Self, agent.ProbeSelf, agent.Target{})...)
	opening = append(opening, maybe(p.V6, agent.ProbeIPv6, agent.Target{})...)
	for _, h := range names(targets) {
		opening = append(opening, step{probe: p.DNS, name: agent.ProbeDNS, target: h})
	}
	first := runAll(ctx, opening, nil)
	p = p.through(first)
	steps := p.steps(targets, p.resolve(first))
	var beside []step
	if deep {
		beside = p.besideRanges(steps)
	}
	all := runAll(ctx, append(slices.Clone(steps), beside...), nil)
	seen := all[:len(steps)]
	first = append(first, all...)

	again := failing(slices.Concat(opening, steps, beside), first)
	deep = deep || troubled(first)
	again = append(again, p.controls(targets, first)...)
	again = append(again, p.explain(first, deep)...)
	second := runAll(ctx, again, answeredBy(steps, seen))
	second = append(second, runAll(ctx, p.steps(late(targets, first, p), p.resolve(second)), nil)...)
	if deep {
		for _, one := range p.load(first) {
			second = append(second, runAll(ctx, one, nil)...)
		}
	}
	return [][]agent.Evidence{first, second}
}

// maybe is the step of a probe that there may not be.
func maybe(p agent.Probe, name agent.ProbeName, t agent.Target) []step {
	if p == nil {
		return nil
	}
	return []step{{probe: p, name: name, target: t}}
}

// late are the targets whose name gave no address in the first pass: if it does
// in the second, they are looked at after all.
func late(targets []agent.Target, first []agent.Evidence, p Probes) []agent.Target {
	known := p.resolve(first)
	var out []agent.Target
	for _, t := range targets {
		if len(known[t.Host]) == 0 && len(t.Pins) == 0 && !literal(t.Host) {
			out = append(out, t)
		}
	}
	return out
}

// step is one look to make.
type step struct {
	probe  agent.Probe
	name   agent.ProbeName
	target agent.Target
	// kin are the looks of which one answer is enough: addresses, ports and
	// variants of one target. Empty: there are none.
	kin string
}

// runAll makes the looks side by side, begun in any order, and returns them in
// theirs. A step without a probe is a look that cannot be made. What has answered
// already, in answered by kin, leaves its kin only a moment.
func runAll(ctx context.Context, steps []step, answered map[string]time.Duration) []agent.Evidence {
	out := make([]agent.Evidence, len(steps))
	kin := families(ctx, steps, answered)
	var wg sync.WaitGroup
	for _, i := range rand.Perm(len(steps)) {
		wg.Go(func() { out[i] = steps[i].look(kin[steps[i].kin]) })
	}
	wg.Wait()
	for _, f := range kin {
		f.cancel()
	}
	return out
}

// look runs a probe; a panic in it is our mistake and no fault of the network.
func (s step) look(f *family) (e agent.Evidence) {
	defer func() {
		if r := recover(); r != nil {
			e = agent.See(s.name, s.target, agent.NotLooked, agent.Panicked).With(agent.Detail, blame(r, debug.Stack()))
		}
	}()
	if s.probe == nil {
		return agent.See(s.name, s.target, agent.NotLooked, agent.NoAddress)
	}
	began := time.Now()
	e = s.probe(f.ctx, s.target)
	return f.seen(e, time.Since(began))
}

// blame is what was wrong and where: enough to find the line, short enough to
// report. A stack begins with how it was taken; the mistake is below the panic.
func blame(what any, stack []byte) string {
	_, below, _ := strings.Cut(string(stack), "\npanic(")
	for range 2 { // the rest of that line, and its place
		_, below, _ = strings.Cut(below, "\n")
	}
	return fmt.Sprintf("%.100v\n%.400s", fmt.Sprint(what), below)
}

// failing returns the steps whose look failed. A port range that is silent has
// been asked at several ports already.
func failing(steps []step, seen []agent.Evidence) []step {
	var out []step
	for i, e := range seen {
		if bad(e) && e.Probe != agent.ProbeWalk && !(e.Probe == agent.ProbePorts && e.Outcome == agent.Silent) {
			out = append(out, steps[i])
		}
	}
	return out
}

// resolve collects the addresses of the names that resolved.
func (p Probes) resolve(seen []agent.Evidence) map[string][]netip.Addr {
	out := map[string][]netip.Addr{}
	for _, e := range seen {
		if e.Probe == agent.ProbeDNS && e.Outcome == agent.Answered && e.Target.Variant != agent.Uncached {
			out[e.Target.Host] = p.Addrs(e)
		}
	}
	return out
}
