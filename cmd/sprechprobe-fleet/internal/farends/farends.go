// Package farends is a whole video service on loopback: names, web hosts, STUN
// and TURN, and three NATS servers, all speaking their real protocols, with
// faults that can be switched on and healed. Demonstrations and tests stand on
// it. It knows nothing of the box that looks at it.
package farends

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// The service's names. They exist on its own name server only.
const (
	VideoHost = "video.demo.test"
	GroupHost = "gruppe.demo.test"
	TURNHost  = "turn.demo.test"
	NATSHost1 = "nats1.demo.test"
	NATSHost2 = "nats2.demo.test"
	NATSHost3 = "nats3.demo.test"
)

// signalPath takes WebSockets on the web hosts.
const signalPath = "/signal"

// numbers end the hosts' addresses: 127.0.n.number, all of them loopback, so
// that nothing leaves the machine and no root is needed.
var numbers = map[string]byte{VideoHost: 21, GroupHost: 22, TURNHost: 23, NATSHost1: 11, NATSHost2: 12, NATSHost3: 13}

var natsHosts = []string{NATSHost1, NATSHost2, NATSHost3}

// The ports that people know from such services. Where one is taken, any free
// one serves.
const (
	webPort  = 4433
	stunPort = 3478
	turnPort = 5349
	natsPort = 8443
)

// Service is the running service. Its methods are safe for concurrent use.
type Service struct {
	block  byte // n of 127.0.n.0/24
	certs  *certificates
	zone   *zone
	doors  doors
	web    *web
	ends   []io.Closer
	ground sync.Mutex // one fault at a time

	active   map[string]bool // faults by name
	stripped atomic.Bool     // WebSocket upgrades on the NATS hosts get a page
}

// doors are all ways into the service.
type doors struct {
	dns           *packetDoor
	video, group  *streamDoor
	stun, turnUDP *packetDoor
	turnTCP       *streamDoor
	nats          []*streamDoor
	plain         []*streamDoor // port 80 of the web hosts; empty where we may not open it
}

// Start opens the service. Close ends it.
func Start() (*Service, error) {
	s := &Service{active: map[string]bool{}}
	s.settle()
	steps := []func() error{s.openCertificates, s.openNames, s.openWeb, s.openTURN, s.openNATS}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// settle finds addresses that no other such service on this machine has, so that
// each can have the usual ports.
func (s *Service) settle() {
	for n := range byte(100) {
		s.block = n
		ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(s.addr(VideoHost), webPort)))
		if err == nil {
			_ = ln.Close()
			return
		}
	}
	s.block = 0 // somebody has the port on every address: free ports will do
}

// addr is where a name leads.
func (s *Service) addr(host string) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 0, s.block, numbers[host]})
}

// Close ends the service and all its connections.
func (s *Service) Close() error {
	var errs []error
	for i := len(s.ends) - 1; i >= 0; i-- {
		errs = append(errs, s.ends[i].Close())
	}
	s.ends = nil
	return errors.Join(errs...)
}

// later has c closed with the service, before what was opened earlier.
func (s *Service) later(c io.Closer) { s.ends = append(s.ends, c) }

// closer makes an end of a function.
type closer func() error

func (c closer) Close() error { return c() }

// Resolver is the service's name server.
func (s *Service) Resolver() netip.AddrPort { return s.doors.dns.addr }

// STUN is where bindings are answered.
func (s *Service) STUN() netip.AddrPort { return s.doors.stun.addr }

// TURN is where the relay answers: plain and DTLS over UDP, plain and TLS over
// TCP, all on one port.
func (s *Service) TURN() netip.AddrPort { return s.doors.turnTCP.addr }

// Web is where a web host answers.
func (s *Service) Web(host string) netip.AddrPort {
	if host == GroupHost {
		return s.doors.group.addr
	}
	return s.doors.video.addr
}

// NATS are the three addresses of the group service.
func (s *Service) NATS() []netip.AddrPort {
	var out []netip.AddrPort
	for _, d := range s.doors.nats {
		out = append(out, d.addr)
	}
	return out
}

// CA is the certificate, PEM, to which all the service's own chains lead.
func (s *Service) CA() []byte { return s.certs.ca }

// openAt calls open with the wanted port, or else with free ones.
func openAt(a netip.Addr, want uint16, open func(netip.AddrPort) error) error {
	err := open(netip.AddrPortFrom(a, want))
	for i := 0; err != nil && i < 10; i++ {
		port, ferr := freePort(a)
		if ferr != nil {
			return ferr
		}
		err = open(netip.AddrPortFrom(a, port))
	}
	if err != nil {
		return fmt.Errorf("far end on %s: %w", a, err)
	}
	return nil
}

// quiet takes what servers want to say about misbehaving clients: here the
// clients are probes, and misbehave on purpose.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
