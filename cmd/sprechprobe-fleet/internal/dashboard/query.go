package dashboard

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

// state is how a box is shown: its verdict, unless it fell silent.
type state = registry.State

const silent = registry.Silent

// states lists all states, the worst first.
var states = registry.States

// perPage bounds what one page shows and what its stream carries; lastPage how far
// people turn pages instead of filtering.
const (
	perPage  = 50
	lastPage = 10000
)

// silences are for how long boxes can be asked for that have not spoken.
var silences = []struct {
	word string
	d    time.Duration
}{{"1h", time.Hour}, {"24h", 24 * time.Hour}, {"7d", 7 * 24 * time.Hour}, {"30d", 30 * 24 * time.Hour}}

// causes are those that findings can have.
var causes = []agent.Cause{agent.CausePractice, agent.CauseISP, agent.CauseVendor, agent.CauseBox, agent.CauseUnknown}

// query is what the overview is asked for. Each empty field asks for all.
type query struct {
	lang                                          advice.Lang
	state                                         state
	text                                          string // in name, box or tenant
	finding, cause, profile, tenant, version, isp string
	incident                                      string // by its ID
	quiet                                         string // one of silences
	sort                                          history.Sort
	page                                          int // from 1
}

// fields are the filters by their names in addresses.
func (q *query) fields() map[string]*string {
	return map[string]*string{"q": &q.text, "finding": &q.finding, "cause": &q.cause, "profile": &q.profile, "tenant": &q.tenant,
		"version": &q.version, "isp": &q.isp, "incident": &q.incident, "silent": &q.quiet, "state": (*string)(&q.state), "sort": (*string)(&q.sort)}
}

// values writes the query as a URL has it.
func (q query) values() url.Values {
	v := url.Values{"lang": {string(q.lang)}}
	for name, field := range q.fields() {
		if *field != "" {
			v.Set(name, *field)
		}
	}
	if q.page > 1 {
		v.Set("page", strconv.Itoa(q.page))
	}
	return v
}

// queryOf reads a query. What it does not understand asks for all.
func queryOf(r *http.Request) query {
	v := r.URL.Query()
	q := query{lang: access.LanguageOf(r), page: 1}
	for name, field := range q.fields() {
		*field = strings.TrimSpace(clean(v.Get(name), 80))
	}
	if !slices.Contains(states, q.state) {
		q.state = ""
	}
	if !slices.Contains([]history.Sort{history.ByName, history.Heard, history.Recent}, q.sort) {
		q.sort = history.Worst
	}
	if _, ok := q.silence(); !ok {
		q.quiet = ""
	}
	if _, ok := causeOf(q.cause); !ok {
		q.cause = ""
	}
	if n, err := strconv.Atoi(v.Get("page")); err == nil && n > 1 && n <= lastPage {
		q.page = n
	}
	return q
}

func (q query) silence() (time.Duration, bool) {
	for _, s := range silences {
		if s.word == q.quiet {
			return s.d, true
		}
	}
	return 0, false
}

func causeOf(s string) (agent.Cause, bool) {
	for _, c := range causes {
		if c.String() == s {
			return c, true
		}
	}
	return 0, false
}

// filtered reports whether anything but a state is asked for.
func (q query) filtered() bool {
	q.state, q.sort, q.page = "", "", 0
	for _, field := range q.fields() {
		if *field != "" {
			return true
		}
	}
	return false
}

// wants is the query as the history understands it, for somebody.
func (q query) wants(who access.Who, now time.Time) history.Query {
	h := history.Query{Tenants: who.Tenants(), Tenant: q.tenant, Finding: agent.Code(q.finding), Profile: q.profile, Version: q.version, ISP: q.isp,
		Incident: q.incident, Text: q.text, Sort: q.sort, Page: q.page, Size: perPage}
	if c, ok := causeOf(q.cause); ok {
		h.Cause = &c
	}
	if d, ok := q.silence(); ok {
		h.SilentFrom = now.Add(-d)
	}
	switch q.state {
	case "":
	case silent:
		yes := true
		h.Silent = &yes
	default:
		v := verdictOf(q.state)
		h.Verdict = &v
	}
	return h
}

func verdictOf(s state) agent.Verdict {
	var v agent.Verdict
	_ = v.UnmarshalText([]byte(s)) // states are verdicts' words, or not known
	return v
}

// remember keeps the language that a page was asked in.
func (s *Server) remember(w http.ResponseWriter, r *http.Request) {
	if l, err := advice.ParseLang(r.URL.Query().Get("lang")); err == nil {
		http.SetCookie(w, &http.Cookie{Name: access.LanguageCookie, Value: string(l), Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true,
			Secure: s.conf.Secure, SameSite: http.SameSiteLaxMode})
	}
}

// clean makes foreign text fit for a page: printable, on one line, without
// characters that turn the direction of what follows, and not longer than n.
func clean(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, s)
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}
