package probetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"unicode/utf8"

	"github.com/sprechprobe/sprechprobe/agent"
)

// maxWords bounds a text in evidence, bytes; a report has room for many.
const maxWords = 512

// form checks what holds for all evidence, whatever was seen.
func form(got seen, asked agent.Target) error {
	if got.panic != nil {
		return fmt.Errorf("panic: %v", got.panic)
	}
	return errors.Join(wording(got.Evidence), sameTarget(got.Target, asked), values(got.Values), survives(got.Evidence))
}

func wording(e agent.Evidence) error {
	var errs []error
	if e.Probe == "" {
		errs = append(errs, errors.New("the evidence names no probe"))
	}
	if want := agent.GradeOf(e.Outcome); e.Grade != want {
		errs = append(errs, fmt.Errorf("outcome %v has grade %v, want %v", e.Outcome, e.Grade, want))
	}
	if e.Reason == "" && e.Outcome != agent.Answered {
		errs = append(errs, fmt.Errorf("outcome %v has no reason", e.Outcome))
	}
	if e.Reason != "" && !slices.Contains(agent.Reasons, e.Reason) {
		errs = append(errs, fmt.Errorf("reason %q is not in agent.Reasons", e.Reason))
	}
	return errors.Join(errs...)
}

// sameTarget checks that evidence is about the target that was asked; the
// address and the variant may be what the probe found out.
func sameTarget(got, asked agent.Target) error {
	got.Addr, got.Variant = asked.Addr, asked.Variant
	if got.String() != asked.String() {
		return fmt.Errorf("the evidence is about %v, want %v", got, asked)
	}
	return nil
}

func values(v agent.Values) error {
	var errs []error
	for _, k := range slices.Sorted(maps.Keys(v)) {
		if err := value(k, v[k]); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func value(k agent.Key, v any) error {
	info, listed := agent.Keys[k]
	if !listed {
		return fmt.Errorf("key %q is not in agent.Keys", k)
	}
	var kind agent.Kind
	switch v := v.(type) {
	case float64:
		kind = agent.Number
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%s is %v", k, v)
		}
	case string:
		kind = agent.Words
		if len(v) > maxWords || !utf8.ValidString(v) {
			return fmt.Errorf("%s is %.80q, want at most %d bytes of UTF-8", k, v, maxWords)
		}
	case bool:
		kind = agent.Fact
	default:
		return fmt.Errorf("%s is a %T, which JSON does not keep", k, v)
	}
	if kind != info.Kind {
		return fmt.Errorf("%s is a %T, which is not its kind in agent.Keys", k, v)
	}
	return nil
}

// survives checks that a report can carry the evidence.
func survives(e agent.Evidence) error {
	b, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("write evidence: %w", err)
	}
	var back agent.Evidence
	if err := json.Unmarshal(b, &back); err != nil {
		return fmt.Errorf("read evidence back: %w", err)
	}
	if len(e.Values)+len(back.Values) > 0 && !reflect.DeepEqual(e.Values, back.Values) {
		return fmt.Errorf("values changed on the wire: %v became %v", e.Values, back.Values)
	}
	return nil
}
