package dashboard

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

// apiBox is one box of GET /api/boxes. Its fields are a contract.
type apiBox struct {
	Tenant       string             `json:"tenant"`
	Box          string             `json:"box"`
	Name         string             `json:"name,omitempty"`
	State        state              `json:"state"` // the verdict, or "silent"
	Verdict      agent.Verdict      `json:"verdict"`
	Silent       bool               `json:"silent"`
	Sentence     string             `json:"sentence"` // in the language asked for (?lang=)
	Capabilities agent.Capabilities `json:"capabilities"`
	Findings     []agent.Finding    `json:"findings"`
	Version      string             `json:"version,omitempty"`
	Clock        agent.Clock        `json:"clock,omitempty"`
	EventAt      time.Time          `json:"event_at,omitzero"`
	ArrivedAt    time.Time          `json:"arrived_at,omitzero"`
	FirstSeenAt  time.Time          `json:"first_seen_at,omitzero"`
	IntervalS    float64            `json:"interval_s,omitempty"`
	Boot         string             `json:"boot,omitempty"`
	Seq          uint64             `json:"seq"`
	Reports      uint64             `json:"reports_count"`
	Duplicates   uint64             `json:"duplicates_count"`
	Late         uint64             `json:"late_count"`
	Unreadable   uint64             `json:"unreadable_count"`
	// Where the box has called for help since it last reported.
	BlockedReason agent.Reason `json:"blocked_reason,omitempty"`
	BlockedAt     time.Time    `json:"blocked_at,omitzero"`
	Queued        int          `json:"queued_count"`  // reports that wait in the box
	Dropped       int64        `json:"dropped_count"` // reports that the box has lost
	Behind        bool         `json:"behind"`        // the newest report waits there: capabilities and findings are of the past
}

func (s *Server) boxes(w http.ResponseWriter, r *http.Request) {
	q := queryOf(r.URL.Query(), r.Header.Get("Accept-Language"))
	out := []apiBox{}
	for _, b := range s.fleet.now(s.conf.Registry) {
		if q.matches(b) {
			out = append(out, apiBoxOf(b, q.lang))
		}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(out) // who left does not read
}

func apiBoxOf(b registry.Box, lang advice.Lang) apiBox {
	r := b.Report
	a := apiBox{
		Tenant: b.Tenant, Box: b.Key.Box, Name: clean(r.Box.Name, 80), State: stateOf(b), Verdict: b.Verdict(), Silent: b.Silent,
		Sentence: sentence(b, lang), Capabilities: r.Capabilities, Findings: r.Findings, Version: r.Box.Version, Clock: r.Stamp.Clock,
		EventAt: b.EventAt, ArrivedAt: b.ArrivedAt, FirstSeenAt: b.FirstSeen, IntervalS: b.Interval.Seconds(), Boot: b.Boot, Seq: r.Seq,
		Reports: b.Reports, Duplicates: b.Duplicates, Late: b.Late, Unreadable: b.Unreadable,
		Queued: b.Beat.Queued, Dropped: b.Beat.Dropped, Behind: b.Behind(),
	}
	if b.Blocked() {
		a.BlockedReason, a.BlockedAt = b.Call.Reason, b.Call.At
	}
	if a.Findings == nil {
		a.Findings = []agent.Finding{}
	}
	return a
}
