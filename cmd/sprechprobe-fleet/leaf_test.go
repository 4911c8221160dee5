package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sprechprobe/sprechprobe/agent"
	boxcommand "github.com/sprechprobe/sprechprobe/agent/command"
	"github.com/sprechprobe/sprechprobe/agent/lab/pki"
	"github.com/sprechprobe/sprechprobe/agent/uplink"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// line is a way between two servers that can be cut.
type line struct {
	ln net.Listener
	to string

	mu    sync.Mutex
	open  map[net.Conn]bool
	alive bool
}

func newLine(t *testing.T, to string) *line {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{ln: ln, to: to, open: map[net.Conn]bool{}, alive: true}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go l.carry(c)
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done; l.set(false) })
	return l
}

func (l *line) port() int { return l.ln.Addr().(*net.TCPAddr).Port }

func (l *line) set(alive bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.alive = alive; !alive {
		for c := range l.open {
			c.Close()
		}
		clear(l.open)
	}
}

func (l *line) carry(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer out.Close()
	l.mu.Lock()
	alive := l.alive
	if alive {
		l.open[in], l.open[out] = true, true
	}
	l.mu.Unlock()
	if !alive {
		return
	}
	go func() { _, _ = io.Copy(out, in); out.Close() }()
	_, _ = io.Copy(in, out)
}

// A site's own server lets its boxes do all that they do at the vendor's, and nothing
// for others; what they report while the site is cut off comes once.
func TestLeafNode(t *testing.T) {
	t.Parallel() // it waits for the most part
	dir := t.TempDir()
	ca, err := pki.New("Leaf CA")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.For("localhost")
	if err != nil {
		t.Fatal(err)
	}
	cert, key := pki.Files(t, pair)
	root := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(root, ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	at, keys, conf := ports(t, 3), filepath.Join(dir, "keys"), filepath.Join(dir, "conf")
	said := must(t, "nats-config", "operator", "--out", conf, "--listen", local(at[0]), "--keys", keys)
	vendor := regexp.MustCompile(`"(O[A-Z2-7]{55})"`).FindStringSubmatch(said)[1]
	text := snippet(t, "# fleet.conf", "0.0.0.0:7422", local(at[1]), "/etc/ssl/fleet.pem", cert, "/etc/ssl/fleet.key", key)
	if err := os.WriteFile(filepath.Join(conf, "fleet.conf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	node(t, filepath.Join(conf, "fleet.conf"), at[0])
	bus := "nats://" + local(at[0])
	secret := filepath.Join(dir, "relay.secret")
	if err := os.WriteFile(secret, []byte("0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	where := filepath.Join(dir, "history.db")
	page, _, stop := serving(t, "--nats", bus, "--keys", filepath.Join(keys, "serve"), "--history", where, "--relay-secret", secret, "--access", filepath.Join(dir, "access"))
	defer stop()
	with := []string{"--keys", keys, "--nats", bus}

	// The site, cut off by a line of its own.
	way := newLine(t, local(at[1]))
	site := "nats://" + local(at[2])
	out := filepath.Join(dir, "site")
	leafKey := ""
	writeLeaf := func() {
		said := must(t, "nats-config", "leaf", "--out", out, "--listen", local(at[2]), "--tenant", "acme", "--remote", "tls://localhost:"+strconv.Itoa(way.port()),
			"--ca", root, "--keys", keys)
		leafKey = regexp.MustCompile(`key: +(U[A-Z2-7]{55})`).FindStringSubmatch(said)[1]
	}
	box := fleet.Address{Tenant: "acme", Box: "nord"}
	id := identified(t, box, vendor, with...)
	writeLeaf()
	node(t, filepath.Join(out, "nats.conf"), at[2])
	probe := asClient(t, site, box, id)
	patiently(t, "the site has found its way", func() bool {
		_, err := probe.Request(box.Time(), nil, 2*time.Second)
		return err == nil
	})
	probe.Close()
	var settled, clock atomic.Bool
	guard := boxcommand.NewGuard(box, id.VendorKeys(), time.Now, func() bool { return true })
	o := uplink.Options{Servers: []string{site}, Device: id, Tenant: "acme", Box: "nord", Log: slog.New(slog.DiscardHandler)}
	o.ClockSet, o.SetClock = clock.Load, func(time.Time) { clock.Store(true) }
	o.Orders = uplink.Orders{
		Command: func(subject, reply string, sealed []byte) (uplink.Answer, bool) {
			c, no := guard.Admit(subject, reply, sealed)
			if c == nil || no != nil {
				return uplink.Answer{}, false
			}
			body, _ := json.Marshal(fleet.Done{Accepted: true})
			return uplink.Answer{Body: body}, true
		},
		Assignment: func(sealed []byte) {
			if _, err := fleet.OpenAssignment(sealed, box, id.VendorKeys()); err == nil {
				settled.Store(true)
			}
		},
	}
	u, err := uplink.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = u.Run(ctx) }()
	defer func() { cancel(); <-done }()
	nord := &reporter{Uplink: u, at: box}
	nord.say(agent.Ready)
	show := func(want string) {
		t.Helper()
		patiently(t, want, func() bool { got, err := boxesOf(page); return err == nil && got == want })
	}
	show("acme/nord ready")
	patiently(t, "the vendor's time", clock.Load)
	soon := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		t.Cleanup(cancel)
		return ctx
	}
	if a, err := u.RelayAccess(soon()); err != nil || !strings.HasSuffix(a.Username, "sprechprobe/acme/nord") {
		t.Errorf("access to relays: %+v, %v", a, err)
	}
	if _, err := u.Outages(soon()); err != nil {
		t.Errorf("outages: %v", err)
	}
	if out := must(t, append([]string{"command", "acme/nord", "identify"}, with...)...); !strings.Contains(out, `"accepted": true`) {
		t.Errorf("command: %s", out)
	}
	must(t, append([]string{"assign", "acme/nord", "--use", "webprax", "--every", "10m"}, with...)...)
	patiently(t, "settings", settled.Load)

	// What another tenant's box says there goes nowhere.
	other := fleet.Address{Tenant: "other", Box: "west"}
	stranger := asClient(t, site, other, identified(t, other, vendor, with...))
	if _, err := stranger.Request("sprechprobe.v1.other.west.up.time", nil, 3*time.Second); err == nil {
		t.Error("the site speaks for boxes of others")
	}

	// A while without the vendor.
	way.set(false)
	for range 5 {
		nord.say(agent.Blocked)
	}
	nord.say(agent.VerdictLimited)
	way.set(true)
	show("acme/nord limited")
	patiently(t, "all reports are in the history", func() bool { return kept(t, where, box) == int(nord.seq) })

	must(t, append([]string{"revoke", leafKey}, with...)...)
	patiently(t, "the site is shut out", func() bool {
		_, err := u.Outages(soon())
		return errors.Is(err, nats.ErrNoResponders)
	})
}

// asClient joins a server as a box that was claimed.
func asClient(t *testing.T, url string, at fleet.Address, id uplink.Device) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, nats.UserJWT(func() (string, error) { return id.JWT(), nil }, id.Sign), nats.CustomInboxPrefix(at.Inbox()),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}
