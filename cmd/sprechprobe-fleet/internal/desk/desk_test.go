package desk_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/authority"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/desk"
)

const patience = 30 * time.Second

// world is a vendor's server with a desk.
type world struct {
	t      *testing.T
	auth   *authority.Authority
	server *server.Server
	store  *desk.Store
	js     jetstream.JetStream
	claims *nats.Conn
	desk   *desk.Desk
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	a, err := authority.Init(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	conf, err := a.WriteConfig(authority.Layout{Mode: authority.Operator, Out: filepath.Join(dir, "conf"), Store: filepath.Join(dir, "store"), Listen: "127.0.0.1:-1"})
	if err != nil {
		t.Fatal(err)
	}
	o, err := server.ProcessConfigFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	o.NoSigs, o.NoLog = true, true
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("server not ready")
	}
	w := &world{t: t, auth: a, server: s}
	if w.js, err = jetstream.New(w.creds(authority.FleetCreds)); err != nil {
		t.Fatal(err)
	}
	if w.store, err = desk.OpenStore(w.ctx(), w.js); err != nil {
		t.Fatal(err)
	}
	w.claims = w.creds(authority.DeskCreds)
	return w
}

func (w *world) ctx() context.Context {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	w.t.Cleanup(cancel)
	return ctx
}

func (w *world) creds(file string) *nats.Conn {
	w.t.Helper()
	return w.connect(nats.UserCredentials(filepath.Join(w.auth.Dir(), authority.ServeDir, file)))
}

func (w *world) connect(opts ...nats.Option) *nats.Conn {
	w.t.Helper()
	c, err := nats.Connect(w.server.ClientURL(), opts...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

// open opens the desk.
func (w *world) open() {
	w.t.Helper()
	key, err := authority.ReadKey(filepath.Join(w.auth.Dir(), authority.ServeDir, authority.DeskKey))
	if err != nil {
		w.t.Fatal(err)
	}
	w.desk, err = desk.Open(w.ctx(), desk.Config{Claims: w.claims, Signer: key, Centre: w.js, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(w.desk.Close)
}

// device is a box with its own key.
type device struct {
	nkeys.KeyPair
	public string
}

func newDevice(t *testing.T) device {
	t.Helper()
	kp, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := kp.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return device{kp, public}
}

// visit connects as a box that belongs to nobody.
func (w *world) visit(d device) (*nats.Conn, error) {
	c, err := nats.Connect(w.server.ClientURL(), nats.Nkey(d.public, d.Sign), nats.CustomInboxPrefix(fleet.ClaimInbox(d.public)),
		nats.NoReconnect(), nats.Timeout(10*time.Second), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err == nil {
		w.t.Cleanup(c.Close)
	}
	return c, err
}

func claimOf(d device) []byte {
	b, _ := json.Marshal(fleet.Claim{Schema: fleet.ClaimSchema, Key: d.public, Code: fleet.Code(d.public), Box: agent.Box{Version: "1.0.0", Platform: "linux/arm"}})
	return b
}

// ask says the key of a box and returns the answer.
func (w *world) ask(d device) (fleet.ClaimAnswer, error) {
	c, err := w.visit(d)
	if err != nil {
		return fleet.ClaimAnswer{}, err
	}
	defer c.Close()
	m, err := c.Request(fleet.ClaimSubject(d.public), claimOf(d), patience)
	if err != nil {
		return fleet.ClaimAnswer{}, err
	}
	var a fleet.ClaimAnswer
	if code := m.Header.Get(fleet.HeaderErrorCode); code != "" {
		return a, fmt.Errorf("%s %s", code, m.Header.Get(fleet.HeaderError))
	}
	return a, json.Unmarshal(m.Data, &a)
}

// A box comes, waits, is claimed by its code, and gets a grant that lets it in.
func TestFirstContact(t *testing.T) {
	w := newWorld(t)
	w.open()
	d := newDevice(t)
	a, err := w.ask(d)
	if err != nil || a.Grant != "" || a.Schema != fleet.ClaimSchema {
		t.Fatalf("first answer %+v, %v; want none yet", a, err)
	}
	keys, err := w.store.FindCode(w.ctx(), fleet.Code(d.public))
	if err != nil || len(keys) != 1 || keys[0] != d.public {
		t.Fatalf("waiting with the code: %q, %v", keys, err)
	}
	waiting, err := w.store.Waiting(w.ctx())
	if err != nil || len(waiting) != 1 || waiting[0].Box.Version != "1.0.0" || time.Since(waiting[0].At).Abs() > time.Minute {
		t.Errorf("waiting: %+v, %v", waiting, err)
	}
	at := fleet.Address{Tenant: "acme", Box: "nord"}
	b, err := w.auth.Claim(d.public, at, false, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.PutGrant(w.ctx(), d.public, b.Grant); err != nil {
		t.Fatal(err)
	}
	if a, err = w.ask(d); err != nil || a.Grant != b.Grant {
		t.Fatalf("answer %+v, %v; want the grant", a, err)
	}
	if waiting, err := w.store.Waiting(w.ctx()); err != nil || len(waiting) != 0 {
		t.Errorf("still waiting: %+v, %v", waiting, err)
	}
	g, err := fleet.OpenGrant([]byte(a.Grant), d.public, []string{w.auth.VendorKey()})
	if err != nil {
		t.Fatal(err)
	}
	w.desk.Close() // the fleet program is away; who has been claimed does not mind
	c := w.connect(nats.UserJWT(func() (string, error) { return g.JWT, nil }, d.Sign), nats.CustomInboxPrefix(at.Inbox()))
	if _, err := c.Request(at.DirectGet(), nil, patience); err != nil {
		t.Errorf("the claimed box asks for its settings: %v", err)
	}
}

// While the desk is away, a box that belongs to nobody is refused and may come
// again.
func TestDeskIsAway(t *testing.T) {
	w := newWorld(t)
	d := newDevice(t)
	if _, err := nats.Connect(w.server.ClientURL(), nats.Nkey(d.public, d.Sign), nats.NoReconnect(), nats.Timeout(time.Second)); err == nil {
		t.Error("a stranger is let in though nobody was asked")
	}
	w.open()
	if a, err := w.ask(d); err != nil || a.Grant != "" {
		t.Errorf("when the desk is back: %+v, %v", a, err)
	}
}

// Who has only seen a box's public key cannot come as that box, nor without any.
func TestStrangers(t *testing.T) {
	w := newWorld(t)
	w.open()
	d, thief := newDevice(t), newDevice(t)
	for name, o := range map[string]nats.Option{
		"nothing":             nats.Name("x"),
		"a stolen public key": nats.Nkey(d.public, thief.Sign),
		"no signature":        nats.Nkey(d.public, func([]byte) ([]byte, error) { return nil, nil }),
		"user and password":   nats.UserInfo("sprechprobe", "secret"),
		"a token":             nats.Token("secret"),
		"a JWT of nobody's":   nats.UserJWT(func() (string, error) { return "eyJ0eXAiOiJKV1QifQ.e30.AAAA", nil }, d.Sign),
	} {
		c, err := nats.Connect(w.server.ClientURL(), o, nats.NoReconnect(), nats.Timeout(10*time.Second))
		if err == nil {
			c.Close()
			t.Errorf("%s: let in", name)
		} else if !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: %v, want an authorization violation", name, err)
		}
	}
}

// A box that belongs to nobody can say its own key and hear the answer. Nothing
// else: not for another box, and not where boxes are that have been claimed.
func TestVisitorsRights(t *testing.T) {
	w := newWorld(t)
	w.open()
	d, other := newDevice(t), newDevice(t)
	at := fleet.Address{Tenant: "acme", Box: "nord"}
	c, err := w.visit(d)
	if err != nil {
		t.Fatal(err)
	}
	forbidden := func(what string) bool {
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		err := c.LastError()
		return errors.Is(err, nats.ErrPermissionViolation) && strings.HasSuffix(err.Error(), what)
	}
	for _, s := range []string{fleet.ClaimSubject(other.public), "claim.x", fleet.ClaimInbox(other.public) + ".1", fleet.ClaimInbox(d.public) + ".1", "$SYS.REQ.USER.AUTH",
		"$SYS.REQ.USER.INFO", "$SRV.PING", "$SRV.INFO.sprechprobe-claims", "$JS.API.INFO", "$KV." + fleet.Assignments + ".acme.nord", strings.TrimSuffix(at.Up(), "*") + "report",
		at.Command(fleet.Check), at.Hint(), at.DirectGet(), "_INBOX.1", "_R_.1", "anything"} {
		if err := c.Publish(s, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if !forbidden(fmt.Sprintf("Publish to %q", s)) {
			t.Errorf("may publish to %s", s)
		}
	}
	for _, s := range []string{">", "*", "claim.*", "claim.>", fleet.ClaimSubject(d.public), fleet.ClaimInbox(other.public) + ".>", "_INBOX.>", "$SYS.>", "$SRV.>", "$JS.>", "$KV.>",
		"sprechprobe.>", "cfg.*.*", at.Command("*"), at.Inbox() + ".>", "_R_.>", "$SYS.REQ.USER.AUTH"} {
		sub, err := c.SubscribeSync(s)
		if err != nil {
			t.Fatal(err)
		}
		if !forbidden(fmt.Sprintf("Subscription to %q", s)) {
			t.Errorf("may subscribe to %s", s)
		}
		_ = sub.Unsubscribe()
	}
	if m, err := c.Request(fleet.ClaimSubject(d.public), claimOf(d), patience); err != nil || len(m.Data) == 0 {
		t.Errorf("may not say its own key: %v", err)
	}
	// The desk does not write where it is told to.
	inbox, err := c.SubscribeSync(fleet.ClaimInbox(d.public) + ".>")
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{fleet.ClaimInbox(other.public) + ".1", "$SRV.PING", "claim." + other.public} {
		if err := c.PublishRequest(fleet.ClaimSubject(d.public), to, claimOf(d)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Request(fleet.ClaimSubject(d.public), claimOf(d), patience); err != nil {
		t.Error(err)
	}
	if n, _, _ := inbox.Pending(); n > 1 {
		t.Errorf("%d answers, want one", n)
	}
}

// What a box says of itself is bounded and printable, and it cannot speak for
// another key.
func TestHostileClaims(t *testing.T) {
	w := newWorld(t)
	w.open()
	d, other := newDevice(t), newDevice(t)
	c, err := w.visit(d)
	if err != nil {
		t.Fatal(err)
	}
	claim := func(edit func(*fleet.Claim)) []byte {
		cl := fleet.Claim{Schema: fleet.ClaimSchema, Key: d.public}
		edit(&cl)
		b, _ := json.Marshal(cl)
		return b
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "no JSON": []byte("{"), "a list": []byte("[]"), "another schema": claim(func(c *fleet.Claim) { c.Schema = "x" }),
		"another key": claim(func(c *fleet.Claim) { c.Key = other.public }),
	} {
		m, err := c.Request(fleet.ClaimSubject(d.public), b, patience)
		if err != nil || m.Header.Get(fleet.HeaderErrorCode) != "400" {
			t.Errorf("%s: %+v, %v; want 400", name, m, err)
		}
	}
	b := claim(func(c *fleet.Claim) { c.Code = "AAAA-AAAA-AAAA"; c.Box.Name = "\x1b[2J" + strings.Repeat("ä", 500) })
	if _, err := c.Request(fleet.ClaimSubject(d.public), b, patience); err != nil {
		t.Fatal(err)
	}
	waiting, err := w.store.Waiting(w.ctx())
	if err != nil || len(waiting) != 1 {
		t.Fatalf("%d waiting, %v", len(waiting), err)
	}
	if got := waiting[0]; got.Key != d.public || got.Code != fleet.Code(d.public) || strings.Contains(got.Box.Name, "\x1b") || len([]rune(got.Box.Name)) > 80 {
		t.Errorf("%+v", got)
	}
}
