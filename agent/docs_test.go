package agent_test

import (
	"os"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
)

// The page for people lists every finding, once.
func TestFindingsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/findings.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range agent.Codes {
		if n := strings.Count(string(page), "| `"+string(c)+"` |"); n != 1 {
			t.Errorf("docs/findings.md has %s %d times, want once", c, n)
		}
	}
}
