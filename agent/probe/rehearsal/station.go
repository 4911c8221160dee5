package rehearsal

import (
	"bytes"
	"context"
	"crypto/rand"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
)

// station is one end of the rehearsal: an allocation, or a plain socket. What
// reaches it is told apart by its first byte, as RFC 7983 does it.
type station struct {
	net.PacketConn
	addr     netip.AddrPort // where the world reaches it; invalid: nowhere
	relay    *webrtc.Relay  // nil: a plain socket
	reliable bool           // nothing gets lost between it and its relay
	reading  sync.WaitGroup

	mu     sync.Mutex
	flows  map[uint32]*flow
	waits  map[string]chan netip.AddrPort // for a knock
	secure net.Conn                       // where records of DTLS go; nil: nowhere
}

func newStation(c net.PacketConn, addr netip.AddrPort) *station {
	s := &station{PacketConn: c, addr: addr, flows: map[uint32]*flow{}, waits: map[string]chan netip.AddrPort{}}
	s.reading.Go(s.read)
	return s
}

func (s *station) close() {
	s.PacketConn.Close()
	s.reading.Wait()
}

// named is the address as the station's own server names it.
func (s *station) named() netip.AddrPort {
	if s.relay == nil {
		return s.addr
	}
	return addrPort(s.LocalAddr())
}

func addrPort(a net.Addr) netip.AddrPort {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := u.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

func (s *station) send(b []byte, to netip.AddrPort) error {
	_, err := s.WriteTo(b, net.UDPAddrFromAddrPort(to))
	return err
}

const (
	maxDatagram = 2048
	knocks      = 1 // first byte of a knock: what STUN requests begin with is 0
	recordWait  = 50 * time.Millisecond
)

// read sorts what comes in until the station is closed.
func (s *station) read() {
	b := make([]byte, maxDatagram)
	for {
		n, from, err := s.ReadFrom(b)
		if err != nil {
			if n, ok := err.(net.Error); ok && n.Timeout() {
				continue
			}
			return
		}
		s.sort(b[:n], addrPort(from), time.Now())
	}
}

func (s *station) sort(b []byte, from netip.AddrPort, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(b) >= rtpHeader && b[0]>>6 == 2:
		if f := s.flows[ssrcOf(b)]; f != nil {
			f.arrive(b, at)
		}
	case len(b) == knockSize && b[0] == knocks:
		if heard := s.waits[string(b)]; heard != nil {
			select {
			case heard <- from:
			default:
			}
		}
	case len(b) > 0 && b[0] >= 20 && b[0] <= 63 && s.secure != nil:
		_ = s.secure.SetWriteDeadline(time.Now().Add(recordWait)) // nobody may hold us up
		_, _ = s.secure.Write(bytes.Clone(b))
	}
}

const (
	knockSize = 17
	knockEnd  = 2 * time.Second
)

// knock sends a token from one station to an address, at which another should hear
// it. from is where it was seen to come from.
func knock(ctx context.Context, by, at *station, to netip.AddrPort) (from netip.AddrPort, heard bool) {
	token := make([]byte, knockSize)
	_, _ = rand.Read(token[1:]) // never fails
	token[0] = knocks
	came := at.expect(token)
	defer at.forget(token)
	end := time.After(knockEnd)
	for _, wait := range []time.Duration{200, 400, 600, 2000} {
		if by.send(token, to) != nil {
			return from, false
		}
		select {
		case from = <-came:
			return from, true
		case <-time.After(wait * time.Millisecond):
		case <-end:
			return from, false
		case <-ctx.Done():
			return from, false
		}
	}
	return from, false
}

func (s *station) expect(token []byte) <-chan netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := make(chan netip.AddrPort, 1)
	s.waits[string(token)] = c
	return c
}

func (s *station) forget(token []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waits, string(token))
}
