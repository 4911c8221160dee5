package main

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/alert"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/incident"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

const (
	looking   = 15 * time.Second // between two looks for incidents
	providers = 5 * time.Minute  // between two looks for whose boxes are whose
)

// outages are the incidents that go on, for whoever asks. The zero value is empty;
// it is safe for concurrent use.
type outages struct {
	mu   sync.Mutex
	open []alert.Incident
}

func (o *outages) set(open []alert.Incident) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open = open
}

// all lists them, the gravest first; the list is not to be changed.
func (o *outages) all() []alert.Incident {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.open
}

// of lists those that one box suffers from, for the box. It hears of no others.
func (o *outages) of(a fleet.Address) []fleet.Outage {
	out := []fleet.Outage{}
	for _, i := range o.all() {
		one := fleet.Outage{Target: i.Target, FromAt: i.StartedAt.UTC()}
		if i.Members[registry.Key{Tenant: a.Tenant, Box: a.Box}] && one.Cause.UnmarshalText([]byte(i.Cause)) == nil {
			out = append(out, one)
		}
	}
	return out
}

// correlator tells outages from the faults of single practices, makes them known,
// keeps them, and shows findings with the causes that they have then.
type correlator struct {
	db    *history.DB
	reg   *registry.Registry
	known *outages
	log   *slog.Logger
	watch incident.Watch

	isps  map[fleet.Address]string
	asked time.Time         // for them
	names map[string]string // of the incidents that go on, by the watch's own
	past  chronicle
}

func newCorrelator(db *history.DB, reg *registry.Registry, known *outages, w incident.Watch, log *slog.Logger) *correlator {
	return &correlator{db: db, reg: reg, known: known, log: log, watch: w, names: map[string]string{},
		past: chronicle{db: db, members: map[string]map[fleet.Address]bool{}}}
}

// run looks for incidents until ctx ends.
func (c *correlator) run(ctx context.Context) {
	t := time.NewTicker(min(looking, cmp.Or(c.watch.Steady, incident.Steady)/2))
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			c.look(ctx, now)
		}
	}
}

func (c *correlator) look(ctx context.Context, now time.Time) {
	c.askProviders(ctx, now)
	boxes := speaking(c.reg, c.isps)
	open, ended := c.watch.Look(now, boxes)
	changed := len(ended) > 0
	for n, i := range open {
		if c.names[i.ID] == "" {
			changed = true
			c.names[i.ID] = c.nameOf(ctx, i)
			c.log.Warn("incident", "id", c.names[i.ID], "target", i.Target, "cause", i.Cause.String(), "isp", i.ISP, "from", i.FromAt, "boxes", i.Boxes, "of", i.Of)
		}
		open[n].ID = c.names[i.ID]
	}
	for n, i := range ended {
		ended[n].ID = c.names[i.ID]
		delete(c.names, i.ID)
		c.log.Info("incident over", "id", ended[n].ID, "target", i.Target, "until", i.UntilAt)
	}
	who := suffering(open, boxes)
	c.known.set(who)
	if changed {
		c.reg.View(causes(open, c.isps))
	}
	if err := c.past.write(ctx, now, who, ended, shownCauses(open, boxes)); err != nil && ctx.Err() == nil {
		c.log.Warn("outages cannot be kept", "err", err)
	}
}

// nameOf gives an incident the name that it keeps, also over restarts.
func (c *correlator) nameOf(ctx context.Context, i incident.Incident) string {
	id, err := c.db.Begin(ctx, history.Incident{Target: i.Target, Cause: i.Cause, ISP: i.ISP, FromAt: i.FromAt})
	if err != nil {
		c.log.Warn("an outage is not kept", "target", i.Target, "err", err)
		return i.ID
	}
	return id
}

func (c *correlator) askProviders(ctx context.Context, now time.Time) {
	if now.Sub(c.asked) <= providers {
		return
	}
	c.asked = now
	next := map[fleet.Address]string{}
	if err := c.db.ISPs(ctx, func(a fleet.Address, isp string) { next[a] = isp }); err != nil {
		c.log.Warn("providers are not known", "err", err)
		return
	}
	c.isps = next
}

// speaking are the boxes that are not silent, as package incident wants them.
func speaking(reg *registry.Registry, isps map[fleet.Address]string) []incident.Box {
	var out []incident.Box
	for _, b := range reg.Raw() {
		if b.Silent {
			continue
		}
		a := fleet.Address{Tenant: b.Tenant, Box: b.Key.Box}
		profiles := make([]string, len(b.Report.Profiles))
		for i, p := range b.Report.Profiles {
			profiles[i] = p.Name
		}
		out = append(out, incident.Box{Address: a, ISP: isps[a], Profiles: profiles, Findings: b.Report.Findings})
	}
	return out
}

// suffering are incidents with the boxes that each concerns.
func suffering(open []incident.Incident, boxes []incident.Box) []alert.Incident {
	out := make([]alert.Incident, len(open))
	at := map[string]int{}
	for n, i := range open {
		out[n] = alert.Incident{ID: i.ID, Cause: i.Cause.String(), Target: i.Target, Provider: i.ISP, StartedAt: i.FromAt,
			Members: map[registry.Key]bool{}}
		at[i.ID] = n
	}
	for _, b := range boxes {
		for _, f := range b.Findings {
			if i, ok := incident.Of(open, b.ISP, f); ok {
				out[at[i.ID]].Members[registry.Key{Tenant: b.Tenant, Box: b.Box}] = true
			}
		}
	}
	return out
}

// causes shows boxes with the causes that incidents give their findings.
func causes(open []incident.Incident, isps map[fleet.Address]string) func(registry.Box) registry.Box {
	if len(open) == 0 {
		return nil
	}
	return func(b registry.Box) registry.Box {
		b.Report = incident.Rewrite(open, isps[fleet.Address{Tenant: b.Tenant, Box: b.Key.Box}], b.Report)
		return b
	}
}

// shownCauses are those of the boxes that suffer from incidents.
func shownCauses(open []incident.Incident, boxes []incident.Box) map[fleet.Address][]agent.Cause {
	out := map[fleet.Address][]agent.Cause{}
	if len(open) == 0 {
		return out
	}
	for _, b := range boxes {
		var all []agent.Cause
		hit := false
		for _, f := range b.Findings {
			if i, ok := incident.Of(open, b.ISP, f); ok {
				f.Cause, hit = i.Cause, true
			}
			if f.Severity > agent.Info {
				all = append(all, f.Cause)
			}
		}
		if hit {
			slices.Sort(all)
			out[b.Address] = slices.Compact(all)
		}
	}
	return out
}
