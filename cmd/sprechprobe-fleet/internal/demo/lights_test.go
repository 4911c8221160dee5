package demo

import (
	"strings"
	"testing"
	"time"
)

func TestParseLights(t *testing.T) {
	tests := []struct {
		line, want string
		ok         bool
	}{
		{"lights: box=GGGGGGGGGGGGGGG- video=R-R-R-R------ (blocked)", "box=GGGGGGGGGGGGGGG- video=R-R-R-R------ (blocked)", true},
		{"lights: all=- (gone)", "all=- (gone)", true},
		{"lights: box=G (ready+u)", "box=G (ready+u)", true},
		{"lights: ", " ()", true},
		{"lights: box= x=GQ =G y (a (b))", " (b))", true},
		{"lights: box=" + strings.Repeat("G", 500) + " video=R (x)", "video=R (x)", true},
		{"light: box=G", "", false},
		{"", "", false},
	}
	for _, tt := range tests {
		got, ok := parseLights(tt.line)
		if ok != tt.ok || ok && strings.TrimSuffix(got.String(), ")") != strings.TrimSuffix(tt.want, ")") {
			t.Errorf("parseLights(%q) = %q, %v, want %q, %v", tt.line, got, ok, tt.want, tt.ok)
		}
	}
}

func TestLampBlinks(t *testing.T) {
	l := lamp{"video", "R-G"}
	for at, want := range map[time.Duration]byte{0: 'R', beat - 1: 'R', beat: '-', 2 * beat: 'G', 3 * beat: 'R', 1000 * beat: '-'} {
		if got := l.at(at); got != want {
			t.Errorf("at %v: %c, want %c", at, got, want)
		}
	}
}

func FuzzParseLights(f *testing.F) {
	f.Add("lights: box=GGGG video=R-R-R-R------ (blocked)")
	f.Fuzz(func(t *testing.T, line string) {
		l, _ := parseLights(line)
		for _, lamp := range l.lamps {
			_ = bulb(lamp.at(time.Hour)) // must not panic
		}
		again, ok := parseLights("lights: " + l.String())
		if ok && again.String() != l.String() && !strings.ContainsAny(l.word, "(") {
			t.Errorf("%q became %q", l, again)
		}
	})
}

func TestWrapAndCut(t *testing.T) {
	for _, line := range wrap("Die Server für Gruppentermine werden im Praxisnetz gesperrt.", 20) {
		if n := len([]rune(line)); n > 20 {
			t.Errorf("%q has %d characters", line, n)
		}
	}
	if got := cut("\x1b[2Jevil\nname", 30); strings.ContainsAny(got, "\x1b\n") {
		t.Errorf("cut lets %q pass", got)
	}
	if got := cut("abcdef", 4); got != "abc…" {
		t.Errorf("cut = %q", got)
	}
}
