package history_test

import (
	"bytes"
	"database/sql"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
)

// table opens the file of a history beside it.
func table(t *testing.T, file string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func open(t *testing.T, file string) *history.DB {
	t.Helper()
	db, err := history.Open(t.Context(), file, history.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// What makes reports small is learnt from reports, and outlives the boxes that they
// were of: nothing of a practice is in it.
func TestDictionaryHoldsNothingOfAPractice(t *testing.T) {
	file := filepath.Join(t.TempDir(), "history.db")
	b := &bench{T: t, DB: open(t, file)}
	e := entry(fleet.Address{Tenant: "secret-tenant", Box: "secret-box"}, "secret-run", 1, 0, agent.Blocked, agent.Finding{
		Code: agent.GatewayUnreachable, Severity: agent.Major, Args: map[string]string{"gateway": "10.77.0.1", "name": "secret-name"}, Evidence: []int{0}})
	e.Report.Box.Name = "secret-practice"
	e.Report.Settings = &agent.Settings{Why: "secret-why"}
	e.Report.Evidence = []agent.Evidence{
		agent.See(agent.ProbeLink, agent.Target{Addr: netip.MustParseAddr("10.77.0.1")}, agent.Answered, "").With(agent.Gateway, "10.77.0.1").With(agent.MTU, 1500),
		agent.See(agent.ProbeSTUN, agent.Target{Host: "stun.example", Port: 3478}, agent.Answered, "").With(agent.MappedAddr, "198.51.100.77/32"),
	}
	b.add(e)
	var d []byte
	if err := table(t, file).QueryRow(`SELECT dictionary FROM dictionaries`).Scan(&d); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"secret", "10.77.", "198.51."} {
		if bytes.Contains(d, []byte(word)) {
			t.Errorf("%q is in the dictionary", word)
		}
	}
	if !bytes.Contains(d, []byte("stun.example")) {
		t.Error("nothing of the service is in the dictionary, so it makes nothing small")
	}
}

// Bytes that a disk has changed are an error that says so.
func TestDamagedReport(t *testing.T) {
	file := filepath.Join(t.TempDir(), "history.db")
	b := &bench{T: t, DB: open(t, file)}
	b.add(entry(one, "boot", 1, 0, agent.Ready))
	for _, raw := range [][]byte{{1}, {1, 0, 0, 0, 9, 1}, {0x28, 0xb5}, []byte("?")} {
		if _, err := table(t, file).Exec(`UPDATE raws SET raw = ?`, raw); err != nil {
			t.Fatal(err)
		}
		if _, _, err := b.Newest(t.Context(), one); err == nil || !strings.Contains(err.Error(), "acme/one") {
			t.Errorf("% x: %v, want an error that names the box", raw, err)
		}
	}
}
