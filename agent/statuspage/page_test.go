package statuspage_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/html"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/agent/statuspage"
	"github.com/sprechprobe/sprechprobe/agent/steps"
)

// get asks a page as a browser would, with headers in pairs.
func get(t testing.TB, p statuspage.Handler, path string, headers ...string) statuspage.Response {
	t.Helper()
	return ask(t, p, http.MethodGet, path, headers...)
}

func ask(t testing.TB, p statuspage.Handler, method, path string, headers ...string) statuspage.Response {
	t.Helper()
	u, err := url.Parse(path)
	if err != nil {
		t.Fatal(err)
	}
	r := &http.Request{Method: method, URL: u, Host: "192.168.178.23", Header: http.Header{}}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		} else {
			r.Header.Add(headers[i], headers[i+1])
		}
	}
	return p.Answer(r)
}

func showing(s statuspage.State) *statuspage.Page {
	p := statuspage.New(statuspage.Config{Name: "sprechprobe"})
	p.Show(s)
	return p
}

// texts are what people see of a page, one string a piece of text.
func texts(t testing.TB, page string) []string {
	t.Helper()
	var out []string
	var walk func(n *html.Node)
	walk = func(n *html.Node) {
		if s := strings.Join(strings.Fields(n.Data), " "); n.Type == html.TextNode && s != "" && n.Parent.Data != "style" && n.Parent.Data != "title" {
			out = append(out, s)
		}
		for c := range n.ChildNodes() {
			walk(c)
		}
	}
	walk(parse(t, page))
	return out
}

func parse(t testing.TB, page string) *html.Node {
	t.Helper()
	n, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func text(t testing.TB, page string) string { return strings.Join(texts(t, page), " | ") }

func TestRoutes(t *testing.T) {
	p := showing(healthy(t))
	tests := []struct {
		method, path, host string
		want               string
	}{
		{"GET", "/", "192.168.178.23", "200 OK"},
		{"HEAD", "/", "192.168.178.23", "200 OK"},
		{"GET", "/request", "192.168.178.23", "200 OK"},
		{"GET", "/?lang=en&x=1", "192.168.178.23", "200 OK"},
		{"GET", "/index.html", "192.168.178.23", "404 Not Found"},
		{"GET", "/request/", "192.168.178.23", "404 Not Found"},
		{"GET", "//", "192.168.178.23", "404 Not Found"},
		{"GET", "/../etc/passwd", "192.168.178.23", "404 Not Found"},
		{"GET", "/%2e%2e/%00", "192.168.178.23", "404 Not Found"},
		{"GET", "", "192.168.178.23", "404 Not Found"},
		{"POST", "/", "192.168.178.23", "405 Method Not Allowed"},
		{"PUT", "/", "192.168.178.23", "405 Method Not Allowed"},
		{"DELETE", "/request", "192.168.178.23", "405 Method Not Allowed"},
		{"OPTIONS", "/", "192.168.178.23", "405 Method Not Allowed"},
		{"get", "/", "192.168.178.23", "405 Method Not Allowed"},

		{"GET", "/", "192.168.178.23:8080", "200 OK"},
		{"GET", "/", "[fd00::7]", "200 OK"},
		{"GET", "/", "[fe80::1]:80", "200 OK"},
		{"GET", "/", "localhost:8080", "200 OK"},
		{"GET", "/", "sprechprobe.local", "200 OK"},
		{"GET", "/", "SPRECHPROBE.LOCAL.:80", "200 OK"},
		{"GET", "/", "sprechprobe", "200 OK"},
		{"GET", "/", "sprechprobe.lan", "200 OK"},
		{"GET", "/", "", "421 Misdirected Request"},
		{"GET", "/", "attacker.example", "421 Misdirected Request"},
		{"GET", "/", "sprechprobe.attacker.example", "421 Misdirected Request"},
		{"GET", "/", "sprechprobe.example", "421 Misdirected Request"},
		{"GET", "/", "192.168.178.23.attacker.example", "421 Misdirected Request"},
		{"GET", "/", "local", "421 Misdirected Request"},
		{"POST", "/", "attacker.example", "421 Misdirected Request"},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.host+tt.path, func(t *testing.T) {
			got := ask(t, p, tt.method, tt.path, "Host", tt.host)
			if got.Status != tt.want {
				t.Errorf("%s, want %s", got.Status, tt.want)
			}
			if page := strings.Contains(got.Body, "<html"); page != (tt.want == "200 OK") || page != strings.HasPrefix(got.Type, "text/html") {
				t.Errorf("%s has type %q and body %.60q", got.Status, got.Type, got.Body)
			}
		})
	}
	nameless := statuspage.New(statuspage.Config{})
	if got := get(t, nameless, "/", "Host", ".local").Status; got != "421 Misdirected Request" {
		t.Errorf("a page without a name answers for .local: %s", got)
	}
	if got := ask(t, statuspage.Off{}, "GET", "/"); got.Status != "403 Forbidden" || !strings.Contains(got.Body, "ausgeschaltet") {
		t.Errorf("switched off: %v", got)
	}
}

func TestLanguage(t *testing.T) {
	tests := []struct {
		path, accept string
		lang         advice.Lang // of the box
		want         string
	}{
		{"/", "", "", "de"},
		{"/", "", advice.English, "en"},
		{"/", "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7", "", "de"},
		{"/", "en-US,en;q=0.9,de;q=0.8", "", "en"},
		{"/", "EN", "", "en"},
		{"/", "de;q=0.3, en;q=0.7", "", "en"},
		{"/", "fr, en;q=0.5", "", "en"},
		{"/", "tr,ar;q=0.9", "", "de"},
		{"/", "tr,ar;q=0.9", advice.English, "en"},
		{"/", "de", advice.English, "de"},
		{"/", "en;q=0", "", "de"},
		{"/", "en;q=NaN, de;q=0.1", "", "de"},
		{"/", "en;q=5", "", "de"},
		{"/", strings.Repeat("x,", 4000) + "en", "", "de"},
		{"/?lang=en", "de", "", "en"},
		{"/?lang=de", "en", advice.English, "de"},
		{"/?lang=fr", "en", "", "en"},
		{"/request?lang=en", "de", "", "en"},
	}
	for _, tt := range tests {
		p := statuspage.New(statuspage.Config{Lang: tt.lang})
		p.Show(blocked(t))
		page := get(t, p, tt.path, "Accept-Language", tt.accept).Body
		want := `<html lang="` + tt.want + `">`
		if !strings.Contains(page, want) {
			t.Errorf("%s for %.40q is not in %s", tt.path, tt.accept, tt.want)
		}
		word := map[string]string{"de": "Gruppentermine", "en": "roup sessions"}[tt.want]
		if !strings.Contains(page, word) {
			t.Errorf("%s for %.40q does not say %q", tt.path, tt.accept, word)
		}
	}
}

func TestEveryLabelIsInBothLanguages(t *testing.T) {
	same := []string{"Sprechprobe", "Router", "Name", "Version"} // words of both
	de, en := statuspage.Labels(advice.German), statuspage.Labels(advice.English)
	if len(de) != len(en) || len(de) < 50 {
		t.Fatalf("%d German and %d English labels", len(de), len(en))
	}
	for i := range de {
		switch {
		case de[i] == "" || en[i] == "":
			t.Errorf("label %d is empty: %q, %q", i, de[i], en[i])
		case de[i] == en[i] && !slices.Contains(same, de[i]):
			t.Errorf("label %d is %q in both languages", i, de[i])
		case strings.Count(de[i], "%") != strings.Count(en[i], "%"):
			t.Errorf("%q and %q do not fit the same value", de[i], en[i])
		}
		if strings.Contains(strings.ToLower(de[i]), "portfreigabe") {
			t.Errorf("%q: this word means inbound", de[i])
		}
	}
}

// What an installer, a practice and its IT need to see.
func TestWhatIsShown(t *testing.T) {
	sentence := func(s statuspage.State) string { return advice.Sentence(s.Report, advice.German) }
	unheard := healthy(t)
	unheard.Show.Unheard = true
	tests := []struct {
		name      string
		s         statuspage.State
		want, not []string
	}{
		{"nothing yet", statuspage.State{Steps: steps.Plan(nil, true)}, []string{"Die Box prüft zum ersten Mal", "kein Urteil", "wartet"}, []string{"ist nichts zu ändern", "Was zu tun ist", "| läuft"}},
		{"looking", looking(t), []string{"läuft", "Netzwerkkabel | in Ordnung", "Direkte Verbindung (STUN) | läuft", "Gruppentermine (NATS) | wartet"},
			[]string{"Was zu tun ist", "Geprüft in", "gestört"}},
		{"healthy", healthy(t), []string{"bereit", sentence(healthy(t)), "Keine Befunde. In Ihrer Praxis ist nichts zu ändern.", "Geprüft in 4 s.",
			"webPRAX Videosprechstunde", "ZPP HD (meetone)", "Praxis Nord, Empfang", "box-1a2b3c4d5e6f", "192.168.178.23", "kurz aus, grün (jetzt)",
			"Meldung an den Videodienst | nicht nötig"}, []string{"Hier hakt es", "gestört"}},
		{"blocked", blocked(t), []string{"nicht bereit", sentence(blocked(t)), "Gruppentermine (NATS) | gestört", "Hier hakt es: Gruppentermine (NATS)",
			"Ausgehend TCP, Zielport 8443", "group-block-all", "Freigabeanforderung", "4 Blitze, Pause, rot (jetzt)", "Praxisnetz (Router, Firewall, Kabel)"},
			[]string{"Keine Befunde"}},
		{"unheard", unheard, []string{"kurz aus, grün (jetzt)", "Lampe „Box“: an, alle 4 Sekunden zweimal kurz aus, gelb (jetzt)"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := text(t, get(t, showing(tt.s), "/").Body)
			for _, w := range tt.want {
				if !strings.Contains(got, w) {
					t.Errorf("%q is missing in\n%s", w, got)
				}
			}
			told, _, _ := strings.Cut(got, "Was die Lampen sagen")
			for _, w := range tt.not {
				if strings.Contains(told, w) {
					t.Errorf("%q does not belong in\n%s", w, got)
				}
			}
		})
	}
}

// The request is the very text that the program prints, to the letter.
func TestRequestToCopy(t *testing.T) {
	s := blocked(t)
	s.Box.Name = `Praxis <i>Nord</i> & "Süd"`
	page := get(t, showing(s), "/request").Body
	var area *html.Node
	for n := range parse(t, page).Descendants() {
		if n.Data == "textarea" {
			area = n
		}
	}
	s.Report.Stamp.At = s.Report.Stamp.At.Local()
	want := advice.Request(s.Report, s.Profiles, advice.Site{Practice: s.Box.Name}, advice.German)
	if area == nil || area.FirstChild == nil || area.FirstChild.Data != want {
		t.Errorf("the page has %v, want\n%s", area, want)
	}
	if !strings.Contains(want, "8443") || !strings.Contains(want, "<i>Nord</i>") {
		t.Errorf("not the request for this fault:\n%s", want)
	}
	if strings.Contains(page, `http-equiv="refresh"`) {
		t.Error("a page that renews itself takes the selection away")
	}
	if !strings.Contains(get(t, showing(s), "/").Body, `http-equiv="refresh" content="30"`) {
		t.Error("the page does not renew itself")
	}
	if !strings.Contains(get(t, showing(looking(t)), "/").Body, `http-equiv="refresh" content="3"`) {
		t.Error("the page does not renew itself soon while somebody watches")
	}
}

// Nothing old is shown as today's truth.
func TestStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := statuspage.New(statuspage.Config{Overdue: 15 * time.Minute})
		p.Show(healthy(t))
		time.Sleep(15 * time.Minute)
		if got := text(t, get(t, p, "/").Body); !strings.Contains(got, "bereit") || !strings.Contains(got, "vor 15 min") {
			t.Errorf("after 15 minutes: %s", got)
		}
		p.Show(healthy(t)) // the same report again: it does not grow younger
		time.Sleep(time.Minute)
		page := get(t, p, "/").Body
		if got, _, _ := strings.Cut(text(t, page), "Was die Lampen sagen"); !strings.Contains(got, "kein Urteil") || !strings.Contains(got, "Seit 16 min gibt es keine neue Messung") ||
			strings.Contains(got, "Videosprechstunden sind von hier aus möglich") || !strings.Contains(page, `class="verdict unknown"`) {
			t.Errorf("after 16 minutes: %s", got)
		}
		fresh := healthy(t)
		fresh.Report.Seq++
		fresh.Report.Stamp.UptimeS += 960
		p.Show(fresh)
		if got := text(t, get(t, p, "/").Body); !strings.Contains(got, "vor 0 s") || !strings.Contains(got, "unverändert seit 16 min") {
			t.Errorf("after a fresh report: %s", got)
		}
	})
}

func TestStrip(t *testing.T) {
	page := get(t, aDay(t, blocked(t)), "/").Body
	got := text(t, page)
	for _, want := range []string{"bereit 21 h 0 min", "eingeschränkt 1 h 0 min", "nicht bereit 1 h 45 min", "kein Internet 15 min"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if n := strings.Count(page, `<i class="ready"></i>`); n != 84+1 { // and one in the sums
		t.Errorf("%d quarters are ready", n)
	}
	if got := text(t, get(t, showing(healthy(t)), "/").Body); !strings.Contains(got, "nicht gemessen 23 h 45 min") {
		t.Errorf("a box that has just begun: %s", got)
	}
}

// Every state that a light can show is explained with the light's own rhythm.
func TestLegend(t *testing.T) {
	page := get(t, showing(healthy(t)), "/").Body
	var pictures []string
	for n := range parse(t, page).Descendants() {
		if n.Data == "div" && class(n) == "beats" {
			var b strings.Builder
			for c := range n.ChildNodes() {
				if k := class(c); k != "" {
					b.WriteString(k)
				} else {
					b.WriteString("-")
				}
			}
			pictures = append(pictures, b.String())
		}
	}
	var want []string
	for _, e := range light.Legend(advice.German) {
		want = append(want, e.Lamp.String())
		if got := text(t, page); !strings.Contains(got, e.Means) {
			t.Errorf("%v is not explained: %q is missing", e.Show, e.Means)
		}
	}
	if !slices.Equal(pictures, want) {
		t.Errorf("drawn %q, want %q", pictures, want)
	}
}

func class(n *html.Node) string {
	for _, a := range n.Attr {
		if a.Key == "class" {
			return a.Val
		}
	}
	return ""
}

// hostile is what a network, a file or a far end might put into our words.
const hostile = `"><script src=//x.example></script><img src=x onerror=alert(1)> 'x' &amp; </textarea></style><!--`

// poison puts it into every text of a value.
func poison(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(hostile + v.String())
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() {
				poison(f)
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			poison(v.Index(i))
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			item := reflect.New(v.Type().Elem()).Elem()
			item.Set(v.MapIndex(k))
			if item.Kind() == reflect.Interface {
				continue
			}
			poison(item)
			v.SetMapIndex(k, item)
		}
	}
}

func TestHostileWordsStayWords(t *testing.T) {
	s := blocked(t)
	known := s.Report.Findings[0]
	s.Report.Findings = append(s.Report.Findings, agent.Finding{Code: "new", Severity: agent.Major})
	poison(reflect.ValueOf(&s).Elem())
	known.Args = s.Report.Findings[0].Args
	s.Report.Findings = append(s.Report.Findings, known) // a known code with hostile arguments
	s.Report.Schema = agent.Schema
	p := showing(s)
	for _, path := range []string{"/", "/request", "/?lang=en"} {
		page := get(t, p, path).Body
		elements(t, page)
		if path == "/" && strings.Count(text(t, page), "<script src=//x.example>") < 5 {
			t.Errorf("what is hostile is not shown as what it is:\n%s", text(t, page))
		}
	}
	if got := get(t, p, "/?lang="+url.QueryEscape(hostile), "Accept-Language", hostile, "Host", "10.0.0.1"); strings.Contains(got.Body, "script src=//x.example></script><img src=x onerror=alert(1)> 'x' &amp; </textarea></style><!--en") {
		t.Error("the query is repeated")
	}
	for _, r := range []statuspage.Response{get(t, p, "/x"+url.PathEscape(hostile)), get(t, p, "/", "Host", hostile)} {
		if strings.Contains(r.Body, "script") || !strings.HasPrefix(r.Body, "D") && !strings.HasPrefix(r.Body, "U") {
			t.Errorf("%s repeats the request: %q", r.Status, r.Body)
		}
	}
}

// elements fails where a page has anything but what we write, or anything that
// would load, run or send something.
func elements(t *testing.T, page string) {
	t.Helper()
	allowed := strings.Fields("html head meta title style body header main section h1 h2 h3 p i b em span strong ol ul li dl dt dd div a textarea")
	for n := range parse(t, page).Descendants() {
		if n.Type == html.CommentNode {
			t.Errorf("a comment: %q", n.Data)
		}
		if n.Type != html.ElementNode {
			continue
		}
		if !slices.Contains(allowed, n.Data) {
			t.Errorf("element %s", n.Data)
		}
		for _, a := range n.Attr {
			switch a.Key {
			case "class", "lang", "charset", "name", "content", "http-equiv", "aria-hidden", "readonly":
			case "aria-label":
			case "href":
				if u, err := url.Parse(a.Val); err != nil || u.Host != "" || u.Scheme != "" || u.Path != "/" && u.Path != "/request" {
					t.Errorf("a link to %q", a.Val)
				}
			default:
				t.Errorf("%s has an attribute %s=%q", n.Data, a.Key, a.Val)
			}
		}
		if n.Data == "style" && n.FirstChild.Data != statuspage.Style {
			t.Errorf("another style: %.80q", n.FirstChild.Data)
		}
	}
}

func TestPageIsItsOwn(t *testing.T) {
	for _, s := range []statuspage.State{{}, looking(t), healthy(t), blocked(t)} {
		for _, path := range []string{"/", "/request"} {
			elements(t, get(t, showing(s), path).Body)
		}
	}
	sum := sha256.Sum256([]byte(statuspage.Style))
	if want := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(statuspage.Policy(), "style-src "+want+";") {
		t.Errorf("policy %s, want %s", statuspage.Policy(), want)
	}
	if strings.Contains(statuspage.Style, "url(") || strings.Contains(statuspage.Style, "@import") || strings.Contains(statuspage.Style, "<") {
		t.Error("the style loads something, or ends itself")
	}
}

// A report of any kind makes a page of bounded size.
func TestPageIsBounded(t *testing.T) {
	s := blocked(t)
	for range 500 {
		s.Report.Findings = append(s.Report.Findings, s.Report.Findings[0])
	}
	page := get(t, showing(s), "/").Body
	if !strings.Contains(text(t, page), "und 491 weitere Befunde") || len(page) > 40_000 {
		t.Errorf("%d bytes for 501 findings", len(page))
	}
}
