package panel_test

import (
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/agent/panel"
)

func TestOf(t *testing.T) {
	tests := []struct {
		verdict agent.Verdict
		code    agent.Code
		want    string
	}{
		{agent.VerdictUnknown, "", "unknown"},
		{agent.Ready, "", "ready"},
		{agent.Ready, agent.CentralDown, "ready+u"},
		{agent.Offline, agent.DHCPNone, "no-address"},
		{agent.Blocked, agent.TURNAllBlock, "blocked"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			r := agent.Report{Verdict: tt.verdict, Findings: []agent.Finding{{Code: tt.code}}}
			if got := panel.Of(r); got != tt.want {
				t.Errorf("Of(%v, %s) = %q, want %q", tt.verdict, tt.code, got, tt.want)
			}
		})
	}
}

// A word has to fit into a panel's line, and must not be taken for its frame.
func TestEveryWordFits(t *testing.T) {
	seen := map[string]bool{}
	for _, state := range light.States() {
		for _, unheard := range []bool{false, true} {
			w := panel.Word(light.Show{State: state, Unheard: unheard})
			if seen[w] {
				t.Errorf("word %q twice", w)
			}
			seen[w] = true
			if len(w) < 1 || len(w) > 32 {
				t.Errorf("word %q has %d letters, want 1 to 32", w, len(w))
			}
		}
	}
}
