package relaydesk_test

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/pion/turn/v4"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/rehearsal"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
	"github.com/sprechprobe/sprechprobe/agent/trust"
	"github.com/sprechprobe/sprechprobe/agent/uplink"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/relaydesk"
)

const (
	secret   = "a secret of the relays"
	patience = 30 * time.Second
)

var quiet = slog.New(slog.DiscardHandler)

// bus is a server without accounts, and a connection of the vendor's.
func bus(t *testing.T) (url string, vendor *nats.Conn) {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("server not ready")
	}
	return s.ClientURL(), join(t, s.ClientURL())
}

func join(t *testing.T, url string, o ...nats.Option) *nats.Conn {
	t.Helper()
	c, err := nats.Connect(url, o...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func open(t *testing.T, vendor *nats.Conn) {
	t.Helper()
	d, err := relaydesk.Open(relaydesk.Config{Conn: vendor, Secret: secret, Valid: relaydesk.Usual, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	if err := vendor.Flush(); err != nil {
		t.Fatal(err)
	}
}

// box runs a box's uplink until the test ends.
func box(t *testing.T, url, name string) *uplink.Uplink {
	t.Helper()
	u, err := uplink.New(uplink.Options{Servers: []string{url}, Tenant: "acme", Box: name, Log: quiet, Now: time.Now,
		ClockSet: func() bool { return true }, Stamp: func() agent.Stamp { return agent.Stamp{} }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = u.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return u
}

// access asks until the box is connected.
func access(t *testing.T, u *uplink.Uplink) fleet.RelayAccess {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); ; {
		a, err := u.RelayAccess(t.Context())
		if err == nil {
			return a
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatal(err)
		}
	}
}

// What a box is given works at coturn, for minutes; what has run out does not.
func TestAccess(t *testing.T) {
	url, vendor := bus(t)
	open(t, vendor)
	u := box(t, url, "one")
	got := access(t, u)
	if left := time.Until(got.ExpiresAt); left <= 0 || left > relaydesk.Usual {
		t.Errorf("good for %v, want up to %v", left, relaydesk.Usual)
	}
	if !strings.HasSuffix(got.Username, ":sprechprobe/acme/one") {
		t.Errorf("username %q", got.Username)
	}
	if _, err := u.RelayAccess(t.Context()); err == nil || !strings.Contains(err.Error(), "too-many-requests") {
		t.Errorf("asked again at once: %v, want too-many-requests", err)
	}
	at := coturn(t)
	look := func(user, password string) agent.Evidence {
		c := rehearsal.Static(webrtc.Credentials{Username: user, Password: password})
		return rehearsal.Probe(rehearsal.Plan{}, c, trust.Checker{})(t.Context(), at)
	}
	if e := look(got.Username, got.Password); e.Values[agent.Relayed] != true {
		t.Errorf("with access: %v %q %v, want media", e.Outcome, e.Reason, e.Values)
	}
	user, password, err := turn.GenerateLongTermTURNRESTCredentials(secret, "sprechprobe/acme/one", -time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if e := look(user, password); e.Reason != agent.AuthRefused {
		t.Errorf("with access that has run out: %v %q, want auth-refused", e.Outcome, e.Reason)
	}
}

// Where the answer goes the vendor decides, not who asks.
func TestAnswersOnlyTheBox(t *testing.T) {
	url, vendor := bus(t)
	open(t, vendor)
	conn := join(t, url)
	me := fleet.Address{Tenant: "acme", Box: "two"}
	all, err := conn.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	for _, reply := range []string{"elsewhere", fleet.Address{Tenant: "acme", Box: "one"}.Inbox() + ".x", me.Command(fleet.Check), me.Inbox()} {
		if err := conn.PublishRequest(me.RelayAsk(), reply, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.PublishRequest(me.RelayAsk(), me.Inbox()+".x", nil); err != nil {
		t.Fatal(err)
	}
	for answers := 0; answers == 0; { // the last is answered, and the others before it were not
		m, err := all.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject == me.RelayAsk() {
			continue
		}
		if answers++; m.Subject != me.Inbox()+".x" {
			t.Errorf("answered at %s", m.Subject)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, c := range []relaydesk.Config{{Valid: relaydesk.Usual}, {Secret: secret}, {Secret: secret, Valid: 48 * time.Hour}} {
		if d, err := relaydesk.Open(c); err == nil {
			d.Close()
			t.Errorf("%+v: opened", c)
		}
	}
}

// coturn knows the secret, and nobody by name.
func coturn(t *testing.T) agent.Target {
	t.Helper()
	addr, dir := netip.AddrFrom4([4]byte{127, byte(60 + os.Getpid()%100), 9, 1}), t.TempDir()
	cmd := exec.Command(lab.Program(t, "turnserver", "coturn"), "-n", "--no-cli", "--log-file", "stdout", "--simple-log", "--no-tls", "--no-dtls",
		"--listening-ip", addr.String(), "--relay-ip", addr.String(), "--allow-loopback-peers", "--realm", "praxis.example",
		"--use-auth-secret", "--static-auth-secret", secret, "--pidfile", filepath.Join(dir, "pid"), "--userdb", filepath.Join(dir, "db"))
	cmd.Dir = dir
	at := agent.Target{Port: 3478, Transport: agent.UDP}.At(addr, agent.Plain)
	lab.Start(t, cmd, func(*lab.Process) bool {
		return webrtc.TURN(trust.Checker{})(t.Context(), at).Reason == agent.Unauthorized
	})
	return at
}
