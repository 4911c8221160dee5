package fleet_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet/fleettest"
)

// frozen is a message as boxes sent it under a number of its schema. These files
// are never written again: boxes that send so stay in the field for years.
func frozen(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "old", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What boxes of any age send is read.
func TestOldBoxesAreUnderstood(t *testing.T) {
	r, err := fleet.Decode(frozen(t, "report-1.json"))
	if err != nil || r.Schema != "sprechprobe.report/1" || r.Seq != 4711 || r.Verdict != agent.Blocked || len(r.Findings) != 1 ||
		r.Findings[0].Code != agent.TURNUDPBlock || r.Evidence[r.Findings[0].Evidence[0]].Grade != agent.GradeD || r.Settings != nil || r.Commands != nil {
		t.Errorf("report: %+v, %v", r, err)
	}
	b, err := fleet.DecodeBeat(frozen(t, "beat-1.json"))
	if err != nil || b.Seq != 4711 || b.Verdict != agent.Blocked || b.Queued != 3 || b.EveryS != 90 {
		t.Errorf("beat: %+v, %v", b, err)
	}
}

func TestSchemaNumbers(t *testing.T) {
	const ours = "sprechprobe.report/3"
	for theirs, want := range map[string]string{
		"sprechprobe.report/1": "", "sprechprobe.report/2": "", ours: "",
		"sprechprobe.report/4": "newer than this program", "sprechprobe.report/0": "want", "sprechprobe.report/-1": "want", "sprechprobe.report/+1": "want",
		"sprechprobe.report/01": "want", "sprechprobe.report/": "want", "sprechprobe.report": "want", "": "want", "sprechprobe.beat/1": "want",
		"sprechprobe.report/1/2": "want", "sprechprobe.report/99999999999999999999": "want", "sprechprobe.report/1 ": "want",
	} {
		if err := fleet.CheckSchema(theirs, ours); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", theirs, err, want)
		}
	}
}

// What was sealed under a lower number stays good, and its signature still covers
// under which: a grant lies on a box for years.
func TestOldSeals(t *testing.T) {
	v := fleettest.NewVendor(t)
	sealed := v.Seal("sprechprobe.thing/1", map[string]int{"x": 1})
	if body, err := fleet.Unseal("sprechprobe.thing/2", sealed, []string{v.Key()}); err != nil || string(body) != `{"x":1}` {
		t.Errorf("%s, %v", body, err)
	}
	raised := []byte(strings.Replace(string(sealed), "thing/1", "thing/2", 1))
	if _, err := fleet.Unseal("sprechprobe.thing/2", raised, []string{v.Key()}); !errors.Is(err, fleet.ErrUnsigned) {
		t.Errorf("its number was changed: %v", err)
	}
	if _, err := fleet.Unseal("sprechprobe.thing/1", v.Seal("sprechprobe.thing/2", 1), []string{v.Key()}); err == nil {
		t.Error("a higher number is taken")
	}
}

func TestDecodeTime(t *testing.T) {
	if at, err := fleet.DecodeTime([]byte(`{"schema":"sprechprobe.time/1","at":"2027-05-04T03:02:01.5+02:00","more":1}`)); err != nil || at.Format("15:04:05.0 MST") != "01:02:01.5 UTC" {
		t.Errorf("%v, %v", at, err)
	}
	for _, bad := range []string{"", "{}", `{"schema":"sprechprobe.time/2","at":"2027-05-04T03:02:01Z"}`, `{"schema":"sprechprobe.time/1","at":"1970-01-01T00:00:00Z"}`,
		`{"schema":"sprechprobe.time/1","at":"9999-01-01T00:00:00Z"}`, `{"schema":"sprechprobe.time/1","at":7}`, `{"schema":"sprechprobe.time/1","x":"` + strings.Repeat("x", 300) + `"}`} {
		if at, err := fleet.DecodeTime([]byte(bad)); err == nil {
			t.Errorf("%.60s: %v", bad, at)
		}
	}
}

func FuzzDecodeTime(f *testing.F) {
	f.Add([]byte(`{"schema":"sprechprobe.time/1","at":"2027-05-04T03:02:01Z"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if at, err := fleet.DecodeTime(b); err == nil && (at.Year() < 2025 || at.Year() > 2201) {
			t.Errorf("%q is %v", b, at)
		}
	})
}
