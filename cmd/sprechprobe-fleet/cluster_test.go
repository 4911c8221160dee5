package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/identity"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/lab/postgres"
	"github.com/sprechprobe/sprechprobe/agent/uplink"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
)

// clusterVar lets the tests run that take a minute or more.
const clusterVar = "SPRECHPROBE_CLUSTER"

// long leaves out what takes too long for every day.
func long(t *testing.T, what string) {
	t.Helper()
	if os.Getenv(clusterVar) == "" {
		t.Skip("LEFT OUT: " + what + ", which takes a minute or more; make lab or " + clusterVar + "=1 runs it")
	}
}

// snippet is the block of docs/vendor.md that begins with a line, with some words
// replaced. Each has to be there: else the test tries something that is not told.
func snippet(t *testing.T, first string, words ...string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/vendor.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(text), "\n"+first)
	block, _, ended := strings.Cut(block, "\n```")
	if !found || !ended {
		t.Fatalf("docs/vendor.md has no block that begins with %q", first)
	}
	block = first + block + "\n"
	for i := 0; i < len(words); i += 2 {
		if !strings.Contains(block, words[i]) {
			t.Fatalf("the block %q of docs/vendor.md does not say %q", first, words[i])
		}
		block = strings.ReplaceAll(block, words[i], words[i+1])
	}
	return block
}

// cluster is three servers as docs/vendor.md has them.
type cluster struct {
	dir, keys string
	vendor    string // the key that boxes pin
	at        []int
	nodes     map[string]*lab.Process
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{dir: t.TempDir(), at: ports(t, 6), nodes: map[string]*lab.Process{}}
	c.keys = filepath.Join(c.dir, "keys")
	for n := range 3 {
		name := fmt.Sprint("n", n+1)
		out := filepath.Join(c.dir, name)
		said := must(t, "nats-config", "operator", "--out", out, "--listen", local(c.at[n]), "--keys", c.keys)
		c.vendor = regexp.MustCompile(`"(O[A-Z2-7]{55})"`).FindStringSubmatch(said)[1]
		text := snippet(t, "# n1.conf", "server_name: n1", "server_name: "+name, "/var/lib/nats", filepath.Join(out, "data"), "40GB", "4GB",
			"0.0.0.0:6222", local(c.at[3+n]), "n1:6222", local(c.at[3]), "n2:6222", local(c.at[4]), "n3:6222", local(c.at[5]))
		if err := os.WriteFile(filepath.Join(out, name+".conf"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c.nodes[name] = node(t, filepath.Join(out, name+".conf"), c.at[n])
	}
	return c
}

func (c *cluster) urls() string {
	return fmt.Sprintf("nats://%s,nats://%s,nats://%s", local(c.at[0]), local(c.at[1]), local(c.at[2]))
}

// centreOf is the vendor's account, as the serving machine joins it.
func centreOf(t *testing.T, urls, keys string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(urls, nats.UserCredentials(filepath.Join(keys, "serve", "fleet.creds")), nats.MaxReconnects(-1),
		nats.ReconnectWait(100*time.Millisecond), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// reporter is a box's own uplink with a spool.
type reporter struct {
	*uplink.Uplink
	at   fleet.Address
	seq  uint64
	stop func()
}

// identified is the identity of a box that was claimed.
func identified(t *testing.T, at fleet.Address, vendor string, with ...string) *identity.Identity {
	t.Helper()
	dir := t.TempDir()
	id, err := identity.Open(filepath.Join(dir, "box"), []string{vendor})
	if err != nil {
		t.Fatal(err)
	}
	grant := filepath.Join(dir, "grant.pem")
	must(t, append([]string{"claim", id.PublicKey(), "--tenant", at.Tenant, "--name", at.Box, "--out", grant}, with...)...)
	text, err := os.ReadFile(grant)
	if err != nil {
		t.Fatal(err)
	}
	if id, err = id.Adopt(text); err != nil {
		t.Fatal(err)
	}
	return id
}

// reporting lets a box report to servers.
func reporting(t *testing.T, at fleet.Address, id uplink.Device, servers []string) *reporter {
	t.Helper()
	u, err := uplink.New(uplink.Options{Servers: servers, Device: id, Tenant: at.Tenant, Box: at.Box, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = u.Run(ctx) }()
	r := &reporter{Uplink: u, at: at, stop: sync.OnceFunc(func() { cancel(); <-done })}
	t.Cleanup(r.stop)
	return r
}

// say offers the next report.
func (r *reporter) say(v agent.Verdict) {
	r.seq++
	now := time.Now().UTC()
	report := agent.Report{Schema: agent.Schema, Box: agent.Box{ID: r.at.Box}, Tenant: r.at.Tenant, Seq: r.seq, Verdict: v, Trigger: agent.OnSchedule,
		Stamp: agent.Stamp{At: now, Clock: agent.ClockSet}}
	if v == agent.Blocked {
		report.Findings = []agent.Finding{{Code: agent.WANDown, Severity: agent.Critical, Cause: agent.CauseISP, SinceAt: now, Evidence: []int{}}}
	}
	r.Offer(report)
}

// boxesOf is what a page shows of its boxes, without times.
func boxesOf(page string) (string, error) {
	resp, err := http.Get(page + "api/v1/boxes?limit=100")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer struct {
		Boxes []struct{ Tenant, Box, Verdict string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return "", err
	}
	var out []string
	for _, b := range answer.Boxes {
		out = append(out, fmt.Sprintf("%s/%s %s", b.Tenant, b.Box, b.Verdict))
	}
	slices.Sort(out)
	return strings.Join(out, ", "), nil
}

// events counts the rows that an open overview gets.
func events(t *testing.T, page string) *atomic.Int64 {
	t.Helper()
	var n atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page+"events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(done)
		defer resp.Body.Close()
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "data:") {
				n.Add(1)
			}
		}
	}()
	return &n
}

// patiently waits longer than until does: a cluster takes its time on a busy machine.
func patiently(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(2 * time.Minute); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// kept counts the reports of a box in a history, and fails if one is there twice.
func kept(t *testing.T, where string, at fleet.Address) int {
	t.Helper()
	db, err := history.Open(t.Context(), where, history.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	seen := map[uint64]bool{}
	r, w := io.Pipe()
	go func() { w.CloseWithError(db.Export(t.Context(), at, w)) }()
	for d := json.NewDecoder(r); ; {
		var line struct{ Report *agent.Report }
		if err := d.Decode(&line); err != nil {
			break
		}
		if line.Report != nil {
			if seen[line.Report.Seq] {
				t.Errorf("%s: report %d is there twice", at, line.Report.Seq)
			}
			seen[line.Report.Seq] = true
		}
	}
	return len(seen)
}

// ear hears what a webhook is told.
type ear struct {
	mu   sync.Mutex
	ids  map[string]bool // of messages that came: one that comes again is the same
	told []string
	url  string
}

func newEar(t *testing.T) *ear {
	e := &ear{ids: map[string]bool{}}
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m struct {
			Type string
			Box  struct{ Box, State string }
		}
		_ = json.NewDecoder(r.Body).Decode(&m)
		e.mu.Lock()
		defer e.mu.Unlock()
		id := r.Header.Get("Webhook-Id")
		if e.ids[id] {
			return
		}
		e.ids[id] = true
		e.told = append(e.told, m.Type+" "+m.Box.Box+" "+m.Box.State)
	}))
	t.Cleanup(hook.Close)
	e.url = hook.URL
	return e
}

func (e *ear) all() []string { e.mu.Lock(); defer e.mu.Unlock(); return slices.Clone(e.told) }

// config writes a fleet.toml that tells it soon.
func (e *ear) config(t *testing.T, dir string) string {
	t.Helper()
	text := fmt.Sprintf("[alerts]\nhold = \"1s\"\nclear = \"1s\"\n[[alerts.webhook]]\nname = \"x\"\nurl = %q\nsecret_file = \"hook.secret\"\n", e.url)
	for file, text := range map[string]string{"hook.secret": "0123456789abcdef\n", "fleet.toml": text} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "fleet.toml")
}

// Two programs on three servers and one PostgreSQL: whatever of it is killed, the rest
// goes on, nothing is lost or twice, and what is told is told once.
func TestTwoServeOneFleet(t *testing.T) {
	long(t, "two fleet programs on a cluster")
	e := newEar(t)
	c := newCluster(t)
	where := postgres.Start(t).URL()
	js := centreOf(t, c.urls(), c.keys)
	config := e.config(t, c.dir)
	serve := func(name string) (string, *lab.Process) {
		return fleetProgram(t, "--nats", c.urls(), "--keys", filepath.Join(c.keys, "serve"), "--replicas", "3", "--max-bytes", "100000000", "--history", where,
			"--access", filepath.Join(c.dir, name), "--config", config)
	}
	pageA, a := serve("a")
	pageB, _ := serve("b")
	patiently(t, "the buckets", func() bool { // the servers elect their leaders first
		_, err := js.Stream(t.Context(), "KV_"+fleet.Assignments)
		return err == nil
	})
	var boxes []*reporter
	servers := strings.Split(c.urls(), ",")
	for i := range 4 {
		at := fleet.Address{Tenant: "acme", Box: fmt.Sprint("box-", i)}
		boxes = append(boxes, reporting(t, at, identified(t, at, c.vendor, "--keys", c.keys, "--nats", c.urls()), slices.Concat(servers[i%3:], servers[:i%3])))
	}
	all := func(v agent.Verdict, but ...string) string {
		var out []string
		for _, b := range boxes {
			s := v.String()
			if len(but) > 0 && b.at.Box == "box-1" {
				s = but[0]
			}
			out = append(out, b.at.String()+" "+s)
		}
		return strings.Join(out, ", ")
	}
	show := func(want string, pages ...string) {
		t.Helper()
		for _, p := range pages {
			patiently(t, p+" shows "+want, func() bool { got, err := boxesOf(p); return err == nil && got == want })
		}
	}
	say := func(v agent.Verdict) {
		for _, b := range boxes {
			b.say(v)
		}
	}
	say(agent.Ready)
	show(all(agent.Ready), pageA, pageB)
	for _, name := range []string{fleet.Stream, "KV_SPRECHPROBE_GRANTS", "KV_SPRECHPROBE_WAITING", "KV_" + fleet.Assignments} {
		s, err := js.Stream(t.Context(), name)
		if err != nil || s.CachedInfo().Config.Replicas != 3 {
			t.Errorf("%s: %v, want three copies", name, err)
		}
	}
	eventsA, eventsB := events(t, pageA), events(t, pageB)
	want := []string{"box.changed box-1 blocked"}
	boxes[1].say(agent.Blocked)
	show(all(agent.Ready, "blocked"), pageA, pageB)
	patiently(t, "somebody is told", func() bool { return slices.Equal(e.all(), want) })
	patiently(t, "both open pages are told", func() bool { return eventsA.Load() > 0 && eventsB.Load() > 0 })

	a.Kill() // which has had the turn to tell, for it came first
	for range 20 {
		say(agent.Ready)
	}
	before := eventsB.Load()
	show(all(agent.Ready), pageB)
	patiently(t, "the page of the other one goes on", func() bool { return eventsB.Load() > before })
	want = append(want, "box.changed box-1 ready")
	patiently(t, "the other one tells", func() bool { return len(e.all()) >= len(want) })
	if !slices.Equal(e.all(), want) {
		t.Errorf("told %q, want %q", e.all(), want)
	}

	leads := func() string {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if s, err := js.Stream(ctx, fleet.Stream); err == nil {
			return s.CachedInfo().Cluster.Leader
		}
		return ""
	}
	was := leads()
	if c.nodes[was] == nil {
		t.Fatalf("nobody leads the stream: %q", was)
	}
	c.nodes[was].Kill()
	for range 20 {
		say(agent.Ready)
	}
	say(agent.VerdictLimited)
	show(all(agent.VerdictLimited), pageB)
	t.Logf("%s led and was killed, now %s leads", was, leads())

	c.nodes[was] = node(t, filepath.Join(c.dir, was, was+".conf"), c.at[int(was[1]-'1')])
	pageA, _ = serve("a")
	show(all(agent.VerdictLimited), pageA, pageB)
	for _, b := range boxes {
		patiently(t, "all reports are in the history", func() bool { return kept(t, where, b.at) == int(b.seq) })
	}
	for _, b := range boxes {
		want = append(want, "box.changed "+b.at.Box+" limited")
	}
	patiently(t, "the last changes are told", func() bool { return len(e.all()) >= len(want) })
	got := e.all()
	slices.Sort(got[2:])
	if !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}
