package metrics_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/metrics"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

var start = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

func take(t *testing.T, reg *registry.Registry, box string, seq uint64, alter func(*agent.Report)) {
	t.Helper()
	subject, err := fleet.ReportSubject("acme", box)
	if err != nil {
		t.Fatal(err)
	}
	r := agent.Report{Schema: agent.Schema, Box: agent.Box{ID: box}, Tenant: "acme", Seq: seq, Trigger: agent.OnSchedule,
		Stamp: agent.Stamp{At: start, Clock: agent.ClockSet}, Verdict: agent.Ready, Capabilities: agent.Capabilities{agent.Direct: agent.OK}}
	alter(&r)
	payload, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	reg.Take(subject, "boot", payload, start)
}

func blocked(code agent.Code) func(*agent.Report) {
	return func(r *agent.Report) {
		r.Verdict, r.Capabilities[agent.Direct] = agent.Blocked, agent.No
		r.Findings = []agent.Finding{{Code: code, Severity: agent.Critical, Cause: agent.CausePractice}}
	}
}

// scrape asks as a Prometheus does; accept is empty for the old text format.
func scrape(t *testing.T, m *metrics.Metrics, accept string) string {
	t.Helper()
	r := httptest.NewRequest("GET", "/metrics", nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	w := httptest.NewRecorder()
	m.Routes()[0].Handler(w, r)
	if w.Code != 200 || accept != "" && !strings.HasPrefix(w.Header().Get("Content-Type"), accept) {
		t.Fatalf("%d %s", w.Code, w.Header().Get("Content-Type"))
	}
	return w.Body.String()
}

func TestMetrics(t *testing.T) {
	reg := registry.New(registry.Config{Now: func() time.Time { return start }})
	m := metrics.New(metrics.Config{Fleet: reg, Open: func() map[string]int { return map[string]int{"isp": 2, "nonsense": 9} }, Waiting: func() int { return 3 }})
	for i := range 5 {
		take(t, reg, fmt.Sprint("fine-", i), 1, func(*agent.Report) {})
	}
	take(t, reg, "bad", 1, blocked(agent.UDPAllBlock))
	take(t, reg, "bad", 1, blocked(agent.UDPAllBlock)) // again
	reg.Take("sprechprobe.v1.acme.broken.up.report", "", []byte("{"), start)
	reg.Take("elsewhere", "", nil, start)
	reg.Call(registry.Key{Tenant: "acme", Box: "calls"}, registry.Call{Reason: agent.Timeout, At: start})
	m.Login(access.OpenID, "ok")
	m.Delivery("retry")
	m.Request("GET /{$}", 200, 30*time.Millisecond)
	m.Request("GET /events", 200, time.Hour)
	text := scrape(t, m, "")
	for _, line := range []string{
		`sprechprobe_boxes{state="ready"} 5`, `sprechprobe_boxes{state="blocked"} 1`, `sprechprobe_boxes{state="silent"} 1`, `sprechprobe_boxes{state="unknown"} 1`, `sprechprobe_boxes{state="offline"} 0`,
		`sprechprobe_boxes_capability{capability="direct",state="ok"} 5`, `sprechprobe_boxes_capability{capability="direct",state="no"} 1`,
		`sprechprobe_boxes_finding{cause="practice",code="udp-all-block",severity="critical"} 1`, `sprechprobe_boxes_calling 1`,
		`sprechprobe_reports_total 6`, `sprechprobe_reports_duplicate_total 1`, `sprechprobe_reports_unreadable_total 1`, `sprechprobe_messages_foreign_total 1`,
		`sprechprobe_bus_connected 1`, `sprechprobe_incidents_open{cause="isp"} 2`, `sprechprobe_incidents_open{cause="vendor"} 0`,
		`sprechprobe_webhook_messages_waiting 3`, `sprechprobe_webhook_deliveries_total{result="retry"} 1`, `sprechprobe_webhook_deliveries_total{result="ok"} 0`,
		`sprechprobe_logins_total{method="openid",result="ok"} 1`, `sprechprobe_http_requests_total{route="GET /events",status="2xx"} 1`,
		`sprechprobe_http_request_duration_seconds_count{route="GET /{$}"} 1`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	if strings.Contains(text, "acme") || strings.Contains(text, `duration_seconds_count{route="GET /events"}`) {
		t.Error("metrics name tenants, or time streams")
	}
	if problems, err := promlint.New(strings.NewReader(text)).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	open := scrape(t, m, "application/openmetrics-text")
	if !strings.HasSuffix(open, "# EOF\n") || !strings.Contains(open, "# TYPE sprechprobe_reports counter") {
		t.Errorf("OpenMetrics: %.200s", open)
	}
}

// However many boxes there are, and whatever they say, the number of series stays.
func TestCardinalityIsBounded(t *testing.T) {
	series := func(boxes int) int {
		reg := registry.New(registry.Config{Now: func() time.Time { return start }})
		for i := range boxes {
			take(t, reg, fmt.Sprint("box-", i), 1, blocked(agent.Code(fmt.Sprint("made-up-", i))))
		}
		n := 0
		for line := range strings.SplitSeq(scrape(t, metrics.New(metrics.Config{Fleet: reg}), ""), "\n") {
			if strings.HasPrefix(line, "sprechprobe_") {
				n++
			}
		}
		return n
	}
	if one, many := series(1), series(500); one != many || many > 100 {
		t.Errorf("one box makes %d series, 500 make %d", one, many)
	}
}

// Every metric that the Grafana dashboard and the alert rules name exists.
func TestPackagedNamesExist(t *testing.T) {
	m := metrics.New(metrics.Config{Fleet: registry.New(registry.Config{})})
	m.Request("GET /{$}", 200, time.Millisecond)
	all := scrape(t, m, "")
	reg := registry.New(registry.Config{Now: func() time.Time { return start }})
	take(t, reg, "bad", 1, blocked(agent.UDPAllBlock))
	all += scrape(t, metrics.New(metrics.Config{Fleet: reg}), "")
	named := regexp.MustCompile(`\bsprechprobe_[a-z_]+`)
	have := map[string]bool{}
	for _, name := range named.FindAllString(all, -1) {
		have[name] = true
	}
	for _, file := range []string{"grafana/sprechprobe-fleet.json", "prometheus/sprechprobe-fleet.rules.yml"} {
		text, err := os.ReadFile("../../../../packaging/" + file)
		if err != nil {
			t.Fatal(err)
		}
		names := named.FindAllString(string(text), -1)
		if len(names) < 9 {
			t.Errorf("%s names only %d metrics", file, len(names))
		}
		for _, name := range names {
			if !have[name] {
				t.Errorf("%s names %s, which does not exist", file, name)
			}
		}
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	text, err := os.ReadFile("../../../../packaging/grafana/sprechprobe-fleet.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			if !named.MatchString(target.Expr) {
				t.Errorf("panel %q asks for %q, which is none of ours", p.Title, target.Expr)
			}
		}
	}
}
