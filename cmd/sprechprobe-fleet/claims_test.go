package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/assignment"
	"github.com/sprechprobe/sprechprobe/agent/beacon"
	boxcommand "github.com/sprechprobe/sprechprobe/agent/command"
	"github.com/sprechprobe/sprechprobe/agent/identity"
	"github.com/sprechprobe/sprechprobe/agent/profile"
	"github.com/sprechprobe/sprechprobe/agent/uplink"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// call runs a command and returns what it said.
func call(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e output
	code = start(t.Context(), env{null(t), &o, &e}, args)
	return code, o.String(), e.String()
}

// must runs a command that has to succeed.
func must(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := call(t, args...)
	if code != 0 {
		t.Fatalf("%q: exit %d: %s%s", args, code, out, errs)
	}
	return out
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(30 * time.Second); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// freeUDP is a port that nobody has just now.
func freeUDP(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}

// The vendor's commands and the box's own code, from nothing to a box that is
// claimed, commanded, assigned, and revoked, with the bus within the fleet program.
func TestVendorAndBox(t *testing.T) {
	dir := t.TempDir()
	keys, conf, zoneAt := filepath.Join(dir, "keys"), filepath.Join(dir, "conf"), freeUDP(t)
	said := must(t, "nats-config", "embedded", "--out", conf, "--listen", "127.0.0.1:-1", "--keys", keys)
	vendorKey := regexp.MustCompile(`vendor_keys = \["(O[A-Z2-7]{55})"\]`).FindStringSubmatch(said)
	if vendorKey == nil {
		t.Fatalf("nats-config does not say what boxes have to know: %s", said)
	}
	page, bus, stop := serving(t, "--nats-config", filepath.Join(conf, "nats.conf"), "--keys", filepath.Join(keys, "serve"), "--data", filepath.Join(dir, "bus"),
		"--beacon-zone", "help.fleet.example", "--beacon-listen", zoneAt)
	defer stop()
	with := []string{"--keys", keys, "--nats", bus}
	run := func(args ...string) string { return must(t, append(args, with...)...) }

	id, err := identity.Open(filepath.Join(dir, "box"), []string{vendorKey[1]})
	if err != nil {
		t.Fatal(err)
	}
	o := uplink.Options{Servers: []string{bus}, Device: id, Log: slog.New(slog.DiscardHandler)}
	ask := func() []byte {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		grant, err := uplink.Claim(ctx, o, fleet.Claim{Schema: fleet.ClaimSchema, Key: id.PublicKey(), Code: id.Code(), Box: agent.Box{Platform: "linux/arm", Board: "testboard"}})
		if err != nil {
			t.Logf("claim: %v", err)
		}
		return grant
	}
	until(t, "the box waits to be claimed", func() bool {
		ask()
		return strings.Contains(run("boxes"), id.Code())
	})
	if list := run("boxes"); !strings.Contains(list, "(waits) linux/arm, testboard") || !strings.Contains(list, id.PublicKey()) {
		t.Errorf("boxes: %s", list)
	}
	if code, _, errs := call(t, append([]string{"claim", "0000-0000-0000", "--tenant", "acme", "--name", "nord"}, with...)...); code != 1 || !strings.Contains(errs, "no box with the claim code") {
		t.Errorf("a code that nobody has: exit %d, %s", code, errs)
	}
	grantFile := filepath.Join(dir, "grant.pem")
	run("claim", strings.ToLower(strings.ReplaceAll(id.Code(), "-", " ")), "--tenant", "acme", "--name", "nord", "--out", grantFile)
	grant := ask()
	if id, err = id.AdoptSent(grant); err != nil {
		t.Fatalf("the box's grant: %v", err)
	}
	byHand, err := os.ReadFile(grantFile)
	if err != nil {
		t.Fatal(err)
	}
	if sealed, err := fleet.DearmorGrant(byHand); err != nil || string(sealed) != string(grant) {
		t.Errorf("the grant in the file is another one: %v", err)
	}

	at := fleet.Address{Tenant: "acme", Box: "nord"}
	guard := boxcommand.NewGuard(at, id.VendorKeys(), time.Now, func() bool { return true })
	store, err := assignment.Open(assignment.Options{Dir: filepath.Join(dir, "box"), Address: at, Keys: id.VendorKeys(), Every: 5 * time.Minute,
		Local: func(names []string) ([]agent.Profile, error) { return profile.Load("", append(names, "webprax")[:1]) }})
	if err != nil {
		t.Fatal(err)
	}
	o.Device, o.Tenant, o.Box = id, "acme", "nord"
	o.Orders.Command = func(subject, reply string, sealed []byte) (uplink.Answer, bool) {
		c, no := guard.Admit(subject, reply, sealed)
		switch {
		case no != nil:
			return uplink.Answer{Code: no.Code, Error: no.Text}, true
		case c == nil:
			return uplink.Answer{}, false
		}
		body, _ := json.Marshal(fleet.Done{Accepted: true, Settings: store.Word()})
		return uplink.Answer{Body: body}, true
	}
	o.Orders.Assignment = func(sealed []byte) { _, _ = store.Take(sealed) }
	u, err := uplink.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _ = u.Run(ctx) }()
	u.Offer(agent.Report{Schema: agent.Schema, Box: agent.Box{ID: "nord"}, Tenant: "acme", Seq: 1, Verdict: agent.Ready})
	await(t, page, shown{"nord", "ready", 1})

	if out := run("command", "acme/nord", "identify"); !strings.Contains(out, `"accepted": true`) {
		t.Errorf("command: %s", out)
	}
	if code, _, errs := call(t, append([]string{"command", "acme/sued", "identify"}, with...)...); code != 1 || !strings.Contains(errs, "is not there now") {
		t.Errorf("a box that is not there: exit %d, %s", code, errs)
	}
	run("command", "acme/nord", "bandwidth")
	if code, _, errs := call(t, append([]string{"command", "acme/nord", "bandwidth"}, with...)...); code != 1 || !strings.Contains(errs, `"429" "too-often"`) {
		t.Errorf("too often: exit %d, %s", code, errs)
	}
	out := run("assign", "acme/nord", "--use", "webprax", "--every", "10m")
	version := regexp.MustCompile(`version (\d+)`).FindStringSubmatch(out)
	until(t, "the box takes its settings", func() bool { set, ok := store.Current(); return ok && set.Every == 10*time.Minute })
	if version == nil || !strings.Contains(run("command", "acme/nord", "config"), `"version": `+version[1]) {
		t.Errorf("assign says %q", out)
	}
	run("assign", "acme/nord")
	until(t, "the box is back to its own settings", func() bool { set, _ := store.Current(); return set.Every == 5*time.Minute })

	call1 := beacon.Options{Zone: "help.fleet.example", Key: id, Starts: 1, Resolvers: []netip.AddrPort{netip.MustParseAddrPort(zoneAt)}}
	until(t, "the call for help is heard", func() bool {
		heard, _ := call1.Call(t.Context(), uint64(time.Now().UnixNano()), "tls-unknown-authority")
		return heard
	})
	until(t, "the call for help is on the page", func() bool { return strings.Contains(fetch(t, page+"?lang=en"), "alive, but cannot get through") })

	run("revoke", "acme/nord")
	deeds := must(t, "audit", "--keys", keys)
	for _, what := range []string{"claim ", "command-", "assign ", "revoke "} {
		if !strings.Contains(deeds, what) || !strings.Contains(deeds, "acme/nord") {
			t.Errorf("the log of what was done with the keys has no %s: %s", what, deeds)
		}
	}
	until(t, "the box says that it was revoked", func() bool { return u.Evidence().Reason == agent.AuthRefused })
	if list := run("boxes"); strings.Contains(list, "acme/nord") {
		t.Errorf("boxes after it was revoked: %s", list)
	}
	if out := run("push"); !strings.Contains(out, "told of 0 boxes") {
		t.Errorf("push: %s", out)
	}
}

// Without a bus a box is claimed by its key, and its grant goes by hand.
func TestClaimWithoutBus(t *testing.T) {
	dir := t.TempDir()
	keys, grant := filepath.Join(dir, "keys"), filepath.Join(dir, "grant.pem")
	must(t, "nats-config", "plain", "--out", filepath.Join(dir, "conf"), "--keys", keys)
	id, err := identity.Open(filepath.Join(dir, "box"), nil)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"claim", id.PublicKey(), "--tenant", "acme", "--name", "nord", "--keys", keys, "--nats", "nats://127.0.0.1:1"}
	if code, _, errs := call(t, args...); code != 1 || !strings.Contains(errs, "nats://127.0.0.1:1") {
		t.Errorf("exit %d, %s; want it to say that the bus was not told", code, errs)
	}
	if code, out, errs := call(t, append(args, "--out", grant)...); code != 0 || !strings.Contains(errs, "the bus was not told") {
		t.Errorf("exit %d, %s%s", code, out, errs)
	}
	text, err := os.ReadFile(grant)
	if err != nil {
		t.Fatal(err)
	}
	claimed, err := id.Adopt(text)
	if err != nil {
		t.Fatal(err)
	}
	if g, ok := claimed.Claimed(); !ok || g.JWT != "" || g.Address().String() != "acme/nord" {
		t.Errorf("%v %+v", ok, g)
	}
	boxes, err := os.ReadFile(filepath.Join(dir, "conf", "boxes.conf"))
	if err != nil || !strings.Contains(string(boxes), id.PublicKey()) {
		t.Errorf("boxes.conf does not list the box: %s, %v", boxes, err)
	}
}

func TestKeyCommandsSayWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	must(t, "nats-config", "operator", "--out", filepath.Join(dir, "conf"), "--keys", keys)
	tests := []struct {
		args string
		code int
		err  string
	}{
		{"nats-config", 64, "MODE is missing"},
		{"nats-config operator", 64, "--out is missing"},
		{"nats-config sideways --out /tmp/x", 1, `mode "sideways"`},
		{"nats-config operator --out /tmp/x --listen 0.0.0.0:4222", 1, "only with a certificate"},
		{"nats-config leaf --out /tmp/x --tenant acme", 64, "--tenant and --remote"},
		{"nats-config leaf --out /tmp/x --tenant * --remote tls://x", 1, "tenant"},
		{"nats-config leaf --out /tmp/x --tenant acme --remote fleet.example", 1, "remote"},
		{"nats-config leaf --out /tmp/x --tenant acme --remote tls://x --keys " + dir + "/nowhere", 1, "no keys there"},
		{"nats-config operator --out /tmp/x --tenant acme", 64, "are for leaf"},
		{"claim --tenant a --name b", 64, "CODE is missing"},
		{"claim 0000-0000-0000 --tenant a --name *", 64, `box: name "*"`},
		{"claim 0000-0000-0000 --name b", 64, "tenant"},
		{"claim 0000-0000-0001 --tenant a --name b", 64, "a letter is wrong"},
		{"revoke acme", 64, "want TENANT/BOX"},
		{"revoke acme/nord", 1, "no box acme/nord"},
		{"assign acme/nord --profile /nonexistent/p.toml", 1, "/nonexistent/p.toml"},
		{"assign acme/nord --every soon", 64, "invalid value"},
		{"command acme/nord", 64, "COMMAND is missing"},
		{"command acme/nord reboot", 64, `no command "reboot"`},
		{"boxes extra", 64, "extra"},
		{"boxes --keys " + dir + "/nowhere", 1, "no keys there"},
		{"serve --keys " + keys + " --http 127.0.0.1:0", 64, "--keys and --sign are for a bus"},
		{"serve --sign " + keys + " --http 127.0.0.1:0", 64, "--keys and --sign are for a bus"},
		{"serve --beacon-listen 127.0.0.1:0 --http 127.0.0.1:0", 64, "--beacon-listen is for"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			args := strings.Fields(tt.args)
			if !strings.Contains(tt.args, "--keys") && args[0] != "serve" {
				args = append(args, "--keys", keys)
			}
			if args[0] != "nats-config" && args[0] != "serve" {
				args = append(args, "--nats", "nats://127.0.0.1:1")
			}
			if code, out, errs := call(t, args...); code != tt.code || !strings.Contains(errs, tt.err) {
				t.Errorf("exit %d, %q, %q; want %d and %q", code, out, errs, tt.code, tt.err)
			}
		})
	}
	for _, name := range []string{"nats-config", "boxes", "claim", "revoke", "push", "assign", "command"} {
		if code, out, _ := call(t, name, "-h"); code != 0 || !strings.Contains(out, "usage: sprechprobe-fleet "+name) {
			t.Errorf("%s -h: exit %d, %s", name, code, out)
		}
	}
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	_, text := answerOf(t, url)
	return text
}
