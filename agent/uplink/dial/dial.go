// Package dial opens byte streams to NATS servers: over TCP, TLS or WebSocket,
// and through a proxy where the environment names one. Whoever answers, the
// stream holds only what a server may say, in bounded amounts: the client above
// it trusts what it reads, and would reserve any amount of memory it is told to.
//
// It knows nothing of credentials, retries and reports.
package dial

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/probe/web/http1"
)

// Errors about a far end that answers, beside those of the system, of package
// tls and [StatusError].
var (
	ErrTooMuch = errors.New("the server says more than a server has to say")
	ErrNotNATS = errors.New("what answers is no NATS server")
	ErrNoTLS   = errors.New("the server offers no encryption")
)

// StatusError is an HTTP answer where another one was wanted.
type StatusError struct {
	Proxy  bool // of the proxy, not of the server
	Status int
}

func (e *StatusError) Error() string {
	if e.Proxy {
		return fmt.Sprintf("the proxy answers with status %d", e.Status)
	}
	return fmt.Sprintf("the web server answers with status %d", e.Status)
}

// Options are the same for every server.
type Options struct {
	TLS     *tls.Config   // nil: the default
	Always  bool          // encrypt even where the URL is nats:// or ws://
	Connect time.Duration // bound of the TCP connection; 0: only the context's
	// Proxy names the proxy for a URL, nil for none; a nil Proxy is
	// [net/http.ProxyFromEnvironment]. Servers without encryption lie within the
	// machine and have none.
	Proxy func(*http.Request) (*url.URL, error)
}

// handshakeLimit is how much a far end may say before the stream is open, bytes:
// a chain of certificates may have 256 KiB, an INFO has a few.
const handshakeLimit = 512 << 10

// Server opens a stream to a server: nats://, tls://, ws:// or wss://. It ends
// with ctx; the stream does not. The stream begins with the server's INFO.
func Server(ctx context.Context, server *url.URL, o Options) (*Stream, error) {
	raw, err := connect(ctx, server, o)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	s, err := open(ctx, raw, server, o)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		raw.Close()
		if ctx.Err() != nil { // closing it was our doing
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		return nil, err
	}
	raw.limit.Store(-1)
	return s, nil
}

// open makes a stream of a connection.
func open(ctx context.Context, raw *limited, server *url.URL, o Options) (*Stream, error) {
	conn := &buffered{raw, bufio.NewReader(raw)}
	switch server.Scheme {
	case "ws":
		if !o.Always {
			return openWeb(conn, server)
		}
		fallthrough
	case "wss":
		secure, err := encrypt(ctx, conn, server, o)
		if err != nil {
			return nil, err
		}
		return openWeb(&buffered{secure, bufio.NewReader(secure)}, server)
	}
	in, err := readInfo(conn.r)
	if err != nil {
		return nil, err
	}
	switch {
	case server.Scheme != "tls" && !o.Always && !in.TLSRequired:
		return newStream(conn, in), nil
	case !in.TLSRequired && !in.TLSAvailable:
		return nil, ErrNoTLS
	}
	secure, err := encrypt(ctx, conn, server, o)
	if err != nil {
		return nil, err
	}
	in.MaxPayload = 0 // anybody could have said it; the server will say no itself
	return newStream(&buffered{secure, bufio.NewReader(secure)}, in), nil
}

func openWeb(conn *buffered, server *url.URL) (*Stream, error) {
	ws, err := upgrade(conn, server)
	if err != nil {
		return nil, err
	}
	frames := &buffered{ws, bufio.NewReader(ws)}
	in, err := readInfo(frames.r)
	if err != nil {
		return nil, err
	}
	return newStream(frames, in), nil
}

func encrypt(ctx context.Context, conn net.Conn, server *url.URL, o Options) (*tls.Conn, error) {
	cfg := &tls.Config{}
	if o.TLS != nil {
		cfg = o.TLS.Clone()
	}
	cfg.MinVersion = tls.VersionTLS12
	if cfg.ServerName == "" {
		cfg.ServerName = server.Hostname()
	}
	secure := tls.Client(conn, cfg)
	return secure, secure.HandshakeContext(ctx)
}

// connect opens a TCP connection, if need be by way of a proxy.
func connect(ctx context.Context, server *url.URL, o Options) (*limited, error) {
	proxy, err := o.proxy(server)
	if err != nil {
		return nil, err
	}
	to := address(server)
	if proxy != nil {
		to = address(proxy)
	}
	conn, err := (&net.Dialer{Timeout: o.Connect}).DialContext(ctx, "tcp", to)
	if err != nil {
		return nil, err
	}
	raw := &limited{Conn: conn}
	raw.limit.Store(handshakeLimit)
	if proxy == nil {
		return raw, nil
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	if raw.rest, err = tunnel(raw, proxy, address(server)); err != nil {
		raw.Close()
		return nil, err
	}
	return raw, nil
}

var usualPorts = map[string]string{"nats": "4222", "tls": "4222", "ws": "80", "wss": "443", "http": "80", "https": "443"}

// address is host and port of a URL.
func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = usualPorts[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// upgrade turns a connection into a WebSocket.
func upgrade(conn *buffered, server *url.URL) (*webSocket, error) {
	scheme := "http"
	if server.Scheme == "wss" {
		scheme = "https"
	}
	answer, ok, err := http1.Upgrade(conn, scheme+"://"+server.Host+"/")
	switch {
	case errors.Is(err, http1.ErrNotHTTP):
		return nil, ErrNotNATS
	case errors.Is(err, http1.ErrTooMuch):
		return nil, ErrTooMuch
	case err != nil:
		return nil, err
	case !ok:
		return nil, &StatusError{Status: answer.Status}
	}
	return &webSocket{Conn: conn, r: bufio.NewReader(answer.Stream(1<<63 - 1))}, nil
}
