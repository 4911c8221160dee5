package trend_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/trend"
)

var berlin, _ = time.LoadLocation("Europe/Berlin")

// week is how a line was on days before a Sunday evening: looked at at these hours,
// and poor at some of them.
func week(days int, hours []int, poor func(day, hour int) bool) []trend.Look {
	var out []trend.Look
	for d := range days {
		for _, h := range hours {
			out = append(out, trend.Look{At: time.Date(2026, 10, 18+d, h, 20, 0, 0, berlin), Poor: poor(d, h)})
		}
	}
	return out
}

// evening is the hours from 17 to 20.
func evening(_, h int) bool { return h >= 17 && h < 20 }

var allDay = []int{1, 4, 8, 11, 14, 17, 18, 19, 21}

func TestFind(t *testing.T) {
	// Summer time ends in the night to the 25th: the hours are those of the wall.
	sunday := time.Date(2026, 10, 25, 19, 30, 0, 0, berlin)
	for _, tt := range []struct {
		name  string
		looks []trend.Look
		now   time.Time
		want  trend.Hours
		none  bool
	}{
		{name: "nobody has looked", none: true},
		{name: "always well", looks: week(7, allDay, func(int, int) bool { return false }), none: true},
		{name: "always poor", looks: week(7, allDay, func(int, int) bool { return true }), none: true},
		{name: "every evening", looks: week(8, allDay, evening), want: trend.Hours{From: 17, Until: 20, Poor: 8, Of: 8, Now: true}},
		{name: "seen in the morning", looks: week(7, allDay, evening), now: time.Date(2026, 10, 25, 9, 0, 0, 0, berlin),
			want: trend.Hours{From: 17, Until: 20, Poor: 7, Of: 7}},
		{name: "three evenings", looks: week(3, allDay, evening), now: time.Date(2026, 10, 20, 22, 0, 0, 0, berlin), none: true},
		{name: "four evenings", looks: week(4, allDay, evening), now: time.Date(2026, 10, 21, 22, 0, 0, 0, berlin),
			want: trend.Hours{From: 17, Until: 20, Poor: 4, Of: 4}},
		{name: "two bad days", looks: week(7, allDay, func(d, _ int) bool { return d > 4 }), none: true},
		{name: "looked at only in the evening", looks: week(8, []int{17, 18, 19}, evening), none: true},
		{name: "every second evening", looks: week(8, allDay, func(d, h int) bool { return d%2 == 0 && evening(d, h) }), none: true},
		{name: "most evenings", looks: week(8, allDay, func(d, h int) bool { return d != 2 && evening(d, h) }),
			want: trend.Hours{From: 17, Until: 20, Poor: 7, Of: 8, Now: true}},
		{name: "and here and there else", looks: week(8, allDay, func(d, h int) bool { return evening(d, h) || d == h%5 && h < 17 }), none: true},
		{name: "over midnight", looks: week(7, []int{0, 1, 5, 9, 13, 17, 22, 23}, func(_, h int) bool { return h >= 22 || h < 2 }),
			now: time.Date(2026, 10, 25, 0, 30, 0, 0, berlin), want: trend.Hours{From: 22, Until: 2, Poor: 8, Of: 8, Now: true}},
		{name: "healed yesterday", looks: week(8, allDay, func(d, h int) bool { return d < 7 && evening(d, h) }), none: true},
		{name: "long ago", looks: week(8, allDay, evening), now: sunday.AddDate(0, 0, 9), none: true},
		{name: "of the future", looks: week(8, allDay, evening), now: sunday.AddDate(0, 0, -9), none: true},
	} {
		now := tt.now
		if now.IsZero() {
			now = sunday
		}
		got, ok := trend.Find(tt.looks, now, berlin)
		if ok == tt.none || got != tt.want {
			t.Errorf("%s: %+v, %v, want %+v", tt.name, got, ok, tt.want)
		}
	}
}

// A line that is always too slow for one kind of look, which is made only in the
// evening, and well in the eyes of another, is not worse in the evening.
func TestKindsApart(t *testing.T) {
	looks := week(8, []int{20, 21, 22}, func(int, int) bool { return true })
	for i := range looks {
		looks[i].What = "bandwidth"
	}
	looks = append(looks, week(8, allDay, func(int, int) bool { return false })...)
	if h, ok := trend.Find(looks, time.Date(2026, 10, 25, 23, 0, 0, 0, berlin), berlin); ok {
		t.Errorf("%+v", h)
	}
}

// The order of looks says nothing.
func TestFindInAnyOrder(t *testing.T) {
	looks := week(8, allDay, evening)
	now := time.Date(2026, 10, 25, 21, 30, 0, 0, berlin)
	want, _ := trend.Find(looks, now, berlin)
	for i := range looks {
		j := (i * 37) % len(looks)
		looks[i], looks[j] = looks[j], looks[i]
	}
	if got, ok := trend.Find(looks, now, berlin); got != want || !ok {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestDiary(t *testing.T) {
	dir := t.TempDir()
	d, err := trend.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	looks := week(8, allDay, evening)
	for _, l := range looks {
		if err := d.Note(l); err != nil {
			t.Fatal(err)
		}
	}
	now := looks[len(looks)-1].At.Add(time.Hour)
	if d, err = trend.Open(dir); err != nil {
		t.Fatal(err)
	}
	if h, ok := d.Find(now, berlin); !ok || h.From != 17 || h.Until != 20 {
		t.Errorf("after a restart: %+v, %v", h, ok)
	}
	if got, want := d.Again(now), time.Date(2026, 10, 26, 17, 20, 0, 0, berlin); !got.Equal(want) {
		t.Errorf("looks again at %v, want %v", got, want)
	}
	if got := d.Again(now.AddDate(0, 0, 2)); !got.IsZero() {
		t.Errorf("looks again at %v, two days later", got)
	}
	for _, l := range looks {
		if err := d.Note(trend.Look{At: l.At.AddDate(0, 1, 0)}); err != nil {
			t.Fatal(err)
		}
	}
	if h, ok := d.Find(now.AddDate(0, 1, 0), berlin); ok {
		t.Errorf("a month later: %+v", h)
	}
}

// Whatever is on the card, the box goes on.
func TestSpoiledDiary(t *testing.T) {
	for _, text := range []string{"", "{}", "[1]", `[{"at":"yesterday"}]`, `[{"at":"2026-10-25T18:00:00Z","poor":tr`} {
		dir := t.TempDir()
		path := filepath.Join(dir, "line-diary")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := trend.Open(dir)
		if err == nil {
			t.Errorf("%q is taken", text)
		}
		if err := d.Note(trend.Look{At: time.Date(2026, 10, 25, 18, 0, 0, 0, berlin), Poor: true}); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if d, err = trend.Open(dir); err != nil || d.Again(time.Date(2026, 10, 25, 19, 0, 0, 0, berlin)).IsZero() {
			t.Errorf("%q: not kept: %v", text, err)
		}
	}
}

func FuzzDiary(f *testing.F) {
	f.Add([]byte(`[{"at":"2026-10-25T18:00:00Z","poor":true}]`), int64(1792000000))
	f.Add([]byte(`[{"at":"9999-12-31T23:59:59Z"}]`), int64(-1))
	f.Fuzz(func(t *testing.T, text []byte, now int64) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "line-diary"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		d, _ := trend.Open(dir)
		at := time.Unix(now%(1<<40), 0)
		if h, ok := d.Find(at, berlin); ok && (h.From < 0 || h.From > 23 || h.Until < 0 || h.Until > 23 || h.Poor < 4 || h.Of < h.Poor) {
			t.Errorf("%+v", h)
		}
		d.Again(at)
	})
}
