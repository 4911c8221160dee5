package statuspage

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent/advice"
)

const notAllowed = "405 Method Not Allowed"

// Answer answers one request. It knows
//
//	GET /           the page (?lang=de|en)
//	GET /request    the release request, to copy
//
// in the language of the query or else of the browser.
func (p *Page) Answer(r *http.Request) Response {
	lang := p.language(r)
	l := labelsOf(lang)
	switch {
	case !p.ours(r.Host):
		return Response{Status: "421 Misdirected Request", Body: l.foreign + "\n"}
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return Response{Status: notAllowed, Body: l.notAllowed + "\n"}
	case r.URL.Path != pathHome && r.URL.Path != pathRequest:
		return Response{Status: "404 Not Found", Body: l.notFound + "\n"}
	}
	return Response{Status: "200 OK", Type: "text/html; charset=utf-8", Body: p.body(key{r.URL.Path, lang})}
}

// Off answers every request by saying that there is no page. It is for a door
// that somebody else holds open.
type Off struct{}

// Answer says so in both languages.
func (Off) Answer(*http.Request) Response {
	return Response{Status: "403 Forbidden", Body: german.off + "\n" + english.off + "\n"}
}

// ours reports whether a Host header names this box: by an address, by its local
// name, or by that label in a domain that belongs to no one. A page elsewhere
// can point a name of its own at the box (DNS rebinding) and would then read
// with its visitor's browser what is shown here.
func (p *Page) ours(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil || host == "localhost" {
		return true
	}
	label, domain, _ := strings.Cut(host, ".")
	return p.name != "" && label == p.name && slices.Contains([]string{"", "local", "lan", "home.arpa", "internal"}, domain)
}

// language is what the query asks for or else the browser, or else the box's own.
func (p *Page) language(r *http.Request) advice.Lang {
	for part := range strings.SplitSeq(r.URL.RawQuery, "&") {
		word, found := strings.CutPrefix(part, "lang=")
		if l, err := advice.ParseLang(word); found && err == nil {
			return l
		}
	}
	best, weight := labelsLang(p.lang), 0.0
	for i, part := range strings.Split(r.Header.Get("Accept-Language"), ",") {
		if i == 32 {
			break // no browser has so many
		}
		tag, params, _ := strings.Cut(part, ";")
		tag, _, _ = strings.Cut(strings.TrimSpace(tag), "-")
		q := 1.0
		if s, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q="); ok {
			q, _ = strconv.ParseFloat(s, 64)
		}
		if l, err := advice.ParseLang(strings.ToLower(tag)); err == nil && q > weight && q <= 1 {
			best, weight = l, q
		}
	}
	return best
}

// labelsLang is the language that a page in l is really in.
func labelsLang(l advice.Lang) advice.Lang {
	if l == advice.English {
		return l
	}
	return advice.German
}
