package assignment_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/assignment"
	"github.com/sprechprobe/sprechprobe/agent/profile"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet/fleettest"
)

var nord = fleet.Address{Tenant: "acme", Box: "nord"}

// own is the configuration of the box.
var own = []string{"webprax"}

func options(dir string, v *fleettest.Vendor) assignment.Options {
	return assignment.Options{Dir: dir, Address: nord, Keys: []string{v.Key()}, Every: 5 * time.Minute,
		Local: func(names []string) ([]agent.Profile, error) {
			if names == nil {
				names = own
			}
			return profile.Load("", names)
		}}
}

func open(t *testing.T, o assignment.Options) *assignment.Store {
	t.Helper()
	s, err := assignment.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// made is a profile of one target.
func made(name, target string) string {
	return "name = \"" + name + "\"\ntitle = \"T\"\nversion = \"1\"\nsource = \"https://vendor.example/\"\ndate = \"2026-01\"\n[[target]]\n" + target
}

// stun is a profile that asks one host.
func stun(host string) string {
	return made("acme", "service = \"stun\"\nhost = \""+host+"\"\nport = 3478\ntransports = [\"udp\"]\nfeeds = [\"direct\"]\n")
}

func names(ps []agent.Profile) []string {
	var out []string
	for _, p := range ps {
		out = append(out, p.Name)
	}
	return out
}

func version(s *assignment.Store) uint64 {
	set, _ := s.Current()
	return set.Version
}

// assigned is a good assignment of a version.
func assigned(v uint64) fleet.Assignment {
	return fleet.Assignment{Tenant: "acme", Box: "nord", Version: v, Profiles: []string{stun("stun.vendor.example")}, Use: []string{"acme", "zpp-hd"}, EveryS: 600}
}

func TestTake(t *testing.T) {
	v, dir := fleettest.NewVendor(t), t.TempDir()
	s := open(t, options(dir, v))
	if _, ok := s.Current(); ok || s.Word() != nil {
		t.Error("a new box has settings of the vendor's")
	}
	sealed := v.Seal(fleet.AssignmentSchema, assigned(7))
	if changed, err := s.Take(sealed); err != nil || !changed {
		t.Fatalf("changed %v, %v", changed, err)
	}
	if changed, err := s.Take(bytes.Clone(sealed)); err != nil || changed {
		t.Errorf("the same again: changed %v, %v", changed, err)
	}
	for name, s := range map[string]*assignment.Store{"at once": s, "after a restart": open(t, options(dir, v))} {
		set, ok := s.Current()
		if !ok || set.Version != 7 || set.Every != 10*time.Minute || !slices.Equal(names(set.Profiles), []string{"acme", "zpp-hd"}) {
			t.Errorf("%s: %v %d %v %q", name, ok, set.Version, set.Every, names(set.Profiles))
		}
		for _, p := range set.Profiles {
			for _, target := range p.Targets {
				if target.Pushed != (p.Name == "acme") {
					t.Errorf("%s: %s of %s: pushed is %v", name, target, p.Name, target.Pushed)
				}
			}
		}
		if diff := cmp.Diff(&agent.Settings{Version: 7}, s.Word()); diff != "" {
			t.Errorf("%s: word (-want +got):\n%s", name, diff)
		}
		if e, ok := s.Evidence(); ok {
			t.Errorf("%s: evidence %+v, though nothing was refused", name, e)
		}
	}
}

// Nothing assigned, or an interval only: the box's own profiles. A profile that
// bears the name of one of them takes its place.
func TestWhatIsUsed(t *testing.T) {
	tests := []struct {
		name  string
		a     fleet.Assignment
		want  []string
		every time.Duration
	}{
		{"nothing", fleet.Assignment{}, []string{"webprax"}, 5 * time.Minute},
		{"an interval", fleet.Assignment{EveryS: 3600}, []string{"webprax"}, time.Hour},
		{"a name", fleet.Assignment{Use: []string{"zpp-hd"}}, []string{"zpp-hd"}, 5 * time.Minute},
		{"a profile that is not used", fleet.Assignment{Profiles: []string{stun("a.example")}}, []string{"webprax"}, 5 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := fleettest.NewVendor(t)
			s := open(t, options(t.TempDir(), v))
			tt.a.Tenant, tt.a.Box, tt.a.Version = "acme", "nord", 1
			if _, err := s.Take(v.Seal(fleet.AssignmentSchema, tt.a)); err != nil {
				t.Fatal(err)
			}
			set, _ := s.Current()
			if !slices.Equal(names(set.Profiles), tt.want) || set.Every != tt.every {
				t.Errorf("%q every %v, want %q every %v", names(set.Profiles), set.Every, tt.want, tt.every)
			}
		})
	}
	v := fleettest.NewVendor(t)
	s := open(t, options(t.TempDir(), v))
	mine := strings.Replace(stun("stun.vendor.example"), `"acme"`, `"webprax"`, 1)
	if _, err := s.Take(v.Seal(fleet.AssignmentSchema, fleet.Assignment{Tenant: "acme", Box: "nord", Version: 1, Profiles: []string{mine}})); err != nil {
		t.Fatal(err)
	}
	if set, _ := s.Current(); len(set.Profiles) != 1 || len(set.Profiles[0].Targets) != 1 || !set.Profiles[0].Targets[0].Pushed {
		t.Errorf("%+v, want the vendor's webprax", set.Profiles)
	}
}

// Whatever a hostile centre sends, the box keeps what it has, says why, and asks
// nobody in the practice.
func TestRefused(t *testing.T) {
	v := fleettest.NewVendor(t)
	type more struct {
		fleet.Assignment
		Servers []string `json:"servers"`
	}
	with := func(edit func(*fleet.Assignment)) []byte {
		a := assigned(8)
		edit(&a)
		return v.Seal(fleet.AssignmentSchema, a)
	}
	host := func(h string) []byte {
		return with(func(a *fleet.Assignment) { a.Profiles = []string{stun(h)} })
	}
	pins := func(p string) []byte {
		return with(func(a *fleet.Assignment) {
			a.Profiles = []string{strings.Replace(stun("a.example"), "port =", "pins = [\""+p+"\"]\nport =", 1)}
		})
	}
	good := v.Seal(fleet.AssignmentSchema, assigned(8))
	tests := []struct {
		name   string
		sealed []byte
		want   string
	}{
		{"unsigned", []byte(`{"tenant":"acme","box":"nord","version":8}`), "want this schema"},
		{"signed by another", fleettest.NewVendor(t).Seal(fleet.AssignmentSchema, assigned(8)), "not signed by the vendor"},
		{"changed", bytes.Replace(good, []byte("600"), []byte("060"), 1), "signature is wrong"},
		{"cut", good[:len(good)-1], "signature is wrong"},
		{"oversized", bytes.Repeat(good, 100), "want at most"},
		{"nothing", nil, "want this schema"},
		{"malformed", v.Seal(fleet.AssignmentSchema, json.RawMessage(`[1]`)), "cannot unmarshal"},
		{"another box's", with(func(a *fleet.Assignment) { a.Box = "sued" }), "it is for"},
		{"a grant", v.Seal(fleet.GrantSchema, assigned(8)), "want this schema"},
		{"where to report", v.Seal(fleet.AssignmentSchema, more{assigned(8), []string{"tls://evil.example"}}), `unknown field "servers"`},
		{"the same version, other settings", with(func(a *fleet.Assignment) { a.Version, a.EveryS = 7, 900 }), "not newer"},
		{"an older version", with(func(a *fleet.Assignment) { a.Version = 6 }), "not newer"},
		{"too often", with(func(a *fleet.Assignment) { a.EveryS = 59 }), "every_s 59"},
		{"negative interval", with(func(a *fleet.Assignment) { a.EveryS = -1 << 62 }), "every_s"},
		{"hardly ever", with(func(a *fleet.Assignment) { a.EveryS = 86401 }), "every_s 86401"},
		{"an unknown profile", with(func(a *fleet.Assignment) { a.Use = []string{"nope"} }), `no profile "nope"`},
		{"a profile twice", with(func(a *fleet.Assignment) { a.Use = []string{"acme", "acme"} }), "twice"},
		{"two of one name", with(func(a *fleet.Assignment) { a.Profiles = append(a.Profiles, a.Profiles[0]) }), "has come before"},
		{"a bad profile", with(func(a *fleet.Assignment) { a.Profiles = []string{"name = 1"} }), "profile 1:1"},
		{"too many profiles", with(func(a *fleet.Assignment) { a.Profiles = make([]string, 9) }), "9 profiles"},
		{"too many names", with(func(a *fleet.Assignment) { a.Use = make([]string, 9) }), "9 names"},
		{"too many targets", with(func(a *fleet.Assignment) {
			a.Profiles, a.Use, a.EveryS = []string{crowd("one", 40), crowd("two", 40)}, []string{"one", "two"}, 86400
		}), "80 targets"},
		{"too much traffic", with(func(a *fleet.Assignment) {
			a.Profiles, a.Use, a.EveryS = []string{crowd("one", 60)}, []string{"one"}, 60
		}), "MB a day"},
		{"a private address", host("192.168.1.1"), "no address of the public internet"},
		{"the box itself", host("127.0.0.1"), "no address of the public internet"},
		{"a provider's inside", host("100.64.0.1"), "no address of the public internet"},
		{"a private IPv6 address", host("fd00::1"), "no address of the public internet"},
		{"NAT64 of a private one", host("64:ff9b::c0a8:101"), "no address of the public internet"},
		{"6to4 of a private one", host("2002:c0a8:101::1"), "no address of the public internet"},
		{"a cloud's metadata", host("169.254.169.254"), "reaches no further"},
		{"a private pin", pins("10.0.0.1"), "no address of the public internet"},
		{"a link-local pin", pins("fe80::1"), "reaches no further"},
		{"a local name", host("nas.local"), "practice's own network"},
		{"the router", host("fritz.box"), "practice's own network"},
		{"a bare name", host("server"), "practice's own network"},
		{"this machine", host("localhost"), "practice's own network"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, options(dir, v))
			if _, err := s.Take(v.Seal(fleet.AssignmentSchema, assigned(7))); err != nil {
				t.Fatal(err)
			}
			before, _ := s.Current()
			changed, err := s.Take(tt.sealed)
			if err == nil || changed || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("changed %v, %v; want an error with %q", changed, err, tt.want)
			}
			for name, s := range map[string]*assignment.Store{"at once": s, "after a restart": open(t, options(dir, v))} {
				after, _ := s.Current()
				if diff := cmp.Diff(before, after, cmp.AllowUnexported(), cmp.Comparer(func(a, b agent.Target) bool { return a.String() == b.String() })); diff != "" {
					t.Errorf("%s: settings changed:\n%s", name, diff)
				}
			}
			e, ok := s.Evidence()
			if !ok || e.Probe != agent.ProbeAssignment || e.Reason != agent.NotAccepted || e.Values.Text(agent.Detail) == "" {
				t.Errorf("evidence %v %+v", ok, e)
			}
			if w := s.Word(); w.Version != 7 || w.Why == "" || len(w.Why) > 800 {
				t.Errorf("word %+v", w)
			}
			if _, err := s.Take(v.Seal(fleet.AssignmentSchema, assigned(9))); err != nil {
				t.Errorf("the next good one: %v", err)
			}
			if _, ok := s.Evidence(); ok || s.Word().Why != "" {
				t.Error("the refusal is still told after a good one")
			}
		})
	}
}

// crowd is a profile of many targets.
func crowd(name string, n int) string {
	var targets []string
	for i := range n {
		targets = append(targets, "service = \"https\"\nhost = \"h"+strings.Repeat("x", i)+".example\"\nport = 443\ntransports = [\"tcp\"]\nfeeds = [\"direct\"]\n")
	}
	return made(name, strings.Join(targets, "[[target]]\n"))
}

// Who runs his own service in the house says so on the box, and only there.
func TestPrivateWhereAllowed(t *testing.T) {
	v := fleettest.NewVendor(t)
	o := options(t.TempDir(), v)
	o.Private = true
	s := open(t, o)
	a := assigned(1)
	a.Profiles = []string{stun("192.168.1.1")}
	if _, err := s.Take(v.Seal(fleet.AssignmentSchema, a)); err != nil {
		t.Fatal(err)
	}
	if set, _ := s.Current(); set.Profiles[0].Targets[0].Pushed {
		t.Error("the target would not be asked")
	}
}

// What was accepted, but does not pass any more, is put aside: another vendor's key
// is pinned, the file is torn.
func TestKeptButNoGood(t *testing.T) {
	v, other := fleettest.NewVendor(t), fleettest.NewVendor(t)
	sealed := v.Seal(fleet.AssignmentSchema, assigned(7))
	path := func(dir string) string { return filepath.Join(dir, "assignment") }
	for name, tt := range map[string]struct {
		file []byte
		by   *fleettest.Vendor
	}{"another vendor": {sealed, other}, "torn": {sealed[:50], v}, "empty": {nil, v}, "endless": {make([]byte, 100<<10), v}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(path(dir), tt.file, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := assignment.Open(options(dir, tt.by))
			if err == nil || !strings.Contains(err.Error(), path(dir)) {
				t.Errorf("error %v, want the file's name", err)
			}
			if version(s) != 0 {
				t.Errorf("version %d is in use", version(s))
			}
			if aside, err := os.ReadFile(path(dir) + ".bad"); err != nil || !bytes.Equal(aside, tt.file) {
				t.Errorf("%d bytes put aside, %v", len(aside), err)
			}
			if _, err := s.Take(tt.by.Seal(fleet.AssignmentSchema, assigned(8))); err != nil || version(s) != 8 {
				t.Errorf("the next one: version %d, %v", version(s), err)
			}
		})
	}
}

// What was dropped does not come back by itself, not even after another restart.
func TestDrop(t *testing.T) {
	v, dir := fleettest.NewVendor(t), t.TempDir()
	s := open(t, options(dir, v))
	if err := s.Drop(); err != nil {
		t.Fatalf("nothing to drop: %v", err)
	}
	if _, err := s.Take(v.Seal(fleet.AssignmentSchema, assigned(7))); err != nil {
		t.Fatal(err)
	}
	if err := s.Drop(); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*assignment.Store{"at once": s, "after a restart": open(t, options(dir, v))} {
		if _, ok := s.Current(); ok {
			t.Errorf("%s: still in use", name)
		}
		if _, err := s.Take(v.Seal(fleet.AssignmentSchema, assigned(7))); !errors.Is(err, assignment.ErrOld) {
			t.Errorf("%s: taken again: %v", name, err)
		}
		if w := s.Word(); w == nil || w.Version != 0 || w.Refused != 7 {
			t.Errorf("%s: word %+v", name, w)
		}
	}
	if _, err := s.Take(v.Seal(fleet.AssignmentSchema, assigned(8))); err != nil || version(s) != 8 {
		t.Errorf("a newer one: version %d, %v", version(s), err)
	}
}

// The power may go between the two writes of a drop.
func TestDropInterrupted(t *testing.T) {
	v, dir := fleettest.NewVendor(t), t.TempDir()
	s := open(t, options(dir, v))
	sealed := v.Seal(fleet.AssignmentSchema, assigned(7))
	if _, err := s.Take(sealed); err != nil {
		t.Fatal(err)
	}
	if err := s.Drop(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "assignment"), sealed, 0o600); err != nil {
		t.Fatal(err)
	}
	if s := open(t, options(dir, v)); version(s) != 0 {
		t.Errorf("version %d is in use again", version(s))
	}
}

// Where nothing can be kept, nothing is taken: after a restart the box would be
// another one than the vendor believes.
func TestCannotKeep(t *testing.T) {
	v := fleettest.NewVendor(t)
	s := open(t, options("/proc/nowhere", v))
	if changed, err := s.Take(v.Seal(fleet.AssignmentSchema, assigned(1))); err == nil || changed || version(s) != 0 {
		t.Errorf("changed %v, %v, version %d", changed, err, version(s))
	}
}

// The profiles that are built in are within the bounds at the box's own interval.
func TestBuiltinIsAffordable(t *testing.T) {
	n := assignment.Daily(profile.Builtin(), 5*time.Minute)
	t.Logf("at most %d MB a day", n>>20)
	if n > assignment.MaxDaily {
		t.Errorf("%d MB a day, want at most %d", n>>20, assignment.MaxDaily>>20)
	}
}
