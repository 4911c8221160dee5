package nats_test

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
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/nats"
	"github.com/sprechprobe/sprechprobe/agent/probe/probetest"
	"github.com/sprechprobe/sprechprobe/agent/trust"
	"github.com/sprechprobe/sprechprobe/agent/trust/trusttest"
)

const host = "nats1.practice.test"

func at(t testing.TB, addr string) agent.Target {
	t.Helper()
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return agent.Target{Host: host, Port: ap.Port(), Transport: agent.TCP, Service: agent.NATS}.At(ap.Addr(), "")
}

// start runs a real server. The target is its WebSocket listener where it has
// one.
func start(t testing.TB, opts server.Options) agent.Target {
	t.Helper()
	opts.Host, opts.Port, opts.NoLog, opts.NoSigs = "127.0.0.1", -1, true, true
	s, err := server.NewServer(&opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	ports := s.PortsInfo(20 * time.Second)
	if ports == nil {
		t.Fatal("the server does not get ready")
	}
	addr := ports.Nats[0]
	if len(ports.WebSocket) > 0 {
		addr = ports.WebSocket[0]
	}
	u, err := url.Parse(addr)
	if err != nil {
		t.Fatal(err)
	}
	return at(t, u.Host)
}

func secured(cert tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}

func socket(cert *tls.Certificate) server.WebsocketOpts {
	w := server.WebsocketOpts{Host: "127.0.0.1", Port: -1, NoTLS: cert == nil, AllowedOrigins: []string{"https://pnm.practice.test"}}
	if cert != nil {
		w.TLSConfig = secured(*cert)
	}
	return w
}

// verdict is the part of evidence that tests compare.
type verdict struct {
	Outcome agent.Outcome
	Grade   agent.Grade
	Reason  agent.Reason
	Variant agent.Variant
}

func of(e agent.Evidence) verdict { return verdict{e.Outcome, e.Grade, e.Reason, e.Target.Variant} }

func answered(v agent.Variant) verdict { return verdict{agent.Answered, agent.GradeA, "", v} }

func TestRealServers(t *testing.T) {
	ca := trusttest.Named(t, "Test CA")
	leaf := ca.Leaf(host)
	tests := []struct {
		name string
		opts server.Options
		want []verdict // any of these
		vals agent.Values
	}{
		{name: "plain", opts: server.Options{}, want: []verdict{answered(agent.Plain)},
			vals: agent.Values{"nats_version": server.VERSION, "nats_auth_required": false, "nats_tls_required": false, "rungs": "info:ok"}},
		{name: "plain with auth", opts: server.Options{Username: "u", Password: "p"}, want: []verdict{answered(agent.Plain)},
			vals: agent.Values{"nats_auth_required": true}},
		{name: "TLS", opts: server.Options{TLS: true, TLSConfig: secured(leaf)}, want: []verdict{answered(agent.TLS)},
			vals: agent.Values{"nats_tls_required": true, "tls_issuer": "Test CA", "rungs": "info:ok tls:ok"}},
		{name: "TLS optional", opts: server.Options{TLS: true, TLSConfig: secured(leaf), AllowNonTLS: true}, want: []verdict{answered(agent.Plain)},
			vals: agent.Values{"nats_tls_required": false}},
		{name: "TLS first", opts: server.Options{TLS: true, TLSConfig: secured(leaf), TLSHandshakeFirst: true, Username: "u", Password: "p"}, want: []verdict{answered(agent.TLSFirst)},
			vals: agent.Values{"nats_auth_required": true, "tls_issuer": "Test CA"}},
		{name: "TLS first, with fallback", opts: server.Options{TLS: true, TLSConfig: secured(leaf), TLSHandshakeFirst: true, TLSHandshakeFirstFallback: 50 * time.Millisecond},
			want: []verdict{answered(agent.TLSFirst), answered(agent.TLS)}, vals: agent.Values{"tls_issuer": "Test CA"}},
		{name: "WebSocket over TLS", opts: server.Options{Websocket: socket(&leaf), Username: "u", Password: "p"}, want: []verdict{answered(agent.WSS)},
			vals: agent.Values{"ws_status": 101.0, "ws_upgrade": true, "nats_auth_required": true, "tls_issuer": "Test CA", "rungs": "tls:ok upgrade:101"}},
		{name: "WebSocket", opts: server.Options{Websocket: socket(nil)}, want: []verdict{answered(agent.WS)},
			vals: agent.Values{"ws_status": 101.0, "nats_version": server.VERSION, "rungs": "tls:not-tls ws:101"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			target := start(t, tt.opts)
			e := nats.Probe(trust.Checker{Roots: ca.Pool(), Now: trusttest.At(trusttest.Today)})(t.Context(), target)
			if got := of(e); got != tt.want[0] && got != tt.want[len(tt.want)-1] {
				t.Errorf("evidence %v, want one of %v\n%v", got, tt.want, e.Values)
			}
			for k, want := range tt.vals {
				if got := e.Values[k]; got != want {
					t.Errorf("%s = %v, want %v", k, got, want)
				}
			}
			for _, k := range []agent.Key{agent.ConnectTime, agent.RTT} {
				if _, ok := e.Values.Num(k); !ok {
					t.Errorf("%s is missing", k)
				}
			}
			if got := e.Values.Text(agent.ClientAddr); got != "127.0.0.1" {
				t.Errorf("client_addr = %q, want the loopback's", got)
			}
		})
	}
}

// Bad chains never hide that NATS is behind them.
func TestCertificates(t *testing.T) {
	ca := trusttest.Named(t, "Test CA")
	good, wrongName := ca.Leaf(host), ca.Leaf("other.test")
	intercepted := trusttest.New(t, pkix.Name{CommonName: "FGT60", Organization: []string{"Fortinet"}}).Leaf(host)
	variants := map[agent.Variant]func(tls.Certificate) server.Options{
		agent.TLS: func(c tls.Certificate) server.Options { return server.Options{TLS: true, TLSConfig: secured(c)} },
		agent.TLSFirst: func(c tls.Certificate) server.Options {
			return server.Options{TLS: true, TLSConfig: secured(c), TLSHandshakeFirst: true}
		},
		agent.WSS: func(c tls.Certificate) server.Options { return server.Options{Websocket: socket(&c)} },
	}
	tests := []struct {
		name  string
		cert  tls.Certificate
		now   time.Time
		want  verdict
		maker string
	}{
		{"good", good, trusttest.Today, verdict{Outcome: agent.Answered, Grade: agent.GradeA}, ""},
		{"two days off", good, trusttest.Today.AddDate(0, 0, 2), verdict{Outcome: agent.Answered, Grade: agent.GradeA}, ""},
		{"expired", good, trusttest.Dead.AddDate(0, 0, 2), verdict{Outcome: agent.Answered, Grade: agent.GradeA, Reason: agent.TLSExpired}, ""},
		{"wrong name", wrongName, trusttest.Today, verdict{Outcome: agent.Tampered, Grade: agent.GradeC, Reason: agent.TLSWrongName}, ""},
		{"wrong CA", intercepted, trusttest.Today, verdict{Outcome: agent.Tampered, Grade: agent.GradeC, Reason: agent.TLSUnknownCA}, "Fortinet"},
	}
	for _, tt := range tests {
		for v, opts := range variants {
			t.Run(tt.name+" "+string(v), func(t *testing.T) {
				t.Parallel()
				e := nats.Probe(trust.Checker{Roots: ca.Pool(), Now: trusttest.At(tt.now)})(t.Context(), start(t, opts(tt.cert)))
				want := tt.want
				want.Variant = v
				if d := cmp.Diff(want, of(e)); d != "" {
					t.Errorf("evidence (-want +got):\n%s%v", d, e.Values)
				}
				if got := e.Values.Text(agent.NATSVersion); got != server.VERSION {
					t.Errorf("nats_version = %q, want %q", got, server.VERSION)
				}
				if got, ends := e.Values.Text(agent.CertExpires), trusttest.Dead.Format(time.RFC3339); got != ends {
					t.Errorf("cert_expires_at = %q, want %q", got, ends)
				}
				if got := e.Values.Text(agent.TLSMaker); got != tt.maker {
					t.Errorf("tls_maker = %q, want %q", got, tt.maker)
				}
			})
		}
	}
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
	return at(t, l.Addr().String())
}

// overTLS is do behind a handshake, and what speaks no TLS gets nothing.
func overTLS(cert tls.Certificate, do func(net.Conn)) func(net.Conn) {
	return func(raw net.Conn) {
		conn := tls.Server(raw, secured(cert))
		if conn.Handshake() == nil {
			do(conn)
		}
	}
}

func hold(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func say(s string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = io.WriteString(c, s)
		hold(c)
	}
}

// endless writes first and then s until the other side has gone, and counts.
func endless(first, s string, sent *atomic.Int64) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = io.WriteString(c, first)
		part := []byte(strings.Repeat(s, 4096/len(s)))
		for {
			n, err := c.Write(part)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}
}

func reset(c net.Conn) {
	_, _ = c.Read(make([]byte, 1))
	_ = c.(*net.TCPConn).SetLinger(0)
}

// drip says s a byte at a time.
func drip(s string) func(net.Conn) {
	return func(c net.Conn) {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for i := range len(s) {
			if _, err := io.WriteString(c, s[i:i+1]); err != nil {
				return
			}
			<-tick.C
		}
	}
}

// reply answers each HTTP request by s.
func reply(s string) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, s)
			hold(c)
		}
	}
}

// switched accepts an upgrade as it ought to and goes on with s.
func switched(s string) func(net.Conn) {
	return func(c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+
			accept(r.Header.Get("Sec-WebSocket-Key"))+"\r\n\r\n"+s)
		hold(c)
	}
}

const info = `INFO {"server_id":"NABC","version":"2.10.0","auth_required":true,"client_ip":"203.0.113.7","nonce":"x","connect_urls":["10.0.0.1:4222"]}` + "\r\n"

func TestHostileServers(t *testing.T) {
	ca := trusttest.Named(t, "Test CA")
	cert, intercepted := ca.Leaf(host), trusttest.Named(t, "Other CA").Leaf(host)
	refused := func(why agent.Reason) verdict { return verdict{agent.Refused, agent.GradeB, why, ""} }
	tampered := func(why agent.Reason) verdict { return verdict{agent.Tampered, agent.GradeC, why, ""} }
	noInfo := verdict{agent.Silent, agent.GradeE, agent.NoInfo, ""}
	var sent [7]atomic.Int64
	tests := []struct {
		name  string
		do    func(net.Conn)
		want  verdict
		rungs string // empty: not compared
		vals  agent.Values
	}{
		{name: "silence", do: hold, want: noInfo, rungs: "info:timeout tls:timeout"},
		{name: "reset after the hello", do: reset, want: refused(agent.ResetAfter), rungs: "info:timeout tls:rst-after-connect"},
		{name: "close at once", do: func(net.Conn) {}, want: refused(agent.Closed)},
		{name: "SSH", do: say("SSH-2.0-OpenSSH_9.2\r\n"), want: tampered(agent.Garbage), rungs: "info:bad-answer tls:not-tls ws:bad-answer"},
		{name: "HTTP unasked", do: say("HTTP/1.1 408 Request Timeout\r\n\r\n"), want: tampered(agent.HTTPAnswer)},
		{name: "HTTP in the clear, closing at the hello", do: reply("HTTP/1.1 200 OK\r\n\r\n"), want: refused(agent.Closed)},
		{name: "INFO of 1 GiB", do: endless("INFO {", "\"x\":1,", &sent[0]), want: tampered(agent.TooMuch)},
		{name: "INFO of 1 GiB over TLS", do: overTLS(cert, endless("INFO {", "\"x\":1,", &sent[1])), want: tampered(agent.TooMuch)},
		{name: "zeroes", do: endless("", "\x00", &sent[2]), want: tampered(agent.Garbage)},
		{name: "INFO that is no JSON", do: say("INFO hello\r\n"), want: tampered(agent.Garbage)},
		{name: "INFO of nobody", do: say("INFO {}\r\n"), want: tampered(agent.Garbage)},
		{name: "INFO with an address", do: say(info), want: answered(agent.Plain), vals: agent.Values{"client_addr": "203.0.113.7"}},
		{name: "INFO with a mapped address", do: say(strings.Replace(info, "203.0.113.7", "::ffff:203.0.113.7", 1)), want: answered(agent.Plain), vals: agent.Values{"client_addr": "203.0.113.7"}},
		{name: "INFO with a false address", do: say(strings.Replace(info, "203.0.113.7", "<b>203.0.113.7", 1)), want: answered(agent.Plain), vals: agent.Values{"client_addr": nil}},
		{name: "a byte a second", do: drip(info), want: noInfo},
		{name: "-ERR", do: say("-ERR 'maximum connections exceeded'\r\n"), want: answered(agent.Plain), rungs: "info:ok", vals: agent.Values{"detail": "maximum connections exceeded"}},
		{name: "INFO, and TLS is reset", do: func(c net.Conn) {
			_, _ = io.WriteString(c, strings.Replace(info, "{", `{"tls_required":true,`, 1))
			reset(c)
		}, want: verdict{agent.Refused, agent.GradeB, agent.ResetAfter, agent.Plain}, rungs: "info:ok tls:rst-after-connect", vals: agent.Values{"nats_version": "2.10.0"}},
		{name: "INFO, and TLS is swallowed", do: say(strings.Replace(info, "{", `{"tls_required":true,`, 1)),
			want: verdict{agent.Silent, agent.GradeE, agent.Timeout, agent.Plain}, rungs: "info:ok tls:timeout"},
		{name: "INFO, and TLS is refused by alert", do: func(c net.Conn) {
			_, _ = io.WriteString(c, strings.Replace(info, "{", `{"tls_required":true,`, 1))
			_, _ = c.Read(make([]byte, 4096))
			_, _ = c.Write([]byte{21, 3, 3, 0, 2, 2, 116})
			hold(c)
		}, want: verdict{agent.Answered, agent.GradeA, agent.TLSAlert, agent.Plain}},
		{name: "alert", do: func(c net.Conn) {
			_, _ = c.Read(make([]byte, 4096))
			_, _ = c.Write([]byte{21, 3, 3, 0, 2, 2, 40})
			hold(c)
		}, want: refused(agent.TLSAlert)},
		{name: "TLS and silence", do: overTLS(cert, hold), want: noInfo, rungs: "info:timeout tls:ok upgrade:timeout"},
		{name: "TLS and close", do: overTLS(cert, reply("")), want: noInfo},
		{name: "TLS and a banner", do: overTLS(cert, say("220 mail.test ESMTP\r\n")), want: tampered(agent.Garbage), rungs: "info:timeout tls:ok tls-info:bad-answer"},
		{name: "late INFO over TLS", do: overTLS(cert, reply(info)), want: answered(agent.TLSFirst), rungs: "tls:ok upgrade:ok"},
		{name: "upgrade refused", do: overTLS(cert, reply("HTTP/1.1 403 Forbidden\r\n\r\n")), want: refused(agent.UpgradeRefused), rungs: "info:timeout tls:ok upgrade:403", vals: agent.Values{"ws_status": 403.0, "ws_upgrade": false}},
		{name: "upgrade answered by a page", do: overTLS(cert, reply("HTTP/1.1 200 OK\r\n\r\n<html>")), want: refused(agent.UpgradeRefused), vals: agent.Values{"ws_status": 200.0}},
		{name: "upgrade redirected", do: overTLS(cert, reply("HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\n\r\n")), want: refused(agent.UpgradeRefused), vals: agent.Values{"ws_status": 302.0}},
		{name: "upgrade with a wrong key", do: overTLS(cert, reply("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x82\x05INFO ")), want: refused(agent.UpgradeRefused), vals: agent.Values{"ws_status": 101.0, "ws_upgrade": false}},
		{name: "upgrade refused by an interceptor", do: overTLS(intercepted, reply("HTTP/1.1 403 Forbidden\r\n\r\n")), want: tampered(agent.TLSUnknownCA), rungs: "info:timeout tls:tls-unknown-authority upgrade:403", vals: agent.Values{"ws_status": 403.0, "tls_issuer": "Other CA"}},
		{name: "silence behind an interceptor", do: overTLS(intercepted, hold), want: tampered(agent.TLSUnknownCA)},
		{name: "endless header", do: overTLS(cert, func(c net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(c))
			endless("HTTP/1.1 101 Switching Protocols\r\n", "X: y\r\n", &sent[3])(c)
		}), want: tampered(agent.TooMuch)},
		{name: "WebSocket of something else", do: overTLS(cert, switched("\x82\x05hello")), want: tampered(agent.Garbage), rungs: "info:timeout tls:ok upgrade:101 frame:bad-answer", vals: agent.Values{"ws_upgrade": true}},
		{name: "WebSocket of text", do: overTLS(cert, switched("\x81\x05INFO ")), want: tampered(agent.Garbage)},
		{name: "WebSocket that closes", do: overTLS(cert, switched("\x88\x02\x03\xe8")), want: refused(agent.Closed)},
		{name: "WebSocket that is silent", do: overTLS(cert, switched("")), want: noInfo, rungs: "info:timeout tls:ok upgrade:101 frame:timeout"},
		{name: "WebSocket that lies about its length", do: overTLS(cert, switched("\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff"+info)), want: answered(agent.WSS), vals: agent.Values{"nats_version": "2.10.0"}},
		{name: "WebSocket of 1 GiB", do: overTLS(cert, func(c net.Conn) {
			switchedThen(c, endless("\x82\x7f\x00\x00\x00\x00\x40\x00\x00\x00INFO {", "\"x\":1,", &sent[4]))
		}), want: tampered(agent.TooMuch)},
		{name: "WebSocket of endless pings", do: overTLS(cert, func(c net.Conn) { switchedThen(c, endless("", "\x89\x00", &sent[5])) }), want: tampered(agent.TooMuch)},
		{name: "WebSocket of endless nothing", do: overTLS(cert, func(c net.Conn) { switchedThen(c, endless("\x02\x00", "\x00\x00", &sent[6])) }), want: tampered(agent.TooMuch)},
		{name: "WebSocket with a ping and fragments", do: overTLS(cert, switched("\x89\x01x\x02\x03INF\x80\x7e\x00"+string([]byte{byte(len(info) - 3)})+info[3:])), want: answered(agent.WSS)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			e := nats.Probe(trust.Checker{Roots: ca.Pool(), Now: trusttest.At(trusttest.Today)})(t.Context(), serve(t, tt.do))
			if d := cmp.Diff(tt.want, of(e)); d != "" {
				t.Errorf("evidence (-want +got):\n%s%v", d, e.Values)
			}
			if got := e.Values.Text(agent.Rungs); tt.rungs != "" && got != tt.rungs {
				t.Errorf("rungs = %q, want %q", got, tt.rungs)
			}
			for k, want := range tt.vals {
				if got := e.Values[k]; got != want {
					t.Errorf("%s = %v, want %v", k, got, want)
				}
			}
			if _, ok := e.Values.Num(agent.ConnectTime); !ok {
				t.Error("connect_ms is missing")
			}
			if took := time.Since(began); took > 9*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
	t.Cleanup(func() {
		for i := range sent {
			if n := sent[i].Load(); n == 0 || n > 16<<20 {
				t.Errorf("endless answer %d: %d bytes were taken", i, n)
			}
		}
	})
}

func switchedThen(c net.Conn, then func(net.Conn)) {
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return
	}
	_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+
		accept(r.Header.Get("Sec-WebSocket-Key"))+"\r\n\r\n")
	then(c)
}

// A web server where NATS ought to be, without TLS.
func TestHTTPInTheClear(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	e := nats.Probe(trust.Checker{})(t.Context(), at(t, s.Listener.Addr().String()))
	if d := cmp.Diff(verdict{agent.Tampered, agent.GradeC, agent.HTTPAnswer, ""}, of(e)); d != "" {
		t.Errorf("evidence (-want +got):\n%s", d)
	}
	if got, want := e.Values.Text(agent.Rungs), "info:timeout tls:not-tls ws:404"; got != want {
		t.Errorf("rungs = %q, want %q", got, want)
	}
}

// What else INFO says stays out of evidence. The client's address is dropped from
// reports.
func TestInfoIsNotKept(t *testing.T) {
	e := nats.Probe(trust.Checker{})(t.Context(), serve(t, say(info)))
	if d := cmp.Diff(answered(agent.Plain), of(e)); d != "" {
		t.Fatalf("evidence (-want +got):\n%s", d)
	}
	for k, v := range e.Values {
		switch k {
		case agent.ConnectTime, agent.RTT, agent.Rungs, agent.NATSVersion, agent.NATSNeedsAuth, agent.NATSNeedsTLS, agent.ClientAddr:
		default:
			t.Errorf("%s = %v", k, v)
		}
	}
}

func TestClosedPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := at(t, l.Addr().String())
	l.Close()
	want := verdict{agent.Refused, agent.GradeB, agent.Reset, ""}
	if got := of(nats.Probe(trust.Checker{})(t.Context(), target)); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCancelledInTheMiddle(t *testing.T) {
	ca := trusttest.Named(t, "Test CA")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	target := serve(t, overTLS(ca.Leaf(host), func(c net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		cancel()
		hold(c)
	}))
	want := verdict{agent.NotLooked, agent.Ungraded, agent.Cancelled, ""}
	if got := of(nats.Probe(trust.Checker{Roots: ca.Pool(), Now: trusttest.At(trusttest.Today)})(ctx, target)); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestConform(t *testing.T) {
	ca := trusttest.Named(t, "Test CA")
	leaf := ca.Leaf(host)
	c := trust.Checker{Roots: ca.Pool(), Now: trusttest.At(trusttest.Today)}
	good := start(t, server.Options{Websocket: socket(&leaf)})
	t.Run("silent", func(t *testing.T) { probetest.Conform(t, nats.Probe(c), good, serve(t, hold)) })
	t.Run("silent after TLS", func(t *testing.T) { probetest.Conform(t, nats.Probe(c), good, serve(t, overTLS(leaf, hold))) })
}
