package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/hub"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/ingest"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/networks"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

const (
	historyArgs = `
  --history WHERE      what is kept of all boxes: a file, or a postgres:// URL
                       (default: a file beside what the bus keeps)
  --keep-raw DAYS      how long reports are kept as they came (default 30)
  --keep-aggregates DAYS  how long hours of them, changes and boxes (default 396)
  --networks FILE      whose public addresses are whose: lines NETWORK/BITS,PROVIDER`

	day      = 24 * time.Hour
	writers  = 2                // batches at a time: one is read while another is written
	overdue  = 10 * time.Second // between two looks for boxes that fell silent
	sweeping = 6 * time.Hour    // between two looks for what is too old
	lately   = time.Hour
)

// historyFlags are the settings of what is kept.
type historyFlags struct {
	where, networks string
	raw, aggregates int // days
}

func (h *historyFlags) add(f *flag.FlagSet) {
	f.StringVar(&h.where, "history", "", "")
	f.StringVar(&h.networks, "networks", "", "")
	f.IntVar(&h.raw, "keep-raw", int(history.DefaultRaw/day), "")
	f.IntVar(&h.aggregates, "keep-aggregates", int(history.DefaultAggregates/day), "")
}

// check says what is wrong with the settings.
func (h *historyFlags) check() error {
	if h.raw < 1 || h.aggregates < h.raw || h.aggregates > 36500 {
		return errUsage{fmt.Errorf("--keep-raw %d --keep-aggregates %d: want at least 1 day, and aggregates no shorter", h.raw, h.aggregates)}
	}
	return nil
}

// open opens the history; data is where an embedded bus keeps its own.
func (h *historyFlags) open(ctx context.Context, data string) (*history.DB, error) {
	var err error
	switch {
	case h.where == "" && data != "":
		h.where = filepath.Join(data, "history.db")
	case h.where == "":
		if h.where, err = stateDir("history.db"); err != nil {
			return nil, err
		}
	}
	isp, err := h.isp()
	if err != nil {
		return nil, err
	}
	return history.Open(ctx, h.where, history.Config{KeepRaw: time.Duration(h.raw) * day, KeepAggregates: time.Duration(h.aggregates) * day, ISP: isp})
}

// isp is what the table of networks says.
func (h *historyFlags) isp() (func(netip.Addr) string, error) {
	if h.networks == "" {
		return nil, nil
	}
	f, err := os.Open(h.networks)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := networks.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", h.networks, err)
	}
	return t.ISP, nil
}

// keep writes the history and keeps it in bounds, until ctx ends. note is told how the
// parts of that go.
func keep(ctx context.Context, h *hub.Hub, db *history.DB, note func(part string, err error), log *slog.Logger) {
	in := ingest.New(db, log)
	g, ctx := errgroup.WithContext(ctx)
	take := func(ctx context.Context, batch []hub.Message) error {
		err := in.Take(ctx, batch)
		if ctx.Err() == nil {
			note(partWriting, err)
		}
		return err
	}
	for range writers {
		g.Go(func() error { h.Ingest(ctx, take); return nil })
	}
	every := func(d time.Duration, what string, do func(context.Context) error) {
		g.Go(func() error {
			t := time.NewTicker(d)
			defer t.Stop()
			for {
				if err := do(ctx); err != nil && ctx.Err() == nil {
					log.Warn(what, "err", err)
				}
				select {
				case <-ctx.Done():
					return nil
				case <-t.C:
				}
			}
		})
	}
	every(overdue, "silent boxes are not marked", func(ctx context.Context) error {
		_, err := db.Silence(ctx)
		if ctx.Err() == nil {
			note(partHistory, err)
		}
		return err
	})
	every(sweeping, "old reports are not deleted", func(ctx context.Context) error {
		s, err := db.Sweep(ctx)
		if s != (history.Swept{}) {
			log.Info("history swept", "reports", s.Reports, "hours", s.Hours, "boxes", s.Boxes)
		}
		return err
	})
	_ = g.Wait() // no task returns an error
}

// restore shows the boxes as the history knows them that have not been heard of
// lately: the bus holds the others, and they speak soon.
func restore(ctx context.Context, db *history.DB, reg *registry.Registry, log *slog.Logger) {
	began, n := time.Now(), 0
	err := db.Each(ctx, began.Add(-lately), func(b history.Box, r agent.Report) { reg.Restore(b, r); n++ })
	if err != nil && ctx.Err() == nil {
		log.Warn("boxes of earlier are not all shown", "err", err)
	}
	log.Info("history read", "boxes", n, "took_ms", time.Since(began).Milliseconds())
}
