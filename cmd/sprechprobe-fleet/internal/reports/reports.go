// Package reports reads the reports of a large fleet, as package fleet does, in half
// the time or less: reading them is most of what taking them costs. It keeps
// nothing.
package reports

import (
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// Decode reads a report from the wire by the rules of [fleet.Decode]. It is
// stricter with the JSON itself (RFC 7493): no name may come twice or in another
// case, and text has to be UTF-8.
func Decode(b []byte) (agent.Report, error) {
	var r agent.Report
	if err := read(b, &r); err != nil {
		return agent.Report{}, err
	}
	return r, fleet.CheckReport(r)
}

// Brief reads a report without its evidence, which is the larger part of it: the
// findings rest on nothing then. It has to be JSON all the same.
func Brief(b []byte) (agent.Report, error) {
	var brief struct {
		agent.Report
		Evidence jsontext.Value `json:"evidence"` // in place of the report's own
	}
	if err := read(b, &brief); err != nil {
		return agent.Report{}, err
	}
	for i := range brief.Findings {
		brief.Findings[i].Evidence = nil
	}
	return brief.Report, fleet.CheckReport(brief.Report)
}

func read(b []byte, into any) error {
	if len(b) > fleet.MaxReport {
		return fmt.Errorf("report of %d bytes is over %d", len(b), fleet.MaxReport)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}
