package main_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/identity"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet/fleettest"
)

// Who the box is, on the command line: before its first start, unclaimed, with a
// grant that is pasted, and with one that is no good.
func TestIdentity(t *testing.T) {
	sprechprobe, dir := build(t), t.TempDir()
	state := filepath.Join(dir, "state")
	v := &vendor{dir: dir}
	conf := v.write(t, "box.toml", []byte("state_dir = \""+state+"\"\n[central]\nservers = [\"tls://fleet.example\"]\n"))
	run := func(args ...string) result {
		return v.box(t, []string{sprechprobe, "identity"}, append(args, "--config", conf)...)
	}
	says := func(r result, code int, want ...string) {
		t.Helper()
		text := strings.Join(strings.Fields(r.out+r.errOut), " ")
		if r.code != code {
			t.Errorf("exit %d, want %d: %s", r.code, code, text)
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%q lacks %q", text, w)
			}
		}
	}
	says(run(), 1, "no key in "+state, "sprechprobe run")
	if _, err := os.Stat(state); err == nil {
		t.Error("asking made something")
	}
	id, err := identity.Open(state, nil)
	if err != nil {
		t.Fatal(err)
	}
	says(run(), 0, id.Code(), id.PublicKey(), "noch bei keinem Videodienst angemeldet")
	says(run("--lang", "en"), 0, id.Code(), "belongs to no video service yet")
	says(run("--lang", "fr"), 64, "fr")
	says(run("--format", "xml"), 64, `format "xml"`)
	says(run("adopt"), 64, "adopt wants the file of a grant")
	says(run("adopt", "/nonexistent"), 1, "/nonexistent")

	who := fleettest.NewVendor(t)
	nord := fleet.Address{Tenant: "acme", Box: "nord"}
	grant := fleet.ArmorGrant(who.Seal(fleet.GrantSchema, who.Grant(id.PublicKey(), nord, time.Now())))
	says(run("adopt", v.write(t, "bad.pem", grant[:len(grant)/2])), 1, "no grant in it")
	cmd := exec.Command(sprechprobe, "identity", "adopt", "-", "--config", conf, "--lang", "en")
	cmd.Stdin = strings.NewReader("pasted:\r\n" + strings.ReplaceAll(string(grant), "\n", "\r\n"))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "claimed as nord of acme") {
		t.Errorf("pasted: %s, %v", out, err)
	}
	says(run("adopt", v.write(t, "again.pem", grant)), 1, "not newer")
	var got struct{ Schema, Key, Code, State, Tenant, Name string }
	if err := json.Unmarshal([]byte(run("--format", "json").out), &got); err != nil || got.State != "claimed" || got.Name != "nord" || got.Key != id.PublicKey() || got.Schema != "sprechprobe.identity/1" {
		t.Errorf("json: %+v, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(state, "grant"), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	says(run("--lang", "en"), 0, "is of no use", filepath.Join(state, "grant"))
	if err := os.WriteFile(filepath.Join(state, "device.nk"), []byte("SU"), 0o600); err != nil {
		t.Fatal(err)
	}
	says(run(), 1, filepath.Join(state, "device.nk"), "not a box's key")
}
