package dashboard_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/dashboard"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/simulate"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// first notes when a page began to arrive.
type first struct {
	*httptest.ResponseRecorder
	at time.Time
}

func (f *first) Write(b []byte) (int, error) {
	if f.at.IsZero() {
		f.at = time.Now()
	}
	return f.ResponseRecorder.Write(b)
}

// BenchmarkFirstByte asks for the pages of a fleet of 100000 boxes, while one box
// after another reports: nothing that a page shows is of an earlier round.
func BenchmarkFirstByte(b *testing.B) {
	const boxes = 100000
	now := start
	clock := func() time.Time { return now }
	reg, db := furnish(b, boxes, clock)
	f := simulate.New(simulate.Config{Boxes: boxes})
	next := 0
	take := func(n int) {
		batch := make([]history.Entry, n)
		for i := range batch {
			k, round := next%boxes, uint64(next/boxes)
			now = f.At(k, round, start)
			boot, r := f.Report(k, round, now)
			raw, err := json.Marshal(r)
			if err != nil {
				b.Fatal(err)
			}
			batch[i] = history.Entry{From: f.Address(k), Boot: boot, Report: r, Raw: raw, ArrivedAt: now}
			subject, err := fleet.ReportSubject(f.Address(k).Tenant, f.Address(k).Box)
			if err != nil {
				b.Fatal(err)
			}
			reg.Take(subject, boot, raw, now)
			next++
		}
		if _, err := db.Add(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	for next < boxes {
		take(2000)
	}
	id, err := db.Begin(b.Context(), history.Incident{Target: "t", Cause: agent.CauseVendor, FromAt: now}) // of every third box
	if err != nil {
		b.Fatal(err)
	}
	var hit []fleet.Address
	causes := map[fleet.Address][]agent.Cause{}
	for i := 0; i < boxes; i += 3 {
		hit = append(hit, f.Address(i))
		causes[f.Address(i)] = []agent.Cause{agent.CauseVendor}
	}
	if err := errors.Join(db.Suffer(b.Context(), id, hit), db.Explain(b.Context(), causes)); err != nil {
		b.Fatal(err)
	}
	s, err := dashboard.New(dashboard.Config{History: db, Registry: reg, Now: clock})
	if err != nil {
		b.Fatal(err)
	}
	for _, tt := range []struct{ name, path string }{
		{"overview", "/?lang=de"}, {"blocked", "/?lang=de&state=blocked"}, {"tenant", "/?lang=de&tenant=tenant-2"}, {"finding", "/?lang=de&finding=group-block-all"},
		{"version", "/?lang=de&version=1.1.0"}, {"cause", "/?lang=de&cause=vendor"}, {"practice", "/?lang=de&cause=practice"}, {"incident", "/?lang=de&incident=" + id}, {"outage", "/incidents/" + id},
		{"text", "/?lang=de&q=praxis+4711"}, {"last", "/?lang=de&page=2000"}, {"box", "/boxes/tenant-1/box-000001?lang=de"},
	} {
		b.Run(tt.name, func(b *testing.B) {
			var total time.Duration
			for b.Loop() {
				b.StopTimer()
				take(20)
				b.StartTimer()
				w := &first{ResponseRecorder: httptest.NewRecorder()}
				began := time.Now()
				s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost"+tt.path, nil))
				if w.Code != http.StatusOK {
					b.Fatalf("%d %s", w.Code, w.Body)
				}
				total += w.at.Sub(began)
			}
			b.ReportMetric(float64(total.Microseconds())/1000/float64(b.N), "ms-to-first-byte")
		})
	}
}
