package ingest_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/hub"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/ingest"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/simulate"
)

// cpu is the processor time of this program, the bus included.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkIngest takes a burst of reports from the bus: bare, which acknowledges
// and forgets; into the history; and into the registry that the pages read.
func BenchmarkIngest(b *testing.B) {
	const reports, boxes = 10000, 5000
	h, err := hub.Open(b.Context(), hub.Config{Listen: "127.0.0.1:0", Data: b.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close()
	f := simulate.New(simulate.Config{Boxes: boxes})
	sent, err := f.Send(b.Context(), simulate.Sending{From: time.Now().Add(-10 * time.Minute), Reports: reports, Connect: func() (*nats.Conn, error) { return nats.Connect(h.URL()) }})
	if err != nil || sent.Acknowledged != reports {
		b.Fatalf("%+v, %v", sent, err)
	}
	b.Logf("made and published: %.0f/s", reports/sent.Took.Seconds())
	run := func(b *testing.B, take func(context.Context, []hub.Message) error) {
		n := 0
		began := cpu()
		for b.Loop() {
			b.StopTimer()
			if err := h.JetStream().DeleteConsumer(b.Context(), "SPRECHPROBE_REPORTS", hub.Ingester); err != nil && n > 0 {
				b.Fatal(err)
			}
			b.StartTimer()
			n++
			ctx, stop := context.WithCancel(b.Context())
			var done atomic.Int64
			count := func(ctx context.Context, m []hub.Message) error {
				err := take(ctx, m)
				if done.Add(int64(len(m))) >= reports {
					stop()
				}
				return err
			}
			both := make(chan struct{})
			go func() { h.Ingest(ctx, count); both <- struct{}{} }()
			h.Ingest(ctx, count)
			<-both
			stop()
		}
		b.ReportMetric(float64(n*reports)/b.Elapsed().Seconds(), "reports/s")
		b.ReportMetric(float64((cpu()-began).Microseconds())/float64(n*reports), "cpu-us/report")
	}
	b.Run("bare", func(b *testing.B) { run(b, func(context.Context, []hub.Message) error { return nil }) })
	b.Run("history", func(b *testing.B) {
		db, err := history.Open(b.Context(), filepath.Join(b.TempDir(), "history.db"), history.Config{})
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		run(b, ingest.New(db, slog.New(slog.DiscardHandler)).Take)
	})
	b.Run("registry", func(b *testing.B) {
		reg := registry.New(registry.Config{MaxBoxes: boxes})
		run(b, func(_ context.Context, batch []hub.Message) error {
			for _, m := range batch {
				reg.Take(m.Subject, m.Boot, m.Payload, m.At)
			}
			return nil
		})
	})
}
