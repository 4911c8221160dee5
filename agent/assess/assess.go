package assess

import (
	"slices"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
)

// Policy is what the judgement is made against.
type Policy struct {
	Profiles []agent.Profile
	// Without names capabilities that this practice does not use: they are
	// neither judged nor do they change the verdict.
	Without []agent.Capability
}

// Used is what of the profiles the practice uses: what a target feeds else is
// forgotten, and so is a target that feeds nothing else.
func (p Policy) Used() []agent.Profile {
	out := slices.Clone(p.Profiles)
	for i := range out {
		pr := &out[i]
		pr.Targets = nil
		for _, t := range p.Profiles[i].Targets {
			feeds := slices.DeleteFunc(slices.Clone(t.Feeds), p.without)
			if len(t.Feeds) > 0 && len(feeds) == 0 {
				continue
			}
			t.Feeds = feeds
			pr.Targets = append(pr.Targets, t)
		}
		if p.without(agent.HD) {
			pr.Thresholds.HDDownBitsPerS, pr.Thresholds.HDUpBitsPerS = 0, 0
		}
	}
	return out
}

func (p Policy) without(c agent.Capability) bool { return slices.Contains(p.Without, c) }

// Judgement is the part of a report that is judged, with the evidence it rests
// on in its final grades.
type Judgement struct {
	Verdict      agent.Verdict
	Capabilities agent.Capabilities
	Profiles     []agent.ProfileResult
	Findings     []agent.Finding
	Evidence     []agent.Evidence
}

// Assess judges the book. Findings that before already had keep their SinceAt;
// new ones get at.
func Assess(p Policy, b *Book, before []agent.Finding, at time.Time) Judgement {
	v := newView(p.Used(), b.settled(), b.line, at)
	claims := v.claims()
	j := Judgement{Evidence: v.evidence, Capabilities: agent.Capabilities{}}
	for _, c := range agent.AllCapabilities {
		j.Capabilities[c] = agent.Unknown
	}
	for _, pr := range v.profiles {
		r := v.judge(pr, claims)
		j.Profiles = append(j.Profiles, r)
		j.Verdict = max(j.Verdict, r.Verdict)
		for c, s := range r.Capabilities {
			j.Capabilities[c] = max(j.Capabilities[c], s)
		}
	}
	if anyUnknown(j.Profiles) && j.Verdict == agent.Ready {
		j.Verdict = agent.VerdictUnknown
	}
	j.Capabilities[agent.Reporting] = v.reporting(claims)
	for _, c := range claims {
		c.SinceAt = since(c.Finding, before, at)
		j.Findings = append(j.Findings, c.Finding)
	}
	slices.SortStableFunc(j.Findings, func(a, b agent.Finding) int { return int(b.Severity) - int(a.Severity) })
	return j
}

func anyUnknown(rs []agent.ProfileResult) bool {
	return slices.ContainsFunc(rs, func(r agent.ProfileResult) bool { return r.Verdict == agent.VerdictUnknown })
}

// since is when the finding was first raised without a break.
func since(f agent.Finding, before []agent.Finding, at time.Time) time.Time {
	for _, b := range before {
		if b.Code == f.Code && b.Profile == f.Profile && b.Target == f.Target && !b.SinceAt.IsZero() {
			return b.SinceAt
		}
	}
	return at
}

// claim is a finding and what it does to capabilities.
type claim struct {
	agent.Finding
	harms agent.Capabilities // nil: what the row says
	info  bool               // only worth knowing, whatever the row says
	open  bool               // whose fault it is remains open, whatever the row says
	part  bool               // explains what it names and no more: hides nothing
}

// claims runs the rule table in order. A rule that a raised code masks, for the
// same profile or for all, is not asked.
func (v *view) claims() []claim {
	var out []claim
	for _, r := range rules {
		for _, pr := range v.profilesFor(r) {
			if masked(r, pr.Name, out) {
				continue
			}
			for _, c := range r.find(v, pr) {
				out = append(out, r.fill(c, pr.Name))
			}
		}
	}
	return out
}

// profilesFor is every profile, or one nameless one for rules that concern all.
func (v *view) profilesFor(r rule) []agent.Profile {
	if r.global {
		return []agent.Profile{{}}
	}
	return v.profiles
}

func masked(r rule, profile string, raised []claim) bool {
	return slices.ContainsFunc(raised, func(c claim) bool {
		return !c.part && (c.Profile == "" || c.Profile == profile) && slices.Contains(r.maskedBy, c.Code)
	})
}

// reporting is how well the box reaches its vendor.
func (v *view) reporting(claims []claim) agent.State {
	s := agent.Unknown
	if ix := v.of(agent.ProbeUplink); v.any(ix, answered) {
		s = agent.OK
	}
	for _, c := range claims {
		s = max(s, c.harms[agent.Reporting])
	}
	return s
}
