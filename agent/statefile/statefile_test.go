package statefile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/statefile"
)

func TestReadGivesBackWhatWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "of", "box")
	if err := statefile.Write(path, []int{1, 2}); err != nil {
		t.Fatal(err)
	}
	var got []int
	if err := statefile.Read(path, &got); err != nil || len(got) != 2 || got[1] != 2 {
		t.Errorf("read %v, %v", got, err)
	}
}

func TestFirstStartKeepsTheDefault(t *testing.T) {
	value := 7
	if err := statefile.Read(filepath.Join(t.TempDir(), "none"), &value); err != nil || value != 7 {
		t.Errorf("read %d, %v", value, err)
	}
}

func TestTornFileIsNamed(t *testing.T) {
	for _, text := range []string{"", "{", "[1,", "\x00\x00\x00", `"seven"`} {
		path := filepath.Join(t.TempDir(), "torn")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var value int
		if err := statefile.Read(path, &value); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestWithoutAPathNothingIsKept(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := statefile.Write("", 1); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir("."); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}
