package main_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// wellFormed checks that a report says nothing that its readers do not know.
func wellFormed(t *testing.T, r agent.Report) {
	t.Helper()
	if r.Schema != agent.Schema || len(r.Evidence) == 0 {
		t.Errorf("schema %q with %d pieces of evidence", r.Schema, len(r.Evidence))
	}
	for _, e := range r.Evidence {
		if err := soundEvidence(e); err != nil {
			t.Errorf("%v in %+v", err, e)
		}
	}
	for _, f := range r.Findings {
		if !slices.Contains(agent.Codes, f.Code) {
			t.Errorf("unknown code %q", f.Code)
		}
		for arg, text := range f.Args {
			if !isWords(text) {
				t.Errorf("%s: argument %s is %.80q", f.Code, arg, text)
			}
		}
	}
	b, err := fleet.Encode(r)
	must(t, err)
	if _, err := fleet.Decode(b); err != nil {
		t.Errorf("on the wire: %v", err)
	}
	for _, lang := range []string{"de", "en"} {
		l, err := advice.ParseLang(lang)
		must(t, err)
		if text := advice.Check(r, l); !isWords(strings.ReplaceAll(text, "\n", " ")) {
			t.Errorf("the text for people is %q", text)
		}
	}
}

var probes = agent.Probes

func soundEvidence(e agent.Evidence) error {
	graded := e.Grade == agent.GradeOf(e.Outcome) || e.Grade == agent.GradeE ||
		e.Outcome == agent.Silent && e.Grade == agent.GradeD
	switch {
	case !slices.Contains(probes, e.Probe):
		return fmt.Errorf("unknown probe %q", e.Probe)
	case !graded:
		return fmt.Errorf("outcome %v with grade %v", e.Outcome, e.Grade)
	case e.Reason == "" && e.Outcome != agent.Answered, e.Reason != "" && !slices.Contains(agent.Reasons, e.Reason):
		return fmt.Errorf("outcome %v with reason %q", e.Outcome, e.Reason)
	}
	for _, k := range slices.Sorted(maps.Keys(e.Values)) {
		if !isValue(k, e.Values[k]) {
			return fmt.Errorf("%s is %.80q", k, fmt.Sprint(e.Values[k]))
		}
	}
	return nil
}

func isValue(k agent.Key, v any) bool {
	info, known := agent.Keys[k]
	switch v := v.(type) {
	case float64:
		return known && info.Kind == agent.Number && !math.IsNaN(v) && !math.IsInf(v, 0)
	case string:
		return known && info.Kind == agent.Words && len(v) <= 512 && isWords(v)
	case bool:
		return known && info.Kind == agent.Fact
	}
	return false
}

// isWords reports whether a text can be shown to people as it is.
func isWords(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) }) < 0
}
