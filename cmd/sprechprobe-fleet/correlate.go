package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/incident"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

const (
	looking   = 15 * time.Second // between two looks for incidents
	providers = 5 * time.Minute  // between two looks for whose boxes are whose
)

// correlate tells outages from the faults of single practices, writes them on the
// board, and shows findings with the causes that they have then, until ctx ends.
func correlate(ctx context.Context, db *history.DB, reg *registry.Registry, board *incident.Board, log *slog.Logger) {
	var w incident.Watch
	var isps map[fleet.Address]string
	var asked time.Time
	known := map[string]bool{}
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
		open, ended := w.Look(time.Now(), speaking(reg, isps))
		board.Set(open)
		changed := len(ended) > 0
		for _, i := range open {
			if !known[i.ID] {
				known[i.ID], changed = true, true
				log.Warn("incident", "id", i.ID, "target", i.Target, "cause", i.Cause.String(), "isp", i.ISP, "from", i.FromAt, "boxes", i.Boxes, "of", i.Of)
			}
		}
		for _, i := range ended {
			delete(known, i.ID)
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
