package daemon

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/config"
	"github.com/sprechprobe/sprechprobe/agent/identity"
	"github.com/sprechprobe/sprechprobe/agent/restarts"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet/fleettest"
)

// owned is a setup of a box with a key of its own.
func owned(t *testing.T, dir string, edit func(*config.Config)) Setup {
	t.Helper()
	c := config.Default()
	c.ProfileDir, c.StateDir, c.Spool.Dir = "", dir, filepath.Join(dir, "spool")
	c.Central.Servers, c.Central.Grants = []string{"nats://127.0.0.1:1"}, nil
	if edit != nil {
		edit(&c)
	}
	s, err := Load(c, Build{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Looking at a configuration makes no key; only a daemon does.
func TestOnlyTheDaemonMakesAKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := owned(t, dir, nil)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("loading made %s: %v", dir, err)
	}
	v := newVendor(quiet())
	v.adopt(s)
	if who := v.who.Load(); fleet.CheckBoxKey(who.Key) != nil || who.Code != fleet.Code(who.Key) {
		t.Errorf("the box is %+v", who)
	}
	if up, err := s.newUplink(s.uplinkOptions(quiet())); up != nil || err != nil {
		t.Errorf("a box that belongs to nobody reports: %v", err)
	}
}

// A grant on the boot partition is taken when the box starts, without a network;
// what is there again at the next start is no news.
func TestGrantFromTheBootPartition(t *testing.T) {
	dir := t.TempDir()
	vendor := fleettest.NewVendor(t)
	id, err := identity.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "sprechprobe-grant.pem")
	nord := fleet.Address{Tenant: "acme", Box: "nord"}
	grant := fleet.ArmorGrant(vendor.Seal(fleet.GrantSchema, vendor.Grant(id.PublicKey(), nord, time.Now())))
	if err := os.WriteFile(path, grant, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		v := newVendor(quiet())
		s := v.adopt(owned(t, dir, func(c *config.Config) { c.Central.Grants = []string{"/nonexistent", path} }))
		if s.address() != nord || v.who.Load().Code != "" || v.guard == nil {
			t.Errorf("the box is %s, %+v", s.address(), v.who.Load())
		}
		if up, err := s.newUplink(s.uplinkOptions(quiet())); up == nil || err != nil {
			t.Errorf("the box does not report: %v", err)
		}
	}
	// Another vendor's grant for another box does nothing.
	other := fleettest.NewVendor(t)
	if err := os.WriteFile(path, fleet.ArmorGrant(other.Seal(fleet.GrantSchema, other.Grant(boxKeyOf(t), nord, time.Now()))), 0o600); err != nil {
		t.Fatal(err)
	}
	v := newVendor(quiet())
	if s := v.adopt(owned(t, dir, func(c *config.Config) { c.Central.Grants = []string{path} })); s.address() != nord {
		t.Errorf("the box is %s", s.address())
	}
}

func boxKeyOf(t *testing.T) string {
	t.Helper()
	id, err := identity.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return id.PublicKey()
}

// A box that may not write, or whose key is torn, looks and shows as ever; it only
// does not report.
func TestBrokenStateKeepsNothingFromLooking(t *testing.T) {
	torn := t.TempDir()
	if err := os.WriteFile(filepath.Join(torn, "device.nk"), []byte("SU"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"no place": "/proc/nowhere", "torn key": torn} {
		v := newVendor(quiet())
		s := v.adopt(owned(t, dir, nil))
		if len(s.Profiles) != 1 || *v.who.Load() != (Identity{}) {
			t.Errorf("%s: %d profiles, %+v", name, len(s.Profiles), v.who.Load())
		}
		if up, err := s.newUplink(s.uplinkOptions(quiet())); up != nil || err != nil {
			t.Errorf("%s: %v", name, err)
		}
		v.end()
	}
}

// Who forgets is another box: with another key, and without any settings.
func TestForgetting(t *testing.T) {
	dir := t.TempDir()
	vendor := fleettest.NewVendor(t)
	v := newVendor(quiet())
	s := owned(t, dir, func(c *config.Config) { c.Central.VendorKeys = []string{vendor.Key()} })
	v.adopt(s)
	before := *v.who.Load()
	nord := fleet.Address{Tenant: "acme", Box: "nord"}
	if _, err := v.id.AdoptSent(vendor.Seal(fleet.GrantSchema, vendor.Grant(before.Key, nord, time.Now()))); err != nil {
		t.Fatal(err)
	}
	set := v.adopt(s)
	if _, err := v.store.Take(vendor.Seal(fleet.AssignmentSchema, fleet.Assignment{Tenant: "acme", Box: "nord", Version: 1, EveryS: 600})); err != nil {
		t.Fatal(err)
	}
	if set = v.adopt(v.base); set.Config.Schedule.Every != 10*time.Minute {
		t.Errorf("the settings are not used: every %v", set.Config.Schedule.Every)
	}
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	kept := set.openSpool(quiet())
	for range 3 {
		if err := kept.Put([]byte("what was seen in the old practice")); err != nil {
			t.Fatal(err)
		}
	}
	kept.Close()
	if err := v.forget(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-v.renew:
	default:
		t.Error("nobody is told")
	}
	after := v.adopt(v.base)
	kept = after.openSpool(quiet())
	defer kept.Close()
	if st := kept.Status(); st.Waiting != 0 || st.Dropped != 0 {
		t.Errorf("reports of before still wait: %+v", st)
	}
	who := *v.who.Load()
	if who.Key == before.Key || who.Code == "" || who.Code == before.Code || after.address().Tenant != "" || after.Config.Schedule.Every != config.Default().Schedule.Every {
		t.Errorf("the box is %+v at %s, every %v", who, after.address(), after.Config.Schedule.Every)
	}
}

// A run that falls over does not count as a good one, however it ends.
func TestRunThatFallsOver(t *testing.T) {
	dir := t.TempDir()
	for range restarts.Many + 1 {
		v := newVendor(quiet())
		v.adopt(owned(t, dir, nil))
	}
	v := newVendor(quiet())
	v.adopt(owned(t, dir, nil))
	if !v.starts.TooMany() {
		t.Error("many starts that came to nothing are not noticed")
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = v.settle(ctx) }()
		time.Sleep(restarts.Settled + time.Second)
		synctest.Wait()
	})
	if v.starts.TooMany() {
		t.Error("a run that has settled still counts as one of them")
	}
}

// After ten quick starts in a row the box does without what came over the network,
// and only a newer version brings anything again.
func TestQuickStartsDropSettings(t *testing.T) {
	dir, by := t.TempDir(), fleettest.NewVendor(t)
	nord := fleet.Address{Tenant: "acme", Box: "nord"}
	s := owned(t, dir, func(c *config.Config) {
		c.Central.VendorKeys, c.Box.Tenant, c.Box.ID = []string{by.Key()}, nord.Tenant, nord.Box
	})
	sealed := func(version uint64) []byte {
		return by.Seal(fleet.AssignmentSchema, fleet.Assignment{Tenant: nord.Tenant, Box: nord.Box, Version: version, EveryS: 600, Use: []string{"zpp-hd"}})
	}
	start := func() (*vendor, Setup) {
		v := newVendor(quiet())
		return v, v.adopt(s)
	}
	v, _ := start()
	if _, err := v.store.Take(sealed(7)); err != nil {
		t.Fatal(err)
	}
	for n := 2; n <= restarts.Many; n++ {
		if _, set := start(); set.Config.Schedule.Every != 10*time.Minute || set.Profiles[0].Name != "zpp-hd" {
			t.Fatalf("start %d: every %v, profile %s", n, set.Config.Schedule.Every, set.Profiles[0].Name)
		}
	}
	for n := range 2 {
		v, set := start()
		if set.Config.Schedule.Every != s.Config.Schedule.Every || set.Profiles[0].Name != "webprax" {
			t.Errorf("start %d: every %v, profile %s", restarts.Many+1+n, set.Config.Schedule.Every, set.Profiles[0].Name)
		}
		if changed, err := v.store.Take(sealed(7)); changed || err == nil {
			t.Error("what was dropped is taken again")
		}
		if w := v.store.Word(); w == nil || w.Version != 0 || w.Refused != 7 || w.Why == "" {
			t.Errorf("the report says %+v", w)
		}
	}
	v, _ = start()
	v.end() // it lives
	if changed, err := v.store.Take(sealed(8)); !changed || err != nil {
		t.Errorf("a newer one: %v, %v", changed, err)
	}
	if _, set := start(); set.Config.Schedule.Every != 10*time.Minute {
		t.Errorf("after a newer one: every %v", set.Config.Schedule.Every)
	}
}

// What the vendor names is not asked in a network that the box is in, whatever its
// addresses are.
func TestPublicIsNotTheBoxsOwnNetwork(t *testing.T) {
	if !public(netip.MustParseAddr("5.75.182.248")) {
		t.Error("a public address is taken for one of this network")
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range own {
		n, ok := o.(*net.IPNet)
		if !ok {
			continue
		}
		if a, _ := netip.AddrFromSlice(n.IP); public(a.Unmap()) {
			t.Errorf("%s is taken for a public one", a)
		}
	}
	for _, a := range []string{"192.168.1.1", "127.0.0.1", "::1", "fe80::1", "169.254.169.254"} {
		if public(netip.MustParseAddr(a)) {
			t.Errorf("%s is taken for a public one", a)
		}
	}
}

// The report of a round tells what became of the vendor's wishes.
func TestReportTellsOfTheVendorsWishes(t *testing.T) {
	dir := t.TempDir()
	vendor := fleettest.NewVendor(t)
	v := newVendor(quiet())
	s := owned(t, dir, func(c *config.Config) {
		c.Central.VendorKeys, c.Box.Tenant, c.Box.ID = []string{vendor.Key()}, "acme", "nord"
	})
	v.adopt(s)
	if _, err := v.store.Take([]byte("nonsense")); err == nil {
		t.Fatal("nonsense is taken")
	}
	at := fleet.Address{Tenant: "acme", Box: "nord"}
	v.guard.Admit(at.Command(fleet.Check), "reply", []byte("nonsense"))
	var r agent.Report
	v.complete(&r)
	if r.Settings == nil || r.Settings.Why == "" || len(r.Commands) != 1 || r.Commands[0].Answer != "unsigned" {
		t.Errorf("%+v %+v", r.Settings, r.Commands)
	}
	if e := v.evidence(); len(e) != 1 || e[0].Reason != agent.NotAccepted {
		t.Errorf("%+v", e)
	}
}
