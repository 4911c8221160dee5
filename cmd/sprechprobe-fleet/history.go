package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/audit"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/hub"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

const boxHistoryArgs = `export|delete TENANT/BOX [flags]
  export writes all that is kept of a box, as lines of JSON; delete forgets it, here
  and on the bus. A server that runs notices within ten seconds.
                   replay [flags]
  replay lets serve write down again all that the bus still holds (72 hours): after
  the history was restored from a copy. What is there already counts once.
  --history WHERE  a file, or a postgres:// URL (default: where serve keeps it)
  --nats URL       the bus (default nats://127.0.0.1:4222)
  --creds FILE     credentials for it
  --ca FILE        certificates to trust for it (default: the system's)
  --access DIR     where the log of who did what is (default: the user's state directory)`

// boxHistory exports or deletes what is kept of one box.
func boxHistory(ctx context.Context, e env, args []string) error {
	var kept historyFlags
	var door portalFlags
	bus := hub.Config{Log: slog.New(slog.DiscardHandler)}
	f := flags("history")
	f.StringVar(&kept.where, "history", "", "")
	f.StringVar(&bus.URL, "nats", "nats://127.0.0.1:4222", "")
	f.StringVar(&bus.Creds, "creds", "", "")
	f.StringVar(&bus.CA, "ca", "", "")
	f.StringVar(&door.dir, "access", "", "")
	if len(args) > 0 && args[0] == "replay" {
		if err := parse(f, args[1:]); err != nil {
			return err
		}
		return replay(ctx, e, bus, door)
	}
	pos, err := parseWith(f, args, "export, delete or replay", "TENANT/BOX")
	if err != nil {
		return err
	}
	a, err := fleet.ParseAddress(pos[1])
	if err != nil {
		return errUsage{err}
	}
	if pos[0] != "export" && pos[0] != "delete" {
		return errUsage{fmt.Errorf("%.40q: want export, delete or replay", pos[0])}
	}
	data, err := stateDir("bus")
	if err != nil && kept.where == "" {
		return err
	}
	kept.raw, kept.aggregates = int(history.DefaultRaw/day), int(history.DefaultAggregates/day)
	db, err := kept.open(ctx, data)
	if err != nil {
		return err
	}
	defer db.Close()
	dir, err := door.accessDir()
	if err != nil {
		return err
	}
	if pos[0] == "export" {
		err = db.Export(ctx, a, e.out)
	} else {
		err = deleteBox(ctx, db, bus, a)
	}
	d := deed("history-"+pos[0], a.Box)
	if d.Tenant = a.Tenant; err != nil {
		d.Result = err.Error()
	}
	return errors.Join(err, audit.Open(filepath.Join(dir, auditFile)).Add(d))
}

// replay has the bus hand out again what it holds.
func replay(ctx context.Context, e env, bus hub.Config, door portalFlags) error {
	dir, err := door.accessDir()
	if err != nil {
		return err
	}
	ctx, cancel := waiting(ctx)
	defer cancel()
	h, err := hub.Open(ctx, bus)
	if err != nil {
		return err
	}
	defer h.Close()
	n, err := h.Replay(ctx)
	d := deed("history-replay", "")
	if err != nil {
		d.Result = err.Error()
	} else {
		fmt.Fprintf(e.out, "%d reports are handed out again\n", n)
	}
	return errors.Join(err, audit.Open(filepath.Join(dir, auditFile)).Add(d))
}

// deleteBox deletes a box where no server need run.
func deleteBox(ctx context.Context, db *history.DB, bus hub.Config, a fleet.Address) error {
	if _, _, err := db.Newest(ctx, a); err != nil {
		return err
	}
	ctx, cancel := waiting(ctx)
	defer cancel()
	h, err := hub.Open(ctx, bus)
	if err != nil {
		return err
	}
	defer h.Close()
	return purge(ctx, h, db, a)
}

// purge deletes a box from the bus first, so that nobody writes it down again.
func purge(ctx context.Context, h *hub.Hub, db *history.DB, a fleet.Address) error {
	if err := h.Purge(ctx, a); err != nil {
		return errors.Join(errors.New("nothing was deleted"), err)
	}
	return db.Delete(ctx, a)
}

// forget deletes a box while the server runs.
func (s *server) forget(ctx context.Context, a fleet.Address) error {
	ctx, cancel := waiting(ctx)
	defer cancel()
	if err := purge(ctx, s.bus, s.db, a); err != nil {
		return err
	}
	s.drop(a)
	return nil
}

// drop forgets what this program has in mind of a box.
func (s *server) drop(a fleet.Address) {
	key := registry.Key(a)
	s.registry.Forget(key)
	if s.web.alerts != nil {
		s.web.alerts.Forget(key)
	}
}

// forgets drops the boxes that others have deleted, until ctx ends: the command line,
// or another program of this fleet.
func (s *server) forgets(ctx context.Context) {
	const every = 5 * time.Second
	t := time.NewTicker(every)
	defer t.Stop()
	for last := (time.Time{}); ; {
		err := s.db.Forgotten(ctx, last, func(a fleet.Address, at time.Time) {
			s.drop(a)
			last = at
		})
		if err != nil && ctx.Err() == nil {
			s.log.Warn("deleted boxes are not known", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}
