package dashboard_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/alert"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/dashboard"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

var start = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

// bench is a dashboard over a registry that the test fills.
type bench struct {
	*testing.T
	reg *registry.Registry
	db  *history.DB
	url string
	now time.Time
	bus bool
	seq uint64
}

// furnish makes what a dashboard reads: a registry for so many boxes (0: some) and a
// history, both with the test's clock.
func furnish(t testing.TB, boxes int, now func() time.Time) (*registry.Registry, *history.DB) {
	t.Helper()
	db, err := history.Open(t.Context(), filepath.Join(t.TempDir(), "history.db"), history.Config{Now: now,
		ISP: func(netip.Addr) string { return "AS64500 Example" }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return registry.New(registry.Config{MaxBoxes: boxes, Now: now}), db
}

func newBench(t *testing.T, c dashboard.Config) *bench {
	b := &bench{T: t, now: start, bus: true}
	b.reg, b.db = furnish(t, 0, func() time.Time { return b.now })
	c.Registry, c.History, c.Now, c.Bus, c.Zone = b.reg, b.db, func() time.Time { return b.now }, func() bool { return b.bus }, time.UTC
	s, err := dashboard.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	b.url = "http://" + ln.Addr().String()
	return b
}

// report is what a box says while all is well.
func report(name string) agent.Report {
	caps := agent.Capabilities{agent.Direct: agent.OK, agent.Relay: agent.OK, agent.Group: agent.OK}
	return agent.Report{
		Schema: agent.Schema, Box: agent.Box{Name: name, Version: "1.2.3"}, Trigger: agent.OnSchedule,
		Stamp: agent.Stamp{At: start, Clock: agent.ClockSet, UptimeS: 100}, Verdict: agent.Ready,
		Capabilities: agent.Capabilities{agent.Direct: agent.OK, agent.Relay: agent.OK, agent.Group: agent.OK, agent.Reporting: agent.OK},
		Profiles:     []agent.ProfileResult{{Name: "demo", Version: "1", Verdict: agent.Ready, Capabilities: caps}},
	}
}

func broken(r agent.Report) agent.Report {
	r.Verdict = agent.Blocked
	r.Capabilities[agent.Direct], r.Capabilities[agent.Relay] = agent.No, agent.Limited
	r.Findings = []agent.Finding{{Code: agent.UDPAllBlock, Severity: agent.Critical, Cause: agent.CausePractice, Profile: "demo",
		SinceAt: start.Add(-3 * time.Minute), Args: map[string]string{"hosts": "turn.demo.test", "ports": "3478, 5349"}, Evidence: []int{0}}}
	r.Evidence = []agent.Evidence{agent.See(agent.ProbeSTUN, agent.Target{Host: "turn.demo.test", Port: 3478, Transport: agent.UDP}, agent.Silent, agent.Timeout)}
	return r
}

func (b *bench) take(tenant, box string, r agent.Report) {
	b.Helper()
	subject, err := fleet.ReportSubject(tenant, box)
	if err != nil {
		b.Fatal(err)
	}
	b.seq++
	r.Seq, r.Tenant, r.Box.ID = b.seq, tenant, box
	payload, err := json.Marshal(r)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := b.db.Add(b.Context(), []history.Entry{{From: fleet.Address{Tenant: tenant, Box: box}, Boot: "boot", Report: r, Raw: payload, ArrivedAt: b.now}}); err != nil {
		b.Fatal(err)
	}
	b.reg.Take(subject, "boot", payload, b.now)
}

func (b *bench) get(path string, header ...string) (int, string) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, b.url+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// text is what a reader sees of a page, blanks folded.
func text(page string) string {
	var out strings.Builder
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return strings.Join(strings.Fields(out.String()), " ")
		case html.TextToken:
			out.Write(z.Text())
			out.WriteByte(' ')
		}
	}
}

func contains(t *testing.T, page string, parts ...string) {
	t.Helper()
	seen := text(html.UnescapeString(page))
	for _, p := range parts {
		if !strings.Contains(seen, strings.Join(strings.Fields(p), " ")) {
			t.Errorf("the page does not say %q:\n%s", p, seen)
		}
	}
}

func TestPageSaysWhatABoxSays(t *testing.T) {
	b := newBench(t, dashboard.Config{})
	r := broken(report("Praxis Nord"))
	b.take("acme", "nord", r)
	b.now = start.Add(90 * time.Second)
	for _, lang := range advice.Langs {
		_, page := b.get("/?lang=" + string(lang))
		f := r.Findings[0]
		contains(t, page, "Praxis Nord", "acme / nord", "1.2.3", advice.VerdictWord(agent.Blocked, lang), advice.Sentence(r, lang),
			"udp-all-block", advice.CauseWord(agent.CausePractice, lang))
		_, page = b.get("/boxes/acme/nord?lang=" + string(lang))
		contains(t, page, "Praxis Nord", "acme/nord", "1.2.3", advice.VerdictWord(agent.Blocked, lang), advice.Sentence(r, lang),
			"udp-all-block", advice.For(f, lang).Title, advice.For(f, lang).Harm, advice.For(f, lang).Staff, advice.For(f, lang).IT, advice.CauseWord(agent.CausePractice, lang),
			advice.Proof(r.Evidence[0], lang), advice.CapabilityWord(agent.Direct, lang)+": "+advice.StateWord(agent.No, lang))
		if !strings.Contains(page, `<html lang="`+string(lang)+`"`) {
			t.Errorf("page does not say that its language is %s", lang)
		}
	}
	_, page := b.get("/?lang=de")
	contains(t, page, "vor 1 min", "1 Box, 1 "+advice.VerdictWord(agent.Blocked, advice.German))
	_, page = b.get("/boxes/acme/nord")
	contains(t, page, "gemeldet vor 1 min", "seit 4 min")
	for _, tt := range []struct{ accept, cookie, want string }{
		{"fr-FR, en-GB;q=0.8, de;q=0.5", "", "1 min ago"}, {"fr", "", "vor 1 min"}, {"de", "lang=en", "1 min ago"}, {"en", "lang=xx", "1 min ago"},
	} {
		_, page = b.get("/", "Accept-Language", tt.accept, "Cookie", tt.cookie)
		contains(t, page, tt.want)
	}
}

func TestWorstFirst(t *testing.T) {
	b := newBench(t, dashboard.Config{})
	limited, unknown := report("B"), report("C")
	limited.Verdict, unknown.Verdict = agent.VerdictLimited, agent.VerdictUnknown
	b.take("acme", "gone", report("D"))
	b.now = start.Add(time.Hour)
	b.take("acme", "fine", report("A"))
	b.take("acme", "limited", limited)
	b.take("acme", "unknown", unknown)
	b.take("zoo", "blocked", broken(report("Z")))
	if _, err := b.db.Silence(t.Context()); err != nil {
		t.Fatal(err)
	}
	for sort, want := range map[string]string{
		"":       "zoo.blocked acme.limited acme.gone acme.unknown acme.fine",
		"name":   "acme.fine acme.gone acme.limited acme.unknown zoo.blocked",
		"heard":  "acme.gone acme.fine acme.limited acme.unknown zoo.blocked",
		"recent": "acme.fine acme.gone acme.limited acme.unknown zoo.blocked",
		"evil":   "zoo.blocked acme.limited acme.gone acme.unknown acme.fine",
	} {
		_, page := b.get("/?lang=en&sort=" + sort)
		if got := strings.Join(shownIn(page), " "); got != want {
			t.Errorf("order by %q: %s, want %s", sort, got, want)
		}
		if n := strings.Count(page, "aria-sort="); n != 1 {
			t.Errorf("order by %q: %d columns say that they are sorted by", sort, n)
		}
	}
	_, page := b.get("/?lang=en&state=limited")
	if strings.Contains(page, `id="box.zoo.blocked"`) || !strings.Contains(page, `id="box.acme.limited"`) {
		t.Error("?state=limited does not show just the limited box")
	}
	_, page = b.get("/?lang=en&q=ZOO")
	if !strings.Contains(page, `id="box.zoo.blocked"`) || strings.Contains(page, `id="box.acme.limited"`) {
		t.Error("?q=ZOO does not show just the box of tenant zoo")
	}
	_, page = b.get("/?lang=en&q=nothing-like-it")
	contains(t, page, "No box fits this selection.")
}

// shownIn are the boxes that a page lists, in order.
func shownIn(page string) (out []string) {
	for _, m := range regexp.MustCompile(`<tr class="box [^>]* id="box\.([a-z0-9.-]+)"`).FindAllStringSubmatch(page, -1) {
		out = append(out, m[1])
	}
	return out
}

// Each filter finds what it says, alone and with others, and is offered with how many
// boxes it would find.
func TestFilters(t *testing.T) {
	b := newBench(t, dashboard.Config{})
	old := report("Old")
	old.Box.Version = "0.9"
	b.take("zoo", "old", old)
	b.now = start.Add(3 * time.Hour)
	bad := broken(report("Bad"))
	bad.Evidence = append(bad.Evidence, agent.See(agent.ProbeSTUN, agent.Target{Host: "stun.demo.test"}, agent.Answered, "").With(agent.MappedAddr, "198.51.100.0/24"))
	b.take("acme", "bad", bad)
	b.take("acme", "fine", report("Fine"))
	for ask, want := range map[string]string{
		"finding=udp-all-block":                "acme.bad",
		"cause=practice":                       "acme.bad",
		"cause=isp":                            "",
		"cause=nonsense":                       "acme.bad acme.fine zoo.old",
		"profile=demo":                         "acme.bad acme.fine zoo.old",
		"tenant=zoo":                           "zoo.old",
		"version=0.9":                          "zoo.old",
		"isp=AS64500+Example":                  "acme.bad",
		"silent=1h":                            "zoo.old",
		"silent=24h":                           "",
		"silent=forever":                       "acme.bad acme.fine zoo.old",
		"q=FIN":                                "acme.fine",
		"tenant=acme&state=ready":              "acme.fine",
		"version=1.2.3&finding=udp-all-block":  "acme.bad",
		"version=0.9&finding=udp-all-block":    "",
		"q=%25":                                "",
		"finding=%27+OR+1%3D1+--":              "",
		"state=nonsense&page=-5&sort=nonsense": "acme.bad acme.fine zoo.old",
	} {
		_, page := b.get("/?lang=en&" + ask)
		if got := strings.Join(shownIn(page), " "); got != want {
			t.Errorf("%s finds %q, want %q", ask, got, want)
		}
		v, err := url.ParseQuery(ask)
		if err != nil {
			t.Fatal(err)
		}
		if want == "" && !strings.Contains(page, "No box fits this selection.") {
			t.Errorf("%s does not say that nothing fits", ask)
		}
		if code := v.Get("finding"); code != "" && !strings.Contains(page, `<option value="`+html.EscapeString(code)+`" selected>`) {
			t.Errorf("%s: the form forgets what was asked for", ask)
		}
	}
	_, page := b.get("/?lang=en")
	contains(t, page, "udp-all-block (1)", advice.CauseWord(agent.CausePractice, advice.English)+" (1)", "demo (3)", "acme (2)", "zoo (1)", "AS64500 Example (1)", "1.2.3 (2)", "0.9 (1)")
}

// A large fleet's numbers are shared and counted beside the pages; what they say still
// comes to be true.
func TestLargeFleet(t *testing.T) {
	b := newBench(t, dashboard.Config{})
	const boxes = 2100
	var batch []history.Entry
	for i := range boxes {
		a := fleet.Address{Tenant: "acme", Box: fmt.Sprintf("box-%04d", i)}
		r := report("Praxis")
		r.Seq, r.Tenant, r.Box.ID = 1, a.Tenant, a.Box
		raw, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		subject, err := fleet.ReportSubject(a.Tenant, a.Box)
		if err != nil {
			t.Fatal(err)
		}
		batch = append(batch, history.Entry{From: a, Boot: "boot", Report: r, Raw: raw, ArrivedAt: start})
		b.reg.Take(subject, "boot", raw, start)
	}
	if _, err := b.db.Add(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	_, page := b.get("/?lang=en&page=42")
	if ids := shownIn(page); len(ids) != 50 || ids[49] != "acme.box-2099" {
		t.Errorf("the last page shows %q", ids)
	}
	b.seq = 10
	b.take("acme", "box-0007", broken(report("Praxis")))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, e := b.stream(ctx, "/events?lang=en&state=blocked")
	for len(e.Rows) != 1 || !strings.HasPrefix(e.Status, "2100 boxes, 1 not ready") {
		e = b.next(events)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(20 * time.Second); ; {
		_, page := b.get("/?lang=en")
		if strings.Contains(text(page), "acme (2100)") {
			break
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("the filters are never counted")
		}
	}
}

// An outage stands on top, with how many boxes it concerns that the reader may see.
func TestIncidents(t *testing.T) {
	b := newBench(t, dashboard.Config{Incidents: func() []alert.Incident {
		return []alert.Incident{
			{ID: "1", Cause: "isp", Target: "turn.example:3478/udp", Provider: "AS64500 <b>Example", StartedAt: start.Add(-20 * time.Minute),
				Members: map[registry.Key]bool{{Tenant: "acme", Box: "a"}: true, {Tenant: "zoo", Box: "b"}: true}},
			{ID: "2", Cause: "vendor", Target: "nobody.example", StartedAt: start},
		}
	}})
	_, page := b.get("/?lang=de")
	contains(t, page, "Störung beim Anbieter AS64500 Example: turn.example:3478/udp. 2 Boxen betroffen seit 20 min")
	if strings.Contains(page, "<b>Example") || strings.Contains(page, "nobody.example") {
		t.Error("an incident is not escaped, or one without boxes is shown")
	}
	if !strings.Contains(page, `href="/?incident=1&amp;lang=de"`) || !strings.Contains(page, `href="/incidents/1?lang=de"`) {
		t.Errorf("there is no way to the outage and its boxes: %s", page)
	}
	b.take("acme", "a", broken(report("A")))
	_, page = b.get("/boxes/acme/a?lang=en")
	contains(t, page, "Outage at the provider AS64500 Example: turn.example:3478/udp. for 20 min")
	b.take("acme", "c", broken(report("C")))
	if _, page = b.get("/boxes/acme/c?lang=en"); strings.Contains(page, "AS64500 Example:") {
		t.Error("a box that does not suffer from the outage tells of it")
	}
}

// Outages that are over can be looked up by day, with the boxes that suffered.
func TestOutagesOfThePast(t *testing.T) {
	b := newBench(t, dashboard.Config{})
	for _, name := range []string{"a", "b", "well"} {
		r := report(name)
		r.Evidence = append(r.Evidence, agent.See(agent.ProbeSTUN, agent.Target{Host: "s.example"}, agent.Answered, "").With(agent.MappedAddr, "198.51.100.0/24"))
		b.take("acme", name, r)
	}
	tuesday := start.Add(-72 * time.Hour)
	id, err := b.db.Begin(t.Context(), history.Incident{Target: "turn.example:3478/udp", Cause: agent.CauseVendor, FromAt: tuesday})
	if err == nil {
		err = b.db.Suffer(t.Context(), id, []fleet.Address{{Tenant: "acme", Box: "a"}, {Tenant: "acme", Box: "b"}})
	}
	if err == nil {
		err = b.db.Last(t.Context(), id, tuesday.Add(50*time.Minute), true)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, page := b.get("/incidents?lang=de&from=2026-11-17&until=2026-11-17")
	contains(t, page, "Störung beim Dienst: turn.example:3478/udp. 17.11.2026 09:00 17.11.2026 09:50 50 min Videodienst 2", "Zeiten in UTC.")
	checkMarkup(t, "outages", page)
	_, page = b.get("/incidents?lang=en&from=2026-11-18")
	contains(t, page, "No outage is known in this time.")
	_, page = b.get("/incidents/" + id + "?lang=en")
	contains(t, page, "Outage of the service: turn.example:3478/udp.", "Start Nov 17, 2026 09:00", "End Nov 17, 2026 09:50", "acme 2", "AS64500 Example 2")
	checkMarkup(t, "outage", page)
	_, page = b.get("/?lang=en&incident=" + id)
	contains(t, page, "2 boxes, 2 ready", "an earlier one")
	if strings.Contains(page, "/api/v1/boxes?") {
		t.Error("a download is offered that has other boxes")
	}
	_, page = b.get("/boxes/acme/b?lang=en&range=7d")
	contains(t, page, "Outages Nov 17, 2026 09:00 – Nov 17, 2026 09:50 Outage of the service")
	for _, path := range []string{"/boxes/acme/b?lang=en", "/boxes/acme/well?lang=en&range=7d"} {
		if _, page = b.get(path); strings.Contains(page, "Outage of the service") {
			t.Errorf("%s tells of an outage of another time or box", path)
		}
	}
	if code, _ := b.get("/incidents/none"); code != http.StatusNotFound {
		t.Errorf("an outage that never was: %d", code)
	}
}

func TestSilentIsNotBlocked(t *testing.T) {
	b := newBench(t, dashboard.Config{})
	b.take("acme", "nord", report("Nord"))
	b.now = start.Add(time.Hour)
	if _, err := b.db.Silence(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, page := b.get("/?lang=de")
	contains(t, page, "schweigt", "zuletzt: "+advice.VerdictWord(agent.Ready, advice.German), "vor 1 h")
	if strings.Contains(page, `class="box s-blocked"`) || strings.Contains(page, `class="box s-ready"`) {
		t.Error("a silent box is shown with its old verdict")
	}
}

// Everything that a box can say is text, never markup, and cannot turn the page
// around.
func TestHostileBox(t *testing.T) {
	const evil = `</bdi><script>alert(1)</script><img src=x onerror=alert(2)>` + "\u202e\x00\"'"
	b := newBench(t, dashboard.Config{})
	r := broken(report(evil))
	r.Box.Version = evil
	r.Profiles[0].Name, r.Profiles[0].Version = evil, evil
	r.Findings[0].Code, r.Findings[0].Target, r.Findings[0].Profile = evil, evil, evil
	r.Findings[0].Args = map[string]string{"hosts": evil, "ports": evil, "sender": evil}
	r.Evidence[0].Target.Host, r.Evidence[0].Reason = evil, evil
	r.Evidence[0].Values = agent.Values{agent.Detail: evil, agent.TLSIssuer: evil, "x": evil}
	b.take("acme", "evil", r)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, first := b.stream(ctx, "/events?lang=de")
	_, page := b.get("/?lang=de&q=" + "%3Cscript%3E&q=")
	_, page2 := b.get("/?lang=de&q=%22%3E%3Cscript%3Ealert(3)%3C/script%3E")
	_, whole := b.get("/?lang=de")
	for name, p := range map[string]string{"page": page, "search": page2, "whole": whole, "event": first.Rows[0].HTML} {
		checkMarkup(t, name, p)
		if strings.ContainsAny(p, "\u202e\x00") {
			t.Errorf("%s: control characters got through", name)
		}
	}
	if !strings.Contains(whole, "&lt;script&gt;alert(1)") {
		t.Error("the name is not shown as text")
	}
}

// checkMarkup fails on anything that a strict policy would not run.
func checkMarkup(t *testing.T, name, page string) {
	t.Helper()
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		tt := z.Next()
		if tt == html.ErrorToken {
			return
		}
		if tt != html.StartTagToken && tt != html.SelfClosingTagToken {
			continue
		}
		tok := z.Token()
		for _, a := range tok.Attr {
			src := tok.Data == "script" && a.Key == "src" && a.Val == "/live.js"
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || strings.HasPrefix(a.Val, "javascript:") ||
				a.Key == "src" && !src || tok.Data == "img" {
				t.Errorf("%s: <%s %s=%q>", name, tok.Data, a.Key, a.Val)
			}
		}
		if tok.Data == "script" && len(tok.Attr) == 0 {
			t.Errorf("%s: inline script", name)
		}
	}
}

func TestForeignNamesAreRefused(t *testing.T) {
	b := newBench(t, dashboard.Config{Hosts: []string{"fleet.example"}})
	for host, want := range map[string]int{
		"127.0.0.1:8080": 200, "localhost:8080": 200, "LOCALHOST": 200, "[::1]:8080": 200, "192.0.2.7": 200,
		"fleet.example": 200, "Fleet.Example:8080": 200, "fleet.example.": 200,
		"evil.example": 421, "fleet.example.evil.example": 421, "localhost.evil.example:8080": 421,
	} {
		for _, path := range []string{"/", "/healthz", "/style.css"} {
			if code, _ := b.get(path, "Host", host); code != want {
				t.Errorf("GET %s of %q: %d, want %d", path, host, code, want)
			}
		}
	}
}

func TestHeadersAndPaths(t *testing.T) {
	b := newBench(t, dashboard.Config{})
	resp, err := http.Get(b.url + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	csp := resp.Header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") {
		t.Errorf("policy: %s", csp)
	}
	if p := resp.Header.Get("Referrer-Policy"); p != "same-origin" {
		t.Errorf("referrers: %s, with which forms do not say where they come from", p)
	}
	for path, want := range map[string]int{"/style.css": 200, "/live.js": 200, "/icon.svg": 200, "/healthz": 200,
		"/assets/page.html": 404, "/boxes/acme/none": 404, "/boxes/acme/none/request": 404, "/page.html": 404, "/../etc/passwd": 404, "/x": 404} {
		if code, _ := b.get(path); code != want {
			t.Errorf("GET %s = %d, want %d", path, code, want)
		}
	}
	resp, err = http.Post(b.url+"/", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST / = %s", resp.Status)
	}
}

// A box that nobody has claimed is seen with its code, whatever it says of itself.
func TestWaiting(t *testing.T) {
	var all []dashboard.Waiter
	b := newBench(t, dashboard.Config{Waiting: func() []dashboard.Waiter { return all }})
	if _, page := b.get("/?lang=de"); strings.Contains(text(page), "Zuordnung") {
		t.Error("nobody waits, and the page says otherwise")
	}
	if code, body := b.get("/api/waiting"); code != 200 || strings.TrimSpace(body) != "[]" {
		t.Errorf("nobody waits: %d %q", code, body)
	}
	all = []dashboard.Waiter{{Code: "P10H-KJQ7-87M1", Box: "linux/arm, <script>alert(1)</script>\u202e", Key: "U1", At: start.Add(-150 * time.Second)}}
	for range 30 {
		all = append(all, dashboard.Waiter{Code: "AAAA-BBBB-CCCC", At: start})
	}
	_, page := b.get("/?lang=de")
	contains(t, page, "Warten auf ihre Zuordnung", "P10H-KJQ7-87M1", "linux/arm", "fragte vor 2 min", "und 11 weitere")
	if strings.Contains(page, "<script>alert") || strings.Contains(page, "\u202e") {
		t.Error("what a box says of itself is not escaped")
	}
	_, page = b.get("/?lang=en")
	contains(t, page, "Waiting to be claimed", "asked 2 min ago", "and 11 more")
	_, body := b.get("/api/waiting")
	var got []dashboard.Waiter
	if err := json.Unmarshal([]byte(body), &got); err != nil || len(got) != 31 || got[0].Code != "P10H-KJQ7-87M1" {
		t.Errorf("%d, %v: %.200s", len(got), err, body)
	}
}

func TestBusLost(t *testing.T) {
	b := newBench(t, dashboard.Config{})
	_, page := b.get("/?lang=en")
	contains(t, page, "No box has reported yet.")
	if strings.Contains(page, `role="alert"`) {
		t.Error("alarm while the bus is there")
	}
	b.bus = false
	_, page = b.get("/?lang=en")
	contains(t, page, "The NATS bus cannot be reached")
	if code, _ := b.get("/healthz"); code != http.StatusServiceUnavailable {
		t.Errorf("/healthz = %d without a bus", code)
	}
}

func TestUnreadableAndUnsetClock(t *testing.T) {
	b := newBench(t, dashboard.Config{})
	b.reg.Take("sprechprobe.v1.acme.new.up.report", "", []byte(`{"schema":"sprechprobe.report/9"}`), start)
	r := broken(report("No clock"))
	r.Stamp.Clock = agent.ClockUnset
	b.take("acme", "clockless", r)
	_, page := b.get("/?lang=en")
	contains(t, page, "cannot be read", "clock not set")
	_, page = b.get("/boxes/acme/new?lang=en")
	contains(t, page, "cannot be read")
	_, page = b.get("/boxes/acme/clockless?lang=en")
	contains(t, page, "clock not set", "since an unknown time")
}

func TestManyBoxesComeInPages(t *testing.T) {
	b := newBench(t, dashboard.Config{})
	for i := range 230 {
		b.take("acme", fmt.Sprintf("box-%03d", i), report(""))
	}
	for page, want := range map[string]struct {
		n     int
		first string
	}{"1": {50, "box-000"}, "5": {30, "box-200"}, "99": {30, "box-200"}, "-1": {50, "box-000"}} {
		_, body := b.get("/?lang=en&page=" + page)
		if ids := shownIn(body); len(ids) != want.n || ids[0] != "acme."+want.first {
			t.Errorf("page %s: %q, want %d from %s", page, ids, want.n, want.first)
		}
	}
}

// A box that calls for help is shown as alive but blocked, with the reason, also
// where it has never reported.
func TestCallsForHelp(t *testing.T) {
	b := newBench(t, dashboard.Config{})
	b.take("acme", "one", report("One"))
	b.reg.Call(registry.Key{Tenant: "acme", Box: "one"}, registry.Call{Reason: agent.TLSUnknownCA, At: start.Add(time.Minute)})
	b.reg.Call(registry.Key{Tenant: "acme", Box: "new"}, registry.Call{Reason: "evil\x1b<script>", At: start.Add(time.Minute)})
	for lang, says := range map[advice.Lang]string{advice.German: "lebt, kommt aber nicht durch", advice.English: "alive, but cannot get through"} {
		_, page := b.get("/?lang=" + string(lang))
		contains(t, page, says+": "+advice.ReasonWord(agent.TLSUnknownCA, lang), says+": evil")
		if strings.Contains(page, "<script>evil") || strings.Contains(page, "0001-01-01") {
			t.Error("the page shows what it should not")
		}
	}
}
