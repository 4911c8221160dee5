package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab/postgres"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// answerOf is what a page answers.
func answerOf(t *testing.T, url string) (code int, text string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

var nord = fleet.Address{Tenant: "acme", Box: "nord"}

// While the database is away the program says so and goes on by itself afterwards, with
// all that the bus has taken meanwhile.
func TestDatabaseAway(t *testing.T) {
	t.Parallel() // it waits for the most part
	server := postgres.Start(t)
	page, bus, stop := serving(t, "--listen", "127.0.0.1:0", "--data", t.TempDir(), "--history", server.URL())
	defer stop()
	report(t, bus, 1, agent.Ready)
	await(t, page, shown{"nord", "ready", 1})
	patiently(t, "all is well", func() bool { code, _ := answerOf(t, page+"healthz"); return code == 200 })
	patiently(t, "the first report is written", func() bool { return kept(t, server.URL(), nord) == 1 })

	server.Stop(t, "immediate")
	for seq := range 5 {
		report(t, bus, uint64(seq+2), agent.Blocked) // which the bus acknowledges
	}
	patiently(t, "it is said", func() bool {
		code, text := answerOf(t, page+"healthz")
		return code == http.StatusServiceUnavailable && strings.Contains(text, "writing the history")
	})
	for _, path := range []string{"", "boxes/acme/nord"} {
		if code, text := answerOf(t, page+path); code < 500 || !strings.Contains(text, "Datenbank") {
			t.Errorf("/%s without a database: %d %.300s", path, code, text)
		}
	}
	await(t, page, shown{"nord", "blocked", 0}) // what the bus tells is there

	server.Start(t)
	patiently(t, "the history catches up", func() bool { return kept(t, server.URL(), nord) == 6 })
	patiently(t, "all is well again", func() bool { code, _ := answerOf(t, page+"healthz"); return code == 200 })
	if code, text := answerOf(t, page+"boxes/acme/nord?lang=en"); code != 200 || !strings.Contains(text, "nord") {
		t.Errorf("the page of the box: %d %.300s", code, text)
	}
}
