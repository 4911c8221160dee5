package reports_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/reports"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/simulate"
)

var comparable = []cmp.Option{cmpopts.EquateComparable(agent.Target{}.Addr)}

// simulated are reports of many kinds, as they lie on the wire.
func simulated(t testing.TB, n int) [][]byte {
	t.Helper()
	f := simulate.New(simulate.Config{Boxes: n, Faulty: 0.5})
	var out [][]byte
	for i := range n {
		_, r := f.Report(i, 48, time.Date(2026, 11, 20, 9, 25, 0, 0, time.UTC))
		b, err := fleet.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

// What both ways of reading take they read alike.
func TestReadsAsTheWireDoes(t *testing.T) {
	for _, b := range simulated(t, 200) {
		same(t, b)
		brief, err := reports.Brief(b)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := fleet.Decode(b)
		want.Evidence = nil
		for i := range want.Findings {
			want.Findings[i].Evidence = nil
		}
		if d := cmp.Diff(want, brief, comparable...); d != "" {
			t.Fatalf("Brief of %s: (-wire +here)\n%s", b, d)
		}
	}
}

func same(t *testing.T, b []byte) {
	t.Helper()
	got, err := reports.Decode(b)
	if err != nil {
		return
	}
	want, err := fleet.Decode(b)
	if err != nil {
		t.Fatalf("%s: taken here, refused on the wire: %v", b, err)
	}
	if d := cmp.Diff(want, got, comparable...); d != "" {
		t.Fatalf("%s: (-wire +here)\n%s", b, d)
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := map[string]struct{ in, wantErr string }{
		"no JSON":         {`{`, "EOF"},
		"another schema":  {`{"schema":"sprechprobe.report/9"}`, "sprechprobe.report/9"},
		"no schema":       {`{}`, "schema"},
		"index":           {`{"schema":"sprechprobe.report/1","findings":[{"code":"link-down","evidence":[2]}],"evidence":[{"probe":"link"}]}`, "evidence 2 of 1"},
		"negative":        {`{"schema":"sprechprobe.report/1","findings":[{"code":"link-down","evidence":[-1]}],"evidence":[{"probe":"link"}]}`, "evidence -1"},
		"name twice":      {`{"schema":"sprechprobe.report/1","seq":1,"seq":2}`, "duplicate"},
		"too large":       {`{"schema":"` + strings.Repeat("x", fleet.MaxReport) + `"}`, "is over"},
		"no UTF-8":        {"{\"schema\":\"sprechprobe.report/1\",\"tenant\":\"\xff\"}", "UTF-8"},
		"number as text":  {`{"schema":"sprechprobe.report/1","seq":"7"}`, "seq"},
		"unknown verdict": {`{"schema":"sprechprobe.report/1","verdict":"splendid"}`, "splendid"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := reports.Decode([]byte(tt.in))
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("Decode(%.80s): %v, want %q", tt.in, err, tt.wantErr)
			}
		})
	}
}

// A report of a newer box has entries that we do not know.
func TestUnknownEntriesAreLeftOut(t *testing.T) {
	r, err := reports.Decode([]byte(`{"schema":"sprechprobe.report/1","seq":7,"weather":{"rain":true}}`))
	if err != nil || r.Seq != 7 {
		t.Errorf("%+v, %v", r, err)
	}
}

// FuzzDecode: what is taken here is what the wire's own reader takes.
func FuzzDecode(f *testing.F) {
	for _, b := range simulated(f, 20) {
		f.Add(b)
	}
	files, err := filepath.Glob("../../../../agent/wire/fleet/testdata/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { same(t, b) })
}

func BenchmarkDecode(b *testing.B) {
	all := simulated(b, 100)
	for name, read := range map[string]func([]byte) (agent.Report, error){"wire": fleet.Decode, "here": reports.Decode, "brief": reports.Brief,
		"json": func(b []byte) (r agent.Report, err error) { err = json.Unmarshal(b, &r); return r, err }} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := read(all[i%len(all)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
