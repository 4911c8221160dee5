package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

// operation is one question that can be asked.
type operation struct {
	path, what string
	role       access.Role
	reach      access.Reach
	params     []param
	csv        bool
	answer     reflect.Type
	handler    http.HandlerFunc
}

// param is what a question can have after its question mark.
type param struct {
	name, what string
	schema     *jsonschema.Schema
}

func (o operation) takes(name string) bool {
	return slices.ContainsFunc(o.params, func(p param) bool { return p.name == name })
}

// operations are all of them.
func (s *Server) operations() []operation {
	lang := param{"lang", "language of sentences; default de", words(advice.Langs...)}
	paging := []param{
		{"limit", "the most of one page", &jsonschema.Schema{Type: "integer", Minimum: new(1.0), Maximum: new(float64(mostLimit)), Default: json.RawMessage("100")}},
		{"after", "start after this: next of the page before", &jsonschema.Schema{Type: "string"}},
		{"format", "csv is text/csv with a header line; where the next page is stands in the header Link", words("json", "csv")},
	}
	text := &jsonschema.Schema{Type: "string"}
	filters := []param{
		{"state", "only boxes in this state", words(registry.States...)},
		{"cause", "only boxes with a finding of this cause", words(causes()...)},
		{"finding", "only boxes with a finding of this code", text},
		{"tenant", "only boxes of this tenant", text},
		{"version", "only boxes whose program has this version", text},
		{"q", "only boxes with this in name, box or tenant", text},
		lang,
	}
	moment := &jsonschema.Schema{Type: "string", Format: "date-time"}
	between := []param{{"since", "also what has ended, but not before this", moment}, {"until", "only what had begun before this", moment}}
	return []operation{
		{"/api/v1/me", "Who asks, and what they may.", access.Viewer, access.Own, nil, false, reflect.TypeFor[me](), s.me},
		{"/api/v1/boxes", "Boxes with their newest verdict, by tenant and name.", access.Viewer, access.Own, slices.Concat(filters, paging), true,
			reflect.TypeFor[boxPage](), s.boxes},
		{"/api/v1/boxes/{tenant}/{box}", "One box with its newest report.", access.Viewer, access.Named, []param{lang}, false,
			reflect.TypeFor[oneBox](), s.box},
		{"/api/v1/summary", "How many boxes are in which state and have which finding.", access.Viewer, access.Own, nil, false,
			reflect.TypeFor[summary](), s.summary},
		{"/api/v1/incidents", "Outages: what many boxes have in common now, with the boxes that suffer from it; with since or until, the newest 1000 that were " +
			"there in between, with all boxes that have suffered from them.", access.Viewer, access.Own, between, false, reflect.TypeFor[incidentList](), s.incidents},
		{"/api/v1/audit", "Who logged in, claimed, commanded and changed what, the oldest first.", access.Admin, access.Fleet, paging, true,
			reflect.TypeFor[auditPage](), s.audit},
	}
}

// words is a schema for text of a closed list.
func words[T ~string](list ...T) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string"}
	for _, w := range list {
		s.Enum = append(s.Enum, string(w))
	}
	return s
}

func numbered[T interface{ String() string }](list ...T) *jsonschema.Schema {
	var all []string
	for _, v := range list {
		all = append(all, v.String())
	}
	return words(all...)
}

// known are the types that say less in Go than on the wire.
func known() map[reflect.Type]*jsonschema.Schema {
	states := numbered(agent.Unknown, agent.OK, agent.Limited, agent.No)
	capabilities := &jsonschema.Schema{Type: "object", Properties: map[string]*jsonschema.Schema{}}
	for _, c := range agent.AllCapabilities {
		capabilities.Properties[string(c)] = states
	}
	counts := &jsonschema.Schema{Type: "object", Properties: map[string]*jsonschema.Schema{}}
	for _, st := range registry.States {
		counts.Properties[string(st)] = &jsonschema.Schema{Type: "integer"}
	}
	return map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[registry.State]():         words(registry.States...),
		reflect.TypeFor[map[registry.State]int](): counts,
		reflect.TypeFor[access.Role]():            words(access.Viewer, access.Support, access.Admin),
		reflect.TypeFor[access.Method]():          words(access.Unasked, access.Password, access.OpenID, access.Bearer),
		reflect.TypeFor[agent.Verdict]():          numbered(agent.VerdictUnknown, agent.Ready, agent.VerdictLimited, agent.Blocked, agent.Offline),
		reflect.TypeFor[agent.Severity]():         numbered(agent.Info, agent.Minor, agent.Major, agent.Critical),
		reflect.TypeFor[agent.Cause]():            words(causes()...),
		reflect.TypeFor[agent.Outcome]():          numbered(agent.NotLooked, agent.Answered, agent.Refused, agent.Rejected, agent.Tampered, agent.Silent),
		reflect.TypeFor[agent.Grade]():            numbered(agent.GradeA, agent.GradeB, agent.GradeC, agent.GradeD, agent.GradeE),
		reflect.TypeFor[agent.Capabilities]():     capabilities,
		reflect.TypeFor[agent.Values]():           {Type: "object"},
		reflect.TypeFor[netip.Addr]():             {Type: "string"},
		reflect.TypeFor[time.Time]():              {Type: "string", Format: "date-time"},
	}
}

// schemaOf makes the schema of an answer from its Go type. Fields may be added.
func schemaOf(t reflect.Type) (*jsonschema.Schema, error) {
	s, err := jsonschema.ForType(t, &jsonschema.ForOptions{TypeSchemas: known()})
	loosen(s)
	return s, err
}

func loosen(s *jsonschema.Schema) {
	if s == nil {
		return
	}
	if len(s.Properties) > 0 {
		s.AdditionalProperties = nil
	}
	for _, p := range s.Properties {
		loosen(p)
	}
	loosen(s.Items)
}

type object = map[string]any

// describe makes the description.
func (s *Server) describe() ([]byte, error) {
	paths := object{}
	for _, o := range s.operations() {
		d, err := o.describe()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.path, err)
		}
		paths[o.path] = object{"get": d}
	}
	doc, err := json.MarshalIndent(object{
		"openapi": "3.1.0",
		"info": object{"title": "Sprechprobe fleet", "version": "1",
			"description": "Reads what the fleet's boxes said last. Whoever asks gets what the pages would show them, and no more.",
			"license":     object{"name": "Apache-2.0", "identifier": "Apache-2.0"}},
		"servers":  []object{{"url": "/"}},
		"security": []object{{"token": []string{}}},
		"paths":    paths,
		"components": object{
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer", "description": "made by sprechprobe-fleet token add"}},
			"schemas": object{"Error": object{"type": "object", "required": []string{"error"},
				"properties": object{"error": object{"type": "string", "description": "what is wrong, in English"}}}},
		},
	}, "", "  ")
	return append(doc, '\n'), err
}

func (o operation) describe() (object, error) {
	schema, err := schemaOf(o.answer)
	if err != nil {
		return nil, err
	}
	content := object{"application/json": object{"schema": schema}}
	if o.csv {
		content["text/csv"] = object{"schema": object{"type": "string"}}
	}
	responses := object{
		"200": object{"description": "the answer", "content": content},
		"400": failure("the question is wrong"),
		"401": failure("no token, or one that is not valid"),
		"403": failure("the role does not allow it"),
	}
	var params []object
	for part := range strings.SplitSeq(o.path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			params = append(params, object{"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": object{"type": "string"}})
			responses["404"] = failure("there is no such box, or the asker may not see it")
		}
	}
	for _, p := range o.params {
		params = append(params, object{"name": p.name, "in": "query", "description": p.what, "schema": p.schema})
	}
	out := object{"summary": o.what, "operationId": o.id(), "responses": responses, "description": fmt.Sprintf("Role: %s.", o.role)}
	if params != nil {
		out["parameters"] = params
	}
	return out, nil
}

// id names the operation for programs that are made from the description.
func (o operation) id() string {
	name := strings.NewReplacer("{", "", "}", "").Replace(strings.TrimPrefix(o.path, "/api/v1/"))
	return strings.ReplaceAll(name, "/", "_")
}

func failure(what string) object {
	return object{"description": what, "content": object{"application/json": object{"schema": object{"$ref": "#/components/schemas/Error"}}}}
}
