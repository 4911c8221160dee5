package identity_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nkeys"

	"github.com/sprechprobe/sprechprobe/agent/identity"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet/fleettest"
)

var (
	nord = fleet.Address{Tenant: "acme", Box: "nord"}
	when = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
)

func open(t *testing.T, dir string, pinned ...string) *identity.Identity {
	t.Helper()
	id, err := identity.Open(dir, pinned)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The key is made once, is readable by nobody else, and is the same at each start.
func TestKeyIsMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if _, err := identity.Read(dir, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Read before the first start: %v, want fs.ErrNotExist", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading made something: %v", err)
	}
	first := open(t, dir)
	seed := read(t, filepath.Join(dir, "device.nk"))
	for name, want := range map[string]os.FileMode{"": 0o700, "device.nk": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v; want %v", name, info.Mode().Perm(), err, want)
		}
	}
	second := open(t, dir)
	if first.PublicKey() != second.PublicKey() || first.Code() != second.Code() || fleet.CheckBoxKey(first.PublicKey()) != nil {
		t.Errorf("%s %s, then %s %s", first.PublicKey(), first.Code(), second.PublicKey(), second.Code())
	}
	if again := read(t, filepath.Join(dir, "device.nk")); !bytes.Equal(seed, again) {
		t.Error("the key was written again")
	}
	if other := open(t, t.TempDir()); other.PublicKey() == first.PublicKey() {
		t.Error("two boxes have one key")
	}
	sig, err := second.Sign([]byte("nonce"))
	if err != nil {
		t.Fatal(err)
	}
	kp, err := nkeys.FromPublicKey(first.PublicKey())
	if err != nil || kp.Verify([]byte("nonce"), sig) != nil {
		t.Errorf("the signature is not the key's: %v", err)
	}
}

// A key file that others can read, as after a copy, is closed again.
func TestModeIsMended(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	path := filepath.Join(dir, "device.nk")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode().Perm(), err)
	}
}

// Whatever stands in the key's place: an error that names it, no panic, no seed in
// the error, and nothing is overwritten.
func TestBadKeyFiles(t *testing.T) {
	dir := t.TempDir()
	id := open(t, dir)
	path := filepath.Join(dir, "device.nk")
	good := read(t, path)
	check := func(t *testing.T, what string, bad []byte) {
		t.Helper()
		write(t, path, bad)
		got, err := identity.Open(dir, nil)
		if err == nil {
			if got.PublicKey() != id.PublicKey() {
				t.Errorf("%s: opens as another box", what)
			}
			return
		}
		if !strings.Contains(err.Error(), path) || len(bad) > 20 && strings.Contains(err.Error(), string(bad[:20])) {
			t.Errorf("%s: error %q, want the file's name and no seed", what, err)
		}
		if after := read(t, path); !bytes.Equal(after, bad) {
			t.Errorf("%s: the file was changed", what)
		}
	}
	for i := range good {
		check(t, "cut", good[:i])
		for _, flip := range []byte{1, 0x40, 0x80} {
			bad := bytes.Clone(good)
			bad[i] ^= flip
			check(t, "flipped", bad)
		}
	}
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	seed, _ := account.Seed()
	check(t, "an account's key", seed)
	check(t, "zeros", make([]byte, 59))
	check(t, "too long", bytes.Repeat([]byte("S"), 100<<10))
	check(t, "with a line end of Windows", append(bytes.TrimSpace(good), "\r\n"...))
}

func TestKeyFileIsNoFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "device.nk")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.Open(dir, nil); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a pipe: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.Open(dir, nil); err == nil {
		t.Error("a directory: no error")
	}
	if _, err := identity.Open("/proc/nowhere", nil); err == nil || !strings.Contains(err.Error(), "make the box's key") {
		t.Errorf("a place where nothing can be written: %v", err)
	}
}

// A grant that is handed over makes the box somebody's, also after a restart.
func TestAdopt(t *testing.T) {
	v := fleettest.NewVendor(t)
	dir := t.TempDir()
	id := open(t, dir)
	if _, ok := id.Claimed(); ok || id.JWT() != "" || id.VendorKeys() != nil {
		t.Error("a new box is claimed")
	}
	g := v.Grant(id.PublicKey(), nord, when)
	claimed, err := id.Adopt(fleet.ArmorGrant(v.Seal(fleet.GrantSchema, g)))
	if err != nil {
		t.Fatal(err)
	}
	for name, i := range map[string]*identity.Identity{"at once": claimed, "after a restart": open(t, dir)} {
		got, ok := i.Claimed()
		if diff := cmp.Diff(g, got); !ok || diff != "" || i.JWT() != g.JWT {
			t.Errorf("%s: claimed %v (-want +got):\n%s", name, ok, diff)
		}
		if diff := cmp.Diff([]string{v.Key()}, i.VendorKeys()); diff != "" {
			t.Errorf("%s: vendor keys (-want +got):\n%s", name, diff)
		}
	}
	if _, ok := id.Claimed(); ok {
		t.Error("the old value changed")
	}
	if info, err := os.Stat(filepath.Join(dir, "grant")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode().Perm(), err)
	}
}

// What may replace what.
func TestWhoseGrant(t *testing.T) {
	v, other := fleettest.NewVendor(t), fleettest.NewVendor(t)
	newer, older := when.Add(time.Hour), when.Add(-time.Hour)
	grant := func(by *fleettest.Vendor, key string, at time.Time) []byte {
		return by.Seal(fleet.GrantSchema, by.Grant(key, nord, at))
	}
	tests := []struct {
		name   string
		pinned []string
		has    *fleettest.Vendor // who has claimed it, at when
		sent   bool              // over the network
		by     *fleettest.Vendor
		at     time.Time
		want   error // nil: taken
	}{
		{name: "by hand, nothing pinned", by: v, at: when},
		{name: "by hand, pinned", pinned: []string{v.Key()}, by: v, at: when},
		{name: "by hand, another pinned", pinned: []string{v.Key()}, by: other, at: when, want: fleet.ErrUnsigned},
		{name: "by hand, to another vendor", has: v, by: other, at: newer},
		{name: "by hand, older", has: v, by: v, at: older, want: identity.ErrNotNewer},
		{name: "by hand, the same", has: v, by: v, at: when, want: identity.ErrNotNewer},
		{name: "sent, nothing pinned", sent: true, by: v, at: when, want: fleet.ErrUnsigned},
		{name: "sent, pinned", pinned: []string{v.Key()}, sent: true, by: v, at: when},
		{name: "sent, another pinned", pinned: []string{v.Key()}, sent: true, by: other, at: when, want: fleet.ErrUnsigned},
		{name: "sent by who has claimed it", has: v, sent: true, by: v, at: newer},
		{name: "sent again", has: v, sent: true, by: v, at: when, want: identity.ErrNotNewer},
		{name: "sent by another", has: v, sent: true, by: other, at: newer, want: fleet.ErrUnsigned},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id := open(t, t.TempDir(), tt.pinned...)
			if tt.has != nil {
				var err error
				if id, err = id.Adopt(fleet.ArmorGrant(grant(tt.has, id.PublicKey(), when))); err != nil {
					t.Fatal(err)
				}
			}
			sealed := grant(tt.by, id.PublicKey(), tt.at)
			var err error
			if tt.sent {
				_, err = id.AdoptSent(sealed)
			} else {
				_, err = id.Adopt(fleet.ArmorGrant(sealed))
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

// A grant file that is torn or hostile leaves the box unclaimed and says why; the
// next good one takes its place, and what was there is put aside.
func TestBadGrantFiles(t *testing.T) {
	v := fleettest.NewVendor(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "grant")
	id := open(t, dir)
	good := v.Seal(fleet.GrantSchema, v.Grant(id.PublicKey(), nord, when))
	stranger := open(t, t.TempDir())
	for name, bad := range map[string][]byte{
		"empty":       {},
		"half":        good[:len(good)/2],
		"zeros":       make([]byte, 2000),
		"another's":   v.Seal(fleet.GrantSchema, v.Grant(stranger.PublicKey(), nord, when)),
		"too long":    bytes.Repeat([]byte("x"), 100<<10),
		"not a grant": []byte("hello"),
		"armored":     fleet.ArmorGrant(good),
	} {
		t.Run(name, func(t *testing.T) {
			write(t, path, bad)
			id := open(t, dir)
			if _, ok := id.Claimed(); ok || id.Trouble() == nil || !strings.Contains(id.Trouble().Error(), path) {
				t.Fatalf("claimed %v, trouble %v; want none and the file's name", ok, id.Trouble())
			}
			claimed, err := id.Adopt(fleet.ArmorGrant(good))
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := claimed.Claimed(); !ok || claimed.Trouble() != nil {
				t.Errorf("claimed %v, trouble %v", ok, claimed.Trouble())
			}
			if aside := read(t, path+".bad"); !bytes.Equal(aside, bad) {
				t.Errorf("%d bytes were put aside, want the %d that were there", len(aside), len(bad))
			}
		})
	}
	// A vendor that is pinned later does not know what was there before.
	other := fleettest.NewVendor(t)
	if id := open(t, dir, other.Key()); id.Trouble() == nil {
		t.Error("a grant of a vendor that is not pinned counts")
	}
}

func TestAdoptNonsense(t *testing.T) {
	id := open(t, t.TempDir())
	for _, in := range [][]byte{nil, []byte("hello"), bytes.Repeat([]byte("x"), 1<<20), fleet.ArmorGrant(nil)} {
		if _, err := id.Adopt(in); err == nil {
			t.Errorf("%.20q is taken", in)
		}
	}
}
