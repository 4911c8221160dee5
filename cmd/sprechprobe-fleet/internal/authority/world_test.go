package authority

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// patience bounds waiting for what must happen.
const patience = 30 * time.Second

// world is a vendor's server in one of the modes, with streams and settings.
type world struct {
	*Authority
	t      *testing.T
	layout Layout
	server *server.Server
	js     jetstream.JetStream
	kv     jetstream.KeyValue
	stream jetstream.Stream
	centre *seen // all that reaches the vendor's account
	boxes  *seen // all that reaches the boxes' account
}

// device is a box of the tests.
type device struct {
	fleet.Address
	key    nkeys.KeyPair
	public string
	grant  fleet.Grant
}

func newWorld(t *testing.T, mode Mode) *world {
	t.Helper()
	dir := t.TempDir()
	a, err := Init(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	w := &world{Authority: a, t: t}
	w.layout = Layout{Mode: mode, Out: filepath.Join(dir, "conf"), Store: filepath.Join(dir, "store"), Listen: "127.0.0.1:-1"}
	w.start()
	w.observe()
	return w
}

// start writes the configuration and starts a server with it.
func (w *world) start() {
	w.t.Helper()
	path, err := w.WriteConfig(w.layout)
	if err != nil {
		w.t.Fatal(err)
	}
	w.admitObserver()
	o, err := server.ProcessConfigFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	o.NoSigs, o.NoLog = true, true
	if w.layout.Mode == Embedded { // what the fleet program adds
		o.JetStream, o.StoreDir = true, filepath.Join(w.layout.Store, "jetstream")
	}
	s, err := server.NewServer(o)
	if err != nil {
		w.t.Fatal(err)
	}
	s.Start()
	w.t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		w.t.Fatal("server not ready")
	}
	w.server = s
}

// observerKey is a user of the tests alone that sees all of the boxes' account.
var observerKey = sync.OnceValue(func() nkeys.KeyPair { k, _ := nkeys.CreateUser(); return k })

// admitObserver adds the observer to a plain configuration.
func (w *world) admitObserver() {
	w.t.Helper()
	if w.layout.Mode != Plain {
		return
	}
	path := filepath.Join(w.layout.Out, boxesFile)
	text, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	public, _ := observerKey().PublicKey()
	edited := strings.Replace(string(text), "users: [\n", "users: [\n  { nkey: "+public+" }\n", 1)
	if err := os.WriteFile(path, []byte(edited), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// reload lets a plain server read its boxes again.
func (w *world) reload() {
	w.t.Helper()
	if w.layout.Mode != Plain {
		return
	}
	w.admitObserver()
	if err := w.server.Reload(); err != nil {
		w.t.Fatal(err)
	}
}

// seen are the messages that an observer got.
type seen struct {
	mu   sync.Mutex
	msgs []*nats.Msg
	conn *nats.Conn
	sub  *nats.Subscription
}

func (s *seen) stop(t *testing.T) {
	t.Helper()
	if err := s.sub.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	if err := s.conn.Flush(); err != nil {
		t.Fatal(err)
	}
}

func (s *seen) take(m *nats.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.msgs = append(s.msgs, m)
}

// with returns the messages that carry just this, once all that was sent before
// has come; nil stands for any.
func (s *seen) with(t *testing.T, data []byte) []*nats.Msg {
	t.Helper()
	if err := s.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*nats.Msg
	for _, m := range s.msgs {
		if data == nil || bytes.Equal(m.Data, data) {
			out = append(out, m)
		}
	}
	return out
}

func (w *world) see(conn *nats.Conn) *seen {
	w.t.Helper()
	s := &seen{conn: conn}
	var err error
	if s.sub, err = conn.Subscribe(">", s.take); err != nil {
		w.t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		w.t.Fatal(err)
	}
	return s
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

// fleet is how the fleet program joins.
func (w *world) fleet() nats.Option {
	w.t.Helper()
	if w.layout.Mode != Plain {
		return nats.UserCredentials(filepath.Join(w.Dir(), ServeDir, FleetCreds))
	}
	o, err := nats.NkeyOptionFromSeed(filepath.Join(w.Dir(), ServeDir, FleetKey))
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

// observe makes what the fleet program makes, and looks on.
func (w *world) observe() {
	w.t.Helper()
	centre := w.connect(w.fleet())
	var err error
	if w.js, err = jetstream.New(centre); err != nil {
		w.t.Fatal(err)
	}
	ctx := w.t.Context()
	w.stream, err = w.js.CreateStream(ctx, jetstream.StreamConfig{Name: fleet.Stream, Subjects: []string{fleet.Reports}, AllowDirect: true})
	if err != nil {
		w.t.Fatal(err)
	}
	w.kv, err = w.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: fleet.Assignments,
		RePublish: &jetstream.RePublish{Source: fleet.AllAssignments, Destination: fleet.HintsFromKeys, HeadersOnly: true}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.centre = w.see(centre)

	public, _ := observerKey().PublicKey()
	all := nats.Nkey(public, observerKey().Sign)
	if w.layout.Mode != Plain {
		u := jwt.NewUserClaims(public)
		token, err := u.Encode(w.keys[boxesKey])
		if err != nil {
			w.t.Fatal(err)
		}
		all = nats.UserJWT(func() (string, error) { return token, nil }, observerKey().Sign)
	}
	w.boxes = w.see(w.connect(all))
}

// claim makes a box and claims it.
func (w *world) claim(tenant, name string) device {
	w.t.Helper()
	kp, err := nkeys.CreateUser()
	if err != nil {
		w.t.Fatal(err)
	}
	d := device{Address: fleet.Address{Tenant: tenant, Box: name}, key: kp}
	if d.public, err = kp.PublicKey(); err != nil {
		w.t.Fatal(err)
	}
	b, err := w.Claim(d.public, d.Address, false, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	if d.grant, err = fleet.OpenGrant([]byte(b.Grant), d.public, []string{w.VendorKey()}); err != nil {
		w.t.Fatal(err)
	}
	if err := w.Rewrite(); err != nil {
		w.t.Fatal(err)
	}
	return d
}

// identify is how a box says who it is.
func (d device) identify() nats.Option {
	if d.grant.JWT == "" {
		return nats.Nkey(d.public, d.key.Sign)
	}
	return nats.UserJWT(func() (string, error) { return d.grant.JWT, nil }, d.key.Sign)
}

// box is a connected box.
type box struct {
	device
	*nats.Conn
}

func (w *world) join(d device) *box {
	w.t.Helper()
	quiet := nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
	return &box{d, w.connect(d.identify(), nats.CustomInboxPrefix(d.Inbox()), quiet)}
}

// forbidden reports whether the last thing that the server has forbidden is this
// one: its refusal comes before its answer to Flush.
func (b *box) forbidden(t *testing.T, what string) bool {
	t.Helper()
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	err := b.LastError()
	return errors.Is(err, nats.ErrPermissionViolation) && strings.HasSuffix(err.Error(), what)
}

func ctx(t *testing.T) context.Context {
	t.Helper()
	c, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return c
}
