package rehearsal

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
	dtlsnet "github.com/pion/dtls/v3/pkg/net"
	"github.com/pion/logging"

	"github.com/sprechprobe/sprechprobe/agent"
)

const (
	secureEnd  = 6 * time.Second
	flightWait = 500 * time.Millisecond
)

// secure shakes hands over the way as two browsers do: DTLS with a certificate that
// each made for itself. Where that fails though datagrams pass before and after it,
// something on the way has no ear for DTLS.
func (r *rehearsal) secure(ctx context.Context, w *way, e agent.Evidence) agent.Evidence {
	took, ok := shake(ctx, w)
	switch {
	case ctx.Err() != nil:
	case ok:
		e = e.With(agent.TLSTime, took)
	default:
		if works, _ := w.works(ctx); works {
			e.Reason = agent.DTLSLost
		}
	}
	return e
}

// shake makes one handshake.
func shake(ctx context.Context, w *way) (took time.Duration, ok bool) {
	cert, err := selfSigned()
	if err != nil {
		return 0, false
	}
	within, cancel := context.WithTimeout(ctx, secureEnd)
	defer cancel()
	client, server := w.a.lane(w.toB), w.b.lane(w.toA)
	defer w.a.shut(client)
	defer w.b.shut(server)
	quiet := &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}
	caller, err := dtls.ClientWithOptions(dtlsnet.PacketConnFromConn(client), client.RemoteAddr(), dtls.WithInsecureSkipVerify(true),
		dtls.WithCertificates(cert), dtls.WithFlightInterval(flightWait), dtls.WithLoggerFactory(quiet))
	if err != nil {
		return 0, false
	}
	defer caller.Close()
	callee, err := dtls.ServerWithOptions(dtlsnet.PacketConnFromConn(server), server.RemoteAddr(), dtls.WithInsecureSkipVerify(true),
		dtls.WithCertificates(cert), dtls.WithClientAuth(dtls.RequireAnyClientCert), dtls.WithFlightInterval(flightWait), dtls.WithLoggerFactory(quiet))
	if err != nil {
		return 0, false
	}
	defer callee.Close()
	began := time.Now()
	var both sync.WaitGroup
	var answer error
	both.Go(func() { answer = callee.HandshakeContext(within) })
	err = caller.HandshakeContext(within)
	both.Wait()
	return time.Since(began), err == nil && answer == nil
}

// lane is the part of a station's traffic that is DTLS, as a connection.
type lane struct {
	net.Conn // from which the records come
	station  *station
	to       netip.AddrPort
}

func (s *station) lane(to netip.AddrPort) *lane {
	in, out := net.Pipe()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secure = in
	return &lane{out, s, to}
}

// shut ends a lane; what still comes goes nowhere.
func (s *station) shut(l *lane) {
	l.Conn.Close() // first, for the reader may be writing to it
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secure.Close()
	s.secure = nil
}

func (l *lane) Write(b []byte) (int, error) { return len(b), l.station.send(b, l.to) }

func (l *lane) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(l.to) }

func (l *lane) LocalAddr() net.Addr { return l.station.LocalAddr() }

// selfSigned makes a certificate as browsers do: by nobody, for nobody.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
