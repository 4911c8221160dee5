package ingest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/hub"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/ingest"
)

// role says what this program is, where a test has started it to be killed.
const role = "SPRECHPROBE_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "serve":
		asServer(os.Args[1])
	case "node":
		asNode(os.Args[1])
	default:
		os.Exit(m.Run())
	}
}

// asServer is a bus with two ingesters and a history, until it is killed.
func asServer(dir string) {
	ctx := context.Background()
	h, err := hub.Open(ctx, hub.Config{Listen: "127.0.0.1:0", Data: dir, AckWait: again, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	db, err := history.Open(ctx, filepath.Join(dir, "history.db"), history.Config{})
	if err != nil {
		panic(err)
	}
	in := ingest.New(db, slog.New(slog.DiscardHandler))
	go h.Ingest(ctx, in.Take)
	fmt.Println(h.URL())
	h.Ingest(ctx, in.Take)
}

// asNode is one server of a cluster, until it is killed.
func asNode(config string) {
	o, err := server.ProcessConfigFile(config)
	if err != nil {
		panic(err)
	}
	o.NoSigs, o.NoLog = true, true
	s, err := server.NewServer(o)
	if err != nil {
		panic(err)
	}
	s.Start()
	fmt.Println(s.ClientURL())
	select {}
}

// child starts this program in a role and returns the line that it says first.
func child(t *testing.T, as, arg string) (kill func(), says string) {
	t.Helper()
	c := exec.Command(os.Args[0], arg)
	c.Env = append(os.Environ(), role+"="+as)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	kill = func() { once.Do(func() { _ = c.Process.Kill(); _ = c.Wait() }) }
	t.Cleanup(kill)
	says, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%s ended at its start: %v", as, err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return kill, strings.TrimSpace(says)
}

// ledger is which reports the bus has acknowledged.
type ledger struct {
	mu    sync.Mutex
	acked map[string]bool
}

func (l *ledger) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

const (
	boxes = 40
	lines = 8               // that send at the same time
	again = 2 * time.Second // after which a batch goes to another ingester
)

func address(i int) fleet.Address {
	return fleet.Address{Tenant: "acme", Box: fmt.Sprintf("box-%d", i%boxes)}
}

// send publishes reports number from to until, each once, and enters what was
// acknowledged.
func (l *ledger) send(ctx context.Context, js jetstream.JetStream, from, until int) {
	var wg sync.WaitGroup
	for line := range lines {
		wg.Go(func() {
			for n := from + line; n < until && ctx.Err() == nil; n += lines {
				ask, done := context.WithTimeout(ctx, 5*time.Second)
				_, err := js.PublishMsg(ask, message(n))
				done()
				if err == nil {
					l.mu.Lock()
					l.acked[fmt.Sprintf("%s %d", address(n), n+1)] = true
					l.mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
}

func message(n int) *nats.Msg {
	a := address(n)
	r := agent.Report{Schema: agent.Schema, Box: agent.Box{ID: a.Box}, Tenant: a.Tenant, Seq: uint64(n + 1), Trigger: agent.OnSchedule, Verdict: agent.Ready,
		Stamp: agent.Stamp{At: time.Now().UTC(), Clock: agent.ClockSet, UptimeS: float64(n)}}
	body, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	subject, err := fleet.ReportSubject(a.Tenant, a.Box)
	if err != nil {
		panic(err)
	}
	m := nats.NewMsg(subject)
	m.Header.Set(fleet.HeaderBoot, "boot")
	m.Data = body
	return m
}

// lost lists what was acknowledged and is not in the history.
func (l *ledger) lost(t *testing.T, db *history.DB) (lost []string, kept int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	have := map[string]bool{}
	for i := range boxes {
		var out bytes.Buffer
		if err := db.Export(t.Context(), address(i), &out); err != nil {
			continue // none of its reports is there
		}
		for line := range strings.Lines(out.String()) {
			var x struct {
				Report *agent.Report `json:"report"`
			}
			if err := json.Unmarshal([]byte(line), &x); err != nil {
				t.Fatal(err)
			}
			if x.Report != nil {
				key := fmt.Sprintf("%s %d", address(i), x.Report.Seq)
				if have[key] {
					t.Errorf("%s is there twice", key)
				}
				have[key] = true
			}
		}
	}
	for k := range l.acked {
		if !have[k] {
			lost = append(lost, k)
		}
	}
	return lost, len(have)
}

func connect(t *testing.T, url string) (jetstream.JetStream, *nats.Conn) {
	t.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js, nc
}

// wait waits for something that takes its time on a busy machine.
func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(90 * time.Second); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("waited 90 s for %s", what)
}

func backlog(js jetstream.JetStream) (uint64, error) {
	c, err := js.Consumer(context.Background(), fleet.Stream, hub.Ingester)
	if err != nil {
		return 0, err
	}
	i := c.CachedInfo()
	return i.NumPending + uint64(i.NumAckPending), nil
}

// A server that is killed in the middle of its work loses no report that it has
// acknowledged, and writes none twice.
func TestKilledServerLosesNothing(t *testing.T) {
	dir := t.TempDir()
	l := &ledger{acked: map[string]bool{}}
	const part = 1200
	for round := range 3 {
		kill, url := child(t, "serve", dir)
		js, nc := connect(t, url)
		ctx, stop := context.WithCancel(t.Context())
		sent := make(chan struct{})
		before := l.len()
		go func() { defer close(sent); l.send(ctx, js, round*part, (round+1)*part) }()
		wait(t, "half of the reports", func() bool { return l.len() >= before+part/2 })
		kill()
		stop()
		<-sent
		nc.Close()
	}
	kill, url := child(t, "serve", dir)
	js, nc := connect(t, url)
	defer nc.Close()
	// What was under way when the last one was killed is asked for again.
	wait(t, "the history", func() bool { n, err := backlog(js); return err == nil && n == 0 })
	kill()
	db, err := history.Open(t.Context(), filepath.Join(dir, "history.db"), history.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	lost, kept := l.lost(t, db)
	if len(lost) > 0 {
		t.Errorf("%d of %d acknowledged reports are lost: %q", len(lost), len(l.acked), lost[:min(5, len(lost))])
	}
	t.Logf("%d acknowledged, %d kept", len(l.acked), kept)
}

// ports are free ports of this machine.
func ports(t *testing.T, n int) []int {
	t.Helper()
	var out []int
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		out = append(out, ln.Addr().(*net.TCPAddr).Port)
	}
	return out
}

// Three servers with three copies: one is killed while reports come, the one that
// leads the stream, and nothing that was acknowledged is lost.
func TestClusterLosesANode(t *testing.T) {
	dir := t.TempDir()
	at := ports(t, 6)
	kills := map[string]func(){}
	var urls []string
	for n := range 3 {
		name := fmt.Sprintf("n%d", n)
		config := filepath.Join(dir, name+".conf")
		text := fmt.Sprintf(`server_name: %s
listen: 127.0.0.1:%d
jetstream { store_dir: %q }
cluster { name: fleet, listen: 127.0.0.1:%d, routes: [nats://127.0.0.1:%d, nats://127.0.0.1:%d, nats://127.0.0.1:%d] }
`, name, at[n], filepath.Join(dir, name), at[3+n], at[3], at[4], at[5])
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		kill, url := child(t, "node", config)
		kills[name], urls = kill, append(urls, url)
	}
	js, nc := connect(t, strings.Join(urls, ","))
	defer nc.Close()
	wait(t, "a leader of the cluster", func() bool {
		ask, done := context.WithTimeout(t.Context(), 2*time.Second)
		defer done()
		_, err := js.AccountInfo(ask)
		return err == nil
	})
	h, err := hub.Open(t.Context(), hub.Config{URL: strings.Join(urls, ","), Replicas: 3, AckWait: again, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	db, err := history.Open(t.Context(), filepath.Join(dir, "history.db"), history.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	in := ingest.New(db, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	var ingesters sync.WaitGroup
	defer func() { stop(); ingesters.Wait() }()
	for range 2 {
		ingesters.Go(func() { h.Ingest(ctx, in.Take) })
	}
	var leader string
	wait(t, "the stream with three copies", func() bool {
		ask, done := context.WithTimeout(t.Context(), 2*time.Second)
		defer done()
		s, err := js.Stream(ask, fleet.Stream)
		if err != nil || s.CachedInfo().Cluster == nil {
			return false
		}
		leader = s.CachedInfo().Cluster.Leader
		return kills[leader] != nil && len(s.CachedInfo().Cluster.Replicas) == 2 && s.CachedInfo().Config.Replicas == 3
	})
	l := &ledger{acked: map[string]bool{}}
	const all = 3000
	sent := make(chan struct{})
	go func() { defer close(sent); l.send(ctx, js, 0, all) }()
	wait(t, "a third of the reports", func() bool { return l.len() >= all/3 })
	kills[leader]()
	<-sent
	atKill := all / 3
	if l.len() < atKill+all/3 {
		t.Errorf("%d of %d reports were acknowledged: the cluster took few after it had lost a server", l.len(), all)
	}
	// A consumer that moves to another server says for a moment that nothing waits.
	wait(t, "the history", func() bool {
		lost, kept := l.lost(t, db)
		if len(lost) > 0 {
			return false
		}
		t.Logf("%d acknowledged, %d kept, %s was killed", len(l.acked), kept, leader)
		return true
	})
}

// What cannot be read is counted and does not stop the rest.
func TestUnreadableReportsStopNothing(t *testing.T) {
	db, err := history.Open(t.Context(), filepath.Join(t.TempDir(), "history.db"), history.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	in := ingest.New(db, slog.New(slog.DiscardHandler))
	good := message(1)
	batch := []hub.Message{
		{Subject: good.Subject, Payload: []byte("{"), At: time.Now()},
		{Subject: "sprechprobe.v1.acme.*.up.report", Payload: good.Data, At: time.Now()},
		{Subject: good.Subject, Payload: []byte(`{"schema":"sprechprobe.report/9"}`), At: time.Now()},
		{Subject: good.Subject, Boot: "b", Payload: good.Data, At: time.Now()},
		{Subject: good.Subject, Boot: "b", Payload: good.Data, At: time.Now()},
	}
	if err := in.Take(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if got, want := in.Stats(), (ingest.Stats{Taken: 1, Known: 1, Unreadable: 3}); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
}
