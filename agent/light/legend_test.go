package light_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/hal"
)

func TestLegendExplainsEveryState(t *testing.T) {
	for _, l := range advice.Langs {
		seen := map[light.State]int{}
		for _, e := range light.Legend(l) {
			if e.Role == light.All {
				seen[e.Show.State]++
			}
			if !strings.HasSuffix(e.Means, ".") || e.Looks == e.Show.String() {
				t.Errorf("%s: %v looks %q and means %q", l, e.Show, e.Looks, e.Means)
			}
		}
		for _, s := range light.States() {
			if seen[s] != 1 {
				t.Errorf("%s: %v is explained %d times, want once", l, s, seen[s])
			}
		}
	}
}

var colorWords = map[advice.Lang]map[hal.Color]string{
	advice.German:  {hal.Green: "grün", hal.Yellow: "gelb", hal.Red: "rot", hal.Blue: "blau", hal.White: "weiß"},
	advice.English: {hal.Green: "green", hal.Yellow: "yellow", hal.Red: "red", hal.Blue: "blue", hal.White: "white"},
}

// What the legend says in words is what the table shows: the colour, and the
// number of flashes that somebody counts for the hotline.
func TestLegendSaysWhatTheTableShows(t *testing.T) {
	count := regexp.MustCompile(`([0-9]) (?:Blitz|flash)`)
	for _, l := range advice.Langs {
		for _, e := range light.Legend(l) {
			for _, step := range e.Lamp {
				if word := colorWords[l][step.Color]; !strings.HasSuffix(e.Looks, word) {
					t.Errorf("%s: %v shows %v, but is said to be %q", l, e.Show, e.Lamp, e.Looks)
				}
			}
			if m := count.FindStringSubmatch(e.Looks); m != nil {
				if n := strings.Count(e.Lamp.String(), "R") + strings.Count(e.Lamp.String(), "B"); strconv.Itoa(n) != m[1] {
					t.Errorf("%s: %v flashes %d times, but is said to be %q", l, e.Show, n, e.Looks)
				}
			}
		}
	}
}

func TestLegendText(t *testing.T) {
	for _, l := range advice.Langs {
		golden(t, filepath.Join("testdata", "legend."+string(l)+".txt"), light.LegendText(l))
	}
}

// golden compares with a file, or rewrites it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("differs from %s (-want +got; -update rewrites):\n%s", file, diff)
	}
}

// An address is told digit by digit: as many flashes as the digit says, and one
// long light for zero.
func TestDigits(t *testing.T) {
	tests := []struct{ digits, want string }{
		{"", "WWW-W-"},
		{"7", "WWW-W-WWW-W-------W-W-W-W-W-W-W-------"},
		{"102", "WWW-W-WWW-W-------W-------WWWW-------W-W-------"},
	}
	for _, tt := range tests {
		s := light.Show{State: light.Identify, Digits: tt.digits}
		if got := s.Pattern(light.All, light.Mono).String(); got != tt.want {
			t.Errorf("digits %q = %s, want %s", tt.digits, got, tt.want)
		}
		if got := s.String(); got != "identify" {
			t.Errorf("digits %q have the word %s", tt.digits, got)
		}
	}
	if got := (light.Show{State: light.Ready, Digits: "7"}).Pattern(light.All, light.Mono).String(); got != "WWWWWWWWWWWWWWW-" {
		t.Errorf("ready with digits = %s", got)
	}
}
