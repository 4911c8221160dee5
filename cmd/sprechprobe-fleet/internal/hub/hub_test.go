package hub_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/hub"
)

func open(t *testing.T, c hub.Config) *hub.Hub {
	t.Helper()
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	h, err := hub.Open(t.Context(), c)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(h.Close)
	return h
}

// follow runs Follow until the returned function is called.
func follow(t *testing.T, h *hub.Hub) (<-chan hub.Message, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	got, done := make(chan hub.Message, 64), make(chan struct{})
	go func() {
		defer close(done)
		h.Follow(ctx, func(m hub.Message) { got <- m })
	}()
	stop := func() { cancel(); <-done }
	t.Cleanup(stop)
	return got, stop
}

func next(t *testing.T, got <-chan hub.Message) hub.Message {
	t.Helper()
	select {
	case m := <-got:
		return m
	case <-time.After(30 * time.Second):
		t.Fatal("no message within 30 s")
		panic("unreachable")
	}
}

func dial(t *testing.T, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, append(opts, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))...)
	if err != nil {
		t.Fatalf("connect to %s: %v", url, err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func send(t *testing.T, nc *nats.Conn, box, boot, payload string) {
	t.Helper()
	subject, err := fleet.ReportSubject("acme", box)
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	m := nats.NewMsg(subject)
	m.Header.Set(fleet.HeaderBoot, boot)
	m.Data = []byte(payload)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := js.PublishMsg(ctx, m); err != nil {
		t.Fatalf("publish for %s: %v", box, err)
	}
}

func TestFollowHandsOutTheNewestAndThenTheLive(t *testing.T) {
	data := t.TempDir()
	h := open(t, hub.Config{Listen: "127.0.0.1:0", Data: data})
	nc := dial(t, h.URL())
	for i := range 3 {
		send(t, nc, "one", "b1", fmt.Sprint("one-", i))
	}
	send(t, nc, "two", "b2", "two-0")

	got, stop := follow(t, h)
	first := map[string]string{}
	for range 2 {
		m := next(t, got)
		first[m.Subject] = string(m.Payload)
		if age := time.Since(m.At); age < 0 || age > time.Minute {
			t.Errorf("message stored %v ago", age)
		}
	}
	if len(first) != 2 || first["sprechprobe.v1.acme.one.up.report"] != "one-2" {
		t.Errorf("first messages: %v, want the newest of each box", first)
	}
	send(t, nc, "one", "b1", "one-3")
	if m := next(t, got); string(m.Payload) != "one-3" || m.Boot != "b1" {
		t.Errorf("live message = %q of boot %q, want one-3 of b1", m.Payload, m.Boot)
	}
	stop()

	nc.Close()
	h.Close()
	again := open(t, hub.Config{Listen: "127.0.0.1:0", Data: data})
	got, _ = follow(t, again)
	after := map[string]bool{}
	for range 2 {
		after[string(next(t, got).Payload)] = true
	}
	if !after["one-3"] || !after["two-0"] {
		t.Errorf("after a restart: %v, want one-3 and two-0", after)
	}
}

// Beats are heard as they come, also after the bus was away.
func TestListen(t *testing.T) {
	h := open(t, hub.Config{Listen: "127.0.0.1:0", Data: t.TempDir()})
	ctx, cancel := context.WithCancel(t.Context())
	got, done := make(chan hub.Message, 64), make(chan error, 1)
	go func() { done <- h.Listen(ctx, func(m hub.Message) { got <- m }) }()
	nc := dial(t, h.URL())
	state, beat, err := fleet.BeatSubjects("acme", "one")
	if err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{state, beat} {
		m := nats.NewMsg(subject)
		m.Header.Set(fleet.HeaderBoot, strings.Repeat("b", 1000))
		m.Data = []byte("{}")
		heard := false
		for tick := time.NewTicker(20 * time.Millisecond); !heard; { // until the subscription is there
			if err := nc.PublishMsg(m); err != nil {
				t.Fatal(err)
			}
			select {
			case x := <-got:
				heard = x.Subject == subject && string(x.Payload) == "{}" && len(x.Boot) == 64 && !x.At.IsZero()
			case <-tick.C:
			}
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Listen: %v", err)
	}
}

// A box in its own account gets the time, by its right to publish upwards; no
// A box is told of the outages that it suffers from, and by its own name only.
func TestTellOutages(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(accounts), 0o600); err != nil {
		t.Fatal(err)
	}
	h := open(t, hub.Config{ConfigFile: file, Account: "VENDOR", Data: t.TempDir()})
	want := fleet.Outage{Target: "turn.example:3478/udp", Cause: agent.CauseVendor, FromAt: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)}
	of := func(a fleet.Address) []fleet.Outage {
		if a == (fleet.Address{Tenant: "acme", Box: "one"}) {
			return slices.Repeat([]fleet.Outage{want}, fleet.MostOutages+1)
		}
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.TellOutages(ctx, of) }()
	box := dial(t, h.URL(), nats.UserInfo("one", "pw"), nats.CustomInboxPrefix("_INBOX_one"))
	var m *nats.Msg
	err := nats.ErrNoResponders
	for tick := time.NewTicker(20 * time.Millisecond); errors.Is(err, nats.ErrNoResponders); <-tick.C { // until the service is there
		m, err = box.Request(fleet.Address{Tenant: "acme", Box: "one"}.OutageAsk(), nil, 20*time.Second)
	}
	if err != nil {
		t.Fatal(err)
	}
	got, err := fleet.DecodeOutages(m.Data)
	if err != nil || len(got.Outages) != fleet.MostOutages || got.Outages[0] != want || got.ForS != 300 {
		t.Errorf("%s: %v", m.Data, err)
	}
	if m, err := box.Request(fleet.Address{Tenant: "acme", Box: "two"}.OutageAsk(), nil, time.Second); err == nil {
		t.Errorf("by the name of another box it is told %s", m.Data)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("TellOutages: %v", err)
	}
}

// stream keeps that it has asked.
func TestTellTime(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(accounts), 0o600); err != nil {
		t.Fatal(err)
	}
	h := open(t, hub.Config{ConfigFile: file, Account: "VENDOR", Data: t.TempDir()})
	now := time.Date(2031, 5, 4, 3, 2, 1, 0, time.UTC)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.TellTime(ctx, func() time.Time { return now }) }()
	box := dial(t, h.URL(), nats.UserInfo("one", "pw"), nats.CustomInboxPrefix("_INBOX_one"))
	var m *nats.Msg
	err := nats.ErrNoResponders
	for tick := time.NewTicker(20 * time.Millisecond); errors.Is(err, nats.ErrNoResponders); <-tick.C { // until the service is there
		m, err = box.Request(fleet.Address{Tenant: "acme", Box: "one"}.Time(), nil, 20*time.Second)
	}
	if err != nil {
		t.Fatal(err)
	}
	if at, err := fleet.DecodeTime(m.Data); err != nil || !at.Equal(now) {
		t.Errorf("%s: %v, %v", m.Data, at, err)
	}
	s, err := h.JetStream().Stream(t.Context(), fleet.Stream)
	if err != nil || s.CachedInfo().State.Msgs != 0 {
		t.Errorf("the stream holds %+v, %v", s, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("TellTime: %v", err)
	}
}

func TestFollowOutlivesARemovedStream(t *testing.T) {
	h := open(t, hub.Config{Listen: "127.0.0.1:0", Data: t.TempDir()})
	nc := dial(t, h.URL())
	send(t, nc, "one", "", "old-0")
	send(t, nc, "one", "", "old-1")
	got, _ := follow(t, h)
	next(t, got)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), fleet.Stream); err != nil {
		t.Fatal(err)
	}
	// The hub makes the stream again; a box sends until its report is kept.
	subject, _ := fleet.ReportSubject("acme", "one")
	deadline := time.Now().Add(60 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err := js.Publish(ctx, subject, []byte("new"))
		cancel()
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the stream did not come back: %v", err)
		}
	}
	if m := next(t, got); string(m.Payload) != "new" {
		t.Errorf("after the stream was made anew: %q, want new", m.Payload)
	}
}

func TestStreamIsBound(t *testing.T) {
	h := open(t, hub.Config{Listen: "127.0.0.1:0", Data: t.TempDir(), MaxBytes: 1 << 20})
	nc := dial(t, h.URL())
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), fleet.Stream)
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	if c.MaxAge != hub.MaxAge || c.MaxMsgSize != hub.MaxMessage || c.MaxBytes != 1<<20 {
		t.Errorf("stream keeps %v, %d bytes a message, %d bytes in all", c.MaxAge, c.MaxMsgSize, c.MaxBytes)
	}
	// One box's header must not delete what others reported.
	send(t, nc, "one", "", "one")
	m := nats.NewMsg("sprechprobe.v1.acme.two.up.report")
	m.Header.Set("Nats-Rollup", "all")
	if _, err := js.PublishMsg(t.Context(), m); err == nil {
		t.Error("a roll-up header was accepted")
	}
	if _, err := js.Publish(t.Context(), m.Subject, make([]byte, hub.MaxMessage+1)); err == nil {
		t.Error("a message over the limit was accepted")
	}
}

func TestOpenRefuses(t *testing.T) {
	open4 := filepath.Join(t.TempDir(), "open.conf")
	if err := os.WriteFile(open4, []byte("listen: 0.0.0.0:-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	busy := t.TempDir()
	open(t, hub.Config{Listen: "127.0.0.1:0", Data: busy})
	tests := []struct {
		name string
		c    hub.Config
		want string
		is   error
	}{
		{"every address", hub.Config{Listen: "0.0.0.0:0"}, "--nats-config", hub.ErrOpenBus},
		{"no address", hub.Config{Listen: ":4222"}, "--nats-config", hub.ErrOpenBus},
		{"a name", hub.Config{Listen: "fleet.example:4222"}, "--nats-config", hub.ErrOpenBus},
		{"configuration without accounts", hub.Config{ConfigFile: open4}, "it names none", hub.ErrOpenBus},
		{"no configuration", hub.Config{ConfigFile: "/nonexistent/nats.conf"}, "nats.conf", nil},
		{"no port", hub.Config{Listen: "127.0.0.1"}, "missing port", nil},
		{"a store in use", hub.Config{Listen: "127.0.0.1:0", Data: busy}, "in use", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.c.Log = slog.New(slog.DiscardHandler)
			if tt.c.Data == "" {
				tt.c.Data = t.TempDir()
			}
			h, err := hub.Open(t.Context(), tt.c)
			if err == nil {
				h.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), tt.want) || (tt.is != nil && !errors.Is(err, tt.is)) {
				t.Errorf("err = %v, want %q", err, tt.want)
			}
		})
	}
}

const accounts = `
listen: 127.0.0.1:-1
jetstream: enabled
accounts {
  VENDOR {
    jetstream: enabled
    exports: [ {service: "sprechprobe.v1.*.*.up.*"} ]
  }
  BOX {
    users: [ {user: one, password: pw, permissions: {
      publish: "sprechprobe.v1.acme.one.up.*", subscribe: "_INBOX_one.>" } } ]
    imports: [ {service: {account: VENDOR, subject: "sprechprobe.v1.*.*.up.*"}} ]
  }
}`

func TestBoxesInTheirOwnAccount(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(accounts), 0o600); err != nil {
		t.Fatal(err)
	}
	h := open(t, hub.Config{ConfigFile: file, Account: "VENDOR", Data: t.TempDir()})
	got, _ := follow(t, h)
	box := dial(t, h.URL(), nats.UserInfo("one", "pw"), nats.CustomInboxPrefix("_INBOX_one"))
	send(t, box, "one", "", "hello")
	if m := next(t, got); m.Subject != "sprechprobe.v1.acme.one.up.report" || string(m.Payload) != "hello" {
		t.Errorf("got %q on %s", m.Payload, m.Subject)
	}
	if _, err := nats.Connect(h.URL()); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("a stranger: err = %v, want an authorization violation", err)
	}
}

func TestAnExistingBus(t *testing.T) {
	theirs := open(t, hub.Config{Listen: "127.0.0.1:0", Data: t.TempDir()})
	h := open(t, hub.Config{URL: theirs.URL()})
	if h.URL() != theirs.URL() || !h.Connected() {
		t.Errorf("URL = %s, connected = %v", h.URL(), h.Connected())
	}
	got, _ := follow(t, h)
	send(t, dial(t, theirs.URL()), "one", "", "hello")
	if m := next(t, got); string(m.Payload) != "hello" {
		t.Errorf("got %q", m.Payload)
	}
}

func TestABusThatIsNotThereYet(t *testing.T) {
	h := open(t, hub.Config{URL: "nats://127.0.0.1:1"})
	if h.Connected() {
		t.Error("connected to nothing")
	}
	_, stop := follow(t, h)
	stop() // returns although nothing ever answered
}
