package dashboard

import (
	"bytes"
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

// list is what one query shows of the fleet at one moment.
type list struct {
	query
	L       labels
	Counts  []count
	Total   int // that the asker may see
	Found   int // by the query
	Pages   int
	Boxes   []registry.Box // on this page
	BusLost bool
	Waiting []waiter // to be claimed
	More    string   // waiting ones that are not shown
	Who     string   // who is logged in; empty where nobody has to
}

// count is the number of boxes in one state.
type count struct {
	State state
	Word  string
	N     int
	URL   string
	On    bool
}

// visible are the boxes that somebody may see, in order. It must not be changed.
func (s *Server) visible(who access.Who) []registry.Box {
	all := s.fleet.now(s.conf.Registry)
	if who.SeesAll() {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(b registry.Box) bool { return !who.Sees(b.Tenant) })
}

func (s *Server) list(q query, who access.Who) list {
	all := s.visible(who)
	l := list{query: q, L: labelsOf(q.lang), Total: len(all), BusLost: !s.conf.Bus(), Who: who.Name}
	if who.May(access.Support, access.AllTenants) { // they belong to no tenant yet
		l.Waiting, l.More = s.waiting(l.L)
	}
	by := map[state]int{}
	var found []registry.Box
	for _, b := range all {
		by[stateOf(b)]++
		if q.matches(b) {
			found = append(found, b)
		}
	}
	for _, st := range states {
		to := query{lang: q.lang, state: st, text: q.text}
		l.Counts = append(l.Counts, count{st, l.L.word(st, q.lang), by[st], link(to), q.state == st})
	}
	l.Found = len(found)
	l.Pages = max(1, (len(found)+perPage-1)/perPage)
	l.page = min(q.page, l.Pages)
	l.Boxes = found[(l.page-1)*perPage : min(len(found), l.page*perPage)]
	return l
}

func link(q query) string { return "/?" + q.values().Encode() }

// Status says in one line what the counts are, for those who do not see them.
func (l list) Status() string {
	out := fmt.Sprintf("%d %s", l.Total, l.L.Boxes)
	if l.Total == 1 {
		out = "1 " + l.L.Box
	}
	for _, c := range l.Counts {
		if c.N > 0 {
			out += fmt.Sprintf(", %d %s", c.N, c.Word)
		}
	}
	return out
}

// The parts of the page's addresses.

func (l list) Lang() string    { return string(l.lang) }
func (l list) Text() string    { return l.text }
func (l list) State() string   { return string(l.state) }
func (l list) Stream() string  { return "/events?" + l.values().Encode() }
func (l list) AllURL() string  { return link(query{lang: l.lang, text: l.text}) }
func (l list) PageNo() string  { return fmt.Sprintf(l.L.Page, l.page, l.Pages) }
func (l list) HasPrev() bool   { return l.page > 1 }
func (l list) HasNext() bool   { return l.page < l.Pages }
func (l list) PrevURL() string { return l.turn(-1) }
func (l list) NextURL() string { return l.turn(1) }

func (l list) turn(by int) string {
	q := l.query
	q.page += by
	return link(q)
}

// OtherURL is this page in the other language.
func (l list) OtherURL() string {
	q := l.query
	q.lang = l.OtherLang()
	return link(q)
}

// OtherLang is the language that this page is not in.
func (l list) OtherLang() advice.Lang {
	if l.lang == advice.German {
		return advice.English
	}
	return advice.German
}

// row is one box as the page shows it.
type row struct {
	L                 labels
	ID, Name, Key     string
	Tenant, Box       string
	State             state
	Word, Before      string
	Sentence          string
	Findings          []finding
	More              string
	Capabilities      []capability
	Version, Profiles string
	ClockUnset        bool
	Unreadable        string
	Spoke, SpokeAt    string
	SpokeAgeMS        int64
}

type finding struct {
	Key, Code, Title, Cause, Severity, Target, IT string
	Proof                                         []string
	Since, SinceAt                                string
	SinceAgeMS                                    int64 // below 0: not known
}

type capability struct {
	Name, Word string
	State      string
}

const (
	maxShown = 12 // findings of one box
	maxProof = 4  // proofs of one finding
)

func rowOf(b registry.Box, lang advice.Lang, now time.Time) row {
	l := labelsOf(lang)
	st := stateOf(b)
	r := row{
		L: l, ID: rowID(b.Key), Key: b.Tenant + "/" + b.Key.Box, Tenant: b.Tenant, Box: b.Key.Box,
		Name: clean(b.Report.Box.Name, 80), State: st, Word: l.word(st, lang),
		Version: clean(b.Report.Box.Version, 40), Profiles: profiles(b.Report),
	}
	if !b.ArrivedAt.IsZero() {
		r.SpokeAt, r.Spoke, r.SpokeAgeMS = stamp(b.ArrivedAt), l.ago(now.Sub(b.ArrivedAt)), age(now, b.ArrivedAt)
	}
	if r.Name == "" {
		r.Name = b.Key.Box
	}
	if st == silent {
		r.Before = l.Before + ": " + advice.VerdictWord(b.Verdict(), lang)
	}
	if b.Blocked() {
		r.Before = fmt.Sprintf(l.Blocked, advice.ReasonWord(b.Call.Reason, lang)) + ", " + l.ago(now.Sub(b.Call.At))
	}
	r.Sentence = sentence(b, lang)
	if b.Report.Schema == "" {
		return r
	}
	if b.Unreadable > 0 {
		r.Unreadable = fmt.Sprintf(l.UnreadableSome, b.Unreadable)
	}
	r.ClockUnset = b.Report.Stamp.Clock != agent.ClockSet
	r.Findings, r.More = findings(b, l, lang, now)
	r.Capabilities = capabilities(b.Report, lang)
	return r
}

// rowID names a row in the page. Tenants and boxes hold no dots.
func rowID(k registry.Key) string { return "box." + k.Tenant + "." + k.Box }

// sentence sums a box up. Of a report that still waits in the box only the verdict
// is known.
func sentence(b registry.Box, lang advice.Lang) string {
	switch {
	case b.Behind():
		return advice.VerdictWord(b.Verdict(), lang)
	case b.Report.Schema != "":
		return advice.Sentence(b.Report, lang)
	case b.Unreadable > 0:
		return labelsOf(lang).Unreadable
	}
	return "" // it has only called for help
}

func profiles(r agent.Report) string {
	out := ""
	for i, p := range r.Profiles[:min(len(r.Profiles), 4)] {
		if i > 0 {
			out += ", "
		}
		out += clean(p.Name, 40) + " " + clean(p.Version, 16)
	}
	return out
}

func findings(b registry.Box, l labels, lang advice.Lang, now time.Time) ([]finding, string) {
	ordered := advice.Order(b.Report.Findings)
	more := ""
	if n := len(ordered) - maxShown; n > 0 {
		more = fmt.Sprintf(l.More, n)
		ordered = ordered[:maxShown]
	}
	out := make([]finding, len(ordered))
	for i, f := range ordered {
		t := advice.For(f, lang)
		out[i] = finding{
			Key:  rowID(b.Key) + "." + clean(string(f.Code), 60) + "." + clean(f.Target, 120),
			Code: clean(string(f.Code), 60), Title: t.Title, IT: t.IT,
			Cause: advice.CauseWord(f.Cause, lang), Severity: f.Severity.String(),
			Target: clean(target(f), 160), Proof: proofs(b.Report, f, lang),
			Since: l.NotSince, SinceAgeMS: -1,
		}
		if !f.SinceAt.IsZero() && b.Report.Stamp.Clock == agent.ClockSet && !f.SinceAt.After(now) {
			out[i].SinceAgeMS = age(now, f.SinceAt)
			out[i].SinceAt = stamp(f.SinceAt)
			out[i].Since = fmt.Sprintf(l.Since, span(now.Sub(f.SinceAt)))
		}
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

func proofs(r agent.Report, f agent.Finding, lang advice.Lang) []string {
	var out []string
	for _, i := range f.Evidence[:min(len(f.Evidence), maxProof)] {
		out = append(out, advice.Proof(r.Evidence[i], lang))
	}
	return out
}

// capabilities are those that the box's services offer. That it reaches its
// vendor shows by its being here.
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

func verdict(s state) agent.Verdict {
	var v agent.Verdict
	_ = v.UnmarshalText([]byte(s)) // states are verdicts' words, or not known
	return v
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func age(now, t time.Time) int64 { return max(0, now.Sub(t).Milliseconds()) }

// pages are the templates.
type pages struct{ t *template.Template }

func parsePages() (pages, error) {
	t, err := template.ParseFS(assets, "assets/*.html")
	return pages{t}, err
}

// row renders one box.
func (p pages) row(r row) (string, error) {
	var b bytes.Buffer
	err := p.t.ExecuteTemplate(&b, "row.html", r)
	return b.String(), err
}

// head renders what changes above the rows.
func (p pages) head(l list) (string, error) {
	var b bytes.Buffer
	err := p.t.ExecuteTemplate(&b, "head.html", l)
	return b.String(), err
}
