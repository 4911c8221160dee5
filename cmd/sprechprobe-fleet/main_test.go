package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/simulate"
)

// output takes what a command writes, and can be read meanwhile.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func null(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestExitCodes(t *testing.T) {
	tests := []struct {
		args     string
		code     int
		out, err string // substrings
	}{
		{"", 64, "", "usage: sprechprobe-fleet COMMAND"},
		{"help", 0, "serve", ""},
		{"--help", 0, "demo", ""},
		{"nonsense", 64, "", `no command "nonsense"`},
		{"sheet", 0, "<h1>Sprechprobe: Was die Lampen sagen", ""},
		{"sheet --lang en", 0, "4 flashes, pause, red", ""},
		{"sheet --lang fr", 64, "", "unknown language"},
		{"version", 0, "sprechprobe-fleet dev linux/", ""},
		{"--version", 0, "sprechprobe-fleet dev linux/", ""},
		{"version x", 64, "", `unexpected argument "x"`},
		{"serve -h", 0, "--nats-config FILE", ""},
		{"serve --nonsense", 64, "", "flag provided but not defined"},
		{"serve --nats nats://127.0.0.1:1 --listen 127.0.0.1:0", 64, "", "--nats is another bus"},
		{"serve --nats-config f --listen 127.0.0.1:0", 64, "", "--listen cannot"},
		{"serve --nats-account A", 64, "", "is for --nats-config"},
		{"serve --max-boxes 0", 64, "", "at least 1"},
		{"serve --keep-raw 40 --keep-aggregates 30", 64, "", "no shorter"},
		{"serve --replicas 3", 64, "", "and a cluster"},
		{"serve --http 127.0.0.1:0 --listen 127.0.0.1:0 --data /dev/null/x --history postgres://%zz", 1, "", "not a directory"},
		{"simulate none", 64, "", "BOXES"},
		{"simulate 5 --isps 0", 64, "", "--isps"},
		{"simulate 5 --burst 1 --nats nats://127.0.0.1:1", 1, "", "no servers available"},
		{"history export nord", 64, "", "want TENANT/BOX"},
		{"history keep acme/nord", 64, "", "want export, delete or replay"},
		{"history replay acme/nord", 64, "", "unexpected argument"},
		{"serve --http nonsense", 1, "", "dashboard: "},
		{"serve --http 127.0.0.1:0 --listen 0.0.0.0:0 --data /nonexistent/x", 1, "", "needs accounts"},
		{"demo -h", 0, "--once", ""},
		{"demo --lang fr", 64, "", `unknown language "fr"`},
		{"demo --fault nonsense", 64, "", `unknown fault "nonsense"`},
		{"demo --fault u,,g", 64, "", `unknown fault ""`},
		{"demo --once --listen 127.0.0.1:0 --box /nonexistent/box", 1, "", "make build"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			var out, errs output
			code := start(t.Context(), env{null(t), &out, &errs}, strings.Fields(tt.args))
			if code != tt.code {
				t.Errorf("exit %d, want %d", code, tt.code)
			}
			if !strings.Contains(out.String(), tt.out) || !strings.Contains(errs.String(), tt.err) {
				t.Errorf("output %q, errors %q; want %q and %q", out.String(), errs.String(), tt.out, tt.err)
			}
			if tt.out == "" && out.String() != "" {
				t.Errorf("output %q, want none", out.String())
			}
		})
	}
}

func TestDataDirectory(t *testing.T) {
	for _, tt := range []struct{ state, xdg, home, want string }{
		{"/var/lib/fleet", "/x", "/h", "/var/lib/fleet/bus"},
		{"", "/x", "/h", "/x/sprechprobe-fleet/bus"},
		{"", "relative", "/h", "/h/.local/state/sprechprobe-fleet/bus"},
		{"", "", "/h", "/h/.local/state/sprechprobe-fleet/bus"},
	} {
		t.Setenv("STATE_DIRECTORY", tt.state)
		t.Setenv("XDG_STATE_HOME", tt.xdg)
		t.Setenv("HOME", tt.home)
		if got, err := stateDir("bus"); err != nil || got != tt.want {
			t.Errorf("stateDir with %+v = %q, %v", tt, got, err)
		}
	}
}

// serving starts serve and returns where its page and its bus are, and what
// ends it and returns its exit code.
func serving(t *testing.T, args ...string) (page, bus string, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var errs output
	done := make(chan int, 1)
	go func() {
		done <- start(ctx, env{null(t), io.Discard, &errs}, append([]string{"serve", "--http", "127.0.0.1:0"}, args...))
	}()
	said := regexp.MustCompile(`dashboard=(\S+) bus=(\S+)`)
	deadline := time.Now().Add(30 * time.Second)
	for {
		if m := said.FindStringSubmatch(errs.String()); m != nil {
			return m[1], m[2], func() int { cancel(); return <-done }
		}
		select {
		case code := <-done:
			t.Fatalf("serve ended with %d: %s", code, errs.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("serve does not say where it is: %s", errs.String())
		}
	}
}

type shown struct {
	Box, Verdict string
	Reports      int `json:"reports_count"` // 0: any
}

// await asks the page until it shows what is wanted.
func await(t *testing.T, page string, want shown) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		resp, err := http.Get(page + "api/v1/boxes")
		if err != nil {
			t.Fatal(err)
		}
		var answer struct{ Boxes []shown }
		err = json.NewDecoder(resp.Body).Decode(&answer)
		got := answer.Boxes
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 1 && (got[0] == want || want.Reports == 0 && got[0].Box == want.Box && got[0].Verdict == want.Verdict) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the page shows %+v, want %+v", got, want)
		}
		<-time.After(20 * time.Millisecond)
	}
}

func report(t *testing.T, bus string, seq uint64, v agent.Verdict) {
	t.Helper()
	nc, err := nats.Connect(bus)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	r := agent.Report{Schema: agent.Schema, Box: agent.Box{ID: "nord"}, Tenant: "acme", Seq: seq, Verdict: v,
		Stamp: agent.Stamp{At: time.Now().UTC(), Clock: agent.ClockSet}}
	payload, err := fleet.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	subject, err := fleet.ReportSubject("acme", "nord")
	if err != nil {
		t.Fatal(err)
	}
	m := &nats.Msg{Subject: subject, Data: payload, Header: nats.Header{fleet.HeaderBoot: {"b1"}}}
	if _, err := nc.RequestMsg(m, 20*time.Second); err != nil { // the stream's acknowledgement
		t.Fatal(err)
	}
}

// A report on the bus is on the page, also after the server was started anew.
func TestServe(t *testing.T) {
	data := filepath.Join(t.TempDir(), "bus")
	page, bus, stop := serving(t, "--listen", "127.0.0.1:0", "--data", data)
	report(t, bus, 1, agent.Ready)
	await(t, page, shown{"nord", "ready", 1})
	report(t, bus, 2, agent.Blocked)
	await(t, page, shown{"nord", "blocked", 2})
	if code := stop(); code != 0 {
		t.Errorf("exit %d, want 0", code)
	}

	page, bus, stop = serving(t, "--listen", "127.0.0.1:0", "--data", data)
	await(t, page, shown{"nord", "blocked", 0})
	kept := filepath.Join(data, "history.db")
	elsewhere, _, stopOther := serving(t, "--nats", bus, "--history", kept)
	await(t, elsewhere, shown{"nord", "blocked", 0})
	report(t, bus, 3, agent.VerdictLimited)
	await(t, page, shown{"nord", "limited", 0})
	await(t, elsewhere, shown{"nord", "limited", 0})
	if a, b := stopOther(), stop(); a != 0 || b != 0 {
		t.Errorf("exit %d and %d, want 0", a, b)
	}
}

// run runs a command and returns its exit code and what it said.
func run(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e output
	code = start(t.Context(), env{null(t), &o, &e}, args)
	return code, o.String(), e.String()
}

// What a simulated fleet reports is kept, written out and deleted box by box.
func TestHistory(t *testing.T) {
	dir := t.TempDir()
	data, nets := filepath.Join(dir, "bus"), filepath.Join(dir, "networks.csv")
	if err := os.WriteFile(nets, []byte(simulate.New(simulate.Config{Boxes: 1}).Networks()), 0o600); err != nil {
		t.Fatal(err)
	}
	page, bus, stop := serving(t, "--listen", "127.0.0.1:0", "--data", data, "--networks", nets)
	if code, out, errs := run(t, "simulate", "30", "--nats", bus, "--burst", "90", "--settle"); code != 0 ||
		!strings.Contains(out, "90 reports acknowledged by the bus, 0 not") || !strings.Contains(out, "all in the history") {
		t.Fatalf("simulate: %d %s %s", code, out, errs)
	}
	kept := filepath.Join(data, "history.db")
	door := filepath.Join(t.TempDir(), "access")
	code, out, errs := run(t, "history", "export", "tenant-2/box-000002", "--history", kept, "--access", door)
	if code != 0 || strings.Count(out, `{"report":`) != 3 || !strings.Contains(out, `"ISP":"AS`) {
		t.Errorf("export: %d %s %s", code, out, errs)
	}
	if code, out, errs = run(t, "history", "delete", "tenant-2/box-000002", "--history", kept, "--nats", bus, "--access", door); code != 0 {
		t.Errorf("delete: %d %s %s", code, out, errs)
	}
	until(t, "the server that runs has forgotten the box", func() bool {
		code, _ := status(t, plain, page+"api/v1/boxes/tenant-2/box-000002", "")
		return code == http.StatusNotFound
	})
	if code, _, errs = run(t, "history", "export", "tenant-2/box-000002", "--history", kept, "--access", door); code != 1 || !strings.Contains(errs, "no such box") {
		t.Errorf("export after delete: %d %s", code, errs)
	}
	_, out, _ = run(t, "audit", "--access", door)
	for _, deed := range []string{"history-export", "history-delete"} {
		if !strings.Contains(out, deed) || !strings.Contains(out, "box-000002") {
			t.Errorf("the audit log does not tell of %s:\n%s", deed, out)
		}
	}
	resp, err := http.PostForm(page+"boxes/tenant-3/box-000003/delete", url.Values{"sure": {"tenant-3/box-000003"}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if code, _ := status(t, plain, page+"boxes/tenant-3/box-000003", ""); resp.StatusCode != http.StatusOK || code != http.StatusNotFound {
		t.Errorf("deleted on the page: %s, then %d", resp.Status, code)
	}
	stop()
	page, _, stop = serving(t, "--listen", "127.0.0.1:0", "--data", data)
	defer stop()
	deadline := time.Now().Add(30 * time.Second)
	for got := -1; got != 28; {
		resp, err := http.Get(page + "api/v1/boxes?limit=100")
		if err != nil {
			t.Fatal(err)
		}
		var all struct{ Boxes []shown }
		err = json.NewDecoder(resp.Body).Decode(&all)
		resp.Body.Close()
		if got = len(all.Boxes); err != nil || time.Now().After(deadline) {
			t.Fatalf("the page shows %d boxes after two were deleted, %v, want 28", got, err)
		}
		<-time.After(20 * time.Millisecond)
	}
}
