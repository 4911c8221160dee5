package agent_test

import (
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
)

func TestPrintable(t *testing.T) {
	tests := []struct{ in, want string }{
		{"Example CA", "Example CA"},
		{"\x1b[31mred\x1b[0m", "[31mred [0m"},
		{"two\nlines\r\n", "two lines"},
		{"right\u202eto left", "right to left"},
		{"bad \xff bytes", "bad bytes"},
		{"Prüfstelle", "Prüfstelle"},
		{strings.Repeat("ü", 300), strings.Repeat("ü", 20)},
		{"", ""},
	}
	for _, tt := range tests {
		if got := agent.Printable(tt.in, 20); got != tt.want {
			t.Errorf("Printable(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}
