package advice_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent/advice"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestGolden(t *testing.T) {
	site := advice.Site{Practice: "Praxis Nord", Number: "2026-17", Contact: "Empfang, Telefon 030 123456"}
	for _, s := range scenarios() {
		for _, l := range advice.Langs {
			name := s.name + "." + string(l)
			t.Run(name, func(t *testing.T) {
				check := advice.Check(s.report, l)
				request := advice.Request(s.report, s.profiles, site, l)
				narrow(t, check, 100)
				narrow(t, request, 76)
				golden(t, name+".txt", "-- sentence --\n"+advice.Sentence(s.report, l)+"\n-- check --\n"+check+"-- request --\n"+request)
			})
		}
	}
}

func narrow(t *testing.T, text string, width int) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if n := utf8.RuneCountInString(line); n > width {
			t.Errorf("line has %d runes, want at most %d: %q", n, width, line)
		}
		if strings.TrimRight(line, " ") != line {
			t.Errorf("line ends with a blank: %q", line)
		}
		if strings.ContainsAny(line, "{}[]") {
			t.Errorf("line shows a placeholder: %q", line)
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run go test -update once and read what it wrote)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", name, diff)
	}
}
