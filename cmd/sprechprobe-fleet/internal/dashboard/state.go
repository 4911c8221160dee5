package dashboard

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

// state is how a box is shown: its verdict, unless it fell silent.
type state = registry.State

const silent = registry.Silent

// states lists all states, the worst first.
var states = registry.States

func stateOf(b registry.Box) state { return b.State() }

func rank(s state) int {
	if i := slices.Index(states, s); i >= 0 {
		return i
	}
	return len(states)
}

// compare orders boxes for people: the worst first, and the rest so that a row
// stays where it is while nothing changes.
func compare(a, b registry.Box) int {
	return cmp.Or(
		cmp.Compare(rank(stateOf(a)), rank(stateOf(b))),
		cmp.Compare(severity(b.Report), severity(a.Report)),
		cmp.Compare(a.Tenant, b.Tenant),
		cmp.Compare(a.Box, b.Box),
	)
}

// fleet keeps all boxes in order, so that many open pages sort them once.
type fleet struct {
	mu       sync.Mutex
	revision uint64
	boxes    []registry.Box
}

// now is every box, in order. It must not be changed, and whoever asks may not
// see all of it: see [Server.visible].
func (f *fleet) now(r *registry.Registry) []registry.Box {
	f.mu.Lock()
	defer f.mu.Unlock()
	// Asked first: what changes in between is seen next time.
	if rev := r.Revision(); rev != f.revision || f.boxes == nil {
		f.boxes, f.revision = r.Boxes(), rev
		slices.SortFunc(f.boxes, compare)
	}
	return f.boxes
}

func severity(r agent.Report) agent.Severity {
	var worst agent.Severity
	for _, f := range r.Findings {
		worst = max(worst, f.Severity)
	}
	return worst
}

// perPage bounds what one page shows and what its stream carries.
const perPage = 100

// query is what a page is asked for.
type query struct {
	lang  advice.Lang
	state state  // empty: all
	text  string // in name, box or tenant; empty: all
	page  int    // from 1
}

// values writes the query as a URL has it.
func (q query) values() url.Values {
	v := url.Values{"lang": {string(q.lang)}}
	if q.state != "" {
		v.Set("state", string(q.state))
	}
	if q.text != "" {
		v.Set("q", q.text)
	}
	if q.page > 1 {
		v.Set("page", strconv.Itoa(q.page))
	}
	return v
}

func queryOf(v url.Values, accept string) query {
	q := query{lang: language(v.Get("lang"), accept), page: 1}
	if s := state(v.Get("state")); slices.Contains(states, s) {
		q.state = s
	}
	q.text = strings.TrimSpace(clean(v.Get("q"), 80))
	if n, err := strconv.Atoi(v.Get("page")); err == nil && n > 1 && n < 1e6 {
		q.page = n
	}
	return q
}

// language is the one asked for, or else the first that the browser names and
// we speak, or else German.
func language(asked, accept string) advice.Lang {
	if l, err := advice.ParseLang(asked); err == nil {
		return l
	}
	for part := range strings.SplitSeq(accept, ",") {
		tag, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		base, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if l, err := advice.ParseLang(base); err == nil {
			return l
		}
	}
	return advice.German
}

// matches reports whether the query asks for a box.
func (q query) matches(b registry.Box) bool {
	if q.state != "" && stateOf(b) != q.state {
		return false
	}
	return q.text == "" || contains(b.Report.Box.Name, q.text) || contains(b.Box, q.text) || contains(b.Tenant, q.text)
}

func contains(s, part string) bool {
	return strings.Contains(strings.ToLower(s), strings.ToLower(part))
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
