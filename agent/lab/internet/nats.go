package internet

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

// Speech is how a NATS server begins a conversation.
type Speech string

// The ways that a service may have chosen.
const (
	WebSocket Speech = "wss"
	TLS       Speech = "tls" // after INFO in the clear
	TLSFirst  Speech = "tls-first"
	Plain     Speech = "plain"
)

// Bus says how a NATS server runs. The zero value speaks WebSocket over TLS, to
// everybody.
type Bus struct {
	Speech         Speech
	User, Password string           // asked for where set
	NKey           string           // the only user's public key, where set
	Cert           *tls.Certificate // nil is the right one
	JetStream      bool
	Fallback       int // another port for WebSocket over TLS, where Speech is another
}

// NATS is a NATS server.
type NATS struct {
	t     testing.TB
	in    *lab.Network
	name  string
	addrs []string
	port  int
	right *tls.Certificate
	store string // of JetStream, which outlives a restart

	// Server is what runs now at the first address, for clients in this process.
	Server *server.Server
	others []*server.Server
}

// Restart stops what runs and runs it in another way.
func (n *NATS) Restart(b Bus) {
	n.t.Helper()
	n.Stop()
	n.Server, n.others = n.start(n.addrs[0], b), nil
	b.JetStream = false // one is enough
	for _, a := range n.addrs[1:] {
		n.others = append(n.others, n.start(a, b))
	}
}

// start runs a server at one address: it listens at one or at all there are.
func (n *NATS) start(addr string, b Bus) *server.Server {
	n.t.Helper()
	s, err := server.NewServer(n.options(addr, b))
	if err != nil {
		n.t.Fatalf("NATS server %s: %v", n.name, err)
	}
	if err := n.in.Do(s.Start); err != nil {
		n.t.Fatal(err)
	}
	if !s.ReadyForConnections(time.Minute) {
		n.t.Fatalf("NATS server %s is not ready at %s", n.name, addr)
	}
	return s
}

// Stop closes the ports.
func (n *NATS) Stop() {
	if n.Server == nil {
		return
	}
	for _, s := range append(n.others, n.Server) {
		s.Shutdown()
		s.WaitForShutdown()
	}
}

func (n *NATS) options(addr string, b Bus) *server.Options {
	cert := n.right
	if b.Cert != nil {
		cert = b.Cert
	}
	secure := &tls.Config{Certificates: []tls.Certificate{*cert}}
	o := &server.Options{
		ServerName: n.name, Host: addr, Port: n.port, NoSigs: true, NoLog: true,
		Username: b.User, Password: b.Password, TLSTimeout: 5,
	}
	if b.NKey != "" {
		o.Nkeys = []*server.NkeyUser{{Nkey: b.NKey}}
	}
	if b.JetStream {
		o.JetStream, o.StoreDir = true, n.store
	}
	ws := b.Fallback
	switch b.Speech {
	case TLS, TLSFirst:
		o.TLS, o.TLSConfig, o.TLSHandshakeFirst = true, secure, b.Speech == TLSFirst
	case Plain:
	default:
		// The other listener cannot be switched off: loopback is nobody's way here.
		o.Host, o.Port, ws = "127.0.0.1", server.RANDOM_PORT, n.port
	}
	if ws != 0 {
		o.Websocket = server.WebsocketOpts{Host: addr, Port: ws, TLSConfig: secure, Username: b.User, Password: b.Password}
	}
	return o
}
