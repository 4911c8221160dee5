package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/alert"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

// house is the vendor's portal over boxes that the test makes.
type house struct {
	*testing.T
	store *access.File
	reg   *registry.Registry
	db    *history.DB
	url   string
	page  *portal
	seq   uint64
}

var opened = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

func newHouse(t *testing.T, alter func(*portalFlags, *parts)) *house {
	t.Helper()
	h := &house{T: t, reg: registry.New(registry.Config{Now: func() time.Time { return opened }})}
	var err error
	if h.db, err = history.Open(t.Context(), filepath.Join(t.TempDir(), "history.db"), history.Config{Now: func() time.Time { return opened }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.db.Close() })
	p := portalFlags{http: "127.0.0.1:0", login: "always", dir: t.TempDir()}
	of := parts{registry: h.reg, history: h.db, bus: func() bool { return true }, console: io.Discard, log: slog.New(slog.DiscardHandler),
		now: func() time.Time { return opened }}
	if alter != nil {
		alter(&p, &of)
	}
	ln, err := p.listen()
	if err != nil {
		t.Fatal(err)
	}
	if h.store, err = access.OpenFile(filepath.Join(p.dir, accessFile)); err != nil {
		t.Fatal(err)
	}
	if h.page, err = p.open(ln.Addr(), of); err != nil {
		t.Fatal(err)
	}
	h.url = p.base(ln.Addr())
	if alter != nil && p.cert != "" {
		h.url = "https://" + ln.Addr().String()
	}
	h.serve(ln)
	return h
}

func (h *house) serve(ln net.Listener) {
	ctx, cancel := context.WithCancel(h.Context())
	done := make(chan error, 1)
	go func() { done <- h.page.page.Serve(ctx, ln) }()
	h.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			h.Errorf("Serve: %v", err)
		}
	})
}

// token makes a token for a program.
func (h *house) token(role string, tenants ...string) string {
	h.Helper()
	right, err := access.NewRight(role, tenants)
	if err != nil {
		h.Fatal(err)
	}
	_, token, err := access.AddToken(h.store, "test", right, 0, opened)
	if err != nil {
		h.Fatal(err)
	}
	return token
}

// browser logs a new user in.
func (h *house) browser(name, role string, tenants ...string) *http.Client {
	h.Helper()
	right, err := access.NewRight(role, tenants)
	if err != nil {
		h.Fatal(err)
	}
	code, err := access.AddUser(h.store, name, right, time.Now())
	if err != nil {
		h.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.Fatal(err)
	}
	c := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.PostForm(h.url+"/welcome", url.Values{"code": {code}, "password": {password}, "again": {password}})
	if err != nil {
		h.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusSeeOther {
		h.Fatalf("login: %s", resp.Status)
	}
	return c
}

// take lets a box report.
func (h *house) take(tenant, box string, alter func(*agent.Report)) {
	h.Helper()
	subject, err := fleet.ReportSubject(tenant, box)
	if err != nil {
		h.Fatal(err)
	}
	h.seq++
	caps := agent.Capabilities{agent.Direct: agent.OK, agent.Relay: agent.OK}
	r := agent.Report{Schema: agent.Schema, Box: agent.Box{ID: box, Name: "Praxis " + box, Version: "1.2.3"}, Tenant: tenant, Seq: h.seq,
		Trigger: agent.OnSchedule, Stamp: agent.Stamp{At: opened, Clock: agent.ClockSet, UptimeS: 1}, Verdict: agent.Ready, Capabilities: caps,
		Profiles: []agent.ProfileResult{{Name: "demo", Version: "1", Verdict: agent.Ready, Capabilities: caps}}}
	if alter != nil {
		alter(&r)
	}
	payload, err := json.Marshal(r)
	if err != nil {
		h.Fatal(err)
	}
	if _, err := h.db.Add(h.Context(), []history.Entry{{From: fleet.Address{Tenant: tenant, Box: box}, Boot: "boot", Report: r, Raw: payload, ArrivedAt: opened}}); err != nil {
		h.Fatal(err)
	}
	h.reg.Take(subject, "boot", payload, opened)
}

// outage keeps an outage from which boxes suffer, and returns its ID.
func (h *house) outage(i history.Incident, boxes ...string) string {
	h.Helper()
	id, err := h.db.Begin(h.Context(), i)
	for _, name := range boxes {
		var a fleet.Address
		if err == nil {
			a, err = fleet.ParseAddress(name)
		}
		if err == nil {
			err = h.db.Suffer(h.Context(), id, []fleet.Address{a})
		}
	}
	if err != nil {
		h.Fatal(err)
	}
	return id
}

// secretly is what only boxes of tenant zoo say.
func secretly(r *agent.Report) {
	r.Box.Name, r.Box.Version, r.Verdict = "Zahnarzt Geheim", "9.9.9", agent.Blocked
	r.Findings = []agent.Finding{{Code: agent.UDPAllBlock, Severity: agent.Critical, Cause: agent.CausePractice, Profile: "demo",
		Args: map[string]string{"hosts": "geheim.example", "ports": "3478"}, Evidence: []int{0}}}
	r.Evidence = []agent.Evidence{agent.See(agent.ProbeSTUN, agent.Target{Host: "geheim.example", Port: 3478, Transport: agent.UDP}, agent.Silent, agent.Timeout)}
}

// marks are words that stand only in what boxes of tenant zoo say.
var marks = []string{"geheim", "Geheim", "9.9.9", "udp-all-block"}

// got is one answer, without what differs from one to the next anyway.
type got struct {
	code   int
	body   string
	header string
}

func (g got) diff(other got) string {
	return fmt.Sprint(g.code, other.code) + cmp.Diff(strings.Split(g.header+"\n"+g.body, "\n"), strings.Split(other.header+"\n"+other.body, "\n"))
}

func (h *house) ask(c *http.Client, token, method, path string) got {
	h.Helper()
	req, err := http.NewRequestWithContext(h.Context(), method, h.url+path, nil)
	if err != nil {
		h.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	if err != nil {
		h.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		h.Fatal(err)
	}
	var header []string
	for _, k := range slices.Sorted(maps.Keys(resp.Header)) {
		if k != "Date" && k != "Set-Cookie" && k != "Content-Length" {
			header = append(header, k+": "+strings.Join(resp.Header[k], ", "))
		}
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(token, "spf_"), "_")
	text := string(body)
	if id != "" {
		text = strings.ReplaceAll(text, id, "ID") // the asker's own, in a page's corner
	}
	return got{resp.StatusCode, text, strings.Join(header, "\n")}
}

// plain follows no redirects.
var plain = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// rule is what the test wants of one route.
type rule struct {
	asks []string // paths, also such as a viewer of acme would try to see zoo by
	// Statuses for nobody, a viewer of acme, a viewer of all tenants and an admin.
	nobody, viewer, all, admin int
	// tells says that who sees all tenants gets something of zoo by the first path:
	// else the test would not notice if a viewer of acme got it.
	tells bool
	// own is the status for the viewer where a path names a box of acme; 0: as viewer.
	own int
}

// rules has a row for each route that there is. A route without a row fails the
// test.
var rules = map[string]rule{
	"GET /{$}": {[]string{"/?lang=en", "/?lang=de&q=zoo", "/?state=blocked", "/?page=2", "/?q=Geheim&state=blocked", "/?tenant=zoo",
		"/?finding=udp-all-block", "/?version=9.9.9&tenant=zoo", "/?cause=practice&sort=name", "/?isp=x&silent=1h", "/?profile=demo&sort=recent", "/?incident=OURS", "/?incident=THEIRS"}, 303, 200, 200, 200, true, 0},
	"GET /api/waiting": {[]string{"/api/waiting"}, 401, 403, 403, 200, false, 0},
	"GET /healthz":     {[]string{"/healthz"}, 200, 200, 200, 200, false, 0},
	"GET /style.css":   {[]string{"/style.css"}, 200, 200, 200, 200, false, 0},
	"GET /live.js":     {[]string{"/live.js"}, 200, 200, 200, 200, false, 0},
	"GET /icon.svg":    {[]string{"/icon.svg"}, 200, 200, 200, 200, false, 0},
	"GET /boxes/{tenant}/{box}": {[]string{"/boxes/zoo/praxis?lang=en", "/boxes/zoo/none", "/boxes/%7Aoo/praxis", "/boxes/*/praxis", "/boxes/acme/nord", "/boxes/acme/none", "/boxes/acme/nord?range=30d"},
		303, 404, 200, 200, true, 200},
	"GET /boxes/{tenant}/{box}/request": {[]string{"/boxes/zoo/praxis/request?lang=en", "/boxes/zoo/none/request", "/boxes/zoo/praxis/request?format=text", "/boxes/acme/nord/request"},
		303, 404, 200, 200, true, 200},
	// An admin who says no command is refused; what is said is in a test of its own.
	"POST /boxes/{tenant}/{box}/commands": {[]string{"/boxes/zoo/praxis/commands?name=check", "/boxes/acme/nord/commands?name=check"}, 401, 404, 403, 400, false, 403},
	"GET /boxes/{tenant}/{box}/export":    {[]string{"/boxes/zoo/praxis/export", "/boxes/zoo/none/export", "/boxes/acme/nord/export"}, 303, 404, 403, 200, false, 403},
	// Nothing is deleted from here in this house; that it is elsewhere is in a test of its own.
	"POST /boxes/{tenant}/{box}/delete": {[]string{"/boxes/zoo/praxis/delete?sure=zoo/praxis", "/boxes/acme/nord/delete?sure=acme/nord"}, 401, 404, 403, 409, false, 403},
	"GET /incidents":                    {[]string{"/incidents?lang=en", "/incidents?from=2026-01-01&until=2027-01-01"}, 303, 200, 200, 200, true, 0},
	"GET /incidents/{id}":               {[]string{"/incidents/THEIRS?lang=en", "/incidents/none", "/incidents/OURS?lang=en"}, 303, 404, 200, 200, true, 200},
	"GET /claim":                        {[]string{"/claim?lang=en", "/claim?code=AAAA"}, 303, 403, 403, 200, false, 0},
	"POST /claim":                       {[]string{"/claim"}, 401, 403, 403, 409, false, 0},
	// What an admin does there is in a test of its own. A token has no sessions.
	"GET /people":          {[]string{"/people?lang=en"}, 303, 403, 403, 200, false, 0},
	"POST /people":         {[]string{"/people?do=user-add&name=zoo"}, 401, 403, 403, 400, false, 0},
	"POST /account/logout": {[]string{"/account/logout"}, 401, 403, 403, 403, false, 0},
	// One's own login and streams are in tests of their own.
	"GET /account":                     {nil, 0, 0, 0, 0, false, 0},
	"GET /events":                      {nil, 0, 0, 0, 0, false, 0},
	"GET /boxes/{tenant}/{box}/events": {nil, 0, 0, 0, 0, false, 0},
	"GET /login":                       {[]string{"/login"}, 200, 200, 200, 200, false, 0},
	"POST /login":                      {[]string{"/login"}, 401, 401, 401, 401, false, 0},
	"POST /logout":                     {[]string{"/logout"}, 303, 303, 303, 303, false, 0},
	"GET /welcome":                     {[]string{"/welcome?code=x"}, 404, 404, 404, 404, false, 0},
	"POST /welcome":                    {[]string{"/welcome"}, 404, 404, 404, 404, false, 0},
	"GET /access.css":                  {[]string{"/access.css"}, 200, 200, 200, 200, false, 0},
	"GET /api/v1/me":                   {[]string{"/api/v1/me"}, 401, 200, 200, 200, false, 0},
	"GET /api/v1/boxes":                {[]string{"/api/v1/boxes", "/api/v1/boxes?tenant=zoo", "/api/v1/boxes?format=csv", "/api/v1/boxes?limit=1", "/api/v1/boxes?after=zoo/aaa", "/api/v1/boxes?after=acme/zzz&format=csv", "/api/v1/boxes?q=geheim", "/api/v1/boxes?finding=udp-all-block", "/api/v1/boxes?version=9.9.9", "/api/v1/boxes?state=blocked&cause=practice"}, 401, 200, 200, 200, true, 0},
	"GET /api/v1/summary":              {[]string{"/api/v1/summary"}, 401, 200, 200, 200, true, 0},
	"GET /api/v1/incidents":            {[]string{"/api/v1/incidents?until=2027-01-01T00:00:00Z", "/api/v1/incidents", "/api/v1/incidents?since=2026-01-01T00:00:00Z"}, 401, 200, 200, 200, true, 0},
	"GET /api/v1/boxes/{tenant}/{box}": {[]string{"/api/v1/boxes/zoo/praxis", "/api/v1/boxes/zoo/none", "/api/v1/boxes/%7Aoo/praxis", "/api/v1/boxes/*/praxis"},
		401, 404, 200, 200, true, 0},
	"GET /api/v1/audit":        {[]string{"/api/v1/audit", "/api/v1/audit?format=csv"}, 401, 403, 403, 200, false, 0},
	"GET /api/v1/openapi.json": {[]string{"/api/v1/openapi.json"}, 200, 200, 200, 200, false, 0},
	"GET /metrics":             {[]string{"/metrics"}, 401, 403, 200, 200, true, 0},
}

// A viewer of one tenant gets the same answers, to the byte, whether another tenant
// has boxes or not, by any route there is; and who may not ask is refused.
func TestTenantsAreApart(t *testing.T) {
	members := func(zoo, acme int) map[registry.Key]bool {
		m := map[registry.Key]bool{}
		for i := range zoo {
			m[registry.Key{Tenant: "zoo", Box: fmt.Sprint("geheim-", i)}] = true
		}
		for i := range acme {
			m[registry.Key{Tenant: "acme", Box: fmt.Sprint("box-", i)}] = true
		}
		return m
	}
	var ours, theirs string
	both := newHouse(t, func(_ *portalFlags, of *parts) {
		of.incidents = func() []alert.Incident {
			return []alert.Incident{
				{ID: ours, Cause: "vendor", StartedAt: opened, Members: members(7, 2)},
				{ID: theirs, Cause: "isp", Provider: "Geheim-Net", StartedAt: opened, Members: members(7, 0)},
			}
		}
	})
	alone := newHouse(t, func(_ *portalFlags, of *parts) {
		of.incidents = func() []alert.Incident {
			return []alert.Incident{{ID: ours, Cause: "vendor", StartedAt: opened, Members: members(0, 2)}}
		}
	})
	ours = both.outage(history.Incident{Target: "turn.example:3478/udp", Cause: agent.CauseVendor, FromAt: opened}, "zoo/praxis", "acme/sued")
	theirs = both.outage(history.Incident{Target: "geheim.example:3478/udp", Cause: agent.CauseISP, ISP: "Geheim-Net", FromAt: opened}, "zoo/praxis")
	if alone.outage(history.Incident{Target: "turn.example:3478/udp", Cause: agent.CauseVendor, FromAt: opened}, "acme/sued") != ours {
		t.Error("what an outage is called tells whom else it concerns")
	}
	for _, h := range []*house{both, alone} {
		h.take("acme", "nord", nil)
		h.take("acme", "sued", func(r *agent.Report) { r.Verdict = agent.VerdictLimited })
	}
	both.take("zoo", "praxis", secretly)
	both.take("zoo", "aaa", secretly)

	have := map[string]bool{}
	for _, r := range both.page.page.Routes() {
		have[r.Pattern] = true
		if _, ok := rules[r.Pattern]; !ok {
			t.Errorf("route %q has no row in the test's table", r.Pattern)
		}
	}
	tokens := map[*house][3]string{}
	people := map[*house]*http.Client{}
	for _, h := range []*house{both, alone} {
		tokens[h] = [3]string{h.token("viewer", "acme"), h.token("viewer", "*"), h.token("admin", "*")}
		people[h] = h.browser("vera", "viewer", "acme")
	}
	for pattern, r := range rules {
		if !have[pattern] {
			t.Errorf("the test's table has a row for %q, which is no route", pattern)
			continue
		}
		method, _, _ := strings.Cut(pattern, " ")
		for i, path := range r.asks {
			path = strings.NewReplacer("OURS", ours, "THEIRS", theirs).Replace(path)
			program := both.ask(plain, tokens[both][0], method, path)
			want := r.viewer
			if r.own != 0 && (strings.Contains(path, "/acme/nord") || strings.Contains(path, ours)) {
				want = r.own
			}
			if program.code != want {
				t.Errorf("%s %s as a viewer: %d, want %d: %.200s", method, path, program.code, want, program.body)
			}
			if without := alone.ask(plain, tokens[alone][0], method, path); program != without {
				t.Errorf("%s %s tells a viewer of acme of zoo (-with, +without):\n%s", method, path, program.diff(without))
			}
			if method == http.MethodGet {
				person, without := both.ask(people[both], "", method, path), alone.ask(people[alone], "", method, path)
				if person != without {
					t.Errorf("%s %s tells a logged in viewer of acme of zoo (-with, +without):\n%s", method, path, person.diff(without))
				}
			}
			for _, m := range marks {
				if strings.Contains(program.body, m) && !strings.Contains(path, m) {
					t.Errorf("%s %s shows %q to a viewer of acme", method, path, m)
				}
			}
			if i > 0 {
				continue
			}
			for who, want := range map[string]int{"": r.nobody, tokens[both][1]: r.all, tokens[both][2]: r.admin} {
				if a := both.ask(plain, who, method, path); a.code != want {
					t.Errorf("%s %s with %q: %d, want %d", method, path, who, a.code, want)
				}
			}
			more, less := both.ask(plain, tokens[both][1], method, path), alone.ask(plain, tokens[alone][1], method, path)
			if r.tells && more == less {
				t.Errorf("%s %s tells nothing of zoo even to who may see it: the test shows nothing", method, path)
			}
		}
	}
}

// events reads a stream's data, one event after another.
func (h *house) events(token, path string) (next func() string) {
	h.Helper()
	req, err := http.NewRequestWithContext(h.Context(), http.MethodGet, h.url+path+"?lang=en", nil)
	if err != nil {
		h.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := plain.Do(req)
	if err != nil || resp.StatusCode != 200 {
		h.Fatalf("events: %v, %v", resp, err)
	}
	h.Cleanup(func() { resp.Body.Close() })
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 8<<20)
	return func() string {
		var event strings.Builder
		for lines.Scan() {
			if lines.Text() != "" && !strings.HasPrefix(lines.Text(), "retry:") {
				event.WriteString(lines.Text() + "\n")
			} else if event.Len() > 0 {
				return event.String()
			}
		}
		return "the end"
	}
}

// The same for the stream of events: what happens at another tenant's makes no event,
// and is in none.
func TestStreamsAreApart(t *testing.T) {
	var streams [2][]string
	for i, zoo := range []bool{true, false} {
		h := newHouse(t, nil)
		h.take("acme", "nord", nil)
		if zoo {
			h.take("zoo", "praxis", secretly)
		}
		token := h.token("viewer", "acme")
		next, box := h.events(token, "/events"), h.events(token, "/boxes/acme/nord/events")
		streams[i] = append(streams[i], next(), box())
		if zoo {
			h.take("zoo", "praxis", nil)
			h.take("zoo", "other", secretly)
		}
		h.take("acme", "nord", func(r *agent.Report) { r.Verdict = agent.VerdictLimited })
		streams[i] = append(streams[i], next(), box())
		if no := h.ask(plain, token, http.MethodGet, "/boxes/zoo/praxis/events"); no.code != http.StatusNotFound {
			t.Errorf("another tenant's box: %d", no.code)
		}
		all := h.events(h.token("viewer", "*"), "/events")
		if first := all(); zoo != strings.Contains(first, "geheim") {
			t.Errorf("who sees all sees zoo: %v", !zoo)
		}
		// A token that is revoked ends the stream before the next change is told.
		id, _, _ := strings.Cut(strings.TrimPrefix(token, "spf_"), "_")
		if err := access.RevokeToken(h.store, id); err != nil {
			t.Fatal(err)
		}
		h.take("acme", "nord", nil)
		if e, f := next(), box(); e != "the end" || f != "the end" {
			t.Errorf("after the token was revoked: %s %s", e, f)
		}
	}
	if !slices.Equal(streams[0], streams[1]) {
		t.Errorf("a viewer of acme sees zoo (+with, -without):\n%s", cmp.Diff(streams[1], streams[0]))
	}
	for _, m := range marks {
		if strings.Contains(strings.Join(streams[0], ""), m) {
			t.Errorf("the stream shows %q", m)
		}
	}
}
