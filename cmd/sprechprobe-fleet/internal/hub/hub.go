// Package hub is the vendor's end of the bus: it runs an embedded NATS server
// or joins an existing one, keeps the stream of the boxes' reports, and hands
// out what arrives. It does not know what a report says.
package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Config says which bus to use. With URL empty the hub runs its own server.
type Config struct {
	URL   string // of an existing NATS; empty: embedded
	Creds string // credentials file for our own connection; optional
	CA    string // PEM file of roots for it; empty: the system's

	Listen     string // host:port for boxes; embedded without ConfigFile only
	ConfigFile string // nats-server configuration, with its own accounts and TLS
	Account    string // account of ConfigFile that holds the streams; optional
	Data       string // directory of the embedded JetStream store

	Replicas int // copies of the stream in a cluster; 0: 1
	// Sources are JetStream domains whose streams of reports are read into this one:
	// regions with servers of their own, linked as leaf nodes in the vendor's account.
	Sources  []string
	MaxBytes int64 // of the stream on disk; 0: [DefaultMaxBytes]
	// AckWait is how long an ingester may take for a batch until another one gets it;
	// 0: 30 s. All ingesters of a bus have to agree.
	AckWait time.Duration
	Log     *slog.Logger
}

// DefaultMaxBytes bounds the stream: 72 hours of 1600 boxes at 5 minutes and
// 3 KiB come to about 4 GiB, so a larger fleet names its own number.
const DefaultMaxBytes = 4 << 30

// ErrOpenBus is returned where a bus without accounts would be reachable from
// outside this machine.
var ErrOpenBus = errors.New("a bus that others can reach needs accounts")

// Hub is a connection to the bus and, where embedded, the bus itself. It is
// safe for concurrent use.
type Hub struct {
	conf   Config
	server *server.Server // nil where external
	conn   *nats.Conn
	js     jetstream.JetStream
	unlock func()
}

// Open starts or joins the bus. An embedded bus is ready with its stream when
// Open returns; an external one may still be out of reach, and is tried for as
// long as the hub lives. Close ends both.
func Open(ctx context.Context, c Config) (*Hub, error) {
	if c.MaxBytes == 0 {
		c.MaxBytes = DefaultMaxBytes
	}
	if c.AckWait == 0 {
		c.AckWait = 30 * time.Second
	}
	h := &Hub{conf: c, unlock: func() {}}
	if err := h.open(ctx); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

func (h *Hub) open(ctx context.Context) error {
	own, err := h.startServer()
	if err != nil {
		return err
	}
	if err := h.connect(own); err != nil {
		return err
	}
	if h.js, err = jetstream.New(h.conn); err != nil {
		return fmt.Errorf("jetstream: %w", err)
	}
	if h.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err = h.stream(ctx)
	return err
}

// connect joins the bus; own are the options that the embedded server asks for.
func (h *Hub) connect(own []nats.Option) error {
	opts, err := h.options(h.conf.Creds)
	if err != nil {
		return err
	}
	opts = append(append(opts,
		nats.ConnectHandler(func(*nats.Conn) { h.conf.Log.Info("bus joined") }),
		nats.ReconnectHandler(func(*nats.Conn) { h.conf.Log.Info("bus joined again") }),
	), own...)
	if h.conn, err = nats.Connect(h.conf.URL, opts...); err != nil {
		return fmt.Errorf("connect to bus: %w", err)
	}
	return nil
}

// options are those of all our connections.
func (h *Hub) options(creds string) ([]nats.Option, error) {
	opts := []nats.Option{
		nats.Name("sprechprobe-fleet"),
		nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(true),
		nats.IgnoreAuthErrorAbort(),
		nats.Timeout(5 * time.Second),
		nats.PingInterval(20 * time.Second),
		nats.ReconnectJitter(time.Second, 2*time.Second),
		nats.SetCustomDialer(boundedDialer{}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			h.conf.Log.Warn("bus", "err", err)
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil: we left
				h.conf.Log.Warn("bus lost", "err", err)
			}
		}),
	}
	if h.conf.CA != "" {
		opts = append(opts, nats.RootCAs(h.conf.CA))
	}
	if creds == "" {
		return opts, nil
	}
	who, err := Credentials(creds)
	return append(opts, who), err
}

// boundedDialer gives each connection a deadline until NATS clears it: without
// one a half-open wss path holds the client for ever.
type boundedDialer struct{}

func (boundedDialer) Dial(network, addr string) (net.Conn, error) {
	conn, err := net.DialTimeout(network, addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(10 * time.Second))
}

// Connected reports whether the bus is there now.
func (h *Hub) Connected() bool { return h.conn.IsConnected() }

// URL is where boxes on this machine find the bus.
func (h *Hub) URL() string {
	if h.server == nil {
		return h.conf.URL
	}
	return h.server.ClientURL()
}

// Close leaves the bus and ends the embedded server.
func (h *Hub) Close() {
	if h.conn != nil {
		h.conn.Close()
	}
	if h.server != nil {
		h.server.Shutdown()
		h.server.WaitForShutdown()
	}
	h.unlock()
}

// loopback reports whether host:port can be reached from this machine only.
func loopback(hostport string) (host string, port int, ok bool, err error) {
	host, p, err := net.SplitHostPort(hostport)
	if err != nil {
		return "", 0, false, fmt.Errorf("address %q: %w", hostport, err)
	}
	if port, err = net.LookupPort("tcp", p); err != nil {
		return "", 0, false, fmt.Errorf("address %q: %w", hostport, err)
	}
	if host == "localhost" {
		return "127.0.0.1", port, true, nil
	}
	a, err := netip.ParseAddr(host)
	return host, port, err == nil && a.IsLoopback(), nil
}
