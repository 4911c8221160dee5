package api

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

const (
	usualLimit = 100
	mostLimit  = 10000
)

// page is which part of a long answer is wanted, and how it is written.
type page struct {
	limit int
	csv   bool
}

func pageOf(v url.Values) (page, error) {
	p := page{limit: usualLimit}
	if s := v.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > mostLimit {
			return p, fmt.Errorf("limit %s: want 1 to %d", clip(s), mostLimit)
		}
		p.limit = n
	}
	switch f := v.Get("format"); f {
	case "", "json":
	case "csv":
		p.csv = true
	default:
		return p, fmt.Errorf("format %s: want json or csv", clip(f))
	}
	return p, nil
}

// link says where the next page is (RFC 8288): CSV has no other place for it.
func (p page) link(w http.ResponseWriter, r *http.Request, next string) {
	if next == "" {
		return
	}
	v := r.URL.Query()
	v.Set("after", next)
	w.Header().Set("Link", fmt.Sprintf("<%s?%s>; rel=\"next\"", r.URL.Path, v.Encode()))
}

// query is which boxes are wanted.
type query struct {
	page
	lang                                   advice.Lang
	state, cause, finding, tenant, version string // empty: all
	text                                   string // in name, box or tenant
	after                                  fleet.Address
}

func queryOf(v url.Values) (query, error) {
	p, err := pageOf(v)
	q := query{page: p, lang: advice.German, state: v.Get("state"), cause: v.Get("cause"), finding: v.Get("finding"), tenant: v.Get("tenant"),
		version: v.Get("version"), text: v.Get("q")}
	if err != nil {
		return q, err
	}
	if q.state != "" && !slices.Contains(registry.States, registry.State(q.state)) {
		return q, fmt.Errorf("state %s: want one of %q", clip(q.state), registry.States)
	}
	if q.cause != "" && !slices.Contains(causes(), q.cause) {
		return q, fmt.Errorf("cause %s: want one of %q", clip(q.cause), causes())
	}
	if s := v.Get("lang"); s != "" {
		if q.lang, err = advice.ParseLang(s); err != nil {
			return q, err
		}
	}
	if s := v.Get("after"); s != "" {
		if q.after, err = fleet.ParseAddress(s); err != nil {
			return q, fmt.Errorf("after: %v", err)
		}
	}
	return q, nil
}

// causes are the words for causes.
func causes() []string {
	out := []string{}
	for _, c := range []agent.Cause{agent.CausePractice, agent.CauseISP, agent.CauseVendor, agent.CauseBox, agent.CauseUnknown} {
		out = append(out, c.String())
	}
	return out
}

func (q query) matches(b registry.Box) bool {
	has := func(f agent.Finding) bool {
		return (q.cause == "" || f.Cause.String() == q.cause) && (q.finding == "" || string(f.Code) == q.finding)
	}
	return (q.state == "" || string(b.State()) == q.state) &&
		(q.tenant == "" || b.Tenant == q.tenant) &&
		(q.version == "" || b.Report.Box.Version == q.version) &&
		(q.cause == "" && q.finding == "" || slices.ContainsFunc(b.Report.Findings, has)) &&
		(q.text == "" || contains(b.Report.Box.Name, q.text) || contains(b.Key.Box, q.text) || contains(b.Tenant, q.text))
}

func contains(s, part string) bool {
	return strings.Contains(strings.ToLower(s), strings.ToLower(part))
}

// cut are the boxes that are wanted, by tenant and name, so that pages do not
// shift while boxes change; next is where the next page starts, or empty.
func (q query) cut(all []registry.Box) (found []registry.Box, next string) {
	for _, b := range all {
		if compare(b.Key, registry.Key(q.after)) > 0 && q.matches(b) {
			found = append(found, b)
		}
	}
	slices.SortFunc(found, func(a, b registry.Box) int { return compare(a.Key, b.Key) })
	if len(found) > q.limit {
		last := found[q.limit-1].Key
		return found[:q.limit], fleet.Address(last).String()
	}
	return found, ""
}

func compare(a, b registry.Key) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Box, b.Box))
}

func number(s string) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is no number", clip(s))
	}
	return n, nil
}

func numeral(n uint64) string { return strconv.FormatUint(n, 10) }

func clip(s string) string { return fmt.Sprintf("%.40q", s) }
