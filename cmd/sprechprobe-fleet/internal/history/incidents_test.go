package history_test

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
)

func (b *bench) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) incidents(q history.IncidentQuery) []history.Incident {
	b.Helper()
	all, err := b.Incidents(b.Context(), q)
	b.ok(err)
	return all
}

// outage is one of the service's that begins s seconds after start.
func outage(s int) history.Incident {
	return history.Incident{Target: "turn.example:3478/udp", Cause: agent.CauseVendor, FromAt: start.Add(time.Duration(s) * time.Second)}
}

var (
	two = fleet.Address{Tenant: "acme", Box: "two"}
	zoo = fleet.Address{Tenant: "zoo", Box: "one"}
)

func keepsIncidents(b *bench) {
	b.add(entry(one, "a", 1, 0, agent.Blocked), entry(two, "a", 1, 0, agent.Blocked), entry(zoo, "a", 1, 0, agent.Blocked))
	ctx := b.Context()
	b.now = start.Add(time.Minute)
	id, err := b.Begin(ctx, outage(0))
	b.ok(err)
	b.ok(b.Suffer(ctx, id, []fleet.Address{one, zoo}))
	b.ok(b.Suffer(ctx, id, []fleet.Address{one, two}))
	lasting := history.Incident{ID: id, Target: "turn.example:3478/udp", Cause: agent.CauseVendor, FromAt: start, Boxes: map[string]int{"acme": 2, "zoo": 1}}
	if diff := cmp.Diff([]history.Incident{lasting}, b.incidents(history.IncidentQuery{})); diff != "" {
		b.Errorf("an outage that lasts (-want +got):\n%s", diff)
	}

	// Who begins the same again, after a restart or on another machine, goes on with it.
	b.now = start.Add(5 * time.Minute)
	if again, err := b.Begin(ctx, outage(20)); again != id || err != nil {
		b.Errorf("the same outage is %s, %v; want %s", again, err, id)
	}
	other := outage(0)
	other.Cause, other.ISP = agent.CauseISP, "AS64500 Example"
	theirs, err := b.Begin(ctx, other)
	b.ok(err)
	b.ok(b.Suffer(ctx, theirs, []fleet.Address{zoo}))
	if theirs == id {
		b.Error("a provider's outage is taken for the service's")
	}
	b.ok(b.Last(ctx, theirs, b.now, true))
	b.ok(b.Last(ctx, id, b.now, true))

	// Who may see one tenant hears of no other.
	mine := lasting
	mine.UntilAt, mine.Boxes = b.now, map[string]int{"acme": 2}
	for what, q := range map[string]history.IncidentQuery{"of a tenant": {Tenants: []string{"acme"}}, "of a box": {Box: one, Tenants: []string{"acme"}},
		"by its ID": {ID: id, Tenants: []string{"acme", "none"}}, "of that hour": {Tenants: []string{"acme"}, From: start.Add(-time.Hour), Until: start.Add(time.Hour)}} {
		if diff := cmp.Diff([]history.Incident{mine}, b.incidents(q)); diff != "" {
			b.Errorf("outages %s (-want +got):\n%s", what, diff)
		}
	}
	for what, q := range map[string]history.IncidentQuery{"of another's": {ID: theirs, Tenants: []string{"acme"}}, "of nobody's": {Tenants: []string{}},
		"of a box that is well": {Box: fleet.Address{Tenant: "acme", Box: "three"}}, "of before": {Until: start}, "of after": {From: b.now}} {
		if got := b.incidents(q); len(got) != 0 {
			b.Errorf("outages %s: %+v", what, got)
		}
	}

	// Later, the same target fails again: that is another one. Its program is killed.
	b.now = start.Add(time.Hour)
	second, err := b.Begin(ctx, outage(3500))
	b.ok(err)
	b.ok(b.Suffer(ctx, second, []fleet.Address{one}))
	if all := b.incidents(history.IncidentQuery{Tenants: []string{"acme"}}); len(all) != 2 || all[0].ID != second || !all[0].UntilAt.IsZero() {
		b.Errorf("outages, the newest first: %+v", all)
	}
	b.now = start.Add(2 * time.Hour)
	if all := b.incidents(history.IncidentQuery{ID: second}); len(all) != 1 || !all[0].UntilAt.Equal(start.Add(time.Hour)) {
		b.Errorf("an outage that nobody watches any more: %+v", all)
	}
	if all, err := b.IncidentISPs(ctx, id, []string{"acme"}); err != nil || len(all) != 0 {
		b.Errorf("providers that are not known: %+v, %v", all, err)
	}

	b.now = start.Add(400 * 24 * time.Hour)
	if _, err := b.Sweep(ctx); err != nil {
		b.Fatal(err)
	}
	if got := b.incidents(history.IncidentQuery{}); len(got) != 0 {
		b.Errorf("after 400 days: %+v", got)
	}
}

func findsByShownCause(b *bench) {
	own := found("turn-server", agent.Critical, agent.CauseUnknown)
	b.add(entry(one, "a", 1, 0, agent.Blocked, own), entry(two, "a", 1, 0, agent.Blocked, own, found("nat-edm", agent.Major, agent.CausePractice)),
		entry(zoo, "a", 1, 0, agent.Blocked, own))
	ctx := b.Context()
	by := func(c agent.Cause) []string {
		return b.find(history.Query{Cause: &c, Tenants: []string{"acme"}, Sort: history.ByName})
	}
	same := func(what string, c agent.Cause, want ...string) {
		b.Helper()
		if got := by(c); !slices.Equal(got, append([]string{}, want...)) {
			b.Errorf("%s: by cause %v %q, want %q", what, c, got, want)
		}
		n := 0
		facets, err := b.Facets(ctx, history.Query{Tenants: []string{"acme"}})
		b.ok(err)
		for _, f := range facets {
			if f.Kind == "cause" && f.Value == c.String() {
				n = f.Boxes
			}
		}
		if n != len(want) {
			b.Errorf("%s: %d boxes are said to be of cause %v, want %d", what, n, c, len(want))
		}
	}
	same("before", agent.CauseUnknown, "one", "two")
	same("before", agent.CauseVendor)
	b.ok(b.Explain(ctx, map[fleet.Address][]agent.Cause{two: {agent.CauseVendor, agent.CausePractice}, zoo: {agent.CauseVendor}}))
	same("meanwhile", agent.CauseUnknown, "one")
	same("meanwhile", agent.CauseVendor, "two")
	same("meanwhile", agent.CausePractice, "two")
	b.ok(b.Explain(ctx, map[fleet.Address][]agent.Cause{two: nil}))
	same("after", agent.CauseUnknown, "one", "two")
	b.ok(b.Explain(ctx, map[fleet.Address][]agent.Cause{one: {agent.CauseISP}}))
	all, err := b.Explained(ctx)
	if want := map[fleet.Address][]agent.Cause{one: {agent.CauseISP}, zoo: {agent.CauseVendor}}; err != nil || !cmp.Equal(all, want) {
		b.Errorf("explained: %v, %v; want %v", all, err, want)
	}
	b.ok(b.Explain(ctx, map[fleet.Address][]agent.Cause{one: nil}))
	same("at the end", agent.CauseUnknown, "one", "two")
	same("at the end", agent.CauseISP)

	id, err := b.Begin(ctx, outage(0))
	b.ok(err)
	b.ok(b.Suffer(ctx, id, []fleet.Address{two, zoo}))
	if got := b.find(history.Query{Incident: id, Tenants: []string{"acme"}}); !slices.Equal(got, []string{"two"}) {
		b.Errorf("by their outage: %q", got)
	}
}

func forgets(b *bench) {
	b.add(entry(one, "a", 1, 0, agent.Blocked), entry(two, "a", 1, 0, agent.Blocked))
	ctx := b.Context()
	id, err := b.Begin(ctx, outage(0))
	b.ok(err)
	b.ok(b.Suffer(ctx, id, []fleet.Address{one, two}))
	b.ok(b.Explain(ctx, map[fleet.Address][]agent.Cause{one: {agent.CauseVendor}}))
	var out bytes.Buffer
	b.ok(b.Export(ctx, one, &out))
	if !strings.Contains(out.String(), id) || strings.Contains(out.String(), `"Boxes"`) {
		b.Errorf("the export tells of its outages only: %s", out.String())
	}
	b.now = start.Add(time.Minute)
	gone := func(after time.Time) (all []string) {
		b.ok(b.Forgotten(ctx, after, func(a fleet.Address, at time.Time) {
			if !at.Equal(start.Add(time.Minute)) {
				b.Errorf("deleted at %v", at)
			}
			all = append(all, a.String())
		}))
		return all
	}
	b.ok(b.Delete(ctx, one))
	if got := gone(start); !slices.Equal(got, []string{"acme/one"}) || len(gone(b.now)) != 0 {
		b.Errorf("deleted: %q", got)
	}
	if all := b.incidents(history.IncidentQuery{}); len(all) != 1 || all[0].Boxes["acme"] != 1 || len(b.incidents(history.IncidentQuery{Box: one})) != 0 {
		b.Errorf("the outage still has the box: %+v", all)
	}
	b.add(entry(one, "b", 1, 90, agent.Ready))
	if got := gone(start); len(got) != 0 {
		b.Errorf("deleted, though it has reported again: %q", got)
	}
	b.ok(b.Delete(ctx, one))
	b.now = start.Add(25 * time.Hour)
	if got := gone(time.Time{}); len(got) != 0 {
		b.Errorf("a day after: %q", got)
	}
}
