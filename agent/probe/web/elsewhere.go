package web

import (
	"bytes"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/web/http1"
)

// Bounds of the search for redirects in one page.
const (
	redirectLimit = 20
	tagLimit      = 1024 // bytes of one meta tag
)

// elsewhere says where an answer's Location leads, if away from the service.
func elsewhere(h http.Header, t agent.Target, scheme string) (host string, foreign bool) {
	return leaves(h.Get("Location"), t, scheme)
}

// leaves says whether a reference on a page of t leads to a host that is not
// the service's own.
func leaves(ref string, t agent.Target, scheme string) (host string, foreign bool) {
	base, err := url.Parse(http1.URL(scheme, t, "/"))
	if err != nil || ref == "" {
		return "", false
	}
	u, err := base.Parse(strings.TrimSpace(ref))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return "", false
	}
	host = strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if a, err := netip.ParseAddr(host); err == nil && a.Unmap() == t.Addr.Unmap() {
		return host, false
	}
	return host, !kin(host, base.Hostname())
}

// kin reports whether two hosts belong together: one name, or one registered
// domain. Address literals belong to themselves only.
func kin(a, b string) bool {
	a, b = strings.ToLower(a), strings.ToLower(b)
	if a == b {
		return true
	}
	if _, err := netip.ParseAddr(a); err == nil {
		return false
	}
	if _, err := netip.ParseAddr(b); err == nil {
		return false
	}
	da, db := domain(a), domain(b)
	return da != "" && da == db
}

// domain is the part of a name that somebody registered: two labels, or three
// below the usual second levels of countries. The full list of public suffixes
// would weigh more than it tells here.
func domain(host string) string {
	labels := strings.Split(host, ".")
	n := len(labels)
	if n < 2 {
		return ""
	}
	keep := 2
	if len(labels[n-1]) == 2 {
		switch labels[n-2] {
		case "co", "com", "org", "net", "ac", "edu", "gov", "gv", "or", "ne", "go":
			keep = 3
		}
	}
	if n < keep {
		return ""
	}
	return strings.Join(labels[n-keep:], ".")
}

// word is a foreign host made fit for a report.
func word(host string) string {
	host = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_:", r) {
			return r
		}
		return '?'
	}, strings.ToLower(host))
	return host[:min(len(host), 80)]
}

// pageRedirects lists where the head of a page sends the browser at once: by a
// refresh, or by a script that sets its location.
func pageRedirects(page []byte) []string {
	text := string(bytes.ToLower(page))
	var refs []string
	for rest := text; len(refs) < redirectLimit; {
		_, after, found := strings.Cut(rest, "http-equiv")
		if !found {
			break
		}
		tag, _, _ := strings.Cut(after[:min(len(after), tagLimit)], ">")
		if strings.Contains(tag, "refresh") {
			refs = append(refs, refreshURL(tag))
		}
		rest = after
	}
	for rest := text; len(refs) < redirectLimit; {
		_, after, found := strings.Cut(rest, "location")
		if !found {
			break
		}
		if ref := assigned(after); ref != "" {
			refs = append(refs, ref)
		}
		rest = after
	}
	return refs
}

// refreshURL is the URL in a refresh, as in "0; url=http://portal/".
func refreshURL(s string) string {
	_, after, found := strings.Cut(strings.ToLower(s), "url")
	after = strings.TrimLeft(after, " \t\r\n")
	if !found || !strings.HasPrefix(after, "=") {
		return ""
	}
	after = strings.TrimLeft(after[1:], " \t\r\n'\"")
	if end := strings.IndexAny(after, "'\"> \t\r\n"); end >= 0 {
		after = after[:end]
	}
	return after
}

// assigned is the text that a script gives to a location, by = or by a call.
func assigned(s string) string {
	for _, way := range []string{".href", ".replace", ".assign"} {
		if rest, ok := strings.CutPrefix(s, way); ok {
			s = rest
			break
		}
	}
	s = strings.TrimLeft(s, " \t\r\n")
	if !strings.HasPrefix(s, "=") && !strings.HasPrefix(s, "(") {
		return ""
	}
	s = strings.TrimLeft(s[1:], " \t\r\n")
	if s == "" || !strings.ContainsRune("'\"`", rune(s[0])) {
		return ""
	}
	ref, _, closed := strings.Cut(s[1:], s[:1])
	if !closed {
		return ""
	}
	return ref
}
