// Package relay is a TURN server for vendors who have none beside their product's:
// boxes rehearse calls through it. It takes the names and passwords that the fleet
// hands out for minutes (TURN REST), relays to itself and to the public internet
// and to nowhere else, and bounds what each box and all of them may take.
//
// It answers STUN Binding requests too, without asking who is there, and says when
// they came to who wants to know. It knows
// neither boxes nor reports.
package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/pion/logging"
	"github.com/pion/turn/v4"
)

// Config says what a relay does.
type Config struct {
	Listen netip.AddrPort // UDP and TCP
	Secure netip.AddrPort // TLS; zero: none
	TLS    *tls.Config    // for Secure
	Public netip.Addr     // by which peers reach it; zero: that of Listen
	Secret string         // of which passwords are made
	Realm  string
	Ports  [2]uint16 // that are relayed from, first and last
	Limits
}

// Limits are what may be taken.
type Limits struct {
	Allocations int // of all at once
	PerUser     int // of one box at once; a rehearsal takes three
	Rate        int // bit/s of one allocation, each direction
}

// The usual limits.
var Usual = Limits{Allocations: 1000, PerUser: 6, Rate: 8_000_000}

// Usual ports, RFC 8656 section 7.2.
var Ports = [2]uint16{49152, 65535}

func (c *Config) check() error {
	if !c.Public.IsValid() {
		c.Public = c.Listen.Addr()
	}
	switch {
	case c.Secret == "":
		return errors.New("no secret")
	case c.Public.IsUnspecified():
		return errors.New("want the address by which peers reach the relay")
	case c.Ports[0] == 0 || c.Ports[1] < c.Ports[0]:
		return fmt.Errorf("ports %d-%d", c.Ports[0], c.Ports[1])
	case c.Allocations < 1 || c.PerUser < 1 || c.Rate < 1:
		return errors.New("limits want more than 0")
	case c.Secure.IsValid() && c.TLS == nil:
		return errors.New("TLS without a certificate")
	}
	return nil
}

// Server serves until Close.
type Server struct {
	turn  *turn.Server
	close []io.Closer // what serves no more if the start fails

	conf Config
	mu   sync.Mutex
	held map[string]int // allocations of a box
	all  int
}

// Open opens the sockets and serves.
func Open(c Config) (*Server, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	s := &Server{conf: c, held: map[string]int{}}
	if err := s.open(); err != nil {
		for _, x := range s.close {
			_ = x.Close()
		}
		return nil, fmt.Errorf("relay: %w", err)
	}
	return s, nil
}

func (s *Server) open() error {
	from := &addresses{conf: s.conf, ranged: turn.RelayAddressGeneratorPortRange{RelayAddress: s.conf.Public.AsSlice(),
		Address: host(s.conf.Listen.Addr()), MinPort: s.conf.Ports[0], MaxPort: s.conf.Ports[1], MaxRetries: 100}}
	udp, err := net.ListenPacket("udp", s.conf.Listen.String())
	if err != nil {
		return err
	}
	s.close = append(s.close, udp)
	tcp, err := net.Listen("tcp", udp.LocalAddr().String())
	if err != nil {
		return err
	}
	s.close = append(s.close, tcp)
	streams := []turn.ListenerConfig{{Listener: tcp, RelayAddressGenerator: from, PermissionHandler: s.permit}}
	if s.conf.Secure.IsValid() {
		secure, err := tls.Listen("tcp", s.conf.Secure.String(), s.conf.TLS)
		if err != nil {
			return err
		}
		s.close = append(s.close, secure)
		streams = append(streams, turn.ListenerConfig{Listener: secure, RelayAddressGenerator: from, PermissionHandler: s.permit})
	}
	quiet := &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}
	s.turn, err = turn.NewServer(turn.ServerConfig{
		Realm: s.conf.Realm, LoggerFactory: quiet,
		AuthHandler:       turn.LongTermTURNRESTAuthHandler(s.conf.Secret, quiet.NewLogger("turn")),
		QuotaHandler:      s.admit,
		EventHandler:      turn.EventHandler{OnAllocationCreated: s.created, OnAllocationDeleted: s.deleted},
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: &stamping{udp, time.Now()}, RelayAddressGenerator: from, PermissionHandler: s.permit}},
		ListenerConfigs:   streams,
	})
	return err
}

// Addr is where it listens.
func (s *Server) Addr() netip.AddrPort {
	return s.close[0].(net.PacketConn).LocalAddr().(*net.UDPAddr).AddrPort()
}

// Allocations is how many there are now.
func (s *Server) Allocations() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

// Close ends all that is relayed.
func (s *Server) Close() error { return s.turn.Close() }

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	<-ctx.Done()
	return s.Close()
}

// who is the box behind a name, which begins with the time at which it runs out.
func who(username string) string {
	_, box, named := strings.Cut(username, ":")
	if !named {
		return username
	}
	return box
}

// admit says whether a box may have another allocation.
func (s *Server) admit(username, _ string, _ net.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all < s.conf.Allocations && s.held[who(username)] < s.conf.PerUser
}

func (s *Server) created(_, _ net.Addr, _, username, _ string, _ net.Addr, _ int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all++
	s.held[who(username)]++
}

func (s *Server) deleted(_, _ net.Addr, _, username, _ string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.held[who(username)]--; s.held[who(username)] <= 0 {
		delete(s.held, who(username))
	}
}

var shared = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598

// permit says whether the relay sends to a peer. Itself it must, or no call could be
// rehearsed; else only the public internet: who has a password must not reach the
// vendor's own network through it.
func (s *Server) permit(_ net.Addr, peer net.IP) bool {
	a, ok := netip.AddrFromSlice(peer)
	a = a.Unmap()
	return ok && (a == s.conf.Public || a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a))
}

// host is an address as it stands before a port.
func host(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}
