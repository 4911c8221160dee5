package dial_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/sprechprobe/sprechprobe/agent/trust/trusttest"
	"github.com/sprechprobe/sprechprobe/agent/uplink/dial"
)

// patience bounds waiting for what must happen.
const patience = 30 * time.Second

// bus starts a NATS server that listens by TCP and WebSocket on loopback, and
// returns the URLs of both.
func bus(t *testing.T, cert *tls.Certificate) (tcp, web *url.URL) {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		Websocket: server.WebsocketOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoTLS: cert == nil}}
	tcp, web = &url.URL{Scheme: "nats"}, &url.URL{Scheme: "ws"}
	if cert != nil {
		o.TLS, o.TLSConfig = true, &tls.Config{Certificates: []tls.Certificate{*cert}}
		o.Websocket.TLSConfig = o.TLSConfig
		tcp.Scheme, web.Scheme = "tls", "wss"
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
	tcp.Host = s.Addr().String()
	ws, err := url.Parse(s.WebsocketURL())
	if err != nil {
		t.Fatal(err)
	}
	web.Host = ws.Host
	return tcp, web
}

// by lets the client dial the way the uplink does.
type by func() (net.Conn, error)

func (d by) Dial(string, string) (net.Conn, error) { return d() }
func (d by) SkipTLSHandshake() bool                { return true }

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// talk lets the client of the NATS project speak over a stream.
func talk(t *testing.T, u *url.URL, o dial.Options) {
	t.Helper()
	var stream *dial.Stream
	nc, err := nats.Connect("nats://x", nats.Timeout(patience), nats.SkipHostLookup(), nats.NoReconnect(),
		nats.SetCustomDialer(by(func() (net.Conn, error) {
			s, err := dial.Server(within(t), u, o)
			if err == nil {
				stream = s
			}
			return s, err
		})))
	if err != nil {
		t.Fatalf("%s: %v", u, err)
	}
	defer nc.Close()
	if !stream.Welcome() {
		t.Errorf("%s: connected, but not said to be welcome", u)
	}
	sub, err := nc.SubscribeSync("echo")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 125, 126, 4096, 65535, 65536, 200_000} {
		m := nats.NewMsg("echo")
		m.Data = bytes.Repeat([]byte("\r\nMSG x 1 99999999\r\n"), n/20+1)[:n]
		m.Header.Set("A", "b")
		if err := nc.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
		got, err := sub.NextMsgWithContext(within(t))
		if err != nil || !bytes.Equal(got.Data, m.Data) || got.Header.Get("A") != "b" {
			t.Fatalf("%s: %d bytes came back as %d: %v", u, n, len(got.Data), err)
		}
	}
}

func TestEveryTransport(t *testing.T) {
	ca := trusttest.Named(t, "Vendor CA")
	leaf := ca.Leaf("127.0.0.1")
	tcp, web := bus(t, nil)
	tlsURL, wss := bus(t, &leaf)
	plainToTLS := &url.URL{Scheme: "nats", Host: tlsURL.Host} // the server asks for encryption
	own := dial.Options{TLS: &tls.Config{RootCAs: ca.Pool(), Time: trusttest.At(trusttest.Today)}}
	for _, u := range []*url.URL{tcp, web, tlsURL, wss, plainToTLS} {
		t.Run(u.Scheme, func(t *testing.T) { talk(t, u, own) })
	}
}

// A certificate of somebody else is refused on each transport, and said to be one.
func TestForeignCertificate(t *testing.T) {
	leaf := trusttest.Named(t, "Somebody Else").Leaf("127.0.0.1")
	tlsURL, wss := bus(t, &leaf)
	own := dial.Options{TLS: &tls.Config{RootCAs: trusttest.Named(t, "Vendor CA").Pool()}}
	for _, u := range []*url.URL{tlsURL, wss} {
		var bad *tls.CertificateVerificationError
		if _, err := dial.Server(within(t), u, own); !errors.As(err, &bad) {
			t.Errorf("%s: %v, want a certificate error", u.Scheme, err)
		}
	}
}

// Encryption that was asked for is not talked away.
func TestNoEncryptionOffered(t *testing.T) {
	tcp, _ := bus(t, nil)
	if _, err := dial.Server(within(t), &url.URL{Scheme: "tls", Host: tcp.Host}, dial.Options{}); !errors.Is(err, dial.ErrNoTLS) {
		t.Errorf("%v, want %v", err, dial.ErrNoTLS)
	}
}

// says is a server that says something to whoever comes, and takes what it is
// told.
func says(t *testing.T, text func(net.Conn)) *url.URL {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				go func() { _, _ = io.Copy(io.Discard, c) }()
				text(c)
			}()
		}
	}()
	return &url.URL{Scheme: "nats", Host: l.Addr().String()}
}

func text(s string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = io.WriteString(c, s)
		_, _ = c.Read(make([]byte, 1)) // until it is closed
	}
}

func TestWhatIsNoServer(t *testing.T) {
	endless := func(begin string) func(net.Conn) {
		return func(c net.Conn) {
			_, err := io.WriteString(c, begin)
			for more := bytes.Repeat([]byte("N"), 64<<10); err == nil; {
				_, err = c.Write(more)
			}
		}
	}
	tests := []struct {
		name, scheme string
		text         func(net.Conn)
		want         error
		status       int
	}{
		{"SSH", "tls", text("SSH-2.0-OpenSSH_9.2p1\r\n"), dial.ErrNotNATS, 0},
		{"an INFO that is none", "tls", text("INFO hello\r\n"), dial.ErrNotNATS, 0},
		{"an endless INFO", "tls", endless("INFO {\"server_id\":\""), dial.ErrTooMuch, 0},
		{"an endless header", "ws", endless("HTTP/1.1 101 Switching Protocols\r\nX-More: "), dial.ErrTooMuch, 0},
		{"a page", "ws", text("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"), nil, 403},
		{"NATS for a web server", "ws", text("INFO {}\r\n"), dial.ErrNotNATS, 0},
		{"a web server for NATS", "nats", text("HTTP/1.1 400 Bad Request\r\n\r\n"), dial.ErrNotNATS, 0},
		{"a close", "nats", func(c net.Conn) {}, io.EOF, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := says(t, tt.text)
			u.Scheme = tt.scheme
			_, err := dial.Server(within(t), u, dial.Options{})
			var status *dial.StatusError
			switch {
			case tt.status > 0 && (!errors.As(err, &status) || status.Status != tt.status || status.Proxy):
				t.Errorf("%v, want status %d of the server", err, tt.status)
			case tt.status == 0 && !errors.Is(err, tt.want):
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

// A far end that stops in the middle of anything holds up nobody beyond the
// context.
func TestEndsWithItsContext(t *testing.T) {
	for _, scheme := range []string{"nats", "tls", "ws", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			u := says(t, func(c net.Conn) {
				if scheme == "nats" || scheme == "tls" {
					_, _ = io.WriteString(c, "INFO {\"tls_required\":true")
				}
				cancel()
				_, _ = c.Read(make([]byte, 1<<20))
				<-t.Context().Done()
			})
			u.Scheme = scheme
			if _, err := dial.Server(ctx, u, dial.Options{}); !errors.Is(err, context.Canceled) {
				t.Errorf("%v, want that the context ended", err)
			}
		})
	}
}

// proxy is an HTTP proxy that connects everything to one address.
type proxy struct {
	url   *url.URL
	asked atomic.Pointer[http.Request]
}

func newProxy(t *testing.T, to string, status int) *proxy {
	t.Helper()
	p := &proxy{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p.url = &url.URL{Scheme: "http", Host: l.Addr().String(), User: url.UserPassword("box", "secret")}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c, to, status)
		}
	}()
	return p
}

func (p *proxy) serve(c net.Conn, to string, status int) {
	defer c.Close()
	r := bufio.NewReader(c)
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	p.asked.Store(req)
	far, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer far.Close()
	// What a server says at once travels in one piece with the answer.
	first := make([]byte, 4096)
	n := 0
	if status == http.StatusOK && strings.Contains(req.Host, "4222") {
		n, _ = far.Read(first)
	}
	_, _ = fmt.Fprintf(c, "HTTP/1.1 %d Whatever\r\n\r\n%s", status, first[:n])
	go func() { _, _ = io.Copy(far, r) }()
	_, _ = io.Copy(c, far)
}

// Names are looked up by the proxy; a practice that has one may have no other
// way to resolve them.
func TestProxy(t *testing.T) {
	ca := trusttest.Named(t, "Vendor CA")
	leaf := ca.Leaf("fleet.example")
	tlsURL, wss := bus(t, &leaf)
	for _, tt := range []struct {
		scheme string
		far    *url.URL
		asked  string
	}{{"tls", tlsURL, "fleet.example:4222"}, {"wss", wss, "fleet.example:443"}} {
		t.Run(tt.scheme, func(t *testing.T) {
			p := newProxy(t, tt.far.Host, http.StatusOK)
			o := dial.Options{TLS: &tls.Config{RootCAs: ca.Pool(), Time: trusttest.At(trusttest.Today)}, Proxy: func(r *http.Request) (*url.URL, error) { return p.url, nil }}
			talk(t, &url.URL{Scheme: tt.scheme, Host: "fleet.example"}, o)
			req := p.asked.Load()
			if user, password, _ := parseBasic(req); req.Method != http.MethodConnect || req.Host != tt.asked || user != "box" || password != "secret" {
				t.Errorf("the proxy was asked %s %s by %q", req.Method, req.Host, user)
			}
		})
	}
}

func parseBasic(r *http.Request) (user, password string, ok bool) {
	auth := &http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	return auth.BasicAuth()
}

func TestProxyRefuses(t *testing.T) {
	tcp, _ := bus(t, nil)
	p := newProxy(t, tcp.Host, http.StatusForbidden)
	o := dial.Options{Proxy: func(*http.Request) (*url.URL, error) { return p.url, nil }}
	_, err := dial.Server(within(t), &url.URL{Scheme: "wss", Host: "fleet.example"}, o)
	var status *dial.StatusError
	if !errors.As(err, &status) || !status.Proxy || status.Status != http.StatusForbidden {
		t.Errorf("%v, want that the proxy answers with 403", err)
	}
}

func TestProxiesThatCannotServe(t *testing.T) {
	for _, tt := range []struct {
		p    *url.URL
		err  error
		want string
	}{
		{&url.URL{Scheme: "socks5", Host: "p:1"}, nil, "socks5:// are not supported"},
		{nil, errors.New("parse http://u:secret@p: bad"), "the proxy's address is not one"},
	} {
		_, err := dial.Server(within(t), &url.URL{Scheme: "wss", Host: "fleet.example"}, dial.Options{
			Proxy: func(*http.Request) (*url.URL, error) { return tt.p, tt.err }})
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
}

// Servers within the machine are asked without a proxy, whatever the environment
// says.
func TestNoProxyWithinTheMachine(t *testing.T) {
	tcp, web := bus(t, nil)
	o := dial.Options{Proxy: func(*http.Request) (*url.URL, error) { return nil, errors.New("asked") }}
	talk(t, tcp, o)
	talk(t, web, o)
}

// open connects to a server that lets everybody in and then says something.
func open(t *testing.T, after func(net.Conn)) *dial.Stream {
	t.Helper()
	u := says(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "INFO {\"max_payload\":1}\r\nPONG\r\n")
		after(c)
	})
	s, err := dial.Server(within(t), u, dial.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// What a server may say passes as it is, in whatever pieces it comes.
func TestWhatServersSay(t *testing.T) {
	const said = "PING\r\nINFO {\"x\":\"" + "\"} \r\n+OK\r\n-ERR 'Permissions Violation for Publish to \"a.b\"'\r\n" +
		"MSG _INBOX_b.x 1 5\r\nhello\r\nMSG a 2 c 0\r\n\r\nHMSG a 1 12 12\r\nNATS/1.0\r\n\r\n\r\nPONG\r\n"
	for _, step := range []int{1, 2, 7, len(said)} {
		s := open(t, func(c net.Conn) {
			for b := []byte(said); len(b) > 0; b = b[min(step, len(b)):] {
				if _, err := c.Write(b[:min(step, len(b))]); err != nil {
					return
				}
			}
		})
		b, err := io.ReadAll(s)
		first, rest, _ := strings.Cut(string(b), "\r\nPONG\r\n")
		if err != nil || rest != said || !strings.HasPrefix(first, "INFO {") {
			t.Errorf("in pieces of %d: got %q, %v", step, b, err)
		}
		if !s.Welcome() || !strings.HasPrefix(s.Refusal(), "Permissions Violation") {
			t.Errorf("welcome %v, refusal %q", s.Welcome(), s.Refusal())
		}
	}
}

func TestWhatNoServerSays(t *testing.T) {
	for name, said := range map[string]string{
		"a message that is too long":  "MSG a 1 262145\r\n",
		"a size beyond all numbers":   "MSG a 1 99999999999999999999999\r\n",
		"a size that wraps to 1":      "MSG a 1 18446744073709551617\r\n",
		"a size that is none":         "MSG a 1 1x\r\n",
		"no size":                     "MSG \r\n",
		"headers that are too long":   "HMSG a 1 10 300000\r\n",
		"a long line":                 "MSG " + strings.Repeat("a", 5000),
		"a long INFO":                 "INFO {" + strings.Repeat(" ", 70000),
		"a long error":                "-ERR '" + strings.Repeat("a", 5000),
		"another word":                "HELO\r\n",
		"a word of clients":           "PUB a 1\r\n",
		"a line without its return":   "PING\n",
		"a return within a line":      "MSG a\r1 5\r\n",
		"an empty line":               "\r\n",
		"a body without its end":      "MSG a 1 1\r\nxyPING\r\n",
		"a body with half its end":    "MSG a 1 1\r\nx\nPING\r\n",
		"more errors than any has":    strings.Repeat("-ERR 'no'\r\n", 1001),
		"more of itself than any has": strings.Repeat("INFO {}\r\n", 1001),
		"PONG and more":               "PONGPONG\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, text(said))
			if b, err := io.ReadAll(s); !errors.Is(err, dial.ErrTooMuch) {
				t.Errorf("got %.100q, %v", b, err)
			}
			if _, err := s.Read(make([]byte, 1)); !errors.Is(err, dial.ErrTooMuch) {
				t.Errorf("read on: %v", err)
			}
		})
	}
}

// The client itself ends with such a server, and does not reserve the memory.
func TestClientIsSpared(t *testing.T) {
	connected, closed := make(chan struct{}), make(chan struct{})
	u := says(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "INFO {\"headers\":true}\r\nPONG\r\n")
		<-connected
		text("MSG _INBOX.x 1 9999999999999999999\r\nx")(c)
	})
	nc, err := nats.Connect("nats://x", nats.SkipHostLookup(), nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(closed) }),
		nats.SetCustomDialer(by(func() (net.Conn, error) { return dial.Server(within(t), u, dial.Options{}) })))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	close(connected)
	select {
	case <-closed:
	case <-time.After(patience):
		t.Error("the client stays with a server that announces 9 EB")
	}
}

// frame is one of a server's, RFC 6455 section 5.2.
func frame(op byte, body []byte) []byte {
	b := []byte{0x80 | op}
	switch {
	case len(body) < 126:
		b = append(b, byte(len(body)))
	case len(body) < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(len(body)))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(len(body)))
	}
	return append(b, body...)
}

// frames lets a WebSocket server say something.
func frames(t *testing.T, b []byte) (*dial.Stream, chan []byte) {
	t.Helper()
	heard := make(chan []byte, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_, _ = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept(req))
		_, _ = c.Write(frame(2, []byte("INFO {}\r\n")))
		_, _ = c.Write(b)
		_ = c.(*net.TCPConn).CloseWrite()
		all, _ := io.ReadAll(r)
		heard <- all
	}()
	s, err := dial.Server(within(t), &url.URL{Scheme: "ws", Host: l.Addr().String()}, dial.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, heard
}

// accept answers a key, RFC 6455 section 4.2.2.
func accept(r *http.Request) string {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func TestFrames(t *testing.T) {
	more := frame(2, []byte("PI"))
	more[0] &^= 0x80 // not the last of its message
	b := bytes.Join([][]byte{more, frame(9, []byte("alive?")), frame(0, []byte("NG\r\n")), frame(2, nil), frame(10, []byte("x")),
		frame(2, []byte("MSG a 1 70000\r\n")), frame(2, append(bytes.Repeat([]byte("a"), 70000), "\r\n"...)), frame(8, []byte{3, 232})}, nil)
	s, heard := frames(t, b)
	got, err := io.ReadAll(s)
	_, rest, _ := strings.Cut(string(got), "\r\n")
	if want := "PING\r\nMSG a 1 70000\r\n" + strings.Repeat("a", 70000) + "\r\n"; err != nil || rest != want {
		t.Errorf("got %d bytes %.60q, %v; want %d", len(rest), rest, err, len(want))
	}
	if _, err := s.Write([]byte("PONG\r\n")); err != nil {
		t.Fatal(err)
	}
	s.Close()
	said := <-heard
	for _, want := range []struct {
		op   byte
		body string
	}{{10, "alive?"}, {8, "\x03\xe8"}, {2, "PONG\r\n"}} {
		if len(said) < 6+len(want.body) || said[0] != 0x80|want.op || said[1] != 0x80|byte(len(want.body)) {
			t.Fatalf("the server heard %x, want a masked %q", said, want.body)
		}
		key, body := said[2:6], said[6:6+len(want.body)]
		for i := range body {
			body[i] ^= key[i%4]
		}
		if string(body) != want.body {
			t.Errorf("the server heard %q, want %q", body, want.body)
		}
		said = said[6+len(want.body):]
	}
}

func TestBadFrames(t *testing.T) {
	for name, b := range map[string][]byte{
		"compressed":             {0xc2, 1, 'x'},
		"masked":                 {0x82, 0x81, 1, 2, 3, 4, 'x'},
		"text":                   {0x81, 1, 'x'},
		"unknown":                {0x83, 1, 'x'},
		"a long ping":            append([]byte{0x89, 126, 0, 126}, make([]byte, 126)...),
		"ends in a header":       {0x82, 126, 1},
		"ends in a body":         {0x82, 5, 'P'},
		"longer than the world":  {0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 'x'},
		"what no server says":    frame(2, []byte("MSG a 1 999999999\r\n")),
		"ends in a close":        {0x88, 2, 3},
		"a close without reason": nil,
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := frames(t, b)
			got, err := io.ReadAll(s)
			if b == nil && err != nil || b != nil && err == nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// FuzzStream gives the stream what any server might say. Whatever passes is a
// sequence of lines that servers write, no message of it too long.
func FuzzStream(f *testing.F) {
	f.Add([]byte("PING\r\nMSG a 1 5\r\nhello\r\n+OK\r\n"))
	f.Add([]byte("HMSG a 1 12 12\r\nNATS/1.0\r\n\r\n\r\nINFO {}\r\n-ERR 'x'\r\n"))
	f.Add([]byte("MSG a 1 18446744073709551617\r\nx\r\n"))
	f.Fuzz(func(t *testing.T, said []byte) {
		s := dial.NewStream(conn{r: bytes.NewReader(said)})
		got, err := io.ReadAll(s)
		_, rest, _ := bytes.Cut(got, []byte("\r\n")) // the INFO
		if err == nil && !bytes.Equal(rest, said) {
			t.Fatalf("%q came through as %q", said, rest)
		}
		for len(rest) > 0 && err == nil {
			line, after, whole := bytes.Cut(rest, []byte("\r\n"))
			if !whole {
				return
			}
			rest = after
			if words := strings.Fields(string(line)); strings.HasSuffix(words[0], "MSG") {
				n, err := strconv.Atoi(words[len(words)-1])
				if err != nil || n > 256<<10 {
					t.Fatalf("%q passed", line)
				}
				rest = rest[min(len(rest), n+2):]
			}
		}
	})
}

// FuzzFrames gives the WebSocket what any server might send.
func FuzzFrames(f *testing.F) {
	f.Add(frame(2, []byte("PING\r\n")))
	f.Add(append(frame(9, []byte("x")), frame(8, nil)...))
	f.Add([]byte{0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0})
	f.Fuzz(func(t *testing.T, said []byte) {
		got, _ := io.ReadAll(dial.NewWebSocket(conn{r: bytes.NewReader(said)}))
		if len(got) > len(said) {
			t.Errorf("%d bytes of %d", len(got), len(said))
		}
	})
}

// conn is a connection that is only read.
type conn struct {
	net.Conn
	r io.Reader
}

func (c conn) Read(b []byte) (int, error)  { return c.r.Read(b) }
func (c conn) Write(b []byte) (int, error) { return len(b), nil }
func (c conn) Close() error                { return nil }
