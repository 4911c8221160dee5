package uplink_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/trust/trusttest"
	"github.com/sprechprobe/sprechprobe/agent/uplink"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// patience bounds waiting for what must happen; a busy machine takes its time.
const patience = 30 * time.Second

// bus starts a NATS server with JetStream on loopback.
func bus(t *testing.T, edit func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true}
	if edit != nil {
		edit(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("server not ready")
	}
	return s
}

// stream makes the vendor's stream and returns it.
func stream(t *testing.T, s *server.Server, opts ...nats.Option) jetstream.Stream {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	st, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: fleet.Stream, Subjects: []string{fleet.Reports}, Storage: jetstream.MemoryStorage})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func start(t *testing.T, o uplink.Options) *uplink.Uplink {
	t.Helper()
	o.Tenant, o.Box, o.Log = "acme", "box-1", slog.New(slog.DiscardHandler)
	u, err := uplink.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return u
}

func report(seq uint64) agent.Report {
	return agent.Report{Schema: agent.Schema, Box: agent.Box{ID: "box-1"}, Seq: seq, Verdict: agent.Ready}
}

// until polls a condition with a ticker: what is waited for happens on another
// goroutine that offers nothing to wait on.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}

func stored(t *testing.T, st jetstream.Stream) []agent.Report {
	t.Helper()
	info, err := st.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []agent.Report
	for i := uint64(1); i <= info.State.LastSeq; i++ {
		m, err := st.GetMsg(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		if m.Header.Get(fleet.HeaderBoot) == "" || m.Header.Get(nats.MsgIdHdr) == "" {
			t.Errorf("message %d has headers %v, want a boot id and a message id", i, m.Header)
		}
		r, err := fleet.Decode(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func TestReportsArriveInOrder(t *testing.T) {
	s := bus(t, nil)
	st := stream(t, s)
	u := start(t, uplink.Options{Servers: []string{s.ClientURL()}})
	for i := range 5 {
		u.Offer(report(uint64(i + 1)))
	}
	until(t, "five reports stored", func() bool { return len(stored(t, st)) == 5 })
	for i, r := range stored(t, st) {
		if r.Seq != uint64(i+1) {
			t.Errorf("report %d has sequence %d", i, r.Seq)
		}
	}
	if e := u.Evidence(); e.Outcome != agent.Answered {
		t.Errorf("evidence %s %s, want answered", e.Outcome, e.Reason)
	}
}

// The vendor is away when the box starts, and comes later.
func TestVendorComesLate(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr)
	l.Close()
	u := start(t, uplink.Options{Servers: []string{"nats://" + addr.String()}})
	u.Offer(report(1))
	until(t, "the outage shows", func() bool { return u.Evidence().Outcome == agent.Refused })
	if n, _ := u.Evidence().Values.Num(agent.Queued); n != 1 {
		t.Errorf("%v reports wait, want 1", n)
	}
	s := bus(t, func(o *server.Options) { o.Port = addr.Port })
	st := stream(t, s)
	until(t, "the waiting report arrives", func() bool { return len(stored(t, st)) == 1 })
}

// Refused credentials are said as such, and are no reason to give up.
func TestRefusedCredentials(t *testing.T) {
	s := bus(t, func(o *server.Options) { o.Username, o.Password = "vendor", "secret" })
	u := start(t, uplink.Options{Servers: []string{s.ClientURL()}})
	until(t, "the refusal shows", func() bool { return u.Evidence().Reason == agent.AuthRefused })
	if e := u.Evidence(); e.Outcome != agent.Refused {
		t.Errorf("outcome %s, want refused", e.Outcome)
	}
}

// A box with a key of its own reports, and may publish nowhere else.
func TestNKeyWithItsOwnRights(t *testing.T) {
	kp, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	pub, _ := kp.PublicKey()
	seed, _ := kp.Seed()
	path := filepath.Join(t.TempDir(), "box.nk")
	writeFile(t, path, seed)
	subject, err := fleet.ReportSubject("acme", "box-1")
	if err != nil {
		t.Fatal(err)
	}
	s := bus(t, func(o *server.Options) {
		o.Nkeys = []*server.NkeyUser{{Nkey: pub, Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: []string{subject}},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX_acme_box-1.>"}},
		}}}
		o.Users = []*server.User{{Username: "vendor", Password: "secret"}}
	})
	st := stream(t, s, nats.UserInfo("vendor", "secret"))
	u := start(t, uplink.Options{Servers: []string{s.ClientURL()}, NKeySeed: path})
	u.Offer(report(1))
	until(t, "the report arrives with no more rights than its own subject and inbox", func() bool { return len(stored(t, st)) == 1 })
}

// A server that takes the connection and then says nothing holds neither a
// check nor a stop for as long as a handshake may take.
func TestStopsDuringHandshake(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, scheme := range []string{"nats", "tls", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			u, err := uplink.New(uplink.Options{Servers: []string{scheme + "://" + l.Addr().String()}, Tenant: "acme", Box: "box-1", Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- u.Run(ctx) }()
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			start := time.Now()
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
			if took := time.Since(start); took > 8*time.Second {
				t.Errorf("took %v to stop", took)
			}
		})
	}
}

// A vendor that is connected but keeps no reports does not hear the box; once it
// does, that shows too.
func TestReportsThatNobodyKeeps(t *testing.T) {
	s := bus(t, nil)
	u := start(t, uplink.Options{Servers: []string{s.ClientURL()}})
	until(t, "the connection is up", func() bool { return u.Evidence().Outcome == agent.Answered })
	u.Offer(report(1))
	until(t, "the missing acknowledgement shows", func() bool { return u.Evidence().Outcome == agent.Silent })
	st := stream(t, s)
	until(t, "the report arrives", func() bool { return len(stored(t, st)) == 1 })
	until(t, "the vendor is heard of again", func() bool { return u.Evidence().Outcome == agent.Answered })
}

// More reports than fit: the oldest go, the newest stay, and nothing blocks.
func TestQueueIsBounded(t *testing.T) {
	u, err := uplink.New(uplink.Options{Servers: []string{"nats://127.0.0.1:1"}, Tenant: "acme", Box: "box-1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10_000 {
		u.Offer(report(uint64(i)))
	}
	waiting, _ := u.Evidence().Values.Num(agent.Queued)
	lost, _ := u.Evidence().Values.Num(agent.Dropped)
	if size, _ := u.Evidence().Values.Num(agent.SpoolBytes); waiting == 0 || size > 1<<20 || waiting+lost != 10_000 {
		t.Errorf("%v reports wait and %v are lost, want a bounded number and all of 10000 accounted for", waiting, lost)
	}
}

// pipe is one that nobody writes to.
func pipe(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBadOptions(t *testing.T) {
	tests := []struct {
		name string
		o    uplink.Options
		want string
	}{
		{"no server", uplink.Options{Tenant: "a", Box: "b"}, "no server"},
		{"a box named *", uplink.Options{Tenant: "a", Box: "*", Servers: []string{"nats://x"}}, `box: name "*"`},
		{"a tenant with a dot", uplink.Options{Tenant: "a.b", Box: "b", Servers: []string{"nats://x"}}, `tenant: name "a.b"`},
		{"credentials missing", uplink.Options{Tenant: "a", Box: "b", Servers: []string{"nats://x"}, Credentials: "/nowhere/x.creds"}, "/nowhere/x.creds"},
		{"seed missing", uplink.Options{Tenant: "a", Box: "b", Servers: []string{"nats://x"}, NKeySeed: "/nowhere/x.nk"}, "/nowhere/x.nk"},
		{"ca missing", uplink.Options{Tenant: "a", Box: "b", Servers: []string{"nats://x"}, CA: "/nowhere/ca.pem"}, "/nowhere/ca.pem"},
		{"credentials that never end", uplink.Options{Tenant: "a", Box: "b", Servers: []string{"nats://x"}, Credentials: "/dev/zero"}, "/dev/zero"},
		{"a seed that never comes", uplink.Options{Tenant: "a", Box: "b", Servers: []string{"nats://x"}, NKeySeed: pipe(t)}, "want a file"},
		{"a ca that never ends", uplink.Options{Tenant: "a", Box: "b", Servers: []string{"nats://x"}, CA: "/dev/zero"}, "/dev/zero"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := uplink.New(tt.o)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New: %v, want an error with %q", err, tt.want)
			}
		})
	}
}

// Whoever answers in the vendor's place cannot fill the memory: what comes before
// the client is let in is bounded.
func TestEndlessGreeting(t *testing.T) {
	for _, tt := range []struct{ scheme, greeting string }{
		{"nats://", "INFO {\"server_id\":\""},
		{"tls://", "INFO {\"server_id\":\""},
		{"ws://", "HTTP/1.1 101 Switching Protocols\r\nX-More: "},
	} {
		t.Run(tt.scheme, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			start(t, uplink.Options{Servers: []string{tt.scheme + l.Addr().String()}})
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			_, err = io.WriteString(conn, tt.greeting)
			sent, more := 0, bytes.Repeat([]byte("N"), 64<<10)
			const most = 16 << 20 // the kernel's buffers take some of it
			for n := 0; err == nil && sent < most; sent += n {
				n, err = conn.Write(more)
			}
			if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the box let itself be sent %d bytes (%v)", sent, err)
			}
		})
	}
}

// What travels is the contract's JSON.
func TestWireForm(t *testing.T) {
	s := bus(t, nil)
	st := stream(t, s)
	u := start(t, uplink.Options{Servers: []string{s.ClientURL()}})
	u.Offer(report(7))
	until(t, "the report is stored", func() bool { return len(stored(t, st)) == 1 })
	m, err := st.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if m.Subject != "sprechprobe.v1.acme.box-1.up.report" {
		t.Errorf("subject %q", m.Subject)
	}
	var raw map[string]any
	if err := json.Unmarshal(m.Data, &raw); err != nil || raw["schema"] != "sprechprobe.report/1" {
		t.Errorf("payload %.200s: %v", m.Data, err)
	}
}

func writeFile(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A server whose certificate leads to no root we know is not one that is away.
func TestForeignCertificate(t *testing.T) {
	leaf := trusttest.Named(t, "Somebody Else").Leaf("127.0.0.1")
	s := bus(t, func(o *server.Options) {
		o.TLS, o.TLSConfig = true, &tls.Config{Certificates: []tls.Certificate{leaf}}
	})
	u := start(t, uplink.Options{Servers: []string{"tls://" + s.Addr().String()}, Now: trusttest.At(trusttest.Today)})
	until(t, "the foreign certificate shows", func() bool { return u.Evidence().Reason == agent.TLSUnknownCA })
	if e := u.Evidence(); e.Outcome != agent.Tampered || e.Target.Host != "127.0.0.1" || e.Target.Port == 0 {
		t.Errorf("evidence %s of %s, want tampered of the server", e.Outcome, e.Target)
	}
}

// The port that a URL leaves out is the usual one of its scheme.
func TestUsualPorts(t *testing.T) {
	for server, want := range map[string]string{"tls://fleet.example": "fleet.example:4222/tcp", "wss://fleet.example": "fleet.example:443/tcp", "tls://fleet.example:99": "fleet.example:99/tcp"} {
		u, err := uplink.New(uplink.Options{Servers: []string{server}, Tenant: "acme", Box: "box-1", Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if got := u.Evidence().Target.String(); got != want {
			t.Errorf("%s is asked at %s, want %s", server, got, want)
		}
	}
}
