package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

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

// correlate tells outages from the faults of single practices, makes them known,
// and shows findings with the causes that they have then, until ctx ends.
func correlate(ctx context.Context, db *history.DB, reg *registry.Registry, known *outages, log *slog.Logger) {
	var w incident.Watch
	var isps map[fleet.Address]string
	var asked time.Time
	told := map[string]bool{}
	t := time.NewTicker(looking)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if time.Since(asked) > providers {
			asked = time.Now()
			next := map[fleet.Address]string{}
			if err := db.ISPs(ctx, func(a fleet.Address, isp string) { next[a] = isp }); err != nil {
				log.Warn("providers are not known", "err", err)
			} else {
				isps = next
			}
		}
		boxes := speaking(reg, isps)
		open, ended := w.Look(time.Now(), boxes)
		known.set(suffering(open, boxes))
		changed := len(ended) > 0
		for _, i := range open {
			if !told[i.ID] {
				told[i.ID], changed = true, true
				log.Warn("incident", "id", i.ID, "target", i.Target, "cause", i.Cause.String(), "isp", i.ISP, "from", i.FromAt, "boxes", i.Boxes, "of", i.Of)
			}
		}
		for _, i := range ended {
			delete(told, i.ID)
			log.Info("incident over", "id", i.ID, "target", i.Target, "until", i.UntilAt)
		}
		if changed {
			reg.View(causes(open, isps))
		}
	}
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
