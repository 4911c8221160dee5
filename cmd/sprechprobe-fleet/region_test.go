package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// What boxes report to another region's servers comes here once, also what came while
// the regions were apart.
func TestRegion(t *testing.T) {
	t.Parallel()
	dir, at := t.TempDir(), ports(t, 3)
	keys := filepath.Join(dir, "keys")
	key, account := "", ""
	for n, name := range []string{"centre", "south"} {
		said := must(t, "nats-config", "operator", "--out", filepath.Join(dir, name), "--listen", local(at[n]), "--keys", keys)
		key = regexp.MustCompile(`"(O[A-Z2-7]{55})"`).FindStringSubmatch(said)[1]
		account = regexp.MustCompile(`VENDOR: +(A[A-Z2-7]{55}) `).FindStringSubmatch(said)[1]
	}
	way := newLine(t, local(at[2]))
	centre, south := "nats://"+local(at[0]), "nats://"+local(at[1])
	write := func(name, text string) string {
		path := filepath.Join(dir, name, "region.conf")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a := write("centre", snippet(t, "# centre.conf", "0.0.0.0:7422", local(at[2]), "/var/lib/nats", filepath.Join(dir, "centre", "data")))
	b := write("south", snippet(t, "# south.conf", "centre.example:7422", way.ln.Addr().String(), "tls://", "nats://", "VENDOR", account,
		"/etc/sprechprobe-fleet/keys", keys, "/var/lib/nats", filepath.Join(dir, "south", "data")))
	node(t, a, at[0])
	node(t, b, at[1])
	where := filepath.Join(dir, "history.db")
	// The region keeps its own reports, too.
	pageS, _, stopS := serving(t, "--nats", south, "--keys", filepath.Join(keys, "serve"), "--history", filepath.Join(dir, "south.db"), "--max-bytes", "50000000", "--access", filepath.Join(dir, "as"))
	defer stopS()
	pageC, _, stopC := serving(t, "--nats", centre, "--keys", filepath.Join(keys, "serve"), "--history", where, "--max-bytes", "50000000", "--access", filepath.Join(dir, "ac"), "--source", "south")
	defer stopC()
	here, there := fleet.Address{Tenant: "acme", Box: "here"}, fleet.Address{Tenant: "acme", Box: "there"}
	one := reporting(t, here, identified(t, here, key, "--keys", keys, "--nats", centre), []string{centre})
	two := reporting(t, there, identified(t, there, key, "--keys", keys, "--nats", south), []string{south})
	one.say(agent.Ready)
	two.say(agent.Ready)
	shows := func(page, want string) {
		t.Helper()
		patiently(t, page+" shows "+want, func() bool { got, err := boxesOf(page); return err == nil && got == want })
	}
	shows(pageS, "acme/there ready")
	shows(pageC, "acme/here ready, acme/there ready")
	way.set(false)
	for range 20 {
		two.say(agent.Blocked)
	}
	shows(pageS, "acme/there blocked")
	patiently(t, "the region writes its own", func() bool { return kept(t, filepath.Join(dir, "south.db"), there) == 21 })
	way.set(true)
	shows(pageC, "acme/here ready, acme/there blocked")
	patiently(t, "all reports came", func() bool { return kept(t, where, there) == 21 && kept(t, where, here) == 1 })
	js := centreOf(t, centre, keys)
	s, err := js.Stream(t.Context(), fleet.Stream)
	if err != nil || s.CachedInfo().State.Msgs != 22 {
		t.Errorf("the stream here: %v, %d reports, want each of the 22 once", err, s.CachedInfo().State.Msgs)
	}
}
