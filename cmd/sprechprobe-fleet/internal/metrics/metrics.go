// Package metrics tells a Prometheus how the fleet and this program are (OpenMetrics
// 1.0). It counts and names no box: what a label can say is bounded by this program
// alone, however many boxes there are and whatever they say of themselves.
package metrics

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/cmd/internal/buildinfo"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

// Fleet knows every box. A [registry.Registry] does.
type Fleet interface {
	Boxes() []registry.Box
	Stats() registry.Stats
}

// Config says of what to tell. Fleet is needed.
type Config struct {
	Fleet Fleet
	Bus   func() bool           // whether the bus is there; nil: always
	Open  func() map[string]int // incidents that go on, by cause; nil: none are known
	// Waiting is how many messages have not been delivered; nil: none are sent.
	Waiting func() int
}

// Metrics counts and tells. It is safe for concurrent use.
type Metrics struct {
	conf       Config
	registry   *prometheus.Registry
	requests   *prometheus.CounterVec
	took       *prometheus.HistogramVec
	logins     *prometheus.CounterVec
	deliveries *prometheus.CounterVec
}

// New makes the metrics.
func New(c Config) *Metrics {
	if c.Bus == nil {
		c.Bus = func() bool { return true }
	}
	if c.Open == nil {
		c.Open = func() map[string]int { return nil }
	}
	if c.Waiting == nil {
		c.Waiting = func() int { return 0 }
	}
	m := &Metrics{conf: c, registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sprechprobe_http_requests_total",
			Help: "Requests, by row of the table of routes and kind of answer."}, []string{"route", "status"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sprechprobe_http_request_duration_seconds",
			Help: "Time to answer, without streams of events.", Buckets: []float64{.005, .02, .1, .5, 2, 10}}, []string{"route"}),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sprechprobe_logins_total",
			Help: "Tries to log in, by method and result."}, []string{"method", "result"}),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sprechprobe_webhook_deliveries_total",
			Help: "Tries to deliver a message to a webhook, by result: ok, retry, dropped."}, []string{"result"}),
	}
	for _, result := range []string{"ok", "retry", "dropped"} {
		m.deliveries.WithLabelValues(result) // rates need the zero before the first
	}
	for _, result := range []string{"ok", "refused", "limited"} {
		m.logins.WithLabelValues(string(access.Password), result)
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "sprechprobe_fleet_info", Help: "Version of the fleet's program.",
		ConstLabels: prometheus.Labels{"version": buildinfo.Version()}})
	info.Set(1)
	m.registry.MustRegister(m.requests, m.took, m.logins, m.deliveries, info, fleet{m},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Routes is the one row that tells all of it. It counts boxes of all tenants.
func (m *Metrics) Routes() []access.Route {
	h := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
	return []access.Route{{Pattern: "GET /metrics", Role: access.Viewer, Reach: access.Fleet, Handler: h.ServeHTTP}}
}

// Request counts an answer.
func (m *Metrics) Request(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status/100)+"xx").Inc()
	if !strings.HasSuffix(route, "/events") {
		m.took.WithLabelValues(route).Observe(took.Seconds())
	}
}

// Login counts a try to log in.
func (m *Metrics) Login(method access.Method, result string) {
	m.logins.WithLabelValues(string(method), result).Inc()
}

// Delivery counts a try to deliver a message.
func (m *Metrics) Delivery(result string) { m.deliveries.WithLabelValues(result).Inc() }

// fleet counts boxes when it is asked.
type fleet struct{ *Metrics }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("sprechprobe_"+name, help, labels, nil)
}

var (
	boxes        = desc("boxes", "Boxes by state: their verdict, or silent.", "state")
	capabilities = desc("boxes_capability", "Boxes that were heard of lately, by capability and its state.", "capability", "state")
	findings     = desc("boxes_finding", "Boxes with a finding, by its code, cause and severity.", "code", "cause", "severity")
	calling      = desc("boxes_calling", "Boxes that call for help by name look-ups, for nothing else gets through.")
	reports      = desc("reports_total", "Reports that were taken.")
	duplicates   = desc("reports_duplicate_total", "Reports that had come before.")
	late         = desc("reports_late_total", "Reports that were older than one that had come.")
	unreadable   = desc("reports_unreadable_total", "Reports that could not be read.")
	foreign      = desc("messages_foreign_total", "Messages on subjects that are no report's.")
	refused      = desc("messages_refused_total", "Messages of boxes beyond the limit.")
	bus          = desc("bus_connected", "1 while the bus is there.")
	incidents    = desc("incidents_open", "Incidents that go on, by cause.", "cause")
	waiting      = desc("webhook_messages_waiting", "Messages that are still to be delivered.")
)

// Describe implements [prometheus.Collector].
func (fleet) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{boxes, capabilities, findings, calling, reports, duplicates, late, unreadable, foreign, refused, bus, incidents, waiting} {
		c <- d
	}
}

// Collect implements [prometheus.Collector].
func (f fleet) Collect(c chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, n int, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	counter := func(d *prometheus.Desc, n uint64) {
		c <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n))
	}
	t := tallyOf(f.conf.Fleet.Boxes())
	for _, st := range registry.States {
		gauge(boxes, t.states[st], string(st))
	}
	for k, n := range t.capabilities {
		gauge(capabilities, n, string(k.capability), k.state.String())
	}
	for k, n := range t.findings {
		gauge(findings, n, string(k.code), k.cause.String(), k.severity.String())
	}
	gauge(calling, t.calling)
	counter(reports, t.reports)
	counter(duplicates, t.duplicates)
	counter(late, t.late)
	counter(unreadable, t.unreadable)
	st := f.conf.Fleet.Stats()
	counter(foreign, st.Foreign)
	counter(refused, st.Refused)
	there := 0
	if f.conf.Bus() {
		there = 1
	}
	gauge(bus, there)
	open := f.conf.Open()
	for _, cause := range []agent.Cause{agent.CauseVendor, agent.CauseISP} {
		gauge(incidents, open[cause.String()], cause.String())
	}
	gauge(waiting, f.conf.Waiting())
}

type ability struct {
	capability agent.Capability
	state      agent.State
}

type kind struct {
	code     agent.Code
	cause    agent.Cause
	severity agent.Severity
}

// tally is the fleet, counted.
type tally struct {
	states                                map[registry.State]int
	capabilities                          map[ability]int
	findings                              map[kind]int
	calling                               int
	reports, duplicates, late, unreadable uint64
}

// other stands for codes that this program does not know.
const other agent.Code = "other"

func tallyOf(all []registry.Box) tally {
	t := tally{states: map[registry.State]int{}, capabilities: map[ability]int{}, findings: map[kind]int{}}
	known := map[agent.Code]bool{}
	for _, c := range agent.Codes {
		known[c] = true
	}
	for _, c := range agent.AllCapabilities {
		for _, st := range []agent.State{agent.Unknown, agent.OK, agent.Limited, agent.No} {
			t.capabilities[ability{c, st}] = 0
		}
	}
	for _, b := range all {
		t.states[b.State()]++
		t.reports += b.Reports
		t.duplicates += b.Duplicates
		t.late += b.Late
		t.unreadable += b.Unreadable
		if b.Blocked() {
			t.calling++
		}
		if b.Silent || b.Behind() || b.Report.Schema == "" {
			continue // what it said last says nothing of now
		}
		for _, c := range agent.AllCapabilities {
			t.capabilities[ability{c, b.Report.Capabilities[c]}]++
		}
		var seen []kind
		for _, f := range b.Report.Findings {
			k := kind{f.Code, f.Cause, f.Severity}
			if !known[f.Code] {
				k.code = other
			}
			if !slices.Contains(seen, k) {
				seen = append(seen, k)
				t.findings[k]++
			}
		}
	}
	return t
}
