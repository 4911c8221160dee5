package dashboard

import (
	"context"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

// list is what one query shows of the fleet at one moment.
type list struct {
	query
	frame
	Counts    []count
	Total     int // that the filters find, whatever their state
	Found     int // of the state asked for
	Pages     int
	Boxes     []seen // on this page
	BusLost   bool
	Incidents []outage
	Calling   []row // that the history knows nothing of
	Waiting   []waiter
	More      string // waiting ones that are not shown
}

// seen is a box as the history and the bus know it.
type seen struct {
	history.Box
	live registry.Box // zero where the bus knows nothing of it
}

// count is the number of boxes in one state.
type count struct {
	State state
	Word  string
	N     int
	URL   string
	On    bool
}

// overviewOf asks the history for a list.
func (s *Server) overviewOf(ctx context.Context, q query, who access.Who) (list, error) {
	now := s.conf.Now()
	l := list{query: q, frame: s.frameOf(q.lang, who), BusLost: !s.conf.Bus()}
	boxes, err := s.ask(ctx, &l, q.wants(who, now))
	if err != nil {
		return l, err
	}
	for _, b := range boxes {
		live, _ := s.conf.Registry.Box(registry.Key{Tenant: b.Tenant, Box: b.Address.Box})
		l.Boxes = append(l.Boxes, seen{b, live})
	}
	l.Incidents = s.outages(q.lang, who, now)
	for _, b := range s.conf.Registry.Troubled() {
		if who.Sees(b.Tenant) && len(l.Calling) < maxWaiters {
			l.Calling = append(l.Calling, s.calling(b, q.lang, now))
		}
	}
	if who.May(access.Support, access.AllTenants) { // they belong to no tenant yet
		l.Waiting, l.More = s.waiting(l.L)
	}
	return l, nil
}

// ask asks for one page and what there is on all of them. Reports come in between, so
// that it asks again where the two do not fit; a large fleet's counts are of a moment
// ago anyway.
func (s *Server) ask(ctx context.Context, l *list, want history.Query) (boxes []history.Box, err error) {
	const tries = 3
	q := l.query
	counts, err := s.count(ctx, q, want)
	for range tries {
		if err != nil {
			return nil, err
		}
		l.count(counts)
		l.page = min(q.page, l.Pages)
		want.Page = l.page
		boxes, err = s.lists.of(ctx, strings.Join(want.Tenants, " ")+"\n"+l.values().Encode(), s.boxes(), func(ctx context.Context) ([]history.Box, error) {
			return s.conf.History.List(ctx, want)
		})
		if err != nil {
			return nil, err
		}
		before := counts
		if counts, err = s.count(ctx, q, want); err == nil && counts.Silent == before.Silent && maps.Equal(counts.Verdicts, before.Verdicts) {
			break
		}
	}
	return boxes, err
}

// count asks how many boxes there are of each kind, whatever their state.
func (s *Server) count(ctx context.Context, q query, want history.Query) (history.Counts, error) {
	q.state, q.sort, q.page, q.lang = "", "", 0, ""
	return s.counts.of(ctx, strings.Join(want.Tenants, " ")+"\n"+q.values().Encode(), s.boxes(), func(ctx context.Context) (history.Counts, error) {
		return s.conf.History.Count(ctx, want)
	})
}

// boxes is how large the fleet is, as far as the bus has told.
func (s *Server) boxes() int { return s.conf.Registry.Stats().Boxes }

func (l *list) count(c history.Counts) {
	l.Counts, l.Total, l.Found = nil, 0, 0
	for _, st := range states {
		n := c.Silent
		if st != silent {
			n = c.Verdicts[verdictOf(st)]
		}
		to := l.query
		to.state, to.page = st, 0
		l.Counts = append(l.Counts, count{st, l.L.word(st, l.lang), n, link(to), l.query.state == st})
		l.Total += n
		if l.query.state == "" || l.query.state == st {
			l.Found += n
		}
	}
	l.Pages = min(lastPage, max(1, (l.Found+perPage-1)/perPage))
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
	for _, i := range l.Incidents {
		out += ". " + i.Text + " " + i.Boxes
	}
	return out
}

// The parts of the page's addresses.

func (l list) Text() string     { return l.text }
func (l list) State() string    { return string(l.query.state) }
func (l list) Stream() string   { return "/events?" + l.values().Encode() }
func (l list) AllURL() string   { return l.with(func(q *query) { q.state = "" }) }
func (l list) ResetURL() string { return link(query{lang: l.lang}) }
func (l list) Filtered() bool   { return l.filtered() }
func (l list) PageNo() string   { return fmt.Sprintf(l.L.Page, l.page, l.Pages) }
func (l list) HasPrev() bool    { return l.page > 1 }
func (l list) HasNext() bool    { return l.page < l.Pages }
func (l list) PrevURL() string  { return l.turn(-1) }
func (l list) NextURL() string  { return l.turn(1) }
func (l list) HitsText() string { return fmt.Sprintf(l.L.Hits, l.Found) }
func (l list) Asks() bool       { return l.query != query{lang: l.lang, page: l.page} }
func (l list) SortName() string { return string(l.query.sort) }

func (l list) turn(by int) string {
	q := l.query
	q.page += by
	return link(q)
}

func (l list) with(change func(*query)) string {
	q := l.query
	q.page = 0
	change(&q)
	return link(q)
}

// DownloadURL is the selection as a table for spreadsheets; empty where it has filters
// that the interface for programs does not know.
func (l list) DownloadURL() string {
	if l.quiet != "" || l.isp != "" || l.profile != "" || l.incident != "" {
		return ""
	}
	v := l.values()
	v.Del("page")
	v.Del("sort")
	v.Set("format", "csv")
	v.Set("limit", "10000")
	return "/api/v1/boxes?" + v.Encode()
}

// OtherURL is this page in the other language.
func (l list) OtherURL() string {
	q := l.query
	q.lang = l.OtherLang()
	return link(q)
}

// column is one head of the table.
type column struct {
	Name, URL, Sorted string // Sorted is the word of aria-sort; empty: not by this one
}

// Columns are the heads of the table, as links that sort by them.
func (l list) Columns() []column {
	head := func(name string, by history.Sort, sorted string) column {
		c := column{Name: name, URL: l.with(func(q *query) { q.sort = by })}
		if l.query.sort == by {
			c.Sorted = sorted
		}
		return c
	}
	return []column{head(l.L.State, history.Worst, "descending"), head(l.L.Practice, history.ByName, "ascending"), {Name: l.L.Findings},
		head(l.L.Changed, history.Recent, "ascending"), head(l.L.Heard, history.Heard, "descending"), {Name: l.L.Provider}}
}

// filter is one field that narrows the list.
type filter struct {
	Name, Label string
	Options     []option
}

type option struct {
	Value, Text string
	On          bool
}

// maxOptions is how many values a filter offers, the most frequent ones.
const maxOptions = 200

// Filters are what the list can be narrowed by. What is asked for is always among
// the options.
func (l list) filters(facets []history.Facet) []filter {
	out := []filter{{"finding", l.L.Finding, nil}, {"cause", l.L.Cause, nil}, {"profile", l.L.Profile, nil}, {"tenant", l.L.Tenant, nil},
		{"isp", l.L.ISP, nil}, {"version", l.L.Version, nil}}
	fields := l.query.fields()
	for i, f := range out {
		now := *fields[f.Name]
		there := now == ""
		for _, facet := range facets {
			if facet.Kind != f.Name || len(out[i].Options) >= maxOptions {
				continue
			}
			text := clean(facet.Value, 60)
			if f.Name == "cause" {
				c, _ := causeOf(facet.Value)
				text = advice.CauseWord(c, l.lang)
			}
			there = there || facet.Value == now
			out[i].Options = append(out[i].Options, option{facet.Value, fmt.Sprintf("%s (%d)", text, facet.Boxes), facet.Value == now})
		}
		if !there {
			out[i].Options = append(out[i].Options, option{now, now, true})
		}
	}
	if open := l.incidentOptions(); len(open) > 0 {
		out = append(out, filter{"incident", l.L.Incident, open})
	}
	quiet := filter{"silent", l.L.QuietFor, nil}
	for _, s := range silences {
		quiet.Options = append(quiet.Options, option{s.word, span(s.d), l.quiet == s.word})
	}
	return append(out, quiet)
}

// facetsFor is how long a page waits for what it can be narrowed by where nothing is
// known of it yet; another page, or the same one a little later, has it. It is counted
// anew once it is a hundred times as old as it takes to count, or facetsStale.
const (
	facetsFor   = 40 * time.Millisecond
	facetsStale = time.Minute
)

// facets are what the boxes that somebody may see can be found by. Over a large fleet
// that takes a while, and is counted beside the page.
func (s *Server) facets(ctx context.Context, who access.Who) []history.Facet {
	want := history.Query{Tenants: who.Tenants()}
	if s.boxes() < many {
		return s.countFacets(ctx, want)
	}
	name := "all"
	if want.Tenants != nil {
		name = "of " + strings.Join(want.Tenants, " ")
	}
	a := s.kinds.entry(name)
	old, fresh := a.get()
	if fresh {
		return old
	}
	done := make(chan struct{})
	s.tasks.Go(func() {
		defer close(done)
		select {
		case <-a.turn:
			defer func() { a.turn <- struct{}{} }()
		default: // somebody counts already
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		began := time.Now()
		if all := s.countFacets(ctx, want); all != nil {
			a.keep(all, min(100*time.Since(began), facetsStale))
		}
	})
	if old != nil {
		return old
	}
	t := time.NewTimer(facetsFor)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
	v, _ := a.get()
	return v
}

// countFacets asks the history; a page can do without.
func (s *Server) countFacets(ctx context.Context, want history.Query) []history.Facet {
	all, err := s.conf.History.Facets(ctx, want)
	var tenants []history.Facet
	if err == nil {
		tenants, err = s.conf.History.Tenants(ctx, want)
	}
	if err != nil {
		s.conf.Log.Warn("filters cannot be counted", "err", err)
		return nil
	}
	return append(all, tenants...)
}

// overview serves the first page whole: it says everything without its script.
func (s *Server) overview(w http.ResponseWriter, r *http.Request) {
	s.remember(w, r)
	who := access.WhoOf(r.Context())
	l, err := s.overviewOf(r.Context(), queryOf(r), who)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	v := struct {
		list
		Head    template.HTML
		Rows    []template.HTML
		Filters []filter
	}{list: l, Filters: l.filters(s.facets(r.Context(), who))}
	head, err := s.pages.part("head.html", l)
	v.Head = template.HTML(head) // rendered and escaped by the same templates
	for _, b := range l.Boxes {
		var html string
		if err == nil {
			html, _, err = s.rowHTML(r.Context(), b, l.lang)
		}
		v.Rows = append(v.Rows, template.HTML(html))
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.send(w, r, "page.html", v)
}

// rowHTML renders one box. The print changes with whatever the row shows, but for how
// long ago things were.
func (s *Server) rowHTML(ctx context.Context, b seen, lang advice.Lang) (html, print string, err error) {
	r, err := s.reportOf(ctx, b)
	if err != nil {
		return "", "", err
	}
	row := rowOf(b, r, lang, s.conf.Now())
	html, err = s.pages.part("row.html", row)
	row.L, row.Changed.Text, row.Changed.AgeMS, row.Heard.Text, row.Heard.AgeMS = labels{}, "", 0, "", 0
	return html, fmt.Sprintf("%+v", row), err
}

// reportOf is the newest report of a box, as far as it is kept: without what nothing
// rests on where the bus knows it, and with the causes that incidents give. It is
// without a Schema where it is not kept any more.
func (s *Server) reportOf(ctx context.Context, b seen) (agent.Report, error) {
	if b.same() && b.live.Report.Schema != "" {
		return b.live.Report, nil
	}
	_, r, err := s.conf.History.Newest(ctx, b.Address)
	return r, err
}

// same reports whether the bus has told of the very report that the history has.
func (b seen) same() bool { return b.live.Boot == b.Boot && b.live.Report.Seq == b.Seq }

// State is how the box is shown.
func (b seen) State() state {
	if b.Silent {
		return silent
	}
	return state(b.Verdict.String())
}

// version changes whenever anything that is known of the box does.
func (b seen) version() string {
	return fmt.Sprint(b.Boot, " ", b.Seq, " ", b.State(), " ", b.ArrivedAt.UnixMilli(), " ", b.SinceAt.UnixMilli(), " ", b.ISP, " ", b.Name, " ", b.Version, " ", b.live.Revision)
}
