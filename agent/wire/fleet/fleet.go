// Package fleet defines what a box and its vendor say to each other over NATS:
// the subjects, the stream, and how a report is written and read. It opens no
// connection.
package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent"
)

const (
	// Prefix starts every subject; its number changes with the contract.
	Prefix = "sprechprobe.v1"
	// Stream is the JetStream stream that holds the reports.
	Stream = "SPRECHPROBE_REPORTS"
	// Reports are the subjects of all reports of all boxes.
	Reports = Prefix + ".*.*.up.report"

	// HeaderBoot carries the random id of the program's run, so that a report
	// is known by (box, boot, seq) however often it arrives.
	HeaderBoot = "Sprechprobe-Boot"

	// MaxReport is the largest report on the wire, and MaxSteady what a healthy
	// steady one is brought down to, bytes.
	MaxReport = 32 << 10
	MaxSteady = 4 << 10
)

// maxName keeps subjects short; NATS itself has no such limit.
const maxName = 63

// CheckName says whether s may stand as a tenant or box id in a subject. A name
// such as "*" would get the rights of every box, so nothing is signed,
// subscribed or published before it passed.
func CheckName(s string) error {
	ok := s != "" && len(s) <= maxName && s[0] != '-'
	for i := range len(s) {
		c := s[i]
		ok = ok && (c == '-' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9')
	}
	if !ok {
		return fmt.Errorf("name %.70q: want 1 to %d of a-z, 0-9 and -, not starting with -", s, maxName)
	}
	return nil
}

// ReportSubject is where a box publishes its reports.
func ReportSubject(tenant, box string) (string, error) {
	if err := CheckName(tenant); err != nil {
		return "", fmt.Errorf("tenant: %w", err)
	}
	if err := CheckName(box); err != nil {
		return "", fmt.Errorf("box: %w", err)
	}
	return strings.Join([]string{Prefix, tenant, box, "up", "report"}, "."), nil
}

// ParseReportSubject returns the tenant and box of a report's subject. The
// subject is what the server vouches for; the names inside a report are not.
func ParseReportSubject(s string) (tenant, box string, err error) {
	rest, ok := strings.CutPrefix(s, Prefix+".")
	parts := strings.Split(rest, ".")
	if !ok || len(parts) != 4 || parts[2] != "up" || parts[3] != "report" {
		return "", "", fmt.Errorf("subject %.100q is not a report's", s)
	}
	if err := errors.Join(CheckName(parts[0]), CheckName(parts[1])); err != nil {
		return "", "", fmt.Errorf("subject %.100q: %w", s, err)
	}
	return parts[0], parts[1], nil
}

// Encode writes a report for the wire. A report that brings no news, which is
// one without findings above info, is brought down to [MaxSteady]: of what
// answered only the round trip and the wait stay, then the names that resolved
// go. A report over [MaxReport] loses the values of its evidence, the names that
// resolved, the evidence on which no finding rests, and at last all but the first
// of what each rests on and the least of many findings. Verdict, capabilities and
// the gravest findings stay in any case.
func Encode(r agent.Report) ([]byte, error) {
	steps := []step{{MaxReport, withoutValues}, {MaxReport, withoutNames}, {MaxReport, onlyProof}, {MaxReport, briefly}}
	if !hasNews(r) {
		steps = append([]step{{MaxSteady, lean}, {MaxSteady, withoutReasons}, {MaxSteady, withoutNames}, {MaxSteady, withoutLine}}, steps...)
	}
	b, err := json.Marshal(r)
	for _, s := range steps {
		if err == nil && len(b) > s.limit {
			r = s.cut(r)
			b, err = json.Marshal(r)
		}
	}
	if err == nil && len(b) > MaxReport {
		err = fmt.Errorf("report of %d bytes is over %d even when cut", len(b), MaxReport)
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Decode reads a report from the wire. It accepts unknown fields (a newer box)
// but no unknown schema, no oversized message and no evidence index that
// points nowhere.
func Decode(b []byte) (agent.Report, error) {
	if len(b) > MaxReport {
		return agent.Report{}, fmt.Errorf("report of %d bytes is over %d", len(b), MaxReport)
	}
	var r agent.Report
	if err := json.Unmarshal(b, &r); err != nil {
		return agent.Report{}, fmt.Errorf("report: %w", err)
	}
	if err := CheckReport(r); err != nil {
		return agent.Report{}, err
	}
	return r, nil
}

// CheckReport says what is wrong with a report that was read: a schema that we do not
// know, or an evidence index that points nowhere.
func CheckReport(r agent.Report) error {
	if err := CheckSchema(r.Schema, agent.Schema); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	for _, f := range r.Findings {
		for _, i := range f.Evidence {
			if i < 0 || i >= len(r.Evidence) {
				return fmt.Errorf("report: finding %.60q rests on evidence %d of %d", f.Code, i, len(r.Evidence))
			}
		}
	}
	return nil
}
