package api_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/alert"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/api"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/audit"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

var update = flag.Bool("update", false, "write docs/openapi.json again")

const docFile = "../../../../docs/openapi.json"

var start = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

// desk is the interface over boxes that the test makes. Nobody has to log in.
type desk struct {
	*testing.T
	reg  *registry.Registry
	log  *audit.Log
	http http.Handler
	doc  *openapi3.T
	find routers.Router
	seq  uint64
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{T: t, reg: registry.New(registry.Config{Now: func() time.Time { return start }}), log: audit.Open(filepath.Join(t.TempDir(), "audit.jsonl"))}
	s, err := api.New(api.Config{Boxes: d.reg, Audit: d.log, Past: tuesday{}, Incidents: func() []alert.Incident {
		return []alert.Incident{{ID: "i1", Cause: "vendor", Target: "turn.example:3478/udp", StartedAt: start,
			Members: map[registry.Key]bool{{Tenant: "acme", Box: "nord"}: true}}}
	}})
	if err != nil {
		t.Fatal(err)
	}
	g, err := access.New(access.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if d.http, err = g.Handler(s.Routes()); err != nil {
		t.Fatal(err)
	}
	d.doc, err = openapi3.NewLoader().LoadFromData(d.get("/api/v1/openapi.json").Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if d.find, err = gorillamux.NewRouter(d.doc); err != nil {
		t.Fatal(err)
	}
	return d
}

// tuesday is a past with one outage, of which it tells whoever asks for that day.
type tuesday struct{}

func (tuesday) Incidents(_ context.Context, q history.IncidentQuery) ([]history.Incident, error) {
	at := start.Add(-72 * time.Hour)
	if q.From.After(at) || !q.Until.IsZero() && q.Until.Before(at) {
		return nil, nil
	}
	return []history.Incident{{ID: "i0", Target: "turn.example:3478/udp", Cause: agent.CauseISP, ISP: "AS64500", FromAt: at, UntilAt: at.Add(time.Hour), Boxes: map[string]int{"acme": 3}}}, nil
}

func (d *desk) get(path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	d.http.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

// input is a question as the description's validator wants it.
func (d *desk) input(path string) *openapi3filter.RequestValidationInput {
	d.Helper()
	req := httptest.NewRequest(http.MethodGet, path, nil)
	route, params, err := d.find.FindRoute(req)
	if err != nil {
		d.Fatalf("GET %s is not described: %v", path, err)
	}
	return &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
}

// validate says how an answer differs from the description.
func (d *desk) validate(path string, code int, h http.Header, body string) error {
	return openapi3filter.ValidateResponse(d.Context(), &openapi3filter.ResponseValidationInput{RequestValidationInput: d.input(path), Status: code,
		Header: h, Body: io.NopCloser(strings.NewReader(body))})
}

// check asks, and holds question and answer against the description.
func (d *desk) check(path string, code int) string {
	d.Helper()
	if err := openapi3filter.ValidateRequest(d.Context(), d.input(path)); (err == nil) != (code == 200) && code != 404 {
		d.Errorf("GET %s is answered by %d, but by the description: %v", path, code, err)
	}
	w := d.get(path)
	body := w.Body.String()
	if w.Code != code {
		d.Fatalf("GET %s: %d, want %d: %s", path, w.Code, code, body)
	}
	if err := d.validate(path, code, w.Header(), body); err != nil {
		d.Errorf("GET %s: the answer is not as described: %v", path, err)
	}
	return body
}

func (d *desk) take(tenant, box string, alter func(*agent.Report)) {
	d.Helper()
	subject, err := fleet.ReportSubject(tenant, box)
	if err != nil {
		d.Fatal(err)
	}
	d.seq++
	caps := agent.Capabilities{agent.Direct: agent.OK, agent.Relay: agent.OK}
	r := agent.Report{Schema: agent.Schema, Box: agent.Box{ID: box, Name: "Praxis " + box, Version: "1.2.3", Platform: "linux/arm"}, Tenant: tenant, Seq: d.seq,
		Trigger: agent.OnSchedule, Stamp: agent.Stamp{At: start, Clock: agent.ClockSet, UptimeS: 1}, Verdict: agent.Ready, Capabilities: caps,
		Profiles: []agent.ProfileResult{{Name: "demo", Version: "1", Verdict: agent.Ready, Capabilities: caps}}}
	if alter != nil {
		alter(&r)
	}
	payload, err := json.Marshal(r)
	if err != nil {
		d.Fatal(err)
	}
	d.reg.Take(subject, "boot", payload, start)
}

func broken(r *agent.Report) {
	r.Verdict, r.Box.Version = agent.Blocked, "1.3.0"
	r.Findings = []agent.Finding{{Code: agent.UDPAllBlock, Severity: agent.Critical, Cause: agent.CausePractice, Profile: "demo",
		SinceAt: start.Add(-time.Hour), Args: map[string]string{"hosts": "turn.example", "ports": "3478"}, Evidence: []int{0}}}
	r.Evidence = []agent.Evidence{agent.See(agent.ProbeSTUN, agent.Target{Host: "turn.example", Port: 3478, Transport: agent.UDP}, agent.Silent, agent.Timeout)}
}

// The description is what docs hold, is valid, and answers are as it says.
func TestAnswersAreAsDescribed(t *testing.T) {
	d := newDesk(t)
	if err := d.doc.Validate(t.Context()); err != nil {
		t.Errorf("the description is not valid: %v", err)
	}
	served := d.get("/api/v1/openapi.json").Body.Bytes()
	if *update {
		if err := os.WriteFile(docFile, served, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if kept, err := os.ReadFile(docFile); err != nil || string(kept) != string(served) {
		t.Errorf("docs/openapi.json is not what is served (%v): go test ./cmd/sprechprobe-fleet/internal/api -update", err)
	}
	d.take("acme", "nord", nil)
	d.take("acme", "sued", broken)
	d.reg.Take("sprechprobe.v1.acme.broken.up.report", "", []byte(`{`), start)
	d.reg.Call(registry.Key{Tenant: "acme", Box: "calls"}, registry.Call{Reason: agent.TLSUnknownCA, At: start})
	for _, who := range []string{"ada", "ada", "sam"} {
		if err := d.log.Add(audit.Entry{Who: who, Method: "password", What: "login", Result: "ok"}); err != nil {
			t.Fatal(err)
		}
	}
	asked := map[string]bool{}
	for _, path := range []string{
		"/api/v1/me", "/api/v1/boxes", "/api/v1/boxes?lang=en&state=blocked&cause=practice&finding=udp-all-block&tenant=acme&version=1.3.0&q=sued&limit=7",
		"/api/v1/boxes?format=csv", "/api/v1/boxes/acme/nord", "/api/v1/boxes/acme/sued?lang=en", "/api/v1/boxes/acme/broken", "/api/v1/boxes/acme/calls",
		"/api/v1/summary", "/api/v1/incidents", "/api/v1/incidents?since=2026-11-17T00:00:00Z&until=2026-11-18T00:00:00Z", "/api/v1/audit", "/api/v1/audit?limit=2", "/api/v1/audit?format=csv",
	} {
		d.check(path, 200)
		route, _, err := d.find.FindRoute(httptest.NewRequest(http.MethodGet, path, nil))
		if err != nil {
			t.Fatal(err)
		}
		asked[route.Path] = true
	}
	for path := range d.doc.Paths.Map() {
		if !asked[path] {
			t.Errorf("%s is described, and not tested", path)
		}
	}
	for _, path := range []string{
		"/api/v1/boxes?state=nonsense", "/api/v1/boxes?cause=nonsense", "/api/v1/boxes?limit=0", "/api/v1/boxes?limit=10001", "/api/v1/boxes?limit=x",
		"/api/v1/boxes?format=xml", "/api/v1/boxes?lang=fr", "/api/v1/boxes/acme/nord?lang=fr", "/api/v1/audit?limit=-1",
	} {
		d.check(path, 400)
	}
	// What a description cannot say.
	for _, path := range []string{"/api/v1/boxes?sate=blocked", "/api/v1/me?x=1", "/api/v1/boxes?after=nonsense", "/api/v1/audit?after=x"} {
		if w := d.get(path); w.Code != 400 || !strings.Contains(w.Body.String(), `"error"`) {
			t.Errorf("GET %s: %d %s", path, w.Code, w.Body)
		}
	}
	d.check("/api/v1/boxes/acme/none", 404)
	// An answer that is not as described is noticed.
	for _, wrong := range []string{`{"boxes":7}`, `{}`, `{"boxes":[{"tenant":"acme"}]}`, `{"boxes":[],"next":1}`} {
		if err := d.validate("/api/v1/boxes", 200, http.Header{"Content-Type": {"application/json"}}, wrong); err == nil {
			t.Errorf("%s passes for a page of boxes", wrong)
		}
	}
}

func TestBoxes(t *testing.T) {
	d := newDesk(t)
	d.take("acme", "nord", nil)
	d.take("acme", "sued", broken)
	var got struct {
		Boxes []struct {
			Box, State, Sentence string
			Findings             []struct{ Code string }
			ArrivedAt            time.Time `json:"arrived_at"`
			Reports              int       `json:"reports_count"`
		}
	}
	body := d.check("/api/v1/boxes?lang=en", 200)
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if b := got.Boxes; len(b) != 2 || b[0].Box != "nord" || b[0].State != "ready" || !b[0].ArrivedAt.Equal(start) || b[0].Reports != 1 ||
		b[1].State != "blocked" || b[1].Sentence == "" || len(b[1].Findings) != 1 || b[1].Findings[0].Code != "udp-all-block" {
		t.Errorf("boxes: %+v", b)
	}
	if !strings.Contains(body, `"findings":[]`) {
		t.Errorf("no findings are not an empty list: %s", body)
	}
	for q, want := range map[string]int{"state=blocked": 1, "state=silent": 0, "cause=practice": 1, "cause=isp": 0, "finding=udp-all-block": 1,
		"finding=dns-fail": 0, "version=1.2.3": 1, "tenant=acme": 2, "tenant=zoo": 0, "q=SUED": 1, "q=acme": 2, "after=acme/nord": 1, "after=acme/z": 0} {
		if err := json.Unmarshal([]byte(d.check("/api/v1/boxes?"+q, 200)), &got); err != nil || len(got.Boxes) != want {
			t.Errorf("?%s: %d boxes, want %d; %v", q, len(got.Boxes), want, err)
		}
	}
	if body := d.check("/api/v1/summary", 200); !strings.Contains(body, `"boxes":2`) || !strings.Contains(body, `{"code":"udp-all-block","cause":"practice","boxes":1}`) {
		t.Error(body)
	}
	if body := d.check("/api/v1/boxes/acme/sued", 200); !strings.Contains(body, `"report":{"schema":"sprechprobe.report/1"`) {
		t.Error(body)
	}
}

// All pages together are all boxes, each once, also while boxes change.
func TestPages(t *testing.T) {
	d := newDesk(t)
	for i := range 250 {
		d.take([]string{"acme", "zoo"}[i%2], fmt.Sprintf("box-%03d", i), nil)
	}
	seen := map[string]int{}
	path := "/api/v1/boxes?limit=40"
	for n := 0; path != ""; n++ {
		if n > 10 {
			t.Fatal("the pages have no end")
		}
		w := d.get(path)
		var got struct {
			Boxes []struct{ Tenant, Box string }
			Next  string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		for _, b := range got.Boxes {
			seen[b.Tenant+"/"+b.Box]++
		}
		link, _, more := strings.Cut(strings.TrimPrefix(w.Header().Get("Link"), "<"), `>; rel="next"`)
		if more != (got.Next != "") {
			t.Fatalf("next %q, link %q", got.Next, w.Header().Get("Link"))
		}
		path = link
		d.take("acme", "box-000", broken)
		d.take("aaa", fmt.Sprint("new-", n), nil)
	}
	for i := range 250 {
		if n := seen[[]string{"acme", "zoo"}[i%2]+fmt.Sprintf("/box-%03d", i)]; n != 1 {
			t.Errorf("box %d comes %d times", i, n)
		}
	}
}

// What a box says of itself does nothing in a spreadsheet.
func TestCSV(t *testing.T) {
	d := newDesk(t)
	d.take("acme", "evil", func(r *agent.Report) { r.Box.Name, r.Box.Version = "=cmd|' /C calc'!A0,\"\n", "+1\u202e" })
	w := d.get("/api/v1/boxes?format=csv")
	rows, err := csv.NewReader(w.Body).ReadAll()
	if err != nil || len(rows) != 2 || rows[0][0] != "tenant" {
		t.Fatalf("%v, %v", rows, err)
	}
	if rows[1][1] != "evil" || rows[1][2] != `'=cmd|' /C calc'!A0,"` || rows[1][9] != "'+1" {
		t.Errorf("%q", rows[1])
	}
	if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/csv") || !strings.Contains(w.Header().Get("Content-Disposition"), "attachment") {
		t.Errorf("header %v", w.Header())
	}
}
