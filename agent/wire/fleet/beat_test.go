package fleet_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

func TestBeatSubjects(t *testing.T) {
	state, beat, err := fleet.BeatSubjects("acme", "box-1")
	if err != nil || state != "sprechprobe.v1.acme.box-1.up.state" || beat != "sprechprobe.v1.acme.box-1.up.hb" {
		t.Fatalf("%s, %s, %v", state, beat, err)
	}
	for subject, change := range map[string]bool{state: true, beat: false} {
		tenant, box, got, err := fleet.ParseBeatSubject(subject)
		if err != nil || tenant != "acme" || box != "box-1" || got != change {
			t.Errorf("%s: %s, %s, %v, %v", subject, tenant, box, got, err)
		}
	}
	for _, bad := range []string{"", "up.hb", "sprechprobe.v1.acme.box-1.up.report", "sprechprobe.v1.*.box.up.hb", "sprechprobe.v1.a.b.c.up.hb", "x.acme.box-1.up.hb"} {
		if _, _, _, err := fleet.ParseBeatSubject(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if _, _, err := fleet.BeatSubjects("acme", "*"); err == nil {
		t.Error("a box named * was taken")
	}
}

func TestDecodeBeat(t *testing.T) {
	b := fleet.Beat{Schema: fleet.BeatSchema, Seq: 7, Verdict: agent.Blocked, Queued: 3, Dropped: 2, EveryS: 90}
	body, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := fleet.DecodeBeat(body); err != nil || got != b {
		t.Errorf("%+v, %v; want %+v", got, err, b)
	}
	for want, bad := range map[string]string{
		"schema": `{"schema":"sprechprobe.beat/2"}`,
		"over":   `{"schema":"sprechprobe.beat/1","x":"` + strings.Repeat("x", 1024) + `"}`,
		"beat: ": `{`,
		"negat":  `{"schema":"sprechprobe.beat/1","queued_count":-1}`,
	} {
		if _, err := fleet.DecodeBeat([]byte(bad)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", bad, err, want)
		}
	}
}

func FuzzDecodeBeat(f *testing.F) {
	f.Add([]byte(`{"schema":"sprechprobe.beat/1","seq":1,"verdict":"ready","every_s":60}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		beat, err := fleet.DecodeBeat(b)
		if err == nil && (beat.Queued < 0 || beat.EveryS < 0) {
			t.Errorf("%q was taken", b)
		}
	})
}
