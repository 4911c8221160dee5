package dashboard_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/dashboard"
)

// Who has copied a card is told so where he looks for the box.
func TestTwinsAreShown(t *testing.T) {
	b := newBench(t, dashboard.Config{})
	b.take("acme", "one", report("One"))
	_, subject, err := fleet.BeatSubjects("acme", "one")
	if err != nil {
		t.Fatal(err)
	}
	beat, err := json.Marshal(fleet.Beat{Schema: fleet.BeatSchema, Seq: 1, Verdict: agent.Ready, EveryS: 60})
	if err != nil {
		t.Fatal(err)
	}
	for i, run := range []string{"first", "second", "first", "second", "first"} {
		b.now = start.Add(time.Duration(i) * time.Minute)
		b.reg.Hear(subject, run, beat, b.now)
	}
	for path, want := range map[string]string{
		"/?lang=de": "zwei Boxen melden sich unter diesem Namen", "/?lang=en": "two boxes report under this name",
		"/boxes/acme/one?lang=de": "zwei Boxen melden sich unter diesem Namen",
	} {
		_, page := b.get(path)
		contains(t, page, want)
	}
}
