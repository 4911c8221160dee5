package history_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/simulate"
)

// batchOf makes the reports number from and after of a fleet, each box's turn after
// all others.
func batchOf(b *testing.B, f *simulate.Fleet, boxes, from, size int) []history.Entry {
	batch := make([]history.Entry, size)
	for i := range batch {
		k := from + i
		at := f.At(k%boxes, uint64(k/boxes), start)
		boot, r := f.Report(k%boxes, uint64(k/boxes), at)
		raw, err := json.Marshal(r)
		if err != nil {
			b.Fatal(err)
		}
		batch[i] = history.Entry{From: f.Address(k % boxes), Boot: boot, Report: r, Raw: raw, ArrivedAt: at}
	}
	return batch
}

// cpu is the processor time of this program.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkAdd writes reports in batches as they come from the bus: of boxes that are new, and of boxes
// that are known, most of which have nothing new to say.
func BenchmarkAdd(b *testing.B) {
	const size = 2000
	for _, boxes := range []int{1000, 100000} {
		for _, known := range []bool{false, true} {
			b.Run(fmt.Sprintf("%d/known=%v", boxes, known), func(b *testing.B) {
				db, err := history.Open(b.Context(), filepath.Join(b.TempDir(), "history.db"), history.Config{})
				if err != nil {
					b.Fatal(err)
				}
				defer db.Close()
				f := simulate.New(simulate.Config{Boxes: boxes})
				k := 0
				add := func(batch []history.Entry) {
					if _, err := db.Add(b.Context(), batch); err != nil {
						b.Fatal(err)
					}
					k += len(batch)
				}
				for known && k < boxes {
					add(batchOf(b, f, boxes, k, 1000))
				}
				before, used := k, time.Duration(0)
				for b.Loop() {
					b.StopTimer()
					batch := batchOf(b, f, boxes, k, size)
					b.StartTimer()
					began := cpu()
					add(batch)
					used += cpu() - began
				}
				b.ReportMetric(float64(used.Microseconds())/float64(k-before), "cpu-us/report")
				b.ReportMetric(float64(k-before)/b.Elapsed().Seconds(), "reports/s")
			})
		}
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
