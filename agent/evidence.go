package agent

import (
	"context"
	"maps"
	"time"
)

// A Probe looks at one narrowed target (see [Target.At]) and says what it saw.
// It returns before ctx ends, leaks nothing, and returns NotLooked when ctx
// ended before it could know: a cancelled look is not a failed one.
type Probe func(ctx context.Context, t Target) Evidence

// ProbeName names a probe in reports, in lower-kebab-case.
type ProbeName string

// The probes of the box.
const (
	ProbeLink      ProbeName = "link"      // the local side: carrier, address, gateway, clock
	ProbeDNS       ProbeName = "dns"       // a name, asked of the practice's own resolver
	ProbeWeb       ProbeName = "web"       // HTTPS: chain, issuer, status, WebSocket upgrade
	ProbeCaptive   ProbeName = "captive"   // plain HTTP to the service's own host
	ProbeSTUN      ProbeName = "stun"      // STUN Binding
	ProbeMapping   ProbeName = "mapping"   // NAT mapping, from one socket to several destinations
	ProbeTURN      ProbeName = "turn"      // TURN Allocate without credentials
	ProbeRelay     ProbeName = "relay"     // TURN Allocate with credentials, and a datagram through it
	ProbeNATS      ProbeName = "nats"      // NATS as a target: the ladder up to INFO
	ProbePorts     ProbeName = "ports"     // a port range, sampled
	ProbePath      ProbeName = "path"      // the routers between the box and the service
	ProbeWalk      ProbeName = "walk"      // where on that path a target's packets end
	ProbeMTU       ProbeName = "mtu"       // the largest packet that reaches the service
	ProbeBurst     ProbeName = "burst"     // many datagrams at once from one socket
	ProbeFlows     ProbeName = "flows"     // one datagram each from many sockets
	ProbeGateway   ProbeName = "gateway"   // echo by the gateway: the practice's own cabling
	ProbeIdle      ProbeName = "idle"      // a silent connection, spoken to again
	ProbeHello     ProbeName = "hello"     // TLS ClientHellos that differ in name or size
	ProbeProxy     ProbeName = "proxy"     // the HTTP proxy that this network offers
	ProbeIPv6      ProbeName = "ipv6"      // what of IPv6 there is
	ProbeSelf      ProbeName = "self"      // the box's own condition
	ProbeBandwidth ProbeName = "bandwidth" // rate, latency under load, loss and jitter
	ProbeRehearsal ProbeName = "rehearsal" // media as of a call, there and back through a TURN server
	ProbeUplink    ProbeName = "uplink"    // the box's own way to report

	ProbeTrend      ProbeName = "trend"      // the hours in which the line is regularly poor; only where there are such
	ProbeAssignment ProbeName = "assignment" // the settings that the vendor assigns; only where they were not taken
)

// Probes lists the probes, in the order of a round.
var Probes = []ProbeName{
	ProbeSelf, ProbeLink, ProbeGateway, ProbeIPv6, ProbeDNS, ProbeProxy, ProbeCaptive, ProbeWeb,
	ProbeHello, ProbeSTUN, ProbeMapping, ProbePath, ProbeMTU, ProbeBurst, ProbeFlows, ProbeTURN,
	ProbeRelay, ProbeNATS, ProbePorts, ProbeWalk, ProbeIdle, ProbeUplink, ProbeAssignment,
	ProbeBandwidth, ProbeRehearsal, ProbeTrend,
}

// Outcome is what happened to one look. The zero value is NotLooked.
type Outcome uint8

// The outcomes.
const (
	NotLooked Outcome = iota // could not look; the reason says why
	Answered                 // the protocol's own answer
	Refused                  // a negative answer from the target itself
	Rejected                 // a third party said no, and is named
	Tampered                 // something answered in the target's place, or altered the answer
	Silent                   // nothing came back in time
)

var outcomeWords = []string{"not-looked", "answered", "refused", "rejected", "tampered", "silent"}

func (o Outcome) String() string { return name(outcomeWords, uint8(o)) }

// MarshalText writes the outcome's word.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads an outcome's word.
func (o *Outcome) UnmarshalText(text []byte) error {
	v, err := parse("outcome", outcomeWords, text)
	*o = Outcome(v)
	return err
}

// Grade says how strongly an outcome proves something. Only B, C, D and
// tampering may turn a light red; E is "unknown".
type Grade uint8

// The grades.
const (
	Ungraded Grade = iota // nothing was looked at
	GradeA                // a protocol answer
	GradeB                // a negative answer from the target
	GradeC                // a rejection or alteration by a middlebox that is named
	GradeD                // silence while a control in the same round worked
	GradeE                // silence without a control
)

var gradeWords = []string{"", "A", "B", "C", "D", "E"}

func (g Grade) String() string { return name(gradeWords, uint8(g)) }

// MarshalText writes the grade's letter.
func (g Grade) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText reads a grade's letter.
func (g *Grade) UnmarshalText(text []byte) error {
	v, err := parse("grade", gradeWords, text)
	*g = Grade(v)
	return err
}

// GradeOf is the grade that an outcome has before any control is considered:
// silence starts as E, and package assess raises it to D.
func GradeOf(o Outcome) Grade {
	switch o {
	case Answered:
		return GradeA
	case Refused:
		return GradeB
	case Rejected, Tampered:
		return GradeC
	case Silent:
		return GradeE
	default:
		return Ungraded
	}
}

// Evidence is what one probe saw of one target.
type Evidence struct {
	Probe   ProbeName `json:"probe"`
	Target  Target    `json:"target"`
	Outcome Outcome   `json:"outcome"`
	Grade   Grade     `json:"grade,omitempty"`
	Reason  Reason    `json:"reason,omitempty"`
	Values  Values    `json:"values,omitempty"`
}

// See makes the evidence of one look, graded by its outcome.
func See(p ProbeName, t Target, o Outcome, why Reason) Evidence {
	return Evidence{Probe: p, Target: t, Outcome: o, Grade: GradeOf(o), Reason: why}
}

// With returns a copy of e that also has key k. v is a string, a bool, or any
// number or duration type listed at [Value]; other kinds panic, for they are
// our own mistake.
func (e Evidence) With(k Key, v any) Evidence {
	values := maps.Clone(e.Values)
	if values == nil {
		values = Values{}
	}
	values[k] = Value(v)
	e.Values = values
	return e
}

// Values are the numbers and words beside an outcome. Keys carry their unit;
// a key that is absent was not observed. A value is a float64, a string or a
// bool, so that it survives JSON unchanged.
type Values map[Key]any

// Value turns v into one of the three kinds that Values hold. Durations become
// milliseconds.
func Value(v any) any {
	switch v := v.(type) {
	case string, bool, float64:
		return v
	case int:
		return float64(v)
	case int64:
		return float64(v)
	case uint8:
		return float64(v)
	case uint16:
		return float64(v)
	case uint32:
		return float64(v)
	case time.Duration:
		return float64(v.Microseconds()) / 1000
	default:
		panic("agent: a value must be a string, bool, number or duration")
	}
}

// Num returns the number at k, and whether it was observed.
func (v Values) Num(k Key) (float64, bool) {
	n, ok := v[k].(float64)
	return n, ok
}

// Text returns the words at k, empty where not observed.
func (v Values) Text(k Key) string {
	s, _ := v[k].(string)
	return s
}

// Flag returns the fact at k, and whether it was observed.
func (v Values) Flag(k Key) (value, seen bool) {
	value, seen = v[k].(bool)
	return value, seen
}
