package webrtc

import (
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
	dtlsnet "github.com/pion/dtls/v3/pkg/net"
	"github.com/pion/logging"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
	"github.com/sprechprobe/sprechprobe/agent/trust"
)

// flightWait is how long a flight waits before it is sent again; it doubles
// from there. A whole second (RFC 6347 section 4.2.4.1) would leave room for
// two losses only.
const flightWait = 500 * time.Millisecond

func openDTLS(ctx context.Context, c trust.Checker, t agent.Target, until time.Time) (*way, agent.Evidence) {
	s, err := reach.Listen(t.Addr)
	if err != nil {
		return nil, reach.Classify(err, t.Addr).Evidence(agent.ProbeTURN, t)
	}
	under := &tap{Conn: s.Conn(t.AddrPort())}
	conn, err := dtlsOver(under, hostOf(t))
	if err != nil {
		under.Close()
		return nil, reach.Classify(err, t.Addr).Evidence(agent.ProbeTURN, t)
	}
	e := agent.See(agent.ProbeTURN, t, agent.Answered, "")
	began := time.Now()
	hello, cancel := context.WithTimeout(ctx, left(until, handshakeEnd))
	defer cancel()
	if err := conn.HandshakeContext(hello); err != nil {
		conn.Close()
		under.Close()
		if ctx.Err() != nil {
			return nil, found(e, agent.NotLooked, agent.Cancelled)
		}
		return nil, under.explain(e, hello.Err() != nil)
	}
	e = e.With(agent.TLSTime, time.Since(began)).With(agent.TLSVersion, "DTLS 1.2") // the one pion speaks
	w := &way{conn: conn, under: under, socket: s, until: until}
	var values agent.Values
	w.seen.outcome, w.seen.reason, values = c.Judge(shown(conn), hostOf(t))
	return w, with(e, values)
}

// dtlsOver prepares a handshake that never aborts because of a certificate:
// whose it was is judged afterwards.
func dtlsOver(under net.Conn, host string) (*dtls.Conn, error) {
	options := []dtls.ClientOption{
		dtls.WithInsecureSkipVerify(true),
		dtls.WithFlightInterval(flightWait),
		dtls.WithLoggerFactory(quiet()),
	}
	if _, err := netip.ParseAddr(host); err != nil { // no literals in SNI, RFC 6066 section 3
		options = append(options, dtls.WithServerName(host))
	}
	return dtls.ClientWithOptions(dtlsnet.PacketConnFromConn(under), under.RemoteAddr(), options...)
}

// quiet keeps pion's own words out of our output.
func quiet() logging.LoggerFactory {
	return &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}
}

// shown is the chain that a handshake showed, up to the first certificate that
// cannot be read.
func shown(conn *dtls.Conn) []*x509.Certificate {
	state, _ := conn.ConnectionState()
	var chain []*x509.Certificate
	for _, der := range state.PeerCertificates {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			break
		}
		chain = append(chain, cert)
	}
	return chain
}

// tap passes DTLS records on and remembers what a failed handshake does not
// tell: what had gone out and come in, and how the line itself failed. Datagrams that are
// no DTLS are dropped (RFC 6347 section 4.1.2.7), lest one of them end the
// handshake.
type tap struct {
	net.Conn

	mu                     sync.Mutex
	records, aliens, fatal bool
	err                    error
	left                   bool  // a datagram went out
	unsent                 error // of the first that did not
}

func (t *tap) Write(b []byte) (int, error) {
	n, err := t.Conn.Write(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.left = t.left || err == nil
	if t.unsent == nil {
		t.unsent = err
	}
	return n, err
}

func (t *tap) Read(b []byte) (int, error) {
	for {
		n, err := t.Conn.Read(b)
		if t.pass(b[:n], err) {
			return n, err
		}
	}
}

// pass notes what was read, and whether it may go on.
func (t *tap) pass(b []byte, err error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err != nil:
		if t.err == nil && !isTimeout(err) {
			t.err = err
		}
		return true
	case !isDTLS(b):
		t.aliens = true
		return false
	default:
		t.records = true
		t.fatal = t.fatal || isFatalAlert(b)
		return true
	}
}

// isDTLS recognises a record of DTLS 1.0 to 1.2 (RFC 6347 section 4.1): a known
// content type and the version, which counts down from 254.255.
func isDTLS(b []byte) bool {
	return len(b) >= 13 && b[0] >= 20 && b[0] <= 25 && b[1] == 254 && b[2] >= 253
}

// isFatalAlert recognises one in clear: epoch 0, two bytes, level 2.
func isFatalAlert(b []byte) bool {
	return len(b) >= 15 && b[0] == 21 && b[3] == 0 && b[4] == 0 && b[13] == 2
}

// explain says why a handshake over the line failed.
func (t *tap) explain(e agent.Evidence, late bool) agent.Evidence {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case !t.left && t.unsent != nil:
		return ended(e, reach.Classify(t.unsent, e.Target.Addr))
	case t.err != nil:
		return ended(e, reach.Classify(t.err, e.Target.Addr))
	case t.fatal:
		return found(e, agent.Refused, agent.TLSAlert)
	case t.records && late:
		return found(e, agent.Silent, agent.Timeout).With(agent.Detail, "DTLS handshake began but did not end")
	case t.records:
		return found(e, agent.Tampered, agent.Garbage).With(agent.Detail, "DTLS records that no handshake can use")
	case t.aliens:
		return found(e, agent.Tampered, agent.NotTLS)
	default:
		return found(e, agent.Silent, agent.Timeout)
	}
}
