package farends

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/logging"
	"github.com/pion/turn/v4"
)

// openTURN opens the STUN port and the relay's port. Both are one server, as
// with the usual ones; the relay's port takes plain and DTLS over UDP, and plain
// and TLS over TCP, told apart by the first byte (RFC 7983 section 7).
func (s *Service) openTURN() error {
	host := s.addr(TURNHost)
	err := openAt(host, stunPort, func(at netip.AddrPort) (err error) {
		s.doors.stun, err = newPacketDoor(at)
		return err
	})
	if err != nil {
		return err
	}
	s.later(s.doors.stun)
	if err := openAt(host, turnPort, s.openRelayPort); err != nil {
		return err
	}
	s.later(s.doors.turnUDP)
	s.later(s.doors.turnTCP)
	secure, err := s.openDTLS()
	if err != nil {
		return err
	}
	return s.startTURN(secure)
}

func (s *Service) openRelayPort(at netip.AddrPort) (err error) {
	if s.doors.turnTCP, err = newStreamDoor(at); err != nil {
		return err
	}
	if s.doors.turnUDP, err = newPacketDoor(at); err != nil {
		return errors.Join(err, s.doors.turnTCP.Close())
	}
	return nil
}

func (s *Service) startTURN(secure net.Listener) error {
	const realm = "demo.test"
	key := turn.GenerateAuthKey("demo", realm, rand.Text()) // nobody is told: the box never logs in
	relay := &turn.RelayAddressGeneratorStatic{RelayAddress: net.IP(s.addr(TURNHost).AsSlice()), Address: s.addr(TURNHost).String()}
	logs := logging.NewDefaultLoggerFactory()
	logs.DefaultLogLevel, logs.Writer = logging.LogLevelDisabled, io.Discard
	server, err := turn.NewServer(turn.ServerConfig{
		Realm:         realm,
		LoggerFactory: logs,
		AuthHandler: func(user, _ string, _ net.Addr) ([]byte, bool) {
			return key, user == "demo"
		},
		PacketConnConfigs: []turn.PacketConnConfig{
			{PacketConn: s.doors.stun, RelayAddressGenerator: relay},
			{PacketConn: s.doors.turnUDP, RelayAddressGenerator: relay},
		},
		ListenerConfigs: []turn.ListenerConfig{
			{Listener: eitherListener{s.doors.turnTCP, s.certs.config()}, RelayAddressGenerator: relay},
			{Listener: secure, RelayAddressGenerator: relay},
		},
	})
	if err != nil {
		return errors.Join(fmt.Errorf("start relay: %w", err), secure.Close())
	}
	s.later(server)
	return nil
}

// eitherListener gives connections that may be plain or TLS.
type eitherListener struct {
	net.Listener
	config *tls.Config
}

func (l eitherListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &either{Conn: c, config: l.config}, nil
}

// either finds out at its first Read whether its peer speaks TLS. Its server
// reads before it writes.
type either struct {
	net.Conn
	config *tls.Config
	once   sync.Once
	inner  net.Conn
}

// idle is how long a relay connection may say nothing.
const idle = 60 * time.Second

func (e *either) Read(b []byte) (int, error) {
	e.once.Do(func() {
		p, isTLS := sniff(context.Background(), e.Conn)
		e.inner = p
		if isTLS {
			e.inner = tls.Server(p, e.config)
		}
	})
	if err := e.Conn.SetReadDeadline(time.Now().Add(idle)); err != nil {
		return 0, err
	}
	return e.inner.Read(b)
}

func (e *either) Write(b []byte) (int, error) { return e.inner.Write(b) }

// openDTLS starts a DTLS server on a socket of its own and has the relay's UDP
// door pass it what is DTLS, each client through a socket of its own, as a NAT
// would.
func (s *Service) openDTLS() (net.Listener, error) {
	ln, err := dtls.ListenWithOptions("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)},
		dtls.WithGetCertificate(func(*dtls.ClientHelloInfo) (*tls.Certificate, error) { return s.certs.current(), nil }),
		dtls.WithExtendedMasterSecret(dtls.RequestExtendedMasterSecret),
	)
	if err != nil {
		return nil, fmt.Errorf("start DTLS: %w", err)
	}
	p := &passage{door: s.doors.turnUDP, to: ln.Addr().(*net.UDPAddr), clients: map[string]*net.UDPConn{}}
	s.doors.turnUDP.setDivert(p.take)
	s.later(p)
	return ln, nil
}

// passage hands DTLS packets of a door to the DTLS server and its answers back.
type passage struct {
	door *packetDoor
	to   *net.UDPAddr

	mu      sync.Mutex
	clients map[string]*net.UDPConn
	back    sync.WaitGroup
	ended   bool
}

const maxPassage = 64 // clients at a time

// take reports whether a packet is DTLS, and sends it on.
func (p *passage) take(b []byte, from net.Addr) bool {
	if len(b) == 0 || b[0] < 20 || b[0] > 63 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.clients[from.String()]
	if c == nil {
		if p.ended || len(p.clients) >= maxPassage {
			return true
		}
		var err error
		if c, err = net.DialUDP("udp", nil, p.to); err != nil {
			return true
		}
		p.clients[from.String()] = c
		p.back.Go(func() { p.answer(c, from) })
	}
	_, _ = c.Write(b)
	return true
}

// answer carries what the DTLS server says back to one client.
func (p *passage) answer(c *net.UDPConn, to net.Addr) {
	defer func() {
		p.mu.Lock()
		delete(p.clients, to.String())
		p.mu.Unlock()
		_ = c.Close()
	}()
	buf := make([]byte, 2048)
	for {
		_ = c.SetReadDeadline(time.Now().Add(idle / 2))
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		_, _ = p.door.WriteTo(buf[:n], to)
	}
}

// Close ends the passage.
func (p *passage) Close() error {
	p.mu.Lock()
	p.ended = true
	for _, c := range p.clients {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.back.Wait()
	return nil
}
