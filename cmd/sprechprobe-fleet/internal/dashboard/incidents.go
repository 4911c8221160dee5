package dashboard

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/alert"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
)

// outage is an incident that goes on, as the pages show it.
type outage struct {
	ID, Text string
	URL      string // its page
	Boxes    string // how many suffer from it that the reader may see
	BoxesURL string
	Since    string
	SinceAt  string
	AgeMS    int64
}

// outages are the incidents that go on and concern boxes that somebody may see.
func (s *Server) outages(lang advice.Lang, who access.Who, now time.Time) []outage {
	l := labelsOf(lang)
	var out []outage
	for _, i := range s.conf.Incidents() {
		n := 0
		for k := range i.Members {
			if who.Sees(k.Tenant) {
				n++
			}
		}
		if n > 0 {
			o := outageOf(i, lang, now)
			o.Boxes = l.affected(n)
			out = append(out, o)
		}
	}
	return out
}

// outagesOf are those that one box suffers from.
func (s *Server) outagesOf(a fleet.Address, lang advice.Lang, now time.Time) []outage {
	var out []outage
	for _, i := range s.conf.Incidents() {
		for k := range i.Members {
			if fleet.Address(k) == a {
				out = append(out, outageOf(i, lang, now))
				break
			}
		}
	}
	return out
}

func outageOf(i alert.Incident, lang advice.Lang, now time.Time) outage {
	l := labelsOf(lang)
	return outage{
		ID: clean(i.ID, 40), Text: l.outage(i.Target, i.Provider), URL: incidentURL(i.ID, lang),
		BoxesURL: link(query{lang: lang, incident: i.ID, page: 1}), Since: fmt.Sprintf(l.Since, span(now.Sub(i.StartedAt))), SinceAt: stamp(i.StartedAt),
		AgeMS: age(now, i.StartedAt) / 60000 * 60000, // no news each second
	}
}

// outage says what failed, and whose fault it is.
func (l labels) outage(target, provider string) string {
	if target = clean(target, 120); provider != "" {
		return fmt.Sprintf(l.IncidentISP, clean(provider, 80), target)
	}
	return fmt.Sprintf(l.IncidentVendor, target)
}

func (l labels) affected(n int) string {
	if n == 1 {
		return l.IncidentBox
	}
	return fmt.Sprintf(l.IncidentBoxes, n)
}

func incidentURL(id string, lang advice.Lang) string {
	return "/incidents/" + url.PathEscape(id) + "?" + url.Values{"lang": {string(lang)}}.Encode()
}

// kept is an incident as the history has it.
type kept struct {
	Text, Cause, URL, BoxesURL string
	From, Until, Lasted        string // Until is empty while it lasts
	FromAt, UntilAt            string
	Boxes                      int
	Tenants, ISPs              []share
}

// share is how many boxes of a tenant or provider suffered.
type share struct {
	Name, URL string
	Boxes     int
}

func (s *Server) keptOf(i history.Incident, lang advice.Lang) kept {
	l := labelsOf(lang)
	k := kept{Text: l.outage(i.Target, i.ISP), Cause: advice.CauseWord(i.Cause, lang), URL: incidentURL(i.ID, lang),
		BoxesURL: link(query{lang: lang, incident: i.ID, page: 1}), From: s.clock(i.FromAt, lang), FromAt: stamp(i.FromAt)}
	until := s.conf.Now()
	if !i.UntilAt.IsZero() {
		until = i.UntilAt
		k.Until, k.UntilAt = s.clock(until, lang), stamp(until)
	}
	k.Lasted = span(until.Sub(i.FromAt))
	for tenant, n := range i.Boxes {
		k.Boxes += n
		k.Tenants = append(k.Tenants, share{tenant, link(query{lang: lang, incident: i.ID, tenant: tenant, page: 1}), n})
	}
	slices.SortFunc(k.Tenants, func(a, b share) int { return cmp.Or(cmp.Compare(b.Boxes, a.Boxes), cmp.Compare(a.Name, b.Name)) })
	return k
}

// clock is a moment in the zone of this machine.
func (s *Server) clock(t time.Time, lang advice.Lang) string {
	layout := "2.1.2006 15:04"
	if lang == advice.English {
		layout = "Jan 2, 2006 15:04"
	}
	return t.In(s.conf.Zone).Format(layout)
}

// incidentsPage lists incidents.
type incidentsPage struct {
	frame
	From, Until string // as dates; empty: any
	Kept        []kept
	Zone        string
	most        bool // there may be more
}

// mostKept is how many incidents a page shows.
const mostKept = 200

// OtherURL is this page in the other language.
func (p incidentsPage) OtherURL() string {
	return "/incidents?" + url.Values{"lang": {string(p.OtherLang())}, "from": {p.From}, "until": {p.Until}}.Encode()
}

// PageTitle is the window's.
func (p incidentsPage) PageTitle() string { return p.L.Incidents + " – " + p.L.Title }

// More says that there are older ones.
func (p incidentsPage) More() string {
	if !p.most {
		return ""
	}
	return fmt.Sprintf(p.L.IncidentsMore, mostKept)
}

// incidents serves the list of incidents, of a span of days if one is asked for.
func (s *Server) incidents(w http.ResponseWriter, r *http.Request) {
	s.remember(w, r)
	who := access.WhoOf(r.Context())
	p := incidentsPage{frame: s.frameOf(access.LanguageOf(r), who), Zone: s.zone()}
	q := history.IncidentQuery{Tenants: who.Tenants(), Most: mostKept}
	day := func(name string) (string, time.Time) {
		t, err := time.ParseInLocation(time.DateOnly, r.URL.Query().Get(name), s.conf.Zone)
		if err != nil {
			return "", time.Time{}
		}
		return t.Format(time.DateOnly), t
	}
	p.From, q.From = day("from")
	if p.Until, q.Until = day("until"); p.Until != "" {
		q.Until = q.Until.AddDate(0, 0, 1) // the whole day
	}
	all, err := s.conf.History.Incidents(r.Context(), q)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p.most = len(all) == mostKept
	for _, i := range all {
		p.Kept = append(p.Kept, s.keptOf(i, p.language))
	}
	s.send(w, r, "incidents.html", p)
}

func (s *Server) zone() string {
	name, _ := s.conf.Now().In(s.conf.Zone).Zone()
	return name
}

// incidentPage is one incident.
type incidentPage struct {
	frame
	kept
	ID     string
	Target string
	ISP    string
	Now    int // boxes that suffer from it now
	Zone   string
}

// OtherURL is this page in the other language.
func (p incidentPage) OtherURL() string { return incidentURL(p.ID, p.OtherLang()) }

// PageTitle is the window's.
func (p incidentPage) PageTitle() string { return p.Text + " – " + p.L.Title }

// incident serves one incident, to whoever may see one of its boxes.
func (s *Server) incident(w http.ResponseWriter, r *http.Request) {
	s.remember(w, r)
	who, id := access.WhoOf(r.Context()), r.PathValue("id")
	found, err := s.conf.History.Incidents(r.Context(), history.IncidentQuery{ID: id, Tenants: who.Tenants(), Most: 1})
	var isps []history.Facet
	if err == nil && len(found) == 1 {
		isps, err = s.conf.History.IncidentISPs(r.Context(), id, who.Tenants())
	}
	switch {
	case err != nil:
		s.fail(w, r, err)
		return
	case len(found) != 1:
		access.NotFound(w)
		return
	}
	lang := access.LanguageOf(r)
	p := incidentPage{frame: s.frameOf(lang, who), kept: s.keptOf(found[0], lang), ID: found[0].ID, Target: clean(found[0].Target, 120), ISP: clean(found[0].ISP, 80), Zone: s.zone()}
	for _, f := range isps {
		p.ISPs = append(p.ISPs, share{clean(f.Value, 80), link(query{lang: lang, incident: id, isp: f.Value, page: 1}), f.Boxes})
	}
	for _, i := range s.conf.Incidents() {
		for k := range i.Members {
			if i.ID == id && who.Sees(k.Tenant) {
				p.Now++
			}
		}
	}
	s.send(w, r, "incident.html", p)
}

// suffered are the incidents of a time from which a box has suffered.
func (s *Server) suffered(ctx context.Context, a fleet.Address, from, until time.Time, lang advice.Lang) ([]kept, error) {
	all, err := s.conf.History.Incidents(ctx, history.IncidentQuery{Box: a, From: from, Until: until, Most: maxLog})
	var out []kept
	for _, i := range all {
		out = append(out, s.keptOf(i, lang))
	}
	return out, err
}

// incidentOptions are the incidents that the overview can be narrowed to: those that
// go on.
func (l list) incidentOptions() []option {
	var out []option
	for _, i := range l.Incidents {
		out = append(out, option{i.ID, strings.TrimSuffix(i.Text, "."), i.ID == l.query.incident})
	}
	if l.query.incident != "" && !slices.ContainsFunc(out, func(o option) bool { return o.On }) {
		out = append(out, option{l.query.incident, l.L.IncidentPast, true})
	}
	return out
}
