package main

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
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

// An outage is kept with who suffers, boxes are found by the cause that is shown while
// it lasts, and a restart in its midst goes on with it.
func TestOutagesAreKept(t *testing.T) {
	h := newHouse(t, nil)
	at := opened
	fault := func(r *agent.Report) {
		r.Verdict = agent.Blocked
		r.Findings = []agent.Finding{{Code: agent.TURNServer, Target: "turn.example:5349/udp", Severity: agent.Critical, Cause: agent.CauseUnknown, SinceAt: at, Evidence: []int{}}}
	}
	h.take("acme", "well", nil)
	h.take("acme", "old", func(r *agent.Report) {
		fault(r)
		r.Findings[0].SinceAt, r.Findings[0].Cause = at.Add(-24*time.Hour), agent.CausePractice
	})
	for n := range 8 {
		h.take([]string{"acme", "zoo"}[n%2], fmt.Sprint("hit-", n), fault)
	}
	var known outages
	start := func() *correlator {
		return newCorrelator(h.db, h.reg, &known, incident.Watch{}, slog.New(slog.DiscardHandler))
	}
	kept := func() []history.Incident {
		all, err := h.db.Incidents(t.Context(), history.IncidentQuery{})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	by := func(c agent.Cause) int {
		r, err := h.db.Find(t.Context(), history.Query{Cause: &c})
		if err != nil {
			t.Fatal(err)
		}
		return r.Found
	}
	c := start()
	c.look(t.Context(), at)
	if len(kept()) != 0 || by(agent.CauseVendor) != 0 {
		t.Error("one look is enough for an outage")
	}
	c.look(t.Context(), at.Add(time.Minute))
	all := kept()
	if len(all) != 1 || all[0].Boxes["acme"] != 4 || all[0].Boxes["zoo"] != 4 || all[0].Cause != agent.CauseVendor || !all[0].UntilAt.IsZero() || !all[0].FromAt.Equal(at) {
		t.Fatalf("kept: %+v", all)
	}
	if v, p, u := by(agent.CauseVendor), by(agent.CausePractice), by(agent.CauseUnknown); v != 8 || p != 1 || u != 0 {
		t.Errorf("found by cause: %d vendor, %d practice, %d unknown; want 8, 1, 0", v, p, u)
	}
	id := known.all()[0].ID
	if id != all[0].ID {
		t.Errorf("it is known as %s, kept as %s", id, all[0].ID)
	}

	c = start() // anew; causes of before stay until it knows better
	c.look(t.Context(), at.Add(70*time.Second))
	if by(agent.CauseVendor) != 8 {
		t.Error("after a restart the boxes are not found by the cause")
	}
	c.look(t.Context(), at.Add(2*time.Minute))
	if all := known.all(); len(all) != 1 || all[0].ID != id || len(kept()) != 1 {
		t.Errorf("after a restart it is another outage: %+v, kept %+v", all, kept())
	}
	for n := range 8 {
		h.take([]string{"acme", "zoo"}[n%2], fmt.Sprint("hit-", n), nil)
	}
	c.look(t.Context(), at.Add(3*time.Minute))
	if by(agent.CauseVendor) != 0 {
		t.Error("boxes that are well again are found by its cause")
	}
	c.look(t.Context(), at.Add(8*time.Minute))
	if all := kept(); len(all) != 1 || !all[0].UntilAt.Equal(at.Add(2*time.Minute)) || all[0].Boxes["acme"] != 4 || len(known.all()) != 0 {
		t.Errorf("after the end: %+v", all)
	}
}
