package statuspage_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/statuspage"
)

func at(d time.Duration) agent.Stamp { return agent.Stamp{UptimeS: d.Seconds()} }

// day is a history in one letter a quarter, without the empty quarters before.
func day(h *statuspage.History) string {
	return strings.TrimLeft(statuspage.Day(h), "-")
}

func TestHistory(t *testing.T) {
	type look struct {
		after time.Duration // since boot
		v     agent.Verdict
	}
	const q = 15 * time.Minute
	tests := []struct {
		name  string
		looks []look
		want  string
		since time.Duration
	}{
		{"nothing", nil, "", 0},
		{"a quarter", []look{{0, agent.Ready}, {5 * time.Minute, agent.Ready}}, "r", 0},
		{"the worst of a quarter", []look{{0, agent.Ready}, {q / 3, agent.Blocked}, {q / 2, agent.Ready}}, "b", q / 2},
		{"no verdict is not worse than a good one", []look{{0, agent.Ready}, {q / 3, agent.VerdictUnknown}}, "r", q / 3},
		{"a verdict holds until the next", []look{{0, agent.VerdictLimited}, {3 * q, agent.Ready}}, "lllr", 3 * q},
		{"every kind", []look{{0, agent.VerdictUnknown}, {q, agent.Ready}, {2 * q, agent.VerdictLimited}, {3 * q, agent.Blocked}, {4 * q, agent.Offline}}, "urlbo", 4 * q},
		{"more than a day", []look{{0, agent.Blocked}, {200 * q, agent.Ready}}, strings.Repeat("b", 95) + "r", 200 * q},
		{"a day and a quarter", []look{{0, agent.Blocked}, {q, agent.Ready}, {96 * q, agent.Ready}}, strings.Repeat("r", 96), q},
		{"another boot", []look{{9 * q, agent.Blocked}, {0, agent.Ready}}, "r", 0},
		{"a clock that is none", []look{{0, agent.Ready}, {-q, agent.Blocked}}, "r", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var h statuspage.History
			for _, l := range tt.looks {
				h.Add(at(l.after), l.v)
			}
			if got := day(&h); got != tt.want {
				t.Errorf("day %q, want %q", got, tt.want)
			}
			if got := statuspage.Since(&h); got != tt.since {
				t.Errorf("since %v, want %v", got, tt.since)
			}
		})
	}
}

func TestHistoryOutlivesTheProgram(t *testing.T) {
	var before, after statuspage.History
	for q := range 100 {
		before.Add(at(time.Duration(q)*15*time.Minute), agent.Verdict(q%5))
	}
	text, err := before.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	if err := after.UnmarshalText(text); err != nil {
		t.Fatal(err)
	}
	if day(&after) != day(&before) || statuspage.Since(&after) != statuspage.Since(&before) {
		t.Errorf("read back %s, want %s", day(&after), day(&before))
	}
	// Two quarters in which there was no program say nothing.
	after.Add(at(102*15*time.Minute), agent.Ready)
	if got := day(&after); !strings.HasSuffix(got, "o--r") {
		t.Errorf("after an hour's absence: %s", got)
	}
}

func TestHistoryRefusesWhatIsNone(t *testing.T) {
	var h statuspage.History
	good, _ := h.MarshalText()
	cells := string(good[len(good)-96:])
	for _, bad := range []string{
		"", "sprechprobe.history/1", "sprechprobe.history/2 0 unknown 0 " + cells,
		"sprechprobe.history/1 -1 unknown 0 " + cells, "sprechprobe.history/1 9999999999999 unknown 0 " + cells,
		"sprechprobe.history/1 0 well 0 " + cells, "sprechprobe.history/1 0 ready 1000 " + cells,
		"sprechprobe.history/1 0 ready 0 " + cells[1:] + "9", "sprechprobe.history/1 0 ready 0 " + cells[1:],
		string(good) + " more", strings.Repeat("x", 1<<20),
	} {
		if err := h.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%.60q is taken for a history", bad)
		}
	}
	h.Add(agent.Stamp{UptimeS: math.NaN()}, agent.Ready)
	h.Add(agent.Stamp{UptimeS: math.Inf(1)}, agent.Ready)
	h.Add(at(0), agent.Verdict(200))
	if day(&h) != "" {
		t.Errorf("nonsense was noted: %s", day(&h))
	}
}

// A file that was read is written the same again, and can be gone on with.
func FuzzHistory(f *testing.F) {
	var h statuspage.History
	h.Add(at(time.Hour), agent.Blocked)
	text, _ := h.MarshalText()
	f.Add(text, 3600.0)
	f.Fuzz(func(t *testing.T, text []byte, uptime float64) {
		var h, again statuspage.History
		if h.UnmarshalText(text) != nil {
			return
		}
		out, _ := h.MarshalText()
		if err := again.UnmarshalText(out); err != nil || day(&again) != day(&h) {
			t.Errorf("%q written as %q: %v", text, out, err)
		}
		h.Add(agent.Stamp{UptimeS: uptime}, agent.Offline)
		if n := len(statuspage.Day(&h)); n != 96 {
			t.Errorf("%d quarters in a day", n)
		}
	})
}
