package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/authority"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/beacons"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/dashboard"
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
	if err := h.Prepare(setup); err != nil {
		return err
	}
	d, err := desk.Open(setup, desk.Config{Claims: conn, Signer: signer, Centre: h.JetStream(), Log: log})
	if err != nil {
		return err
	}
	defer d.Close()
	<-ctx.Done()
	return nil
}

func openStore(ctx context.Context, h *hub.Hub) (*desk.Store, error) {
	if err := h.Prepare(ctx); err != nil {
		return nil, err
	}
	return desk.OpenStore(ctx, h.JetStream())
}

// waitingRoom are the boxes that wait to be claimed, as the page shows them.
type waitingRoom struct {
	now atomic.Pointer[[]dashboard.Waiter]
}

// boxes are those that wait.
func (w *waitingRoom) boxes() []dashboard.Waiter {
	if all := w.now.Load(); all != nil {
		return *all
	}
	return nil
}

// keep looks who waits, until ctx ends.
func (w *waitingRoom) keep(ctx context.Context, h *hub.Hub) error {
	const every = 5 * time.Second
	setup, cancel := waiting(ctx)
	defer cancel()
	s, err := openStore(setup, h)
	if err != nil {
		return err
	}
	for t := time.NewTicker(every); ; {
		if err := w.look(ctx, s); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

func (w *waitingRoom) look(ctx context.Context, s *desk.Store) error {
	ctx, cancel := waiting(ctx)
	defer cancel()
	found, err := s.Waiting(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(found, func(a, b desk.Waiting) int { return b.At.Compare(a.At) }) // who asked last comes first
	all := make([]dashboard.Waiter, len(found))
	for i, f := range found {
		all[i] = dashboard.Waiter{Code: f.Code, Box: describe(f), Key: f.Key, At: f.At}
	}
	w.now.Store(&all)
	return nil
}

// keepBeacons tells the beacon zone which boxes there are, until ctx ends.
func keepBeacons(ctx context.Context, h *hub.Hub, zone *beacons.Server) error {
	setup, cancel := waiting(ctx)
	defer cancel()
	s, err := openStore(setup, h)
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
