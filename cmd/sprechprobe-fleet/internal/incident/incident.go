// Package incident tells an outage of the service or of a provider from the faults
// of single practices, by what many boxes say at the same time. It is pure: it knows
// neither the bus, nor the registry, nor the clock.
package incident

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// Box is what one box says now. Silent boxes are left out: they say nothing.
type Box struct {
	fleet.Address
	ISP      string // empty: not known
	Profiles []string
	Findings []agent.Finding
}

// Incident is one fault that is no practice's own.
type Incident struct {
	ID      string // the same for all who watch, and when the same thing breaks again
	Target  string // what is not reached, or the finding's code where there is no target
	Cause   agent.Cause
	ISP     string // whose, where the cause is the provider's
	FromAt  time.Time
	UntilAt time.Time // zero: it lasts
	Boxes   int       // that suffer from it now
	Of      int       // boxes that would notice
}

const (
	// Steady is how long boxes have to agree before an incident begins, and Calm how
	// long it is kept when they agree no more, where nothing else is said. Boxes report
	// every few minutes.
	Steady = 30 * time.Second
	Calm   = 5 * time.Minute

	// early is how long before an incident is noticed a fault may have begun that
	// still belongs to it: a fault that is older is the practice's own.
	early = 15 * time.Minute

	// A group of boxes agrees if at least fewest fail, at least share of those that
	// look, and chance would make as many fail less often than once in 1/luck times.
	fewest = 3
	share  = 0.25
	luck   = 1e-5

	// usual is the share of practices that do not reach a target by their own fault,
	// until more is known; leastUsual and mostUsual bound what is learned.
	usual      = 0.02
	leastUsual = 0.01
	mostUsual  = 0.1
	learning   = 0.02 // of each look
)

// Watch follows a fleet. Its zero value is ready; it is not safe for concurrent use.
type Watch struct {
	Steady, Calm time.Duration // 0: the usual

	usual map[string]float64 // share of boxes that fail at a target by their own faults
	open  map[string]*episode
}

// episode is an incident, or what may become one.
type episode struct {
	Incident
	first, last time.Time // when boxes agreed
	real        bool
}

// Look judges what all boxes say at a moment. It returns the incidents that there
// are, the gravest first, and those that have ended since the last look.
func (w *Watch) Look(now time.Time, boxes []Box) (open, ended []Incident) {
	if w.open == nil {
		w.usual, w.open = map[string]float64{}, map[string]*episode{}
	}
	seen := map[string]Incident{}
	for target, failing := range failures(boxes) {
		if _, known := w.usual[target]; !known {
			w.usual[target] = usual
		}
		found := judge(target, failing, watching(boxes, failing), w.usual[target])
		for _, i := range found {
			seen[i.key()] = i
		}
		if len(found) == 0 {
			rate := float64(len(failing)) / float64(len(watching(boxes, failing)))
			w.usual[target] = min(mostUsual, max(leastUsual, w.usual[target]+learning*(rate-w.usual[target])))
		}
	}
	for key, i := range seen {
		w.note(now, key, i)
	}
	for _, key := range slices.Sorted(maps.Keys(w.open)) {
		e := w.open[key]
		switch {
		case !e.real && e.last.Before(now):
			delete(w.open, key) // boxes agreed once, by chance
		case now.Sub(e.last) >= cmp.Or(w.Calm, Calm):
			e.UntilAt = e.last
			ended = append(ended, e.Incident)
			delete(w.open, key)
		case e.real:
			open = append(open, e.Incident)
		}
	}
	slices.SortFunc(open, func(a, b Incident) int { return cmp.Or(cmp.Compare(b.Boxes, a.Boxes), cmp.Compare(a.ID, b.ID)) })
	return open, ended
}

func (i Incident) key() string { return i.Target + " " + i.Cause.String() + " " + i.ISP }

// id is made of what an incident is, so that programs that watch beside each other,
// or after each other, mean the same by it.
func id(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:8])
}

// note enters that boxes agree.
func (w *Watch) note(now time.Time, key string, i Incident) {
	e := w.open[key]
	if e == nil {
		e = &episode{Incident: i, first: now}
		e.ID = id(key)
		w.open[key] = e
	}
	e.last, e.Boxes, e.Of = now, i.Boxes, i.Of
	e.real = e.real || now.Sub(e.first) >= cmp.Or(w.Steady, Steady)
}

// failure is one box that does not reach something, and since when.
type failure struct {
	box   *Box
	since time.Time
}

// failures lists who fails at what.
func failures(boxes []Box) map[string][]failure {
	out := map[string][]failure{}
	for i := range boxes {
		here := map[string]bool{}
		for _, f := range boxes[i].Findings {
			if t := fleet.OutageTarget(f); t != "" && !here[t] {
				here[t] = true
				out[t] = append(out[t], failure{&boxes[i], f.SinceAt})
			}
		}
	}
	return out
}

// watching are the boxes that look at what others fail at: those with one of their
// profiles.
func watching(boxes []Box, failing []failure) []*Box {
	profiles := map[string]bool{}
	for _, f := range failing {
		for _, p := range f.box.Profiles {
			profiles[p] = true
		}
	}
	var out []*Box
	for i := range boxes {
		if slices.ContainsFunc(boxes[i].Profiles, func(p string) bool { return profiles[p] }) {
			out = append(out, &boxes[i])
		}
	}
	return out
}

// group is the boxes of one provider.
type group struct {
	n, failing int
	since      []time.Time
}

// agrees reports whether more of the boxes fail than practices' own faults explain.
func (g group) agrees(usual float64) bool {
	return g.failing >= fewest && float64(g.failing) >= share*float64(g.n) && tail(g.n, g.failing, usual) < luck
}

// judge finds the incidents behind the failures at one target.
func judge(target string, failing []failure, all []*Box, usual float64) []Incident {
	groups, total := map[string]*group{}, group{}
	of := func(isp string) *group {
		if groups[isp] == nil {
			groups[isp] = &group{}
		}
		return groups[isp]
	}
	for _, b := range all {
		of(b.ISP).n++
		total.n++
	}
	for _, f := range failing {
		g := of(f.box.ISP)
		g.failing++
		g.since = append(g.since, f.since)
		total.failing++
		total.since = append(total.since, f.since)
	}
	var agree []string
	able, some := 0, 0
	for _, isp := range slices.Sorted(maps.Keys(groups)) {
		g := groups[isp]
		if isp == "" {
			continue
		}
		if g.failing > 0 {
			some++
		}
		if (group{n: g.n, failing: g.n}).agrees(usual) {
			able++ // it has boxes enough to say
		}
		if g.agrees(usual) {
			agree = append(agree, isp)
		}
	}
	wide := len(agree) >= 3 && 2*len(agree) >= able // at many providers
	few := able < 3 && some >= 3                    // of which none has boxes enough
	unknown := groups[""] != nil && 2*groups[""].n >= total.n
	if total.agrees(usual) && (wide || (few || unknown) && 2*total.failing >= total.n) {
		return []Incident{{Target: target, Cause: agent.CauseVendor, FromAt: began(total.since), Boxes: total.failing, Of: total.n}}
	}
	var out []Incident
	for _, isp := range agree {
		g := groups[isp]
		out = append(out, Incident{Target: target, Cause: agent.CauseISP, ISP: isp, FromAt: began(g.since), Boxes: g.failing, Of: g.n})
	}
	return out
}

// began is when most began to fail: the first one that is not much earlier than the
// one in the middle.
func began(since []time.Time) time.Time {
	slices.SortFunc(since, time.Time.Compare)
	middle := since[len(since)/2]
	for _, t := range since {
		if middle.Sub(t) <= early {
			return t
		}
	}
	return middle
}

// tail is the probability that of n boxes k or more fail, each with probability p
// and for itself.
func tail(n, k int, p float64) float64 {
	sum := 0.0
	ln, _ := math.Lgamma(float64(n + 1))
	for i := k; i <= n; i++ {
		a, _ := math.Lgamma(float64(i + 1))
		b, _ := math.Lgamma(float64(n - i + 1))
		term := math.Exp(ln - a - b + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
		sum += term
		if term < sum*1e-9 {
			break
		}
	}
	return min(1, sum)
}

// Of is the incident that a finding of a box belongs to. A fault that was there
// before the incident is the practice's own, and stays so.
func Of(open []Incident, isp string, f agent.Finding) (Incident, bool) {
	for _, i := range open {
		if fleet.OutageTarget(f) == i.Target && (i.Cause == agent.CauseVendor || isp == i.ISP) && !f.SinceAt.Before(i.FromAt) {
			return i, true
		}
	}
	return Incident{}, false
}

// Rewrite returns a report whose findings name the cause that the incidents give
// them, marked by [agent.ArgOutage] as boxes mark what they are told. All others stay
// as they are.
func Rewrite(open []Incident, isp string, r agent.Report) agent.Report {
	var findings []agent.Finding
	for n, f := range r.Findings {
		i, ok := Of(open, isp, f)
		if !ok {
			continue
		}
		if findings == nil {
			findings = slices.Clone(r.Findings)
		}
		args := map[string]string{}
		maps.Copy(args, f.Args)
		args[agent.ArgOutage] = i.Cause.String()
		findings[n].Cause, findings[n].Args = i.Cause, args
	}
	if findings != nil {
		r.Findings = findings
	}
	return r
}
