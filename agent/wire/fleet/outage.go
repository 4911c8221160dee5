package fleet

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
)

const (
	// OutageAsks are the subjects on which boxes ask whether what they suffer from is
	// an outage that the vendor knows of. They are requests without contents, answered
	// by [Outages].
	OutageAsks = Prefix + ".*.*.up.outage"

	// OutageSchema is the number of the contract about that.
	OutageSchema = "sprechprobe.outage/1"
	// MaxOutages is the largest answer on the wire, bytes, and MostOutages how many
	// it may name.
	MaxOutages  = 8 << 10
	MostOutages = 16
	// MostOutageS is how long an answer may hold, seconds.
	MostOutageS = 900
)

// Outages are the faults that are no practice's own and that one box suffers from,
// as the vendor sees it by what many boxes say. They change what the box says to
// people, and nothing else: no verdict, no light, no report.
type Outages struct {
	Schema  string   `json:"schema"`
	ForS    int64    `json:"for_s"` // seconds for which this holds after it came
	Outages []Outage `json:"outages"`
}

// Outage is one of them.
type Outage struct {
	Target string      `json:"target"`  // see [OutageTarget]
	Cause  agent.Cause `json:"cause"`   // vendor or isp
	FromAt time.Time   `json:"from_at"` // a finding that is older is the practice's own
}

// OutageAsk is where the box asks.
func (a Address) OutageAsk() string { return a.subject("up.outage") }

// ParseOutageAsk returns who asks on a subject.
func ParseOutageAsk(subject string) (Address, error) { return parseAsk(subject, ".outage") }

// DecodeOutages reads an answer. It accepts unknown fields, but no unknown schema,
// no other cause, and nothing without an end.
func DecodeOutages(b []byte) (Outages, error) {
	if len(b) > MaxOutages {
		return Outages{}, fmt.Errorf("outages of %d bytes are over %d", len(b), MaxOutages)
	}
	var o Outages
	if err := json.Unmarshal(b, &o); err != nil {
		return Outages{}, fmt.Errorf("outages: %w", err)
	}
	if err := CheckSchema(o.Schema, OutageSchema); err != nil {
		return Outages{}, fmt.Errorf("outages: %w", err)
	}
	if o.ForS < 1 || o.ForS > MostOutageS || len(o.Outages) > MostOutages {
		return Outages{}, fmt.Errorf("outages: %d for %d s, want at most %d for 1 to %d s", len(o.Outages), o.ForS, MostOutages, MostOutageS)
	}
	for _, one := range o.Outages {
		if one.Target == "" || one.FromAt.IsZero() || one.Cause != agent.CauseVendor && one.Cause != agent.CauseISP {
			return Outages{}, fmt.Errorf("outages: target %.60q, cause %s, from %v", one.Target, one.Cause, one.FromAt)
		}
	}
	return o, nil
}

// OutageTarget is what a finding is about, if others can have the same: a target of
// the service, several of them with their ports, or the provider's line. It is empty
// where a fault is a practice's own by its nature.
func OutageTarget(f agent.Finding) string {
	hosts, ports := cmp.Or(f.Args["hosts"], f.Args["host"]), cmp.Or(f.Args["ports"], f.Args["port"])
	switch {
	case f.Severity < agent.Major || f.Cause == agent.CauseBox:
		return ""
	case f.Target != "":
		return f.Target
	case hosts != "" && ports != "":
		return hosts + ":" + ports
	case f.Cause == agent.CauseISP:
		return string(f.Code)
	}
	return ""
}

// Explain returns a report whose findings name the cause that outages give them,
// marked by [agent.ArgOutage]. Everything else stays as it is, the verdict too. A
// finding that is older than the outage stays the practice's own, and so do all
// where the box does not know the time.
func (o Outages) Explain(r agent.Report) agent.Report {
	if r.Stamp.Clock != agent.ClockSet {
		return r
	}
	var findings []agent.Finding
	for n, f := range r.Findings {
		i := slices.IndexFunc(o.Outages, func(one Outage) bool { return OutageTarget(f) == one.Target && !f.SinceAt.Before(one.FromAt) })
		if i < 0 {
			continue
		}
		if findings == nil {
			findings = slices.Clone(r.Findings)
		}
		args := map[string]string{agent.ArgOutage: o.Outages[i].Cause.String()}
		for k, v := range f.Args {
			args[k] = v
		}
		findings[n].Cause, findings[n].Args = o.Outages[i].Cause, args
	}
	if findings != nil {
		r.Findings = findings
	}
	return r
}
