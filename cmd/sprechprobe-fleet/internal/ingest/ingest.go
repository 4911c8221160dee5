// Package ingest brings the reports from the bus into the history. It judges
// nothing and keeps nothing: what it has written it forgets.
package ingest

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/hub"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/reports"
)

// Ingester writes batches of messages to a history. It is safe for concurrent use.
type Ingester struct {
	db  *history.DB
	log *slog.Logger

	taken, known, unreadable atomic.Uint64
}

// New makes an ingester.
func New(db *history.DB, log *slog.Logger) *Ingester { return &Ingester{db: db, log: log} }

// Stats counts what came.
type Stats struct {
	Taken      uint64 // written
	Known      uint64 // had come before
	Unreadable uint64 // hostile, broken, or of a schema that we do not know
}

// Stats returns the counters.
func (i *Ingester) Stats() Stats {
	return Stats{i.taken.Load(), i.known.Load(), i.unreadable.Load()}
}

// Take writes a batch. When it returns nil, the history has all of it that can be
// read.
func (i *Ingester) Take(ctx context.Context, batch []hub.Message) error {
	entries := make([]history.Entry, 0, len(batch))
	for _, m := range batch {
		e, err := entry(m)
		if err != nil {
			if n := i.unreadable.Add(1); n&(n-1) == 0 { // ever more seldom
				i.log.Warn("report cannot be read", "subject", m.Subject, "err", err, "count", n)
			}
			continue
		}
		entries = append(entries, e)
	}
	added, err := i.db.Add(ctx, entries)
	if err != nil {
		return err
	}
	i.taken.Add(uint64(added))
	i.known.Add(uint64(len(entries) - added))
	return nil
}

// entry reads a message. Who speaks is taken from the subject, which the bus has
// checked.
func entry(m hub.Message) (history.Entry, error) {
	tenant, box, err := fleet.ParseReportSubject(m.Subject)
	if err != nil {
		return history.Entry{}, err
	}
	r, err := reports.Decode(m.Payload)
	if err != nil {
		return history.Entry{}, err
	}
	return history.Entry{From: fleet.Address{Tenant: tenant, Box: box}, Boot: m.Boot, Report: r, Raw: m.Payload, ArrivedAt: m.At}, nil
}
