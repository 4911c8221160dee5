package history_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/lab/pki"
	"github.com/sprechprobe/sprechprobe/agent/lab/postgres"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
)

// database makes a database of its own on a server.
func database(t *testing.T, where string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	name := "t" + strings.ToLower(rand.Text())
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		t.Fatal(err)
	}
	return strings.Replace(where, "/postgres?", "/"+name+"?", 1)
}

// Everything that a history can do is in the suite that both databases pass.
func TestTheSuiteAsksForEverything(t *testing.T) {
	var suite strings.Builder
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		suite.Write(text)
	}
	for m := range reflect.TypeFor[*history.DB]().Methods() {
		if called := regexp.MustCompile(`\b\w+\.` + m.Name + `\(`); !called.MatchString(suite.String()) {
			t.Errorf("no test of the suite calls %s", m.Name)
		}
	}
}

// Programs that start at the same time on a database that is new do not get into each
// other's way.
func TestOpenedByManyAtOnce(t *testing.T) {
	where := postgres.Start(t).URL()
	for range 3 {
		at := database(t, where)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				db, err := history.Open(t.Context(), at, history.Config{})
				if err != nil {
					t.Errorf("Open: %v", err)
					return
				}
				db.Close()
			})
		}
		all.Wait()
	}
}

// Who looks at a page after the database was started again sees the page, and not
// that connections of before have ended.
func TestReadsOverARestartOfPostgres(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"fast", "immediate"} {
		server := postgres.Start(t)
		db, err := history.Open(t.Context(), server.URL(), history.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var all sync.WaitGroup
		for range 4 { // each on a connection of its own
			all.Go(func() {
				if _, err := db.Find(t.Context(), history.Query{}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		server.Stop(t, how)
		server.Start(t)
		if _, err := db.Find(t.Context(), history.Query{}); err != nil {
			t.Errorf("after a stop that was %s: %v", how, err)
		}
	}
}

// Two programs write the same boxes while transactions fail as a distributed database
// lets them fail, and while the server crashes: what Add has taken is there, once.
func TestPostgresCrashes(t *testing.T) {
	t.Parallel()
	server := postgres.Start(t, "fsync=on", "default_transaction_isolation=serializable")
	var dbs [2]*history.DB
	for i := range dbs {
		var err error
		if dbs[i], err = history.Open(t.Context(), server.URL(), history.Config{}); err != nil {
			t.Fatal(err)
		}
		defer dbs[i].Close()
	}
	const boxes, rounds = 12, 40
	var failed, written atomic.Int64
	half := make(chan struct{})
	var all sync.WaitGroup
	for i, db := range dbs {
		for line := range 2 {
			all.Go(func() {
				for n := line; n < rounds; n += 2 {
					// Both programs write all of it, as after an acknowledgement that was lost.
					entries := portion(n, boxes, i == 1)
					for { // as the bus hands out again what was not taken
						if _, err := db.Add(t.Context(), entries); err == nil {
							break
						}
						if t.Context().Err() != nil {
							return
						}
						failed.Add(1)
						pause(t.Context(), 50*time.Millisecond)
					}
					if written.Add(1) == rounds {
						close(half)
					}
				}
			})
		}
	}
	<-half
	server.Stop(t, "immediate")
	if !strings.Contains(server.Said(), "could not serialize access") {
		t.Error("no transaction was in the way of another one")
	}
	server.Start(t)
	all.Wait()
	if failed.Load() == 0 {
		t.Error("nobody has noticed that the server crashed")
	}
	for i := range boxes {
		b, _, err := dbs[i%2].Newest(t.Context(), boxAt(i))
		if err != nil || b.Reports != rounds || b.Seq != rounds {
			t.Errorf("%s: %d reports, newest %d, %v, want %d", boxAt(i), b.Reports, b.Seq, err, rounds)
		}
		var out bytes.Buffer
		if err := dbs[i%2].Export(t.Context(), boxAt(i), &out); err != nil || strings.Count(out.String(), `{"report":`) != rounds {
			t.Errorf("%s: %v, %d reports are kept, want %d", boxAt(i), err, strings.Count(out.String(), `{"report":`), rounds)
		}
	}
	t.Logf("%d portions were refused and came again", failed.Load())
}

func boxAt(i int) fleet.Address { return fleet.Address{Tenant: "acme", Box: fmt.Sprint("box-", i)} }

// portion is report number n of each box, in one order or the other.
func portion(n, boxes int, backwards bool) []history.Entry {
	var out []history.Entry
	for i := range boxes {
		if backwards {
			i = boxes - 1 - i
		}
		e := entry(boxAt(i), "a", uint64(n+1), 300*n, []agent.Verdict{agent.Ready, agent.Blocked}[n/7%2])
		e.Raw, _ = json.Marshal(e.Report)
		out = append(out, e)
	}
	return out
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// Passwords and TLS come as with any program that uses PostgreSQL.
func TestPostgresAsksWhoIsThere(t *testing.T) {
	port := freePort(t)
	server := postgres.Start(t, "listen_addresses=127.0.0.1", "port="+port)
	ca, err := pki.New("Database CA")
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.For("localhost")
	if err != nil {
		t.Fatal(err)
	}
	cert, key := pki.Files(t, leaf)
	for to, from := range map[string]string{"server.crt": cert, "server.key": key} {
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(server.Data(), to), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		server.Own(t, filepath.Join(server.Data(), to))
	}
	rules := "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n"
	if err := os.WriteFile(filepath.Join(server.Data(), "pg_hba.conf"), []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	byHand, err := pgx.Connect(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer byHand.Close(t.Context())
	for _, s := range []string{"CREATE ROLE sprechprobe LOGIN PASSWORD 'geheim'", "CREATE DATABASE fleet OWNER sprechprobe", "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"} {
		if _, err := byHand.Exec(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	files := t.TempDir()
	root, pass := filepath.Join(files, "ca.pem"), filepath.Join(files, "pgpass")
	for file, text := range map[string]string{root: string(ca.PEM()), pass: "localhost:" + port + ":fleet:sprechprobe:geheim\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := func(host, mode string) string {
		return "postgres://sprechprobe@" + host + ":" + port + "/fleet?sslmode=" + mode + "&sslrootcert=" + root
	}
	if db, err := history.Open(t.Context(), at("localhost", "verify-full"), history.Config{}); err == nil {
		db.Close()
		t.Error("opened without a password")
	}
	t.Setenv("PGPASSFILE", pass)
	var db *history.DB
	for end := time.Now().Add(20 * time.Second); ; pause(t.Context(), 50*time.Millisecond) { // until the server has read its settings again
		if db, err = history.Open(t.Context(), at("localhost", "verify-full"), history.Config{}); err == nil || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	db.Close()
	for _, where := range []string{at("localhost", "disable"), at("127.0.0.1", "verify-full")} {
		if db, err := history.Open(t.Context(), where, history.Config{}); err == nil {
			db.Close()
			t.Errorf("%s: opened", where)
		} else if strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: the error tells the password: %v", where, err)
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// A database that has vanished without a word is noticed, and so is that it is back.
func TestPostgresVanishes(t *testing.T) {
	t.Parallel() // it waits for the most part
	if !lab.Inside(t) {
		return
	}
	lab.IP(t, "link set lo up")
	postgres.Start(t, "listen_addresses=127.0.0.1")
	db, err := history.Open(t.Context(), "postgres://"+postgres.User+"@127.0.0.1/"+postgres.Database, history.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Count(t.Context(), history.Query{}); err != nil {
		t.Fatal(err)
	}
	lab.Table(t, "gone", "chain c { type filter hook input priority 0; tcp dport 5432 drop; tcp sport 5432 drop; }")
	if _, err := db.Count(t.Context(), history.Query{}); err == nil { // or the test hangs
		t.Error("a database that is away has answered")
	}
	lab.Table(t, "gone", "")
	for end := time.Now().Add(60 * time.Second); ; pause(t.Context(), 100*time.Millisecond) {
		if _, err = db.Count(t.Context(), history.Query{}); err == nil || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		t.Errorf("when it is back: %v", err)
	}
}
