package simulate_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/simulate"
)

// A simulated finding can be read: no text of it has to say "unknown".
func TestFindingsAreWhole(t *testing.T) {
	f := simulate.New(simulate.Config{Boxes: 300, Seed: 3})
	from := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	seen := map[agent.Code]bool{}
	for i := range 300 {
		for h := range 48 {
			fault, ok := f.Own(i, from.Add(time.Duration(h)*time.Hour))
			if !ok {
				continue
			}
			seen[fault.Code] = true
			for _, a := range agent.Args[fault.Code] {
				if !strings.HasPrefix(a, "[") && fault.Args[a] == "" {
					t.Fatalf("%s has no %s: %v", fault.Code, a, fault.Args)
				}
			}
		}
	}
	if len(seen) < 4 {
		t.Errorf("only %v seen", seen)
	}
}

// What is sent is what boxes would write.
func TestSendsWhatBoxesWrite(t *testing.T) {
	f := simulate.New(simulate.Config{Boxes: 300, Faulty: 0.5})
	from := time.Date(2026, 3, 2, 9, 25, 0, 0, time.UTC)
	for i := range 300 {
		_, r := f.Report(i, uint64(i), from.Add(time.Duration(i)*time.Minute))
		sent, err := simulate.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		wire, err := fleet.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		var got, want map[string]any
		if err := errors.Join(json.Unmarshal(sent, &got), json.Unmarshal(wire, &want)); err != nil {
			t.Fatalf("%v: %s", err, sent)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("(-box +here)\n%s", d)
		}
	}
}
