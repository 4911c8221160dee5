package api

import (
	"cmp"
	"encoding/csv"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/audit"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

// Box is one box as the interface tells it. Its fields are a contract.
type Box struct {
	Tenant       string             `json:"tenant"`
	Box          string             `json:"box"`
	Name         string             `json:"name,omitempty"`
	State        registry.State     `json:"state"` // the verdict, or "silent"
	Verdict      agent.Verdict      `json:"verdict"`
	Silent       bool               `json:"silent"`
	Sentence     string             `json:"sentence"` // in the language asked for; empty: nothing could be read
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
	Twin          bool         `json:"twin"`          // two machines speak as this box: a copied card
	Behind        bool         `json:"behind"`        // the newest report waits there: capabilities and findings are of the past
}

type boxPage struct {
	Boxes []Box  `json:"boxes"`
	Next  string `json:"next,omitempty"` // for ?after=; absent: that was all
}

// oneBox is a box with the newest report that could be read.
type oneBox struct {
	Box
	Report *agent.Report `json:"report,omitempty"`
}

// incident is one cause that many boxes have in common, or had.
type incident struct {
	ID        string         `json:"id"`
	Cause     string         `json:"cause"` // vendor or isp
	Target    string         `json:"target,omitempty"`
	Provider  string         `json:"provider,omitempty"` // the ISP, where it is one
	StartedAt time.Time      `json:"started_at"`
	EndedAt   time.Time      `json:"ended_at,omitzero"` // absent while it goes on
	Boxes     map[string]int `json:"boxes"`             // by tenant: only those that the asker may see
}

type incidentList struct {
	Incidents []incident `json:"incidents"`
}

type auditPage struct {
	Entries []audit.Entry `json:"entries"`
	Next    string        `json:"next,omitempty"`
}

func boxOf(b registry.Box, lang advice.Lang) Box {
	r := b.Report
	a := Box{
		Tenant: b.Tenant, Box: b.Key.Box, Name: clean(r.Box.Name), State: b.State(), Verdict: b.Verdict(), Silent: b.Silent,
		Capabilities: r.Capabilities, Findings: r.Findings, Version: clean(r.Box.Version), Clock: r.Stamp.Clock,
		EventAt: b.EventAt, ArrivedAt: b.ArrivedAt, FirstSeenAt: b.FirstSeen, IntervalS: b.Interval.Seconds(), Boot: b.Boot, Seq: r.Seq,
		Reports: b.Reports, Duplicates: b.Duplicates, Late: b.Late, Unreadable: b.Unreadable,
		Queued: b.Beat.Queued, Dropped: b.Beat.Dropped, Behind: b.Behind(), Twin: b.Twin(),
	}
	if b.Blocked() {
		a.BlockedReason, a.BlockedAt = b.Call.Reason, b.Call.At
	}
	switch {
	case b.Behind():
		a.Sentence = advice.VerdictWord(b.Verdict(), lang)
	case r.Schema != "":
		a.Sentence = advice.Sentence(r, lang)
	}
	if a.Findings == nil {
		a.Findings = []agent.Finding{}
	}
	if a.Capabilities == nil {
		a.Capabilities = agent.Capabilities{}
	}
	return a
}

// clean makes a box's own words printable and short.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 80 {
		return string(r[:80]) + "…"
	}
	return s
}

// summary counts what the asker may see.
type summary struct {
	Boxes    int                    `json:"boxes"`
	States   map[registry.State]int `json:"states"`
	Findings []findingCount         `json:"findings"` // most boxes first
}

type findingCount struct {
	Code  agent.Code  `json:"code"`
	Cause agent.Cause `json:"cause"`
	Boxes int         `json:"boxes"`
}

func summaryOf(boxes []registry.Box) summary {
	s := summary{Boxes: len(boxes), States: map[registry.State]int{}, Findings: []findingCount{}}
	type kind struct {
		code  agent.Code
		cause agent.Cause
	}
	by := map[kind]int{}
	for _, st := range registry.States {
		s.States[st] = 0
	}
	for _, b := range boxes {
		s.States[b.State()]++
		seen := map[kind]bool{}
		for _, f := range b.Report.Findings {
			seen[kind{f.Code, f.Cause}] = true
		}
		for k := range seen {
			by[k]++
		}
	}
	for k, n := range by {
		s.Findings = append(s.Findings, findingCount{k.code, k.cause, n})
	}
	slices.SortFunc(s.Findings, func(a, b findingCount) int {
		return cmp.Or(cmp.Compare(b.Boxes, a.Boxes), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Cause, b.Cause))
	})
	return s
}

var boxHead = []string{"tenant", "box", "name", "state", "verdict", "silent", "findings", "causes", "targets", "version", "event_at", "arrived_at",
	"first_seen_at", "interval_s", "reports_count", "late_count", "unreadable_count", "sentence"}

func (b Box) cells() []string {
	var codes, causes, targets []string
	for _, f := range b.Findings {
		codes, causes, targets = append(codes, string(f.Code)), append(causes, f.Cause.String()), append(targets, f.Target)
	}
	return []string{b.Tenant, b.Box, b.Name, string(b.State), b.Verdict.String(), strconv.FormatBool(b.Silent), strings.Join(codes, " "),
		strings.Join(causes, " "), strings.Join(targets, " "), b.Version, stamp(b.EventAt), stamp(b.ArrivedAt), stamp(b.FirstSeenAt),
		strconv.FormatFloat(b.IntervalS, 'f', -1, 64), numeral(b.Reports), numeral(b.Late), numeral(b.Unreadable), b.Sentence}
}

var auditHead = []string{"no", "at", "who", "method", "from", "what", "tenant", "object", "result", "prev"}

func auditCells(e audit.Entry) []string {
	return []string{numeral(e.No), stamp(e.At), e.Who, e.Method, e.From, e.What, e.Tenant, e.Object, e.Result, e.Prev}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// sendCSV writes a table (RFC 4180).
func sendCSV[T any](w http.ResponseWriter, name string, head []string, rows []T, cells func(T) []string) {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`.csv"`)
	out := csv.NewWriter(w)
	out.UseCRLF = true
	_ = out.Write(head) // who left does not read
	for _, r := range rows {
		_ = out.Write(Inert(cells(r)))
	}
	out.Flush()
}

// Inert keeps spreadsheets from running what a box has written (OWASP, CSV
// injection).
func Inert(cells []string) []string {
	for i, c := range cells {
		if c != "" && strings.ContainsRune("=+-@\t\r", rune(c[0])) {
			cells[i] = "'" + c
		}
	}
	return cells
}
