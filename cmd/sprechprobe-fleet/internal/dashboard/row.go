package dashboard

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

// row is one box as the overview shows it.
type row struct {
	L            labels
	ID, Name     string
	Tenant, Box  string
	URL          string
	State        state
	Word, Before string
	Sentence     string
	Findings     []brief
	More         string
	Changed      moment
	Heard        moment
	Version, ISP string
	ClockUnset   bool
	Unreadable   string
}

// moment is a time with how long ago it was.
type moment struct {
	At, Text string
	AgeMS    int64
}

// brief is a finding in two words.
type brief struct{ Code, Cause, Severity, Target string }

// maxBrief is how many findings a row shows.
const maxBrief = 3

// rowOf describes a box with its newest report, which has no Schema where it is not
// kept any more.
func rowOf(b seen, r agent.Report, lang advice.Lang, now time.Time) row {
	l := labelsOf(lang)
	st := b.State()
	out := row{
		L: l, ID: rowID(b.Address), Tenant: b.Tenant, Box: b.Address.Box, URL: boxURL(b.Address, lang, ""),
		Name: cmp.Or(clean(b.Name, 80), b.Address.Box), State: st, Word: l.word(st, lang), Before: before(b.live, l, lang, now),
		Version: clean(b.Version, 40), ISP: clean(b.ISP, 60), Sentence: sentence(b, r, lang),
		Heard: pastOf(l.ago, now, later(b.ArrivedAt, b.live.ArrivedAt)), Changed: pastOf(l.since, now, b.SinceAt),
	}
	if st == silent && out.Before == "" {
		out.Before = l.Before + ": " + advice.VerdictWord(b.Verdict, lang)
	}
	if b.live.Unreadable > 0 {
		out.Unreadable = fmt.Sprintf(l.UnreadableSome, b.live.Unreadable)
	}
	out.ClockUnset = r.Schema != "" && r.Stamp.Clock != agent.ClockSet
	out.Findings, out.More = briefs(b, r, l, lang)
	return out
}

// before is what the bus has heard of a box besides its reports.
func before(live registry.Box, l labels, lang advice.Lang, now time.Time) string {
	switch {
	case live.Blocked():
		return fmt.Sprintf(l.Blocked, advice.ReasonWord(live.Call.Reason, lang)) + ", " + l.ago(now.Sub(live.Call.At).Truncate(time.Minute))
	case live.Twin():
		return l.Twin
	case live.Behind():
		return fmt.Sprintf(l.Behind, advice.VerdictWord(live.Verdict(), lang))
	}
	return ""
}

// calling describes a box that the history may know nothing of.
func (s *Server) calling(b registry.Box, lang advice.Lang, now time.Time) row {
	l := labelsOf(lang)
	a := fleet.Address{Tenant: b.Tenant, Box: b.Key.Box}
	out := row{L: l, Tenant: b.Tenant, Box: b.Key.Box, Name: cmp.Or(clean(b.Report.Box.Name, 80), b.Key.Box), URL: boxURL(a, lang, ""), Before: before(b, l, lang, now)}
	if b.Report.Schema == "" && b.Unreadable > 0 {
		out.Sentence = l.Unreadable
	}
	return out
}

func (l labels) since(d time.Duration) string { return fmt.Sprintf(l.Since, span(d)) }

func pastOf(say func(time.Duration) string, now, at time.Time) moment {
	if at.IsZero() {
		return moment{}
	}
	return moment{stamp(at), say(now.Sub(at)), age(now, at)}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// rowID names a row in the page. Tenants and boxes hold no dots.
func rowID(a fleet.Address) string { return "box." + a.Tenant + "." + a.Box }

// sentence sums a box up.
func sentence(b seen, r agent.Report, lang advice.Lang) string {
	if r.Schema == "" {
		return advice.VerdictWord(b.Verdict, lang) + "."
	}
	return advice.Sentence(r, lang)
}

// briefs are the gravest findings.
func briefs(b seen, r agent.Report, l labels, lang advice.Lang) (out []brief, more string) {
	ordered := advice.Order(r.Findings)
	if r.Schema == "" {
		for _, f := range b.Findings {
			ordered = append(ordered, agent.Finding{Code: f.Code, Cause: f.Cause, Severity: agent.Major})
		}
	}
	ordered = slices.DeleteFunc(ordered, func(f agent.Finding) bool { return f.Severity == agent.Info })
	if n := len(ordered) - maxBrief; n > 0 {
		more, ordered = fmt.Sprintf(l.More, n), ordered[:maxBrief]
	}
	for _, f := range ordered {
		out = append(out, brief{clean(string(f.Code), 60), advice.CauseWord(f.Cause, lang), f.Severity.String(), clean(target(f), 100)})
	}
	return out, more
}

// target is where a finding is, also where it is about several hosts at once.
func target(f agent.Finding) string {
	if f.Target != "" {
		return f.Target
	}
	hosts, ports := cmp.Or(f.Args["hosts"], f.Args["host"]), cmp.Or(f.Args["ports"], f.Args["port"])
	if hosts == "" || ports == "" {
		return hosts + ports
	}
	return hosts + " · " + ports
}

// capability is how well something works.
type capability struct {
	Name, Word string
	State      string
}

// capabilities are those that the box's services offer. That it reaches its vendor
// shows by its being here.
func capabilities(r agent.Report, lang advice.Lang) []capability {
	var out []capability
	for _, c := range agent.AllCapabilities {
		if c == agent.Reporting || !offered(r, c) {
			continue
		}
		st := r.Capabilities[c]
		out = append(out, capability{advice.CapabilityWord(c, lang), advice.StateWord(st, lang), st.String()})
	}
	return out
}

func offered(r agent.Report, c agent.Capability) bool {
	return slices.ContainsFunc(r.Profiles, func(p agent.ProfileResult) bool {
		_, ok := p.Capabilities[c]
		return ok
	})
}

// profiles names what the box was asked to look at.
func profiles(r agent.Report) string {
	var out []string
	for _, p := range r.Profiles[:min(len(r.Profiles), 4)] {
		out = append(out, clean(p.Name, 40)+" "+clean(p.Version, 16))
	}
	return strings.Join(out, ", ")
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func age(now, t time.Time) int64 { return max(0, now.Sub(t).Milliseconds()) }
