package panel_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/agent/panel"
)

var update = flag.Bool("update", false, "rewrite testdata")

// script types lines in turn, and notes what is on the screen.
type script struct {
	strings.Builder
	lines []string
}

func (s *script) ReadLine(prompt string) (string, error) {
	s.WriteString(prompt)
	if len(s.lines) == 0 {
		return "", io.EOF
	}
	line := s.lines[0]
	s.lines = s.lines[1:]
	s.WriteString(line + "\n")
	return line, nil
}

// blocked is a report of a practice whose firewall swallows a port.
func blocked() agent.Report {
	here := agent.See(agent.ProbeLink, agent.Target{}, agent.Answered, "").With(agent.Interface, "eth0").With(agent.Carrier, true).
		With(agent.Speed, 1e8).With(agent.Duplex, "half").With(agent.LocalAddr, "192.168.178.47").
		With(agent.Gateway, "192.168.178.1").With(agent.Resolver, "192.168.178.1:53").With(agent.MTU, 1492).With(agent.ClockSynced, false)
	r := report(agent.Offline, agent.WANDown)
	r.Schema, r.Box = agent.Schema, box
	r.Evidence = []agent.Evidence{here}
	r.Stamp = agent.Stamp{At: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC), Clock: agent.ClockSet}
	return r
}

var box = agent.Box{ID: "praxis-nord-1", Name: "Praxis Nord, Empfang", Version: "1.0.0", Board: "raspberrypi,4-model-b", Platform: "linux/arm64"}

func report(v agent.Verdict, c agent.Code) agent.Report {
	return agent.Report{Verdict: v, Findings: []agent.Finding{{Code: c, Severity: agent.Critical, Cause: agent.CauseISP}}}
}

func console(l advice.Lang, r agent.Report) (c panel.Console, done *[]string) {
	done = new([]string)
	note := func(what string) func() { return func() { *done = append(*done, what) } }
	return panel.Console{
		Lang: l, Check: note("check"), Identify: note("identify"),
		Facts: func() panel.Facts {
			return panel.Facts{Report: r, Show: light.Of(r), Box: box, Key: "UABC", Code: "7K4-QX2"}
		},
	}, done
}

func TestConsole(t *testing.T) {
	typed := map[advice.Lang]string{
		advice.German:  "hilfe,stand,warum,netz,kennung,prüfen,zeigen,,xyzzy 1,sprache xx,sprache en,?",
		advice.English: "help,status,WHY,net,id,check,show,  ,xyzzy,lang de,?",
	}
	for _, l := range advice.Langs {
		c, done := console(l, blocked())
		s := &script{lines: strings.Split(typed[l], ",")}
		if err := c.Serve(s); !errors.Is(err, io.EOF) {
			t.Errorf("%s: ended with %v", l, err)
		}
		if diff := cmp.Diff([]string{"check", "identify"}, *done); diff != "" {
			t.Errorf("%s: did (-want +got):\n%s", l, diff)
		}
		golden(t, "console."+string(l)+".txt", s.String())
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
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

// Each text that the console asks for is there.
func TestConsoleTexts(t *testing.T) {
	key := regexp.MustCompile(`\b(con|net|id|button|lamps)-[a-z]|[{}]`)
	for _, l := range advice.Langs {
		for _, r := range []agent.Report{{}, blocked()} {
			c, _ := console(l, r)
			s := &script{lines: []string{"help", "status", "why", "check", "net", "id", "show", "lamps", "lang", "lang " + string(l), "no"}}
			_ = c.Serve(s)
			if m := key.FindString(s.String()); m != "" {
				t.Errorf("%s: %q in\n%s", l, m, s.String())
			}
		}
	}
}

// The far end is no person: it is not talked to for ever.
func TestConsoleGivesUpOnNonsense(t *testing.T) {
	c, done := console(advice.English, blocked())
	s := &script{}
	for i := range 10000 {
		s.lines = append(s.lines, fmt.Sprintf("ERROR %d", i))
	}
	if err := c.Serve(s); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("ended with %v, want that it gave up", err)
	}
	if n := len(s.lines); n < 9900 {
		t.Errorf("it answered %d lines of nonsense", 10000-n)
	}
	if len(*done) > 0 {
		t.Errorf("it did %q", *done)
	}
}

func TestConsoleIsPatientWithPeople(t *testing.T) {
	c, done := console(advice.English, blocked())
	s := &script{}
	for range 30 {
		s.lines = append(s.lines, "stauts", "", "statsu", "check")
	}
	if err := c.Serve(s); !errors.Is(err, io.EOF) || len(*done) != 30 {
		t.Errorf("ended with %v after %d checks, want 30", err, len(*done))
	}
}

// What comes from the network cannot play tricks on the terminal.
func TestConsoleIsSafe(t *testing.T) {
	r := blocked()
	r.Evidence[0] = r.Evidence[0].With(agent.LocalAddr, "\x1b[2J10.0.0.1").With(agent.Resolver, "\x07\u202eevil")
	r.Box.Name = "\x1b]0;title\x07"
	c, _ := console(advice.English, r)
	s := &script{lines: []string{"status", "why", "net", "id", "\x1b[31mx"}}
	_ = c.Serve(s)
	text := strings.ReplaceAll(s.String(), "\x1b[31mx\n", "") // what the test itself typed
	if strings.ContainsAny(text, "\x1b\x07\u202e") {
		t.Errorf("%q", text)
	}
}
