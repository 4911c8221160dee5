package haltest

import (
	"os"
	"path/filepath"
	"testing"
)

// Files makes files by path below a new directory that goes with the test, and
// returns it: the /proc and /sys of a board as far as a test needs them.
func Files(t testing.TB, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return root
}
