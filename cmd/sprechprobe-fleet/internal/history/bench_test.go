package history_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/simulate"
)

// BenchmarkAdd writes reports in batches of 500, each box's turn after all others.
func BenchmarkAdd(b *testing.B) {
	for _, boxes := range []int{1000, 100000} {
		b.Run(fmt.Sprint(boxes), func(b *testing.B) {
			db, err := history.Open(b.Context(), filepath.Join(b.TempDir(), "history.db"), history.Config{})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			f := simulate.New(simulate.Config{Boxes: boxes})
			k := 0
			for b.Loop() {
				b.StopTimer()
				batch := make([]history.Entry, 500)
				for i := range batch {
					at := f.At(k%boxes, uint64(k/boxes), start)
					boot, r := f.Report(k%boxes, uint64(k/boxes), at)
					raw, err := json.Marshal(r)
					if err != nil {
						b.Fatal(err)
					}
					batch[i] = history.Entry{From: f.Address(k % boxes), Boot: boot, Report: r, Raw: raw, ArrivedAt: at}
					k++
				}
				b.StartTimer()
				if _, err := db.Add(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(k)/b.Elapsed().Seconds(), "reports/s")
		})
	}
}

// BenchmarkFind asks for what the first page shows of a large fleet.
func BenchmarkFind(b *testing.B) {
	const boxes = 100000
	db, err := history.Open(b.Context(), filepath.Join(b.TempDir(), "history.db"), history.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	f := simulate.New(simulate.Config{Boxes: boxes})
	for k := 0; k < boxes; {
		batch := make([]history.Entry, 5000)
		for i := range batch {
			boot, r := f.Report(k, 0, start)
			batch[i] = history.Entry{From: f.Address(k), Boot: boot, Report: r, Raw: []byte("{}"), ArrivedAt: start.Add(time.Duration(k) * time.Millisecond)}
			k++
		}
		if _, err := db.Add(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	for what, q := range map[string]history.Query{
		"worst": {}, "tenant": {Tenant: "tenant-2"}, "finding": {Finding: agent.GroupBlockAll}, "text": {Text: "praxis 4711"}, "last page": {Page: 99999},
	} {
		b.Run(what, func(b *testing.B) {
			for b.Loop() {
				if _, err := db.Find(b.Context(), q); err != nil {
					b.Fatal(err)
				}
				if _, err := db.Count(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
