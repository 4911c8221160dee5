package reach

import (
	"fmt"
	"net"
	"net/netip"
	"time"
)

// icmpError is an ICMP error as the error of a Read. Its text names no address.
type icmpError struct{ notice notice }

func (e *icmpError) Error() string {
	return fmt.Sprintf("icmp type %d code %d: %v", e.notice.icmp.Type, e.notice.icmp.Code, e.notice.errno)
}

func (e *icmpError) Unwrap() error { return e.notice.errno }

// packetConn is a Socket that talks to one destination.
type packetConn struct {
	s    *Socket
	to   netip.AddrPort
	soft int // ICMP errors so far that may be a passing state; used by Read only
}

// Conn gives the socket the form of a connection to one address, for DTLS. Read
// returns only datagrams from there, of at most 4096 bytes, and an error that
// [Classify] understands when an ICMP error about it arrives; ICMP net and host
// unreachable count from the second time on. While it is used, Ask must not be.
// Closing it closes the socket.
func (s *Socket) Conn(to netip.AddrPort) net.Conn {
	return &packetConn{s: s, to: unmap(to)}
}

func (c *packetConn) Read(b []byte) (int, error) {
	for {
		h, err := c.s.wait()
		switch {
		case err != nil:
			return 0, err
		case h.kind == datagram && c.isPeer(h.from) && len(h.data) <= maxAnswer:
			return copy(b, h.data), nil
		case h.kind == trouble && c.isPeer(h.notice.dest):
			if err := c.explain(h.notice); err != nil {
				return 0, err
			}
		}
	}
}

func (c *packetConn) isPeer(a netip.AddrPort) bool {
	return a.Addr() == c.to.Addr().WithZone("") && a.Port() == c.to.Port()
}

// explain is the error to return for an entry of the error queue, if any.
func (c *packetConn) explain(n notice) error {
	r, known := grade(n, c.to.Addr())
	if !known {
		return nil
	}
	if isSoft(r) {
		if c.soft++; c.soft < 2 {
			return nil
		}
	}
	return &icmpError{n}
}

// Write sends a datagram. An error that is only the echo of an ICMP error is
// left to Read, which knows who sent it.
func (c *packetConn) Write(b []byte) (int, error) {
	var err error
	for range 4 {
		if err = c.s.write(b, c.to); err == nil {
			return len(b), nil
		}
	}
	return 0, err
}

func (c *packetConn) Close() error                       { return c.s.Close() }
func (c *packetConn) LocalAddr() net.Addr                { return c.s.conn.LocalAddr() }
func (c *packetConn) RemoteAddr() net.Addr               { return net.UDPAddrFromAddrPort(c.to) }
func (c *packetConn) SetDeadline(t time.Time) error      { return c.s.conn.SetDeadline(t) }
func (c *packetConn) SetReadDeadline(t time.Time) error  { return c.s.conn.SetReadDeadline(t) }
func (c *packetConn) SetWriteDeadline(t time.Time) error { return c.s.conn.SetWriteDeadline(t) }
