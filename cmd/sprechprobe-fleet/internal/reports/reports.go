// Package reports reads the reports of a large fleet, as package fleet does, in half
// the time or less: reading them was most of what taking them costs. Of reports it
// keeps only what many say alike.
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
// case, and text has to be UTF-8. What is in the report is shared with others, and
// not to be changed.
func Decode(b []byte) (agent.Report, error) {
	if len(b) <= fleet.MaxReport {
		if r, ok := quickly(b, false); ok {
			return r, fleet.CheckReport(r)
		}
	}
	var r agent.Report
	if err := read(b, &r); err != nil {
		return agent.Report{}, err
	}
	return r, fleet.CheckReport(r)
}

// Brief reads a report without its evidence, which is the larger part of it: the
// findings rest on nothing then. It has to be JSON all the same.
func Brief(b []byte) (agent.Report, error) {
	if len(b) <= fleet.MaxReport {
		if r, ok := quickly(b, true); ok {
			return withoutProof(r)
		}
	}
	var brief struct {
		agent.Report
		Evidence jsontext.Value `json:"evidence"` // in place of the report's own
	}
	if err := read(b, &brief); err != nil {
		return agent.Report{}, err
	}
	return withoutProof(brief.Report)
}

func withoutProof(r agent.Report) (agent.Report, error) {
	for i := range r.Findings {
		r.Findings[i].Evidence = nil
	}
	return r, fleet.CheckReport(r)
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
