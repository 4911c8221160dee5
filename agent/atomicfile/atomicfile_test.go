package atomicfile_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/atomicfile"
)

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestReplace(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "state")
	path := filepath.Join(dir, "file")
	for _, want := range []string{"first", "second, longer", ""} {
		if err := atomicfile.Replace(path, []byte(want)); err != nil {
			t.Fatal(err)
		}
		if got := content(t, path); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for name, want := range map[string]os.FileMode{path: 0o600, dir: 0o700} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v (%v)", name, info.Mode().Perm(), want, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 1 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// What a power cut left in the way is no obstacle, and a link that somebody put
// there is not written through.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	path, elsewhere := filepath.Join(dir, "file"), filepath.Join(t.TempDir(), "elsewhere")
	if err := os.WriteFile(elsewhere, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, path+".new"); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Replace(path, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if content(t, path) != "x" || content(t, elsewhere) != "mine" {
		t.Errorf("%q there, %q elsewhere", content(t, path), content(t, elsewhere))
	}
}

// A file that cannot be written leaves the old one as it was.
func TestKeepsTheOldOne(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := atomicfile.Replace(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	// A directory of that name that is not empty stands in the way, also for root.
	if err := os.MkdirAll(filepath.Join(path+".new", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Replace(path, []byte("new")); err == nil {
		t.Error("no error")
	}
	if got := content(t, path); got != "old" {
		t.Errorf("%q, want the old one", got)
	}
}

// What root writes into a service's directory the service can read.
func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("LEFT OUT: only root can give files away")
	}
	dir := t.TempDir()
	if err := os.Chown(dir, 12345, 12346); err != nil {
		t.Skip("LEFT OUT: no other users here: " + err.Error())
	}
	path := filepath.Join(dir, "file")
	if err := atomicfile.Replace(path, []byte("x")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid != 12345 || st.Gid != 12346 {
		t.Errorf("owned by %d:%d, want 12345:12346", st.Uid, st.Gid)
	}
}
