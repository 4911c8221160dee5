package authority_test

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/sprechprobe/sprechprobe/agent/trust/trusttest"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/authority"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/desk"
)

const patience = 30 * time.Second

// vendor is a directory of keys and a server that believes them.
type vendor struct {
	*authority.Authority
	t      *testing.T
	layout authority.Layout
	conf   string
	server *server.Server
}

func newVendor(t *testing.T, mode authority.Mode) *vendor {
	t.Helper()
	dir := t.TempDir()
	a, err := authority.Init(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	v := &vendor{Authority: a, t: t, layout: authority.Layout{Mode: mode, Out: filepath.Join(dir, "conf"), Store: filepath.Join(dir, "store"), Listen: "127.0.0.1:-1"}}
	if v.conf, err = a.WriteConfig(v.layout); err != nil {
		t.Fatal(err)
	}
	v.start()
	return v
}

func (v *vendor) start() {
	v.t.Helper()
	o, err := server.ProcessConfigFile(v.conf)
	if err != nil {
		v.t.Fatal(err)
	}
	o.NoSigs, o.NoLog = true, true
	if v.server, err = server.NewServer(o); err != nil {
		v.t.Fatal(err)
	}
	v.server.Start()
	s := v.server
	v.t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		v.t.Fatal("server not ready")
	}
}

// tell lets the running server know what has changed.
func (v *vendor) tell() {
	v.t.Helper()
	if v.layout.Mode == authority.Plain {
		if err := v.Rewrite(); err != nil {
			v.t.Fatal(err)
		}
		if err := v.server.Reload(); err != nil {
			v.t.Fatal(err)
		}
		return
	}
	sys, err := nats.Connect(v.server.ClientURL(), nats.UserCredentials(filepath.Join(v.Dir(), authority.ServeDir, authority.SystemCreds)))
	if err != nil {
		v.t.Fatal(err)
	}
	defer sys.Close()
	account, err := v.BoxAccount()
	if err != nil {
		v.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(v.t.Context(), patience)
	defer cancel()
	if err := desk.Tell(ctx, sys, account); err != nil {
		v.t.Fatal(err)
	}
}

// member is a box that was claimed.
type member struct {
	fleet.Address
	key    nkeys.KeyPair
	public string
	grant  fleet.Grant
}

func (v *vendor) newMember(tenant, name string) member {
	v.t.Helper()
	kp, err := nkeys.CreateUser()
	if err != nil {
		v.t.Fatal(err)
	}
	m := member{Address: fleet.Address{Tenant: tenant, Box: name}, key: kp}
	if m.public, err = kp.PublicKey(); err != nil {
		v.t.Fatal(err)
	}
	return v.claim(m, false)
}

func (v *vendor) claim(m member, replace bool) member {
	v.t.Helper()
	b, err := v.Claim(m.public, m.Address, replace, time.Now())
	if err != nil {
		v.t.Fatal(err)
	}
	if m.grant, err = fleet.OpenGrant([]byte(b.Grant), m.public, []string{v.VendorKey()}); err != nil {
		v.t.Fatal(err)
	}
	return m
}

func (v *vendor) join(m member) (*nats.Conn, error) {
	who := nats.Nkey(m.public, m.key.Sign)
	if m.grant.JWT != "" {
		who = nats.UserJWT(func() (string, error) { return m.grant.JWT, nil }, m.key.Sign)
	}
	c, err := nats.Connect(v.server.ClientURL(), who, nats.NoReconnect(), nats.Timeout(10*time.Second), nats.CustomInboxPrefix(m.Inbox()),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err == nil {
		v.t.Cleanup(c.Close)
	}
	return c, err
}

func (v *vendor) in(m member) *nats.Conn {
	v.t.Helper()
	c, err := v.join(m)
	if err != nil {
		v.t.Fatalf("%s is not let in: %v", m.Address, err)
	}
	return c
}

func (v *vendor) out(m member, why string) {
	v.t.Helper()
	if _, err := v.join(m); !errors.Is(err, nats.ErrAuthorization) {
		v.t.Errorf("%s: %v, want an authorization violation", why, err)
	}
}

func ended(t *testing.T, c *nats.Conn) bool {
	t.Helper()
	end := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !c.IsClosed() {
		select {
		case <-tick.C:
		case <-end:
			return false
		}
	}
	return true
}

// A box that was revoked is cut off at once and stays out, also after the server was
// started anew; its neighbour notices nothing. Claimed again it is let in again.
func TestRevoke(t *testing.T) {
	for _, mode := range []authority.Mode{authority.Operator, authority.Plain} {
		t.Run(string(mode), func(t *testing.T) {
			v := newVendor(t, mode)
			one, two := v.newMember("acme", "one"), v.newMember("acme", "two")
			if mode == authority.Plain {
				v.tell()
			}
			first, second := v.in(one), v.in(two)
			if _, err := v.Revoke(one.Address, time.Now()); err != nil || !v.Changed() {
				t.Fatalf("%v, changed %v", err, v.Changed())
			}
			v.tell()
			if !ended(t, first) {
				t.Error("the revoked box is still connected")
			}
			v.out(one, "at once")
			if second.IsClosed() || second.Flush() != nil {
				t.Error("its neighbour was cut off")
			}
			v.server.Shutdown()
			v.server.WaitForShutdown()
			v.start() // with the configuration of before
			v.out(one, "after the server was started anew")
			v.in(two)

			again := v.claim(one, false)
			v.tell()
			v.in(again)
			if mode == authority.Operator {
				v.out(one, "with the grant of before")
			}
			if !again.grant.IssuedAt.After(one.grant.IssuedAt) {
				t.Error("the new grant is no newer than the old one")
			}
		})
	}
}

// The name of one box goes to another, which takes its rights; and a box gets
// another name, and loses those of the first.
func TestReplaceAndRename(t *testing.T) {
	v := newVendor(t, authority.Operator)
	old := v.newMember("acme", "one")
	kp, _ := nkeys.CreateUser()
	public, _ := kp.PublicKey()
	spare := member{Address: old.Address, key: kp, public: public}
	if _, err := v.Claim(spare.public, spare.Address, false, time.Now()); !errors.Is(err, authority.ErrTaken) {
		t.Fatalf("%v, want ErrTaken", err)
	}
	spare = v.claim(spare, true)
	v.tell()
	v.out(old, "the box that was replaced")
	v.in(spare)
	renamed := spare
	renamed.Box = "two"
	renamed = v.claim(renamed, false)
	v.tell()
	v.out(spare, "under its former name")
	v.in(renamed)
	if bs := v.Boxes(); len(bs) != 1 || bs[0].Address() != renamed.Address {
		t.Errorf("%+v", bs)
	}
}

// The keys are the same in the next command, nobody else may read them, and two
// commands do not write at once.
func TestKeysLast(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if _, err := authority.Open(dir); !errors.Is(err, authority.ErrNoKeys) {
		t.Fatalf("%v, want ErrNoKeys", err)
	}
	a, err := authority.Init(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := authority.Open(dir); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second one at once: %v", err)
	}
	key := a.VendorKey()
	a.Close()
	b, err := authority.Open(dir)
	if err != nil || b.VendorKey() != key {
		t.Fatalf("%v, another key", err)
	}
	b.Close()
	err = filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	serving, err := filepath.Glob(filepath.Join(dir, authority.ServeDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range serving {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"vendor.nk", "operator.nk", "boxes.nk", "boxes-signer.nk", "centre.nk", "system.nk", "claims.nk"} {
			seed, err := os.ReadFile(filepath.Join(dir, secret))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), strings.TrimSpace(string(seed))) {
				t.Errorf("%s holds %s, which the serving machine must not have", f, secret)
			}
		}
	}
	for name, bad := range map[string]string{"vendor.nk": "nonsense", "boxes.json": "{", "boxes-signer.nk": ""} {
		path := filepath.Join(dir, name)
		was, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			was = nil
		}
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := authority.Open(dir); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s is broken: %v, want an error with its name", name, err)
		}
		if after, _ := os.ReadFile(path); string(after) != bad {
			t.Errorf("%s was overwritten", name)
		}
		if was == nil {
			_ = os.Remove(path)
		} else if err := os.WriteFile(path, was, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Layouts that would be of no use, or open the bus to anybody on the way, are
// refused.
func TestBadLayouts(t *testing.T) {
	a, err := authority.Init(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	good := authority.Layout{Mode: authority.Operator, Out: t.TempDir(), Store: t.TempDir(), Listen: "127.0.0.1:4222"}
	for name, edit := range map[string]func(*authority.Layout){
		"mode":                    func(l *authority.Layout) { l.Mode = "x" },
		"no port":                 func(l *authority.Layout) { l.Listen = "127.0.0.1" },
		"no address":              func(l *authority.Layout) { l.Listen = "" },
		"a name":                  func(l *authority.Layout) { l.Listen = "localhost:4222" },
		"all, without TLS":        func(l *authority.Layout) { l.Listen = "0.0.0.0:4222" },
		"all, without TLS (2)":    func(l *authority.Layout) { l.Listen = ":4222" },
		"web for all without TLS": func(l *authority.Layout) { l.WebSocket = "0.0.0.0:443" },
		"a key without its cert":  func(l *authority.Layout) { l.Key = "/k" },
		"a relative path":         func(l *authority.Layout) { l.Store = "store" },
		"a path that ends it":     func(l *authority.Layout) { l.Store = "/a\" }\nusers: [" },
		"no data":                 func(l *authority.Layout) { l.Store = "" },
	} {
		l := good
		edit(&l)
		if _, err := a.WriteConfig(l); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := a.WriteConfig(good); err != nil {
		t.Error(err)
	}
}

// A configuration for the world outside has TLS on both ways.
func TestTLSAndWebSocket(t *testing.T) {
	dir := t.TempDir()
	ca := trusttest.Named(t, "Vendor CA")
	cert, key := trusttest.Files(t, ca.Leaf("127.0.0.1"))
	a, err := authority.Init(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	v := &vendor{Authority: a, t: t, layout: authority.Layout{Mode: authority.Operator, Out: dir, Store: filepath.Join(dir, "store"), Listen: "127.0.0.1:-1", WebSocket: "127.0.0.1:-1", Cert: cert, Key: key}}
	if v.conf, err = a.WriteConfig(v.layout); err != nil {
		t.Fatal(err)
	}
	v.start()
	m := v.newMember("acme", "one")
	for _, url := range []string{v.server.ClientURL(), v.server.WebsocketURL()} {
		c, err := nats.Connect(url, nats.UserJWT(func() (string, error) { return m.grant.JWT, nil }, m.key.Sign),
			nats.Secure(&tls.Config{RootCAs: ca.Pool(), Time: trusttest.At(trusttest.Today)}))
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if !strings.HasPrefix(url, "ws") && !c.TLSRequired() {
			t.Errorf("%s: no TLS", url)
		}
		c.Close()
	}
}
