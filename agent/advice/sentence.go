package advice

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent"
)

// Order returns the findings as people should read them: the worst first, and
// among equals what comes first in the catalogue.
func Order(findings []agent.Finding) []agent.Finding {
	out := slices.Clone(findings)
	slices.SortStableFunc(out, func(x, y agent.Finding) int {
		return cmp.Or(cmp.Compare(y.Severity, x.Severity), cmp.Compare(place(x.Code), place(y.Code)))
	})
	return out
}

// place is where a code stands in the catalogue; unknown codes come last.
func place(c agent.Code) int {
	if i := slices.Index(agent.Codes, c); i >= 0 {
		return i
	}
	return len(agent.Codes)
}

// Sentence is the verdict for the practice in one breath: what works, what is
// the matter, and whose move it is. It never names a port. Where profiles
// differ, it speaks of the worst one first and then of the others.
func Sentence(r agent.Report, l Lang) string {
	b := bookOf(l)
	first, others := services(r)
	out := b.lead(first)
	switch worst, found := worstOf(r, first); {
	case first.verdict == agent.Ready:
		out += "."
	case found && first.verdict == agent.VerdictUnknown && worst.Code != agent.RouteLocal:
		t := speak(worst, l) // true, but not why there is no verdict
		out += ". " + joined(b.phrase("known-so-far", "title", t.Title), t.move)
	case found:
		t := speak(worst, l)
		out += ": " + joined(t.Title, t.move)
	case first.verdict == agent.VerdictUnknown && len(r.Evidence) == 0:
		out = b.phrase("lead-first-round")
	case first.verdict == agent.VerdictUnknown:
		out += ": " + b.phrase("no-proof")
	default:
		out += "."
	}
	for _, s := range others {
		out = joined(out, b.lead(s)+".")
	}
	return out
}

// service is what there is to say a lead about: one or several profiles of the
// same state, or (without names) everything that was looked at.
type service struct {
	names        []string
	verdict      agent.Verdict
	capabilities agent.Capabilities
}

// services returns the service that the sentence is about, and the others where
// their verdict differs.
func services(r agent.Report) (worst service, others []service) {
	all := service{verdict: r.Verdict, capabilities: r.Capabilities}
	if !differ(r.Profiles) || r.Verdict == agent.VerdictUnknown || r.Verdict == agent.Offline {
		return all, nil
	}
	sorted := slices.Clone(r.Profiles)
	slices.SortStableFunc(sorted, func(x, y agent.ProfileResult) int { return cmp.Compare(y.Verdict, x.Verdict) })
	var out []service
	for _, p := range sorted {
		s := service{[]string{p.Name}, p.Verdict, p.Capabilities}
		i := slices.IndexFunc(out, func(o service) bool { return leadKey(o) == leadKey(s) })
		if i < 0 {
			out = append(out, s)
		} else {
			out[i].names = append(out[i].names, p.Name)
		}
	}
	return out[0], out[1:]
}

func differ(profiles []agent.ProfileResult) bool {
	return slices.ContainsFunc(profiles, func(p agent.ProfileResult) bool {
		return p.Verdict != profiles[0].Verdict
	})
}

// worstOf returns the finding that a sentence about s should name. What only
// concerns the box's reports never is.
func worstOf(r agent.Report, s service) (agent.Finding, bool) {
	for _, f := range Order(r.Findings) {
		of := f.Profile == "" || len(s.names) == 0 || slices.Contains(s.names, f.Profile)
		if of && f.Severity > agent.Info && f.Code != agent.CentralDown && f.Code != agent.CentralAuth {
			return f, true
		}
	}
	return agent.Finding{}, false
}

// lead says what works, without a full stop.
func (b *book) lead(s service) string {
	names := make([]string, len(s.names))
	for i, n := range s.names {
		names[i] = clean(n)
	}
	return b.phrase(leadKey(s), "profile", strings.Join(names, ", "))
}

func leadKey(s service) string {
	switch s.verdict {
	case agent.Ready:
		return "lead-ready"
	case agent.Offline:
		return "lead-offline"
	case agent.Blocked, agent.VerdictLimited:
		return troubled(s.verdict, single(s.capabilities), s.capabilities[agent.Group], s.capabilities[agent.HD])
	default:
		return unsure(single(s.capabilities))
	}
}

// unsure is the lead without a verdict, which calls of two can still have.
func unsure(one agent.State) string {
	switch one {
	case agent.OK:
		return "lead-unknown-group"
	case agent.Limited:
		return "lead-unknown-group-limited-single"
	default:
		return "lead-unknown"
	}
}

// troubled is the lead where not everything works. A capability that is unknown
// is not spoken of.
func troubled(v agent.Verdict, one, group, hd agent.State) string {
	blocked := v == agent.Blocked
	works := func(s agent.State) bool { return s == agent.OK || s == agent.Limited }
	switch {
	case blocked && one == agent.No && works(group):
		return "lead-no-single"
	case blocked && one == agent.No:
		return "lead-none"
	case group == agent.No && one == agent.OK:
		return "lead-no-group"
	case group == agent.No && one == agent.Limited:
		return "lead-no-group-limited-single"
	case group == agent.No:
		return "lead-no-group-only"
	case blocked:
		return "lead-unreliable"
	case group == agent.Limited && one == agent.OK:
		return "lead-limited-group"
	case group == agent.OK && one == agent.Limited:
		return "lead-limited-single"
	case group != agent.Limited && one == agent.OK && (hd == agent.No || hd == agent.Limited):
		return "lead-limited-hd"
	default:
		return "lead-limited"
	}
}

// single is how well calls of two people work, by whichever way is known: a
// relay that works carries every call, and a direct way alone does not reach
// everybody.
func single(c agent.Capabilities) agent.State {
	direct, relay := c[agent.Direct], c[agent.Relay]
	switch {
	case relay == agent.Unknown:
		return direct
	case direct == agent.Unknown || relay == agent.OK:
		return relay
	case relay == agent.No && direct == agent.No:
		return agent.No
	default:
		return agent.Limited
	}
}
