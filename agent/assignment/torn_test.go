package assignment_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/assignment"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet/fleettest"
)

// Of an assignment that was changed in one byte, or cut, none is taken from the
// network and none is used that lies on the card: more than a thousand of each.
func TestNoBrokenAssignmentCounts(t *testing.T) {
	v, dir := fleettest.NewVendor(t), t.TempDir()
	good := v.Seal(fleet.AssignmentSchema, assigned(8))
	s := open(t, options(dir, v))
	tried := 0
	each := func(bad []byte) {
		tried++
		if changed, err := s.Take(bad); changed || err == nil {
			t.Errorf("taken: %q", bad)
		}
		other := t.TempDir()
		if err := os.WriteFile(filepath.Join(other, "assignment"), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		kept, err := assignment.Open(options(other, v))
		if _, ok := kept.Current(); ok || err == nil {
			t.Errorf("used after a restart: %q", bad)
		}
	}
	for i := range good {
		each(good[:i])
		for _, flip := range []byte{1, 0x80} {
			bad := bytes.Clone(good)
			bad[i] ^= flip
			each(bad)
		}
	}
	if _, ok := s.Current(); ok || tried < 1000 {
		t.Errorf("after %d attempts the box has settings: %v", tried, ok)
	}
	if _, err := s.Take(good); err != nil {
		t.Errorf("the good one: %v", err)
	}
}
