package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/lab/postgres"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// vendor is a vendor's machines: a server, a database and the fleet program.
type vendor struct {
	dir, root, state, bus, where, page string
	key                                string // what boxes pin
	stop                               func() int
}

// newVendor sets up a vendor that listens at a port and keeps the bus in a directory;
// without keys it gets new ones.
func newVendor(t *testing.T, root, store string, port int) *vendor {
	t.Helper()
	v := &vendor{dir: t.TempDir(), root: root, bus: "nats://" + local(port), where: postgres.Start(t).URL()}
	v.state = filepath.Join(v.dir, "state")
	if err := os.MkdirAll(filepath.Join(v.state, "access"), 0o700); err != nil {
		t.Fatal(err)
	}
	said := must(t, "nats-config", "operator", "--out", filepath.Join(v.dir, "conf"), "--listen", local(port), "--store", store, "--keys", filepath.Join(root, "keys"))
	v.key = regexp.MustCompile(`"(O[A-Z2-7]{55})"`).FindStringSubmatch(said)[1]
	return v
}

func (v *vendor) serve(t *testing.T) {
	t.Helper()
	v.page, _, v.stop = serving(t, "--nats", v.bus, "--keys", filepath.Join(v.root, "keys", "serve"), "--history", v.where, "--access", filepath.Join(v.state, "access"))
}

// shell runs a block of docs/vendor.md.
func (v *vendor) shell(t *testing.T, first, backup string) {
	t.Helper()
	script := snippet(t, first, "/root", v.root, "/var/lib/sprechprobe-fleet", v.state, "/backup", backup)
	bin := t.TempDir()
	self, err := os.Executable()
	if err == nil {
		err = os.WriteFile(filepath.Join(bin, "sprechprobe-fleet"), []byte("#!/bin/sh\nexport "+role+"=sprechprobe-fleet\nexec "+self+" \"$@\"\n"), 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("sh", "-c", script)
	c.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HISTORY="+v.where, "BUS="+v.bus, "XDG_STATE_HOME="+v.dir)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", first, err, out)
	}
}

// A vendor who has lost everything but a copy has all of that again, and what came
// after it if the bus is still there; and a box notices nothing.
func TestBackupAndRestore(t *testing.T) {
	lab.Program(t, "pg_dump", "postgresql-client")
	for what, lost := range map[string]int{"the bus is still there": 0, "the bus is new": 1} {
		t.Run(what, func(t *testing.T) { t.Parallel(); restored(t, lost) })
	}
}

func restored(t *testing.T, missing int) {
	root, store, backup, port := t.TempDir(), t.TempDir(), t.TempDir(), ports(t, 1)[0]
	v := newVendor(t, root, store, port)
	server := node(t, filepath.Join(v.dir, "conf", "nats.conf"), port)
	v.serve(t)
	with := []string{"--keys", filepath.Join(root, "keys"), "--nats", v.bus}
	must(t, "user", "add", "vera", "--role", "viewer", "--tenant", "acme", "--access", filepath.Join(v.state, "access"))
	box := fleet.Address{Tenant: "acme", Box: "nord"}
	id := identified(t, box, v.key, with...)
	r := reporting(t, box, id, []string{v.bus})
	r.say(agent.Ready)
	patiently(t, "the first report is in the history", func() bool { return kept(t, v.where, box) == 1 })
	v.shell(t, "# backup.sh", backup)
	r.say(agent.Blocked) // after the copy
	patiently(t, "the second report is in the history", func() bool { return kept(t, v.where, box) == 2 })
	r.stop()
	v.stop()
	server.Kill()

	for _, lost := range []string{filepath.Join(root, "keys"), v.state} {
		if err := os.RemoveAll(lost); err != nil {
			t.Fatal(err)
		}
	}
	fresh := t.TempDir()
	if out, err := exec.Command("tar", "-C", fresh, "-xf", filepath.Join(backup, "keys.tar")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if missing > 0 {
		store = t.TempDir()
	}
	w := newVendor(t, fresh, store, port)
	if w.key != v.key {
		t.Fatal("these are other keys")
	}
	node(t, filepath.Join(w.dir, "conf", "nats.conf"), port)
	w.shell(t, "# restore.sh", backup)
	w.serve(t)
	defer w.stop()
	patiently(t, "what came before is there again", func() bool { return kept(t, w.where, box) == 2-missing })
	if list := must(t, "user", "list", "--access", filepath.Join(w.state, "access")); !strings.Contains(list, "vera") {
		t.Errorf("users: %s", list)
	}
	after := reporting(t, box, id, []string{w.bus})
	after.seq = r.seq
	after.say(agent.VerdictLimited)
	patiently(t, "the box reports again", func() bool { return kept(t, w.where, box) == 3-missing })
}
