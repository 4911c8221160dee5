package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/incident"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

// An outage names the boxes that suffer from it, and not the one whose fault is
// older and its own.
func TestWhoSuffers(t *testing.T) {
	start := time.Now()
	fault := func(since time.Time) []agent.Finding {
		return []agent.Finding{{Code: agent.TURNServer, Target: "turn.example:5349/udp", Severity: agent.Critical, SinceAt: since}}
	}
	box := func(name, isp string, since time.Time) incident.Box {
		return incident.Box{Address: fleet.Address{Tenant: "nord", Box: name}, ISP: isp, Profiles: []string{"webprax"}, Findings: fault(since)}
	}
	boxes := []incident.Box{box("old", "one", start.Add(-24*time.Hour))}
	for n := range 20 {
		boxes = append(boxes, box(fmt.Sprint("new-", n), fmt.Sprint("isp-", n%5), start))
	}
	var w incident.Watch
	w.Look(start, boxes)
	open, _ := w.Look(start.Add(time.Minute), boxes)
	out := suffering(open, boxes)
	if len(out) != 1 || out[0].Cause != agent.CauseVendor.String() || len(out[0].Members) != 20 {
		t.Fatalf("outages %+v of %+v, want one of the vendor's with 20 boxes", out, open)
	}
	if out[0].Members[registry.Key{Tenant: "nord", Box: "old"}] {
		t.Error("a fault from long before is counted in")
	}
	var known outages
	known.set(out)
	told := known.of(fleet.Address{Tenant: "nord", Box: "new-3"})
	if len(told) != 1 || told[0].Target != "turn.example:5349/udp" || told[0].Cause != agent.CauseVendor || !told[0].FromAt.Equal(start) {
		t.Errorf("a box that suffers is told %+v", told)
	}
	for _, a := range []fleet.Address{{Tenant: "nord", Box: "old"}, {Tenant: "sued", Box: "new-3"}, {Tenant: "nord", Box: "well"}} {
		if told := known.of(a); len(told) != 0 {
			t.Errorf("%s is told %+v", a, told)
		}
	}
}
