package trust_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/trust"
	"github.com/sprechprobe/sprechprobe/agent/trust/trusttest"
)

var (
	born  = trusttest.Born
	today = trusttest.Today
	dead  = trusttest.Dead
)

func at(t time.Time) func() time.Time { return trusttest.At(t) }

// serve answers one connection by do and returns our end of it.
func serve(t *testing.T, do func(net.Conn)) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		do(conn)
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); l.Close(); <-done })
	return conn
}

func serveTLS(t *testing.T, conf *tls.Config) net.Conn {
	return serve(t, func(conn net.Conn) {
		tc := tls.Server(conn, conf)
		if tc.Handshake() == nil {
			io.Copy(io.Discard, tc)
		}
	})
}

func TestClientJudgesChain(t *testing.T) {
	root := trusttest.Named(t, "Test Root")
	sub := root.Intermediate("Test Sub", born, born.AddDate(5, 0, 0))
	shortSub := root.Intermediate("Short Sub", born, born.AddDate(0, 0, 20))
	foreign := trusttest.New(t, pkix.Name{Organization: []string{"Fortinet"}, CommonName: "FGT60F0000000000"})
	tests := []struct {
		name   string
		cert   tls.Certificate
		host   string
		now    time.Time
		want   agent.Outcome
		reason agent.Reason
		issuer string
		maker  string
	}{
		{name: "good", cert: sub.Leaf("video.test"), host: "video.test", now: today, want: agent.Answered, issuer: "Test Sub"},
		{name: "root's dot", cert: sub.Leaf("video.test"), host: "video.test.", now: today, want: agent.Answered, issuer: "Test Sub"},
		{name: "wildcard", cert: sub.Leaf("*.test"), host: "video.test", now: today, want: agent.Answered, issuer: "Test Sub"},
		{name: "address", cert: sub.Leaf("127.0.0.1"), host: "127.0.0.1", now: today, want: agent.Answered, issuer: "Test Sub"},
		{name: "IPv6 address", cert: sub.Leaf("::1"), host: "[0:0::1]", now: today, want: agent.Answered, issuer: "Test Sub"},
		{name: "other address", cert: sub.Leaf("127.0.0.1"), host: "127.0.0.2", now: today, want: agent.Tampered, reason: agent.TLSWrongName, issuer: "Test Sub"},
		{name: "wrong name", cert: sub.Leaf("other.test"), host: "video.test", now: today, want: agent.Tampered, reason: agent.TLSWrongName, issuer: "Test Sub"},
		{name: "expired", cert: sub.Leaf("video.test"), host: "video.test", now: dead.AddDate(0, 0, 2), want: agent.Answered, reason: agent.TLSExpired, issuer: "Test Sub"},
		{name: "clock of 1970", cert: sub.Leaf("video.test"), host: "video.test", now: time.Unix(0, 0), want: agent.Answered, reason: agent.TLSExpired, issuer: "Test Sub"},
		{name: "expired and wrong name", cert: sub.Leaf("other.test"), host: "video.test", now: dead.AddDate(0, 0, 2), want: agent.Tampered, reason: agent.TLSWrongName, issuer: "Test Sub"},
		{name: "intermediate expired", cert: shortSub.Leaf("video.test"), host: "video.test", now: today, want: agent.Answered, reason: agent.TLSExpired, issuer: "Short Sub"},
		{name: "interceptor", cert: foreign.Leaf("video.test"), host: "video.test", now: today, want: agent.Tampered, reason: agent.TLSUnknownCA, issuer: "FGT60F0000000000", maker: "Fortinet"},
		{name: "interceptor, clock of 1970", cert: foreign.Leaf("video.test"), host: "video.test", now: time.Unix(0, 0), want: agent.Tampered, reason: agent.TLSUnknownCA, issuer: "FGT60F0000000000", maker: "Fortinet"},
		{name: "interceptor with wrong name", cert: foreign.Leaf("other.test"), host: "video.test", now: today, want: agent.Tampered, reason: agent.TLSUnknownCA, issuer: "FGT60F0000000000", maker: "Fortinet"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := trust.Checker{Roots: root.Pool(), Now: at(tt.now)}
			conn, seen := c.Client(t.Context(), serveTLS(t, &tls.Config{Certificates: []tls.Certificate{tt.cert}}), tt.host)
			if conn == nil {
				t.Fatalf("no connection: %v %v %v", seen.Outcome, seen.Reason, seen.Values)
			}
			if seen.Outcome != tt.want || seen.Reason != tt.reason {
				t.Errorf("got %v %q, want %v %q", seen.Outcome, seen.Reason, tt.want, tt.reason)
			}
			if got := seen.Values.Text(agent.TLSIssuer); got != tt.issuer {
				t.Errorf("issuer %q, want %q", got, tt.issuer)
			}
			if got := seen.Values.Text(agent.TLSMaker); got != tt.maker {
				t.Errorf("maker %q, want %q", got, tt.maker)
			}
			if got, want := seen.Values.Text(agent.CertExpires), "2026-04-01T00:00:00Z"; got != want {
				t.Errorf("expires %q, want %q", got, want)
			}
			if got := seen.Values.Text(agent.TLSKeyHash); len(got) != 16 {
				t.Errorf("key hash %q, want 16 digits", got)
			}
			if got := seen.Values.Text(agent.TLSVersion); got != "TLS 1.3" {
				t.Errorf("version %q", got)
			}
		})
	}
}

func TestByClockOf(t *testing.T) {
	root := trusttest.Named(t, "Test Root")
	leaf := root.Leaf("video.test")
	other := trusttest.Named(t, "Other Root")
	tests := []struct {
		name   string
		roots  *trusttest.Authority
		ours   time.Time
		theirs time.Time
		want   agent.Reason
	}{
		{"our clock is two years ahead", root, today.AddDate(2, 0, 0), today, agent.TLSClock},
		{"our clock is before the start", root, born.AddDate(0, 0, -2), today, agent.TLSClock},
		{"both say expired", root, today.AddDate(2, 0, 0), today.AddDate(1, 0, 0), agent.TLSExpired},
		{"good stays good", root, today, today.AddDate(1, 0, 0), ""},
		{"no clock cures a foreign root", other, today.AddDate(2, 0, 0), today, agent.TLSUnknownCA},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := trust.Checker{Roots: tt.roots.Pool(), Now: at(tt.ours)}
			_, seen := c.Client(t.Context(), serveTLS(t, &tls.Config{Certificates: []tls.Certificate{leaf}}), "video.test")
			if got := seen.ByClockOf(tt.theirs).Reason; got != tt.want {
				t.Errorf("reason %q, want %q", got, tt.want)
			}
		})
	}
}

func TestClientSaysHowHandshakeFailed(t *testing.T) {
	tests := []struct {
		name   string
		do     func(net.Conn)
		want   agent.Outcome
		reason agent.Reason
	}{
		{"HTTP", func(c net.Conn) { readSome(c); io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }, agent.Tampered, agent.NotTLS},
		{"banner", func(c net.Conn) { io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n"); readSome(c) }, agent.Tampered, agent.NotTLS},
		{"alert", func(c net.Conn) { readSome(c); c.Write([]byte{21, 3, 3, 0, 2, 2, 40}) }, agent.Refused, agent.TLSAlert},
		{"alert for an unknown name", func(c net.Conn) {
			tls.Server(c, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
				return nil, errors.New("no such name")
			}}).Handshake()
		}, agent.Refused, agent.TLSAlert},
		{"bad handshake record", func(c net.Conn) { readSome(c); c.Write([]byte{22, 3, 3, 0, 4, 2, 0, 0, 0}) }, agent.Tampered, agent.Garbage},
		{"reset", func(c net.Conn) { readSome(c); c.(*net.TCPConn).SetLinger(0) }, agent.Refused, agent.ResetAfter},
		{"close", func(c net.Conn) { readSome(c) }, agent.Refused, agent.Closed},
		{"close inside a record", func(c net.Conn) { readSome(c); c.Write([]byte{22, 3, 3, 1, 0, 2}) }, agent.Refused, agent.Closed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn := serve(t, tt.do)
			tc, seen := trust.Checker{}.Client(t.Context(), conn, "video.test")
			if tc != nil {
				t.Fatal("handshake passed")
			}
			if seen.Outcome != tt.want || seen.Reason != tt.reason {
				t.Errorf("got %v %q %v, want %v %q", seen.Outcome, seen.Reason, seen.Values, tt.want, tt.reason)
			}
			if _, err := conn.Write([]byte{0}); !errors.Is(err, net.ErrClosed) {
				t.Errorf("connection left open (write: %v)", err)
			}
		})
	}
}

func readSome(c net.Conn) { c.Read(make([]byte, 4096)) }

func TestClientEndsWithItsContext(t *testing.T) {
	silent := func(c net.Conn) { io.Copy(io.Discard, c) }
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, seen := (trust.Checker{}).Client(short, serve(t, silent), "video.test"); seen.Outcome != agent.Silent || seen.Reason != agent.Timeout {
		t.Errorf("deadline: got %v %q, want silent timeout", seen.Outcome, seen.Reason)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, seen := (trust.Checker{}).Client(gone, serve(t, silent), "video.test"); seen.Outcome != agent.NotLooked || seen.Reason != agent.Cancelled {
		t.Errorf("cancelled: got %v %q, want not-looked cancelled", seen.Outcome, seen.Reason)
	}
}

func TestClientSendsName(t *testing.T) {
	root := trusttest.Named(t, "Test Root")
	for host, want := range map[string]string{"video.test": "video.test", "video.test.": "video.test", "127.0.0.1": "", "[::1]": ""} {
		names := make(chan string, 1)
		leaf := root.Leaf("video.test")
		conf := &tls.Config{NextProtos: []string{"http/1.1"}, GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			names <- h.ServerName
			return &leaf, nil
		}}
		tc, seen := trust.Checker{}.Client(t.Context(), serveTLS(t, conf), host, "http/1.1")
		if tc == nil {
			t.Fatalf("%s: %v %v", host, seen.Reason, seen.Values)
		}
		if got := <-names; got != want {
			t.Errorf("SNI for %q = %q, want %q", host, got, want)
		}
		if got := tc.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
			t.Errorf("ALPN %q", got)
		}
	}
}

func TestJudge(t *testing.T) {
	root := trusttest.Named(t, "Test Root")
	c := trust.Checker{Roots: root.Pool(), Now: at(today)}
	if o, why, v := c.Judge(nil, "video.test"); o != agent.Tampered || why != agent.Garbage || len(v) != 0 {
		t.Errorf("no certificate: got %v %q %v", o, why, v)
	}
	leaf := root.Leaf("video.test")
	long := make([]*x509.Certificate, 10000)
	for i := range long {
		long[i] = leaf.Leaf
	}
	if o, why, _ := c.Judge(long, "video.test"); o != agent.Answered || why != "" {
		t.Errorf("absurd chain: got %v %q, want answered", o, why)
	}
}

func TestMakers(t *testing.T) {
	tests := []struct {
		issuer pkix.Name
		want   string
	}{
		{pkix.Name{CommonName: "FG100E4Q00000000", Organization: []string{"Fortinet"}, OrganizationalUnit: []string{"Certificate Authority"}}, "Fortinet"},
		{pkix.Name{CommonName: "Sophos SSL CA_C01001XXXXXXXXX"}, "Sophos"},
		{pkix.Name{CommonName: "ESET SSL Filter CA"}, "ESET"},
		{pkix.Name{CommonName: "avast! Web/Mail Shield Root"}, "Avast/AVG"},
		{pkix.Name{CommonName: "Cisco Umbrella Secondary SubCA"}, "Cisco Umbrella"},
		{pkix.Name{CommonName: "Kaspersky Anti-Virus Personal Root Certificate"}, "Kaspersky"},
		{pkix.Name{CommonName: "mitmproxy"}, "mitmproxy"},
		{pkix.Name{CommonName: "Preset Holdings Thesetup CA"}, ""},
		{pkix.Name{CommonName: "Praxis Dr. Norden"}, ""},
		{pkix.Name{CommonName: "R11", Organization: []string{"Let's Encrypt"}}, ""},
	}
	for _, tt := range tests {
		ca := trusttest.New(t, tt.issuer)
		_, _, v := trust.Checker{Roots: x509.NewCertPool(), Now: at(today)}.Judge([]*x509.Certificate{ca.Leaf("video.test").Leaf}, "video.test")
		if got := v.Text(agent.TLSMaker); got != tt.want {
			t.Errorf("maker of %q = %q, want %q", tt.issuer, got, tt.want)
		}
	}
}

func TestIssuerIsFitForPrint(t *testing.T) {
	tests := []struct {
		issuer pkix.Name
		want   string
	}{
		{pkix.Name{CommonName: "a\x1b[31mred\nb\u202e"}, "a [31mred b"},
		{pkix.Name{Organization: []string{"Only Org"}}, "Only Org"},
		{pkix.Name{CommonName: strings.Repeat("ä", 500)}, strings.Repeat("ä", 80)},
	}
	got := make([]string, len(tests))
	want := make([]string, len(tests))
	for i, tt := range tests {
		ca := trusttest.New(t, tt.issuer)
		_, _, v := trust.Checker{Roots: x509.NewCertPool()}.Judge([]*x509.Certificate{ca.Leaf("video.test").Leaf}, "video.test")
		got[i], want[i] = v.Text(agent.TLSIssuer), tt.want
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("issuers (-want +got):\n%s", d)
	}
}

// FuzzJudge feeds chains as a hostile server could send them.
func FuzzJudge(f *testing.F) {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mitmproxy"}, NotBefore: born, NotAfter: dead, DNSNames: []string{"video.test"}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der, "video.test")
	f.Add(der, netip.MustParseAddr("::1%lo").String())
	f.Fuzz(func(t *testing.T, der []byte, host string) {
		certs, err := x509.ParseCertificates(der)
		if err != nil {
			return
		}
		o, why, v := trust.Checker{Roots: x509.NewCertPool(), Now: at(today)}.Judge(certs, host)
		if o == agent.Answered {
			t.Errorf("empty roots trusted something: %v %q %v", o, why, v)
		}
		for _, k := range []agent.Key{agent.TLSIssuer, agent.TLSMaker, agent.Detail} {
			if n := len([]rune(v.Text(k))); n > 80 {
				t.Errorf("%s has %d runes", k, n)
			}
		}
	})
}
