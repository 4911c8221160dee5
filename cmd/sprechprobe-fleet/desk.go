package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/authority"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/beacons"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/desk"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/hub"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

// retry does something until it lasts, or ctx ends: the bus may come later than
// we, and be away for a while.
func retry(ctx context.Context, log *slog.Logger, what string, do func(context.Context) error) {
	const wait = 5 * time.Second
	for {
		err := do(ctx)
		if ctx.Err() != nil {
			return
		}
		log.Warn(what, "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// keepDesk hears the claims of boxes that belong to nobody, until ctx ends. keys is
// what the serving machine has of the vendor's keys.
func keepDesk(ctx context.Context, h *hub.Hub, keys string, log *slog.Logger) error {
	signer, err := authority.ReadKey(filepath.Join(keys, authority.DeskKey))
	if err != nil {
		return err
	}
	conn, err := h.Join(filepath.Join(keys, authority.DeskCreds))
	if err != nil {
		return err
	}
	defer conn.Close()
	setup, cancel := waiting(ctx)
	defer cancel()
	d, err := desk.Open(setup, desk.Config{Claims: conn, Signer: signer, Centre: h.JetStream(), Log: log})
	if err != nil {
		return err
	}
	defer d.Close()
	<-ctx.Done()
	return nil
}

// keepBeacons tells the beacon zone which boxes there are, until ctx ends.
func keepBeacons(ctx context.Context, h *hub.Hub, zone *beacons.Server) error {
	setup, cancel := waiting(ctx)
	defer cancel()
	s, err := desk.OpenStore(setup, h.JetStream())
	if err != nil {
		return err
	}
	err = s.Granted(ctx, func(key, sealed string) {
		// Only the vendor's own account can write here; a grant that is read here
		// proves nothing and need not.
		g, err := fleet.OpenGrant([]byte(sealed), key, nil)
		if sealed != "" && err != nil {
			return
		}
		zone.Know(key, g.Address())
	})
	if err == nil && ctx.Err() == nil {
		err = errors.New("the list of grants has ended")
	}
	return err
}

// showCall enters a call for help where people see it.
func showCall(reg *registry.Registry) func(fleet.Address, fleet.Beacon, time.Time) {
	return func(a fleet.Address, b fleet.Beacon, at time.Time) {
		reg.Call(registry.Key{Tenant: a.Tenant, Box: a.Box}, registry.Call{Reason: agent.Reason(b.Reason), At: at})
	}
}
