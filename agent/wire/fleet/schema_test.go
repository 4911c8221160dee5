package fleet_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet/fleettest"
)

var update = flag.Bool("update", false, "write the schemas in docs/schema again")

const schemaDir = "../../../docs/schema"

// words is a schema for text of a closed list.
func words[T ~string](list ...T) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string"}
	for _, w := range list {
		s.Enum = append(s.Enum, string(w))
	}
	return s
}

// numbered is a schema for a type that is a number here and a word on the wire.
func numbered[T interface{ String() string }](list ...T) *jsonschema.Schema {
	var all []string
	for _, v := range list {
		all = append(all, v.String())
	}
	return words(all...)
}

// values are those of evidence: by key, with its kind and meaning.
func values() *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "object", Properties: map[string]*jsonschema.Schema{}}
	kinds := map[agent.Kind]string{agent.Number: "number", agent.Words: "string", agent.Fact: "boolean"}
	for k, info := range agent.Keys {
		s.Properties[string(k)] = &jsonschema.Schema{Type: kinds[info.Kind], Description: info.Meaning}
	}
	return s
}

// known are the types that say less in Go than on the wire. Lists that grow with
// new probes and findings stay open.
func known() map[reflect.Type]*jsonschema.Schema {
	states := numbered(agent.Unknown, agent.OK, agent.Limited, agent.No)
	capabilities := &jsonschema.Schema{Type: "object", Properties: map[string]*jsonschema.Schema{}}
	for _, c := range agent.AllCapabilities {
		capabilities.Properties[string(c)] = states
	}
	return map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[agent.Verdict]():      numbered(agent.VerdictUnknown, agent.Ready, agent.VerdictLimited, agent.Blocked, agent.Offline),
		reflect.TypeFor[agent.Severity]():     numbered(agent.Info, agent.Minor, agent.Major, agent.Critical),
		reflect.TypeFor[agent.Cause]():        numbered(agent.CauseUnknown, agent.CausePractice, agent.CauseISP, agent.CauseVendor, agent.CauseBox),
		reflect.TypeFor[agent.Outcome]():      numbered(agent.NotLooked, agent.Answered, agent.Refused, agent.Rejected, agent.Tampered, agent.Silent),
		reflect.TypeFor[agent.Grade]():        numbered(agent.GradeA, agent.GradeB, agent.GradeC, agent.GradeD, agent.GradeE),
		reflect.TypeFor[agent.Trigger]():      words(agent.OnSchedule, agent.OnStart, agent.OnLink, agent.OnCommand, agent.OnCheck),
		reflect.TypeFor[agent.Clock]():        words(agent.ClockSet, agent.ClockUnset),
		reflect.TypeFor[agent.Transport]():    words("", agent.UDP, agent.TCP),
		reflect.TypeFor[agent.Capabilities](): capabilities,
		reflect.TypeFor[agent.Values]():       values(),
		reflect.TypeFor[netip.Addr]():         {Type: "string"},
	}
}

// message is one thing that box and vendor say to each other.
type message struct {
	file, schema, title string
	of                  func(*jsonschema.ForOptions) (*jsonschema.Schema, error)
	strict              bool // unknown fields are refused
	marked              bool // its schema stands in it, and not in front of it
}

var messages = []message{
	{"report.json", agent.Schema, "What a box reports after a round.", jsonschema.For[agent.Report], false, true},
	{"beat.json", fleet.BeatSchema, "What a box says between reports: that it is alive, and what has changed.", jsonschema.For[fleet.Beat], false, true},
	{"time.json", fleet.TimeSchema, "What the vendor answers a box that asks for the time.", jsonschema.For[fleet.Time], false, true},
	{"outage.json", fleet.OutageSchema, "What the vendor answers a box that asks which outages it suffers from.", jsonschema.For[fleet.Outages], false, true},
	{"claim.json", fleet.ClaimSchema, "How a box that belongs to nobody introduces itself.", jsonschema.For[fleet.Claim], false, true},
	{"claim-answer.json", fleet.ClaimSchema, "The answer to a claim.", jsonschema.For[fleet.ClaimAnswer], false, true},
	{"grant.json", fleet.GrantSchema, "What gives a box its names. It travels sealed.", jsonschema.For[fleet.Grant], false, false},
	{"command.json", fleet.CommandSchema, "What the vendor asks of one box. It travels sealed.", jsonschema.For[fleet.Command], false, false},
	{"command-answer.json", fleet.CommandSchema, "What a box answers that did as it was asked.", jsonschema.For[fleet.Done], false, false},
	{"assignment.json", fleet.AssignmentSchema, "The settings that a box is given. It travels sealed.", jsonschema.For[fleet.Assignment], true, false},
}

// generate makes the schema of a message from its Go type.
func (m message) generate(t *testing.T) *jsonschema.Schema {
	t.Helper()
	s, err := m.of(&jsonschema.ForOptions{TypeSchemas: known()})
	if err != nil {
		t.Fatal(err)
	}
	if !m.strict {
		loosen(s)
	}
	s.Schema, s.Title, s.Description = "https://json-schema.org/draft/2020-12/schema", m.schema, m.title
	if m.marked {
		var is any = m.schema
		s.Properties["schema"].Const = &is
	}
	return s
}

// loosen lets fields pass that a newer box adds: under one number fields may be
// added, and only a new number takes any away.
func loosen(s *jsonschema.Schema) {
	if s == nil {
		return
	}
	if s.AdditionalProperties != nil && len(s.Properties) > 0 {
		s.AdditionalProperties = nil
	}
	for _, p := range s.Properties {
		loosen(p)
	}
	loosen(s.Items)
}

// The schemas in docs are those of the types; "go test -update" writes them again.
func TestSchemasAreOfTheTypes(t *testing.T) {
	for _, m := range messages {
		b, err := json.MarshalIndent(m.generate(t), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, '\n')
		path := filepath.Join(schemaDir, m.file)
		if *update {
			if err := os.MkdirAll(schemaDir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		have, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have, b) {
			t.Errorf("%s is not that of the type any more: write it again with -update, and think of those who read by it", path)
		}
	}
	files, err := filepath.Glob(filepath.Join(schemaDir, "*"))
	if err != nil || len(files) != len(messages) {
		t.Errorf("%d schemas of %d messages, %v", len(files), len(messages), err)
	}
}

// published reads a schema as anybody would.
func published(t *testing.T, file string) *jsonschema.Resolved {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(schemaDir, file))
	if err != nil {
		t.Fatal(err)
	}
	var s jsonschema.Schema
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	r, err := s.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// valid says whether JSON holds to a published schema.
func valid(t *testing.T, file string, b []byte) error {
	t.Helper()
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return published(t, file).Validate(v)
}

// What is really sent holds to the schema, and what is not does not.
func TestMessagesHoldToTheirSchemas(t *testing.T) {
	v, key := fleettest.NewVendor(t), boxKey(t)
	full, steady := healthy(), healthy()
	full.Settings = &agent.Settings{Version: 7, Refused: 8, Why: "too often"}
	full.Commands = []agent.CommandNote{{Name: "check", ID: "x", Answer: "accepted", Count: 1}}
	wire, err := fleet.Encode(steady)
	if err != nil {
		t.Fatal(err)
	}
	last := fleet.Done{Accepted: true, Report: &full, Settings: full.Settings}
	for _, tt := range []struct {
		file string
		b    []byte
	}{
		{"report.json", marshal(t, full)},
		{"report.json", wire},
		{"beat.json", marshal(t, fleet.Beat{Schema: fleet.BeatSchema, Seq: 7, Verdict: agent.Ready, Stamp: full.Stamp, EveryS: 60})},
		{"time.json", marshal(t, fleet.Time{Schema: fleet.TimeSchema, At: when})},
		{"outage.json", marshal(t, fleet.Outages{Schema: fleet.OutageSchema, ForS: 300, Outages: []fleet.Outage{{Target: "turn.example:3478/udp", Cause: agent.CauseVendor, FromAt: when}}})},
		{"report.json", frozen(t, "report-1.json")},
		{"beat.json", frozen(t, "beat-1.json")},
		{"claim.json", marshal(t, fleet.Claim{Schema: fleet.ClaimSchema, Key: key, Code: fleet.Code(key), Box: full.Box})},
		{"claim-answer.json", marshal(t, fleet.ClaimAnswer{Schema: fleet.ClaimSchema})},
		{"grant.json", marshal(t, v.Grant(key, nord, when))},
		{"command.json", marshal(t, fleet.Command{Tenant: "acme", Box: "nord", Name: fleet.Check, ID: "0123456789abcdef", IssuedAt: when})},
		{"command-answer.json", marshal(t, last)},
		{"command-answer.json", marshal(t, fleet.Done{Accepted: true})},
		{"assignment.json", marshal(t, fleet.Assignment{Tenant: "acme", Box: "nord", Version: 1, IssuedAt: when, Use: []string{"webprax"}, EveryS: 300})},
	} {
		if err := valid(t, tt.file, tt.b); err != nil {
			t.Errorf("%s: %v\n%.400s", tt.file, err, tt.b)
		}
	}
	report := string(marshal(t, full))
	for what, edit := range map[string][2]string{
		"another schema":       {`"sprechprobe.report/1"`, `"sprechprobe.report/9"`},
		"no verdict":           {`"verdict":"ready"`, `"verdict_was":"ready"`},
		"an unknown verdict":   {`"verdict":"ready"`, `"verdict":"splendid"`},
		"a number that is not": {`"seq":4711`, `"seq":"4711"`},
		"an unknown state":     {`"direct":"ok"`, `"direct":"fine"`},
		"a value as text":      {`"mtu_bytes":1500`, `"mtu_bytes":"1500"`},
	} {
		bad := strings.Replace(report, edit[0], edit[1], 1)
		if bad == report {
			t.Errorf("%s: the report has no %s", what, edit[0])
		}
		if valid(t, "report.json", []byte(bad)) == nil {
			t.Errorf("%s passes", what)
		}
	}
	if err := valid(t, "report.json", []byte(strings.Replace(report, `"seq":4711`, `"seq":4711,"new":{"field":1}`, 1))); err != nil {
		t.Errorf("a field that a newer box adds: %v", err)
	}
	if valid(t, "assignment.json", []byte(`{"tenant":"acme","box":"nord","version":1,"issued_at":"2026-01-01T00:00:00Z","servers":["x"]}`)) == nil {
		t.Error("an assignment may say where to report")
	}
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
