package web_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509/pkix"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/probetest"
	"github.com/sprechprobe/sprechprobe/agent/probe/web"
	"github.com/sprechprobe/sprechprobe/agent/trust"
	"github.com/sprechprobe/sprechprobe/agent/trust/trusttest"
)

const host = "video.practice.test"

// at is the target that an address stands for.
func at(addr net.Addr) agent.Target {
	ap := netip.MustParseAddrPort(addr.String())
	return agent.Target{Host: host, Port: ap.Port(), Transport: agent.TCP, Service: agent.HTTPS}.At(ap.Addr(), agent.TLS)
}

// serve answers each connection to a loopback port by do.
func serve(t testing.TB, do func(net.Conn)) agent.Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	conns := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[conn] = true
			mu.Unlock()
			wg.Go(func() {
				defer conn.Close()
				do(conn)
				mu.Lock()
				delete(conns, conn)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return at(l.Addr())
}

// overTLS is do behind a handshake.
func overTLS(cert tls.Certificate, do func(net.Conn)) func(net.Conn) {
	return func(raw net.Conn) {
		conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{cert}})
		if conn.Handshake() == nil {
			do(conn)
		}
	}
}

// site is a real HTTP server over TLS.
func site(t testing.TB, cert tls.Certificate, h http.HandlerFunc) agent.Target {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = quiet()
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return at(s.Listener.Addr())
}

// verdict is the part of evidence that tests compare.
type verdict struct {
	Outcome agent.Outcome
	Grade   agent.Grade
	Reason  agent.Reason
}

func of(e agent.Evidence) verdict { return verdict{e.Outcome, e.Grade, e.Reason} }

func redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func dated(date time.Time, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", date.UTC().Format(http.TimeFormat))
		h(w, r)
	}
}

func TestHTTPSGradesAnswers(t *testing.T) {
	ca := trusttest.Named(t, "Test CA")
	foreign := trusttest.New(t, pkix.Name{CommonName: "Securepoint UTM CA"})
	good, wrongName, intercepted := ca.Leaf(host), ca.Leaf("other.test"), foreign.Leaf(host)
	answered := func(why agent.Reason) verdict { return verdict{agent.Answered, agent.GradeA, why} }
	tampered := func(why agent.Reason) verdict { return verdict{agent.Tampered, agent.GradeC, why} }
	late := trusttest.Dead.AddDate(0, 0, 2)
	tests := []struct {
		name   string
		cert   tls.Certificate
		h      http.HandlerFunc
		now    time.Time // zero: trusttest.Today
		want   verdict
		values agent.Values // that must be there
		absent []agent.Key
	}{
		{name: "page", cert: good, h: status(200), want: answered(""),
			values: agent.Values{"http_status": 200.0, "tls_issuer": "Test CA", "clock_skew_s": 0.0, "http_via": false}, absent: []agent.Key{"tls_maker", "location_host", "ws_upgrade"}},
		{name: "passed on by a proxy", cert: good, h: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Via", "1.1 front.practice.test") }, want: answered(""), values: agent.Values{"http_via": true}},
		{name: "expires in five days", cert: good, now: trusttest.Dead.AddDate(0, 0, -5), h: dated(trusttest.Dead.AddDate(0, 0, -5), status(200)), want: answered(""),
			values: agent.Values{"cert_expires_at": "2026-04-01T00:00:00Z"}},
		{name: "needs login", cert: good, h: status(401), want: answered(""), values: agent.Values{"http_status": 401.0}},
		{name: "forbidden by the service", cert: good, h: status(403), want: answered("")},
		{name: "not found", cert: good, h: status(404), want: answered("")},
		{name: "wants an upgrade", cert: good, h: status(426), want: answered("")},
		{name: "down", cert: good, h: status(503), want: answered(agent.HTTPError), values: agent.Values{"http_status": 503.0}},
		{name: "redirect within", cert: good, h: redirect("/login"), want: answered(""), absent: []agent.Key{"location_host"}},
		{name: "redirect to parent", cert: good, h: redirect("https://practice.test/"), want: answered(""), absent: []agent.Key{"location_host"}},
		{name: "redirect away", cert: good, h: redirect("https://login.elsewhere.test/x"), want: answered(""), values: agent.Values{"location_host": "login.elsewhere.test"}},
		{name: "wrong name", cert: wrongName, h: status(200), want: tampered(agent.TLSWrongName)},
		{name: "intercepted", cert: intercepted, h: status(200), want: tampered(agent.TLSUnknownCA),
			values: agent.Values{"http_status": 200.0, "tls_issuer": "Securepoint UTM CA", "tls_maker": "Securepoint"}, absent: []agent.Key{"clock_skew_s"}},
		{name: "intercepted, service down", cert: intercepted, h: status(503), want: tampered(agent.TLSUnknownCA)},
		{name: "block page", cert: intercepted, h: status(403), want: tampered(agent.BlockPage)},
		{name: "block page for legal reasons", cert: intercepted, h: status(451), want: tampered(agent.BlockPage)},
		{name: "portal", cert: intercepted, h: redirect("http://10.0.0.1:8080/login"), want: tampered(agent.BlockPage), values: agent.Values{"location_host": "10.0.0.1"}},
		{name: "expired", cert: good, now: late, h: dated(late, status(200)), want: answered(agent.TLSExpired), values: agent.Values{"cert_expires_at": "2026-04-01T00:00:00Z"}},
		{name: "expired and down", cert: good, now: late, h: dated(late, status(503)), want: answered(agent.TLSExpired)},
		{name: "our clock past the end", cert: good, now: late, h: dated(trusttest.Today, status(200)), want: answered(agent.TLSClock)},
		{name: "our clock in 1970", cert: good, now: time.Unix(60, 0), h: dated(trusttest.Today, status(200)), want: answered(agent.TLSClock)},
		{name: "our clock two days ahead", cert: good, now: trusttest.Today.AddDate(0, 0, 2).Add(300 * time.Millisecond), h: dated(trusttest.Today, status(200)), want: answered(""), values: agent.Values{"clock_skew_s": -172800.0}},
		{name: "date out of a cache", cert: good, h: dated(trusttest.Born, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Age", "99") }), want: answered(""), absent: []agent.Key{"clock_skew_s"}},
		{name: "absurd date", cert: good, h: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Date", "yesterday") }, want: answered(""), absent: []agent.Key{"clock_skew_s"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now := tt.now
			if now.IsZero() {
				now = trusttest.Today
			}
			h := tt.h
			if tt.name == "page" {
				h = dated(now, h)
			}
			e := web.HTTPS(trust.Checker{Roots: ca.Pool(), Now: trusttest.At(now)})(t.Context(), site(t, tt.cert, h))
			if d := cmp.Diff(tt.want, of(e)); d != "" {
				t.Errorf("evidence (-want +got):\n%s%v", d, e.Values)
			}
			for k, want := range tt.values {
				if got := e.Values[k]; got != want {
					t.Errorf("%s = %v, want %v", k, got, want)
				}
			}
			for _, k := range append(tt.absent, agent.Detail) {
				if got, there := e.Values[k]; there {
					t.Errorf("%s = %v, want none", k, got)
				}
			}
			for _, k := range []agent.Key{agent.ConnectTime, agent.TLSTime, agent.RTT} {
				if _, ok := e.Values.Num(k); !ok {
					t.Errorf("%s is missing", k)
				}
			}
		})
	}
}

func TestHTTPSAsksAsItSays(t *testing.T) {
	ca := trusttest.Named(t, "Test CA")
	asked := make(chan *http.Request, 1)
	target := site(t, ca.Leaf(host), func(_ http.ResponseWriter, r *http.Request) { asked <- r })
	web.HTTPS(trust.Checker{Roots: ca.Pool(), Now: trusttest.At(trusttest.Today)})(t.Context(), target)
	r := <-asked
	got := []string{r.Method, r.URL.String(), r.Host, r.UserAgent(), r.TLS.ServerName, r.TLS.NegotiatedProtocol}
	want := []string{"GET", "/", netHost(target), "sprechprobe", host, "http/1.1"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("request (-want +got):\n%s", d)
	}
}

func netHost(t agent.Target) string { return strings.TrimSuffix(t.String(), "/tcp") }

// endless writes s until the other side has gone.
func endless(s string) func(net.Conn) {
	return func(c net.Conn) {
		s := []byte(strings.Repeat(s, 1024))
		for {
			if _, err := c.Write(s); err != nil {
				return
			}
		}
	}
}

func say(s string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, s)
	}
}

func hold(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func reset(c net.Conn) {
	_, _ = c.Read(make([]byte, 1))
	_ = c.(*net.TCPConn).SetLinger(0)
}

// drip writes a header that never ends, a byte at a time.
func drip(c net.Conn) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "); err != nil {
		return
	}
	for range tick.C {
		if _, err := io.WriteString(c, "x"); err != nil {
			return
		}
	}
}

func TestHTTPSAmongHostileServers(t *testing.T) {
	ca := trusttest.Named(t, "Test CA")
	cert := ca.Leaf(host)
	refused := func(why agent.Reason) verdict { return verdict{agent.Refused, agent.GradeB, why} }
	tampered := func(why agent.Reason) verdict { return verdict{agent.Tampered, agent.GradeC, why} }
	silent := verdict{agent.Silent, agent.GradeE, agent.Timeout}
	tests := []struct {
		name string
		do   func(net.Conn)
		want verdict
	}{
		{"HTTP on the TLS port", say("HTTP/1.1 400 Bad Request\r\n\r\n"), tampered(agent.NotTLS)},
		{"reset after the hello", reset, refused(agent.ResetAfter)},
		{"close after the hello", func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)) }, refused(agent.Closed)},
		{"silence after the hello", hold, silent},
		{"endless header", overTLS(cert, endless("HTTP/1.1 200 OK\r\nX: y\r\n")), tampered(agent.Garbage)},
		{"endless header line", overTLS(cert, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX: ")
			endless("y")(c)
		}), tampered(agent.TooMuch)},
		{"endless header of many lines", overTLS(cert, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			endless("X: y\r\n")(c)
		}), tampered(agent.TooMuch)},
		{"endless interim answers", overTLS(cert, endless("HTTP/1.1 103 Early Hints\r\n\r\n")), tampered(agent.TooMuch)},
		{"a byte now and then", overTLS(cert, drip), silent},
		{"endless body", overTLS(cert, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			endless("y")(c)
		}), verdict{agent.Answered, agent.GradeA, ""}},
		{"interim answers", overTLS(cert, say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")), verdict{agent.Answered, agent.GradeA, ""}},
		{"banner", overTLS(cert, say("SSH-2.0-OpenSSH_9.2\r\n")), tampered(agent.Garbage)},
		{"NATS", overTLS(cert, say("INFO {}\r\n")), tampered(agent.Garbage)},
		{"status that is none", overTLS(cert, say("HTTP/1.1 abc OK\r\n\r\n")), tampered(agent.Garbage)},
		{"close in place of an answer", overTLS(cert, say("")), refused(agent.Closed)},
		{"close inside the header", overTLS(cert, say("HTTP/1.1 200 OK\r\nContent-")), refused(agent.Closed)},
		{"silence after TLS", overTLS(cert, hold), silent},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			e := web.HTTPS(trust.Checker{Roots: ca.Pool(), Now: trusttest.At(trusttest.Today)})(ctx, serve(t, tt.do))
			if d := cmp.Diff(tt.want, of(e)); d != "" {
				t.Errorf("evidence (-want +got):\n%s%v", d, e.Values)
			}
			if _, ok := e.Values.Num(agent.ConnectTime); !ok {
				t.Error("connect_ms is missing")
			}
		})
	}
}

func TestHTTPSClosedPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := at(l.Addr())
	l.Close()
	want := verdict{agent.Refused, agent.GradeB, agent.Reset}
	if got := of(web.HTTPS(trust.Checker{})(t.Context(), target)); got != want {
		t.Errorf("HTTPS: got %v, want %v", got, want)
	}
	if got := of(web.Captive(t.Context(), target)); got != want {
		t.Errorf("Captive: got %v, want %v", got, want)
	}
}

func TestUpgrade(t *testing.T) {
	ca := trusttest.Named(t, "Test CA")
	foreign := trusttest.Named(t, "Other CA")
	accept := func(w http.ResponseWriter, r *http.Request) {
		if c, err := websocket.Accept(w, r, nil); err == nil {
			_ = c.CloseNow()
		}
	}
	tests := []struct {
		name   string
		ca     *trusttest.Authority
		page   http.HandlerFunc
		ws     http.HandlerFunc
		want   verdict
		values agent.Values
		absent []agent.Key
	}{
		{name: "passes", ws: accept, want: verdict{agent.Answered, agent.GradeA, ""}, values: agent.Values{"ws_status": 101.0, "ws_upgrade": true}},
		{name: "stripped", ws: status(400), want: verdict{agent.Answered, agent.GradeA, agent.UpgradeRefused}, values: agent.Values{"ws_status": 400.0, "ws_upgrade": false}},
		{name: "a page in place", ws: status(200), want: verdict{agent.Answered, agent.GradeA, agent.UpgradeRefused}, values: agent.Values{"ws_status": 200.0, "ws_upgrade": false}},
		{name: "somebody else's key", ws: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Upgrade", "websocket")
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
			w.WriteHeader(http.StatusSwitchingProtocols)
		}, want: verdict{agent.Answered, agent.GradeA, agent.UpgradeRefused}, values: agent.Values{"ws_status": 101.0, "ws_upgrade": false}},
		{name: "cut off", ws: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			want: verdict{agent.Answered, agent.GradeA, agent.UpgradeRefused}, values: agent.Values{"ws_upgrade": false, "detail": "upgrade: closed"}, absent: []agent.Key{"ws_status"}},
		{name: "service down", page: status(502), ws: status(502), want: verdict{agent.Answered, agent.GradeA, agent.HTTPError}, values: agent.Values{"ws_upgrade": false}},
		{name: "passes an interceptor", ca: foreign, ws: accept, want: verdict{agent.Tampered, agent.GradeC, agent.TLSUnknownCA}, values: agent.Values{"ws_upgrade": true}},
		{name: "stripped by an interceptor", ca: foreign, ws: status(400), want: verdict{agent.Tampered, agent.GradeC, agent.TLSUnknownCA}, values: agent.Values{"ws_upgrade": false}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			signer := tt.ca
			if signer == nil {
				signer = ca
			}
			target := site(t, signer.Leaf(host), func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path != "/signal/v1":
					if tt.page != nil {
						tt.page(w, r)
					}
				case r.Header["Origin"] != nil:
					t.Error("an Origin was sent")
				default:
					tt.ws(w, r)
				}
			})
			target.Path = "/signal/v1"
			e := web.HTTPS(trust.Checker{Roots: ca.Pool(), Now: trusttest.At(trusttest.Today)})(t.Context(), target)
			if d := cmp.Diff(tt.want, of(e)); d != "" {
				t.Errorf("evidence (-want +got):\n%s%v", d, e.Values)
			}
			for k, want := range tt.values {
				if got := e.Values[k]; got != want {
					t.Errorf("%s = %v, want %v", k, got, want)
				}
			}
			for _, k := range tt.absent {
				if got, there := e.Values[k]; there {
					t.Errorf("%s = %v, want none", k, got)
				}
			}
		})
	}
}

func TestConform(t *testing.T) {
	ca := trusttest.Named(t, "Test CA")
	good := site(t, ca.Leaf(host), status(200))
	silent := serve(t, hold)
	silentTLS := serve(t, overTLS(ca.Leaf(host), hold))
	c := trust.Checker{Roots: ca.Pool(), Now: trusttest.At(trusttest.Today)}
	t.Run("before TLS", func(t *testing.T) { probetest.Conform(t, web.HTTPS(c), good, silent) })
	t.Run("after TLS", func(t *testing.T) { probetest.Conform(t, web.HTTPS(c), good, silentTLS) })
	plain := httptest.NewServer(status(200))
	t.Cleanup(plain.Close)
	t.Run("captive", func(t *testing.T) { probetest.Conform(t, web.Captive, at(plain.Listener.Addr()), silent) })
}
