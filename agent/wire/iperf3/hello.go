package iperf3

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// hellos opens UDP streams, and answers what is no hello, until udp is closed.
func (s *Server) hellos(udp *net.UDPConn) {
	buf := make([]byte, 2048)
	for {
		n, from, err := udp.ReadFromUDPAddrPort(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			pause(context.Background(), time.Millisecond)
		default:
			s.datagram(buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), from)
		}
	}
}

// datagram sorts one datagram. raw is where it came from as the socket says it.
func (s *Server) datagram(b []byte, from, raw netip.AddrPort) {
	if len(b) != helloSize {
		if s.Datagram == nil {
			return
		}
		if answer := s.Datagram(b, from); answer != nil {
			_, _ = s.udp.WriteToUDPAddrPort(answer, raw)
		}
		return
	}
	s.mu.Lock()
	t := s.greeted[from.Addr()]
	if t == nil || t.awaited == 0 {
		s.mu.Unlock()
		return
	}
	t.awaited--
	// Until this hello has been answered there is no next one.
	delete(s.greeted, from.Addr())
	s.mu.Unlock()
	conn, strays, err := connected(t.LocalAddr(), from, t.req.Test)
	if err != nil {
		s.mu.Lock()
		t.awaited++
		s.greeted[from.Addr()] = t
		s.mu.Unlock()
		return
	}
	t.arrived <- arrival{Conn: conn} // has room for all
	for _, x := range strays {
		s.datagram(x.b, x.from, x.from)
	}
}

// stray is a datagram that came to a socket before that was connected.
type stray struct {
	b    []byte
	from netip.AddrPort
}
