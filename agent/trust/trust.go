// Package trust makes a TLS handshake that never aborts because of a bad
// certificate, and says afterwards whose certificate it was. Looking through
// an intercepting firewall is the point: who answers in the target's place
// matters more than that the chain is bad. For the same reason nothing secret
// may ever be sent over a connection made here.
//
// It does not know which issuer a service ought to have, and it cannot tell a
// server that forgot to send its intermediate certificates from an interceptor
// whose root is not installed: both lead to no root we know.
package trust

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
)

// patience bounds a handshake whose context has no nearer deadline.
const patience = 5 * time.Second

// Checker judges certificates. The zero value uses the system's roots
// (SSL_CERT_FILE and SSL_CERT_DIR work), or the fallback roots that the program
// links in where the system has none, and the system's clock. It is safe for
// use by several goroutines.
type Checker struct {
	Roots *x509.CertPool   // nil: the system's
	Now   func() time.Time // nil: time.Now
}

// Seen is what a handshake showed.
//
// Outcome is Answered where the chain is good, or would be but for the clock
// (reason tls-expired or tls-clock); Tampered where it leads to no root we know
// or names somebody else, and where bytes came that are not TLS; NotLooked with
// reason unsupported where this system has no roots to judge by. Where the
// handshake itself failed, Outcome and Reason say how.
//
// Values holds tls_version, tls_issuer, tls_maker (only where it is
// recognised), tls_key_sha256, cert_expires_at and tls_ms, as far as the
// handshake came, and detail where the reason alone says too little.
type Seen struct {
	Outcome agent.Outcome
	Reason  agent.Reason
	Values  agent.Values

	checker Checker
	chain   []*x509.Certificate
}

// Client makes a TLS handshake (1.2 or later) over conn and judges the chain
// for host, a DNS name or an address literal; names are sent as SNI. It waits
// until ctx ends, at most 5 s. The connection is nil only when the handshake
// itself failed; conn is closed then. Otherwise the caller closes the
// connection, which closes conn.
func (c Checker) Client(ctx context.Context, conn net.Conn, host string, alpn ...string) (*tls.Conn, Seen) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tc := tls.Client(conn, &tls.Config{
		ServerName:         clean(host),
		NextProtos:         alpn,
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // judged below, where it can be said why
	})
	began := time.Now()
	if err := tc.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, failed(err, remote(conn))
	}
	took := time.Since(began)
	state := tc.ConnectionState()
	seen := c.judge(state.PeerCertificates, host)
	seen.Values[agent.TLSTime] = agent.Value(took)
	seen.Values[agent.TLSVersion] = tls.VersionName(state.Version)
	return tc, seen
}

// Judge says whether chain, leaf first, is good for host. It is for DTLS, which
// hands over bare certificates; [Seen] says what the results mean.
func (c Checker) Judge(chain []*x509.Certificate, host string) (agent.Outcome, agent.Reason, agent.Values) {
	s := c.judge(chain, host)
	return s.Outcome, s.Reason, s.Values
}

// ByClockOf judges a chain that seemed expired, or not valid yet, once more by
// the far end's clock: the reason becomes tls-clock where that cures it. Any
// other verdict stays as it is.
func (s Seen) ByClockOf(remote time.Time) Seen {
	if s.Reason == agent.TLSExpired && s.checker.verify(s.chain, remote) == nil {
		s.Reason = agent.TLSClock
	}
	return s
}

func (c Checker) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

// clean is host as certificates and SNI write it: without the root's dot, the
// brackets of a literal and its zone.
func clean(host string) string {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if a, err := netip.ParseAddr(host); err == nil {
		return a.WithZone("").String()
	}
	return strings.TrimSuffix(host, ".")
}

// remote is the address at the other end of conn, invalid where it has none.
func remote(conn net.Conn) netip.Addr {
	a := conn.RemoteAddr()
	if a == nil {
		return netip.Addr{}
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}
