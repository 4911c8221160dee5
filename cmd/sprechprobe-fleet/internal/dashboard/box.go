package dashboard

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/profile"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

// errGone ends the stream of a page whose box is not to be seen any more.
var errGone = errors.New("the box is gone")

// boxPage is one box as its page shows it.
type boxPage struct {
	frame
	fleet.Address
	Name, Range  string
	State        state
	Word, Before string
	Sentence     string
	RawGone      bool // the report is not kept any more
	Changed      moment
	Heard        moment
	Incidents    []outage // that it suffers from
	Findings     []finding
	Capabilities []capability
	Facts        []fact
	Warnings     []string
	Known        bool // the history has it
	Past         past
	MayCommand   bool
	HasDesk      bool
	MayForget    bool   // export and delete it
	HasForget    bool   // from here
	Unsure       bool   // its name was not typed
	Answer       string // of a command that was just sent
}

type finding struct {
	Key, Code, Title, Cause, Severity, SeverityWord, Target, Harm, Staff, IT string
	Proof                                                                    []string
	Since                                                                    moment
}

type fact struct{ Name, Value string }

// past is what the page says of the time before now.
type past struct {
	Timeline timeline
	Charts   []chart
	Log      []change
	Outages  []kept // that it has suffered from
	Zone     string
}

type change struct {
	At, Stamp    string
	From, To     string
	State        state
	Began, Ended []string
}

// maxProof is how many proofs of one finding are shown, maxLog how many changes.
const (
	maxProof = 12
	maxLog   = 200
)

// period is how far back a page looks, and in what steps.
type period struct {
	word       string
	d, step    time.Duration
	row        time.Duration // of the tables
	tick       time.Duration
	label      func(labels) string
	de, en     string // layouts of the times on the axis
	cellDE, EN string // and in tables
}

var periods = []period{
	{"24h", 24 * time.Hour, 5 * time.Minute, time.Hour, 4 * time.Hour, func(l labels) string { return l.Day }, "15:04", "15:04", "2.1. 15:04", "Jan 2 15:04"},
	{"7d", 7 * 24 * time.Hour, 30 * time.Minute, 6 * time.Hour, 24 * time.Hour, func(l labels) string { return l.Week }, "2.1.", "Jan 2", "2.1. 15:04", "Jan 2 15:04"},
	{"30d", 30 * 24 * time.Hour, 2 * time.Hour, 24 * time.Hour, 5 * 24 * time.Hour, func(l labels) string { return l.Month }, "2.1.", "Jan 2", "2.1.", "Jan 2"},
}

func periodOf(r *http.Request) period {
	for _, p := range periods {
		if p.word == r.URL.Query().Get("range") {
			return p
		}
	}
	return periods[0]
}

func (p period) axis(lang advice.Lang) string {
	if lang == advice.English {
		return p.en
	}
	return p.de
}

func (p period) cell(lang advice.Lang) string {
	if lang == advice.English {
		return p.EN
	}
	return p.cellDE
}

// boxURL is the address of a box's page, or of something below it.
func boxURL(a fleet.Address, lang advice.Lang, below string) string {
	return "/boxes/" + a.Tenant + "/" + a.Box + below + "?" + url.Values{"lang": {string(lang)}}.Encode()
}

func addressOf(r *http.Request) fleet.Address {
	return fleet.Address{Tenant: r.PathValue("tenant"), Box: r.PathValue("box")}
}

// known is a box with its newest report and the causes that incidents give; errGone
// where nothing has been heard of it.
func (s *Server) known(ctx context.Context, a fleet.Address) (seen, agent.Report, error) {
	live, alive := s.conf.Registry.Box(registry.Key{Tenant: a.Tenant, Box: a.Box})
	b, r, err := s.conf.History.Newest(ctx, a)
	switch {
	case errors.Is(err, history.ErrUnknownBox) && alive:
		return seen{history.Box{Address: a}, live}, agent.Report{}, nil
	case errors.Is(err, history.ErrUnknownBox):
		return seen{}, agent.Report{}, errGone
	case err != nil:
		return seen{}, agent.Report{}, err
	}
	x := seen{b, live}
	if x.same() && len(live.Report.Findings) == len(r.Findings) {
		r.Findings = slices.Clone(r.Findings)
		for i := range r.Findings {
			r.Findings[i].Cause, r.Findings[i].Args = live.Report.Findings[i].Cause, live.Report.Findings[i].Args
		}
	}
	return x, r, nil
}

// box serves the page of one box.
func (s *Server) box(w http.ResponseWriter, r *http.Request) {
	s.remember(w, r)
	p, err := s.boxOf(r)
	if errors.Is(err, errGone) {
		access.NotFound(w)
		return
	}
	v := struct {
		boxPage
		NowHTML, PastHTML template.HTML
	}{boxPage: p}
	var now, before string
	if err == nil {
		now, err = s.pages.part("now.html", p)
	}
	if err == nil {
		before, err = s.pages.part("past.html", p)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	v.NowHTML, v.PastHTML = template.HTML(now), template.HTML(before) // escaped by the same templates
	s.send(w, r, "box.html", v)
}

func (s *Server) boxOf(r *http.Request) (boxPage, error) {
	a, lang, who := addressOf(r), access.LanguageOf(r), access.WhoOf(r.Context())
	p := boxPage{frame: s.frameOf(lang, who), Address: a, MayCommand: who.May(access.Support, a.Tenant), HasDesk: s.conf.Desk != nil,
		MayForget: who.May(access.Admin, a.Tenant), HasForget: s.conf.Forget != nil, Unsure: r.URL.Query().Has("unsure")}
	p.Answer = p.L.answer(r.URL.Query().Get("sent"), r.URL.Query().Get("answer"))
	return p, s.fill(r.Context(), &p, periodOf(r))
}

// fill enters what is known of the box.
func (s *Server) fill(ctx context.Context, p *boxPage, over period) error {
	b, r, err := s.known(ctx, p.Address)
	if err != nil {
		return err
	}
	now, lang := s.conf.Now(), p.language
	p.Range, p.Name, p.Known = over.word, cmp.Or(clean(b.Name, 80), p.Address.Box), !b.EventAt.IsZero()
	p.Before = before(b.live, p.L, lang, now)
	p.Heard = pastOf(p.L.ago, now, later(b.ArrivedAt, b.live.ArrivedAt))
	if !p.Known {
		p.State, p.Word = "unknown", p.L.word("unknown", lang)
		if b.live.Unreadable > 0 {
			p.Sentence = p.L.Unreadable
		}
		return nil
	}
	p.State, p.Word, p.Sentence = b.State(), p.L.word(b.State(), lang), sentence(b, r, lang)
	if p.State == silent {
		p.Before = cmp.Or(p.Before, p.L.Before+": "+advice.VerdictWord(b.Verdict, lang))
	}
	p.Changed = pastOf(p.L.since, now, b.SinceAt)
	p.RawGone = r.Schema == ""
	p.Findings = p.findings(b, r, now)
	p.Capabilities = capabilities(r, lang)
	if r.Schema != "" && r.Stamp.Clock != agent.ClockSet {
		p.Warnings = append(p.Warnings, p.L.ClockUnset)
	}
	if n := b.live.Unreadable; n > 0 {
		p.Warnings = append(p.Warnings, fmt.Sprintf(p.L.UnreadableSome, n))
	}
	p.Facts = facts(b, r, p.L, now)
	p.Incidents = s.outagesOf(p.Address, lang, now)
	p.Past, err = s.past(ctx, p, b, over, now)
	return err
}

func facts(b seen, r agent.Report, l labels, now time.Time) []fact {
	all := []fact{{l.Version, clean(b.Version, 40)}, {"", clean(r.Box.Board, 60)}, {"", clean(r.Box.Platform, 40)}, {l.Profile, profiles(r)},
		{l.ISP, clean(b.ISP, 80)}, {l.Reports, fmt.Sprint(b.Reports)}}
	if b.Interval > 0 {
		all = append(all, fact{l.Interval, span(b.Interval.Round(time.Second))})
	}
	all = append(all, fact{l.FirstHeard, l.ago(now.Sub(b.FirstAt))})
	return slices.DeleteFunc(all, func(f fact) bool { return f.Value == "" })
}

// findings are all of them with evidence and advice, the worst first.
func (p *boxPage) findings(b seen, r agent.Report, now time.Time) []finding {
	lang := p.language
	ordered := advice.Order(r.Findings)
	if r.Schema == "" {
		for _, f := range b.Findings {
			ordered = append(ordered, agent.Finding{Code: f.Code, Cause: f.Cause, Severity: agent.Major})
		}
	}
	var out []finding
	for _, f := range ordered {
		t := advice.For(f, lang)
		x := finding{
			Key:  clean(string(f.Code), 60) + "." + clean(f.Target, 120),
			Code: clean(string(f.Code), 60), Title: t.Title, Harm: t.Harm, Staff: t.Staff, IT: t.IT,
			Cause: advice.CauseWord(f.Cause, lang), Severity: f.Severity.String(), SeverityWord: advice.SeverityWord(f.Severity, lang),
			Target: clean(target(f), 160), Since: moment{Text: p.L.NotSince, AgeMS: -1},
		}
		if !f.SinceAt.IsZero() && r.Stamp.Clock == agent.ClockSet && !f.SinceAt.After(now) {
			x.Since = pastOf(p.L.since, now, f.SinceAt)
		}
		for _, i := range f.Evidence[:min(len(f.Evidence), maxProof)] {
			x.Proof = append(x.Proof, advice.Proof(r.Evidence[i], lang))
		}
		out = append(out, x)
	}
	return out
}

// past asks the history for what was.
func (s *Server) past(ctx context.Context, p *boxPage, b seen, over period, now time.Time) (past, error) {
	// Whole steps, so that a chart does not change while nothing does.
	until := now.Truncate(over.step).Add(over.step)
	from := until.Add(-over.d)
	points, err := s.conf.History.Series(ctx, p.Address, from, until, over.step)
	if err != nil {
		return past{}, err
	}
	changes, err := s.conf.History.Changes(ctx, p.Address, from, until)
	if err != nil {
		return past{}, err
	}
	outages, err := s.suffered(ctx, p.Address, from, until, p.language)
	if err != nil {
		return past{}, err
	}
	d := drawing{labels: p.L, lang: p.language, over: over, from: from, until: until, now: now, zone: s.conf.Zone, interval: b.Interval, points: points}
	out := past{Timeline: d.timeline(), Charts: d.charts(), Outages: outages, Zone: fmt.Sprintf(p.L.Zone, s.zone())}
	for _, c := range changes[:min(len(changes), maxLog)] {
		out.Log = append(out.Log, p.change(c, s.conf.Zone))
	}
	return out, nil
}

func (p *boxPage) change(c history.Change, zone *time.Location) change {
	layout := map[advice.Lang]string{advice.German: "2.1. 15:04:05", advice.English: "Jan 2 15:04:05"}[p.language]
	say := func(all []history.Finding) (out []string) {
		for _, f := range all {
			out = append(out, clean(string(f.Code), 60)+" ("+advice.CauseWord(f.Cause, p.language)+")")
		}
		return out
	}
	return change{At: c.At.In(zone).Format(layout), Stamp: stamp(c.At), From: advice.VerdictWord(c.From, p.language), To: advice.VerdictWord(c.To, p.language),
		State: state(c.To.String()), Began: say(c.Began), Ended: say(c.Ended)}
}

// Ranges are the periods to choose from.
func (p boxPage) Ranges() []option {
	var out []option
	for _, x := range periods {
		out = append(out, option{boxURL(p.Address, p.language, "") + "&range=" + x.word, x.label(p.L), x.word == p.Range})
	}
	return out
}

// PageTitle is the window's.
func (p boxPage) PageTitle() string { return p.Name + " – " + p.L.Title }

// The addresses that the page names.

func (p boxPage) Stream() string {
	return boxURL(p.Address, p.language, "/events") + "&range=" + p.Range
}
func (p boxPage) RequestURL() string     { return boxURL(p.Address, p.language, "/request") }
func (p boxPage) CommandsURL() string    { return boxURL(p.Address, p.language, "/commands") }
func (p boxPage) ExportURL() string      { return boxURL(p.Address, p.language, "/export") }
func (p boxPage) DeleteURL() string      { return boxURL(p.Address, p.language, "/delete") }
func (p boxPage) BoxURL() string         { return boxURL(p.Address, p.language, "") }
func (p boxPage) OtherURL() string       { return boxURL(p.Address, p.OtherLang(), "") + "&range=" + p.Range }
func (p boxPage) Commands() []command    { return p.L.commands() }
func (p boxPage) Status() string         { return p.Name + ": " + p.Word + ". " + p.Sentence }
func (p boxPage) AddressText() string    { return p.Address.String() }
func (p boxPage) CommandLine() string    { return "sprechprobe-fleet command " + p.Address.String() }
func (p boxPage) RequestTextURL() string { return p.RequestURL() + "&format=text" }

// boxEvents serves the changes of one box's page.
func (s *Server) boxEvents(w http.ResponseWriter, r *http.Request) {
	lang, over := access.LanguageOf(r), periodOf(r)
	s.stream(w, r, &boxFeed{s: s, at: addressOf(r), lang: lang, over: over})
}

// boxFeed is the feed of one box's page.
type boxFeed struct {
	s    *Server
	at   fleet.Address
	lang advice.Lang
	over period
	last string
}

func (f *boxFeed) next(ctx context.Context, who access.Who) ([]byte, error) {
	if !who.Sees(f.at.Tenant) {
		return nil, errGone
	}
	b, r, err := f.s.known(ctx, f.at)
	if err != nil {
		return nil, err
	}
	p := boxPage{frame: f.s.frameOf(f.lang, who), Address: f.at}
	print := fmt.Sprint(b.Boot, " ", b.Seq, " ", b.Reports, " ", b.State(), " ", before(b.live, p.L, f.lang, f.s.conf.Now()), " ", b.live.Unreadable)
	for _, x := range r.Findings {
		print += " " + x.Cause.String()
	}
	for _, i := range f.s.outagesOf(f.at, f.lang, f.s.conf.Now()) {
		print += " " + i.ID
	}
	if print == f.last {
		return nil, nil
	}
	if err := f.s.fill(ctx, &p, f.over); err != nil {
		return nil, err
	}
	news := push{Status: p.Status()}
	for _, name := range []string{"now", "past"} {
		html, err := f.s.pages.part(name+".html", p)
		if err != nil {
			return nil, err
		}
		news.Parts = append(news.Parts, part{name, html})
	}
	f.last = print
	return json.Marshal(news)
}

// request serves the release request of a box, to print or as text to mail.
func (s *Server) request(w http.ResponseWriter, r *http.Request) {
	a, lang := addressOf(r), access.LanguageOf(r)
	b, report, err := s.known(r.Context(), a)
	switch {
	case errors.Is(err, errGone) || err == nil && report.Schema == "":
		access.NotFound(w)
		return
	case err != nil:
		s.fail(w, r, err)
		return
	}
	used := slices.DeleteFunc(profile.Builtin(), func(p agent.Profile) bool {
		return !slices.ContainsFunc(report.Profiles, func(x agent.ProfileResult) bool { return x.Name == p.Name })
	})
	text := advice.Request(report, used, advice.Site{Practice: clean(b.Name, 80), Number: a.String()}, lang)
	if r.URL.Query().Get("format") == "text" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Content-Disposition", `attachment; filename="`+a.Tenant+"-"+a.Box+`.txt"`)
		_, _ = w.Write([]byte(text)) // who left does not read
		return
	}
	p := boxPage{frame: s.frameOf(lang, access.WhoOf(r.Context())), Address: a, Name: cmp.Or(clean(b.Name, 80), a.Box)}
	s.send(w, r, "request.html", letter{p, text})
}

// letter is the page of a release request. Nothing on it changes while it is read.
type letter struct {
	boxPage
	Text string
}

// Stream is none.
func (letter) Stream() string { return "" }

// OtherURL is the letter in the other language.
func (l letter) OtherURL() string { return boxURL(l.Address, l.OtherLang(), "/request") }
