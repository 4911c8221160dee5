package advice_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/profile"
)

// one is a text on one line, as breaking it has no meaning.
func one(text string) string { return strings.Join(strings.Fields(text), " ") }

// The sheet names every target, what goes over the line at most, and what is open.
func TestSheet(t *testing.T) {
	s := advice.Sheet{
		Box: agent.Box{ID: "praxis-nord", Name: "Empfang", Version: "1.0"}, Profiles: profile.Builtin(),
		Every: 5 * time.Minute, Daily: 74 << 20,
	}
	tests := []struct {
		name   string
		change func(*advice.Sheet)
		de, en string
	}{
		{"ports", func(*advice.Sheet) {}, "Offene Ports keine Es ist keine eingehende", "Open ports none No inbound"},
		{"page", func(s *advice.Sheet) { s.Page = "0.0.0.0:80" }, "Offene Ports 0.0.0.0:80 (TCP): die Seite", "Open ports 0.0.0.0:80 (TCP): the box's page"},
		{"page at first", func(s *advice.Sheet) { s.Page, s.Unclaimed = "0.0.0.0:80", true }, "nur bis die Box", "only until the box"},
		{"volume", func(*advice.Sheet) {}, "höchstens 288 Prüfungen und 75 MB am Tag", "at most 288 checks and 75 MB a day"},
		{"volume with reports", func(s *advice.Sheet) { s.Servers = []string{"tls://fleet.example"} }, "288 Prüfungen und 77 MB", "288 checks and 77 MB"},
		{"no reports", func(*advice.Sheet) {}, "Die Box sendet keine Berichte.", "The box sends no reports."},
		{"reports", func(s *advice.Sheet) { s.Servers = []string{"tls://fleet.example"} }, "Berichte an tls://fleet.example (TLS)", "Reports to tls://fleet.example (TLS)"},
		{"beacon", func(s *advice.Sheet) { s.Beacon = "help.example" }, "Namensabfrage unter help.example", "look-up below help.example"},
		{"fixed address", func(s *advice.Sheet) { s.Address = "192.168.1.5/24" }, "Adresse 192.168.1.5/24", "Address 192.168.1.5/24"},
		{"name", func(s *advice.Sheet) { s.Box.Name = "a\x1b[2J\u202eb" }, "praxis-nord a", "praxis-nord a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := s
			tt.change(&s)
			for l, want := range map[advice.Lang]string{advice.German: tt.de, advice.English: tt.en} {
				text := s.Text(l)
				if !strings.Contains(one(text), want) {
					t.Errorf("%s: no %q in\n%s", l, want, text)
				}
				if strings.ContainsAny(text, "\x1b\u202e") {
					t.Errorf("%s: what moves a terminal's cursor gets through", l)
				}
				if strings.Contains(text, "sheet-") {
					t.Errorf("%s: a text is missing in\n%s", l, text)
				}
			}
		})
	}
	for _, f := range s.Profiles {
		for _, target := range f.Targets {
			if !strings.Contains(s.Text(advice.German), target.String()) {
				t.Errorf("%s is not on the sheet", target)
			}
		}
	}
}
