package restarts_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/restarts"
)

func begin(t *testing.T, dir string) *restarts.Count {
	t.Helper()
	c, err := restarts.Begin(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTenQuickRestarts(t *testing.T) {
	dir := t.TempDir()
	for i := range restarts.Many {
		if c := begin(t, dir); c.TooMany() || c.Starts() != uint64(i+1) {
			t.Fatalf("start %d: too many %v, starts %d", i+1, c.TooMany(), c.Starts())
		}
	}
	c := begin(t, dir)
	if !c.TooMany() {
		t.Error("the start after ten quick ones is no different")
	}
	if err := c.Well(); err != nil || c.TooMany() {
		t.Errorf("after it went well: too many %v, %v", c.TooMany(), err)
	}
	if c := begin(t, dir); c.TooMany() || c.Starts() != restarts.Many+2 {
		t.Errorf("the next start: too many %v, starts %d", c.TooMany(), c.Starts())
	}
}

// A run that lived breaks the row.
func TestSettledBetween(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 * restarts.Many {
		c := begin(t, dir)
		if c.TooMany() {
			t.Fatalf("start %d counts as too many", i+1)
		}
		if i%5 == 4 {
			if err := c.Well(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A torn file costs the count and nothing else.
func TestTorn(t *testing.T) {
	for _, bad := range []string{"", "{", "[]", `{"starts":-1}`, `{"quick":-5}`, "\x00\x00\x00"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "starts")
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := restarts.Begin(dir)
		if err == nil || !strings.Contains(err.Error(), path) || c.Starts() != 1 || c.TooMany() {
			t.Errorf("%q: %v, starts %d, too many %v", bad, err, c.Starts(), c.TooMany())
		}
		if c := begin(t, dir); c.Starts() != 2 {
			t.Errorf("%q: the next start is number %d", bad, c.Starts())
		}
	}
}

// Where nothing can be kept the program runs all the same.
func TestReadOnly(t *testing.T) {
	c, err := restarts.Begin("/proc/nowhere")
	if err == nil || c.Starts() != 1 || c.TooMany() {
		t.Errorf("%v, starts %d", err, c.Starts())
	}
	if err := c.Well(); err == nil {
		t.Error("no error though nothing was kept")
	}
}
