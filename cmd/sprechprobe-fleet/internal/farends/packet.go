package farends

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// packetDoor is the net.PacketConn of one UDP far end. Its server never notices
// that packets are dropped or that the socket is closed for a while.
type packetDoor struct {
	addr netip.AddrPort

	mu      sync.Mutex
	divert  func(b []byte, from net.Addr) bool // takes packets that are not the server's; may be nil
	mode    mode
	conn    *net.UDPConn  // nil while closed
	changed chan struct{} // closed and replaced whenever conn changes
	ended   bool
}

func newPacketDoor(at netip.AddrPort) (*packetDoor, error) {
	d := &packetDoor{addr: at, changed: make(chan struct{})}
	if err := d.listen(); err != nil {
		return nil, err
	}
	d.addr = d.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	return d, nil
}

func (d *packetDoor) listen() error {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(d.addr))
	if err != nil {
		return fmt.Errorf("open far end: %w", err)
	}
	d.conn = c
	return nil
}

// now is the present socket, how it treats packets, and what tells of a change.
func (d *packetDoor) now() (*net.UDPConn, mode, chan struct{}, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.conn, d.mode, d.changed, d.ended
}

// ReadFrom waits for a packet that gets through.
func (d *packetDoor) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		c, _, changed, ended := d.now()
		if ended {
			return 0, nil, net.ErrClosed
		}
		if c == nil {
			<-changed
			continue
		}
		n, from, err := c.ReadFromUDPAddrPort(b)
		if err != nil && !errors.Is(err, net.ErrClosed) {
			continue // an ICMP error of somebody who left
		}
		if addr := net.UDPAddrFromAddrPort(from); err == nil && d.admits(b[:n], addr) {
			return n, addr, nil
		}
	}
}

// admits reports whether a packet is for the server.
func (d *packetDoor) admits(b []byte, from net.Addr) bool {
	d.mu.Lock()
	m, divert := d.mode, d.divert
	d.mu.Unlock()
	return m == open && (divert == nil || !divert(b, from))
}

// WriteTo sends an answer, if it gets through.
func (d *packetDoor) WriteTo(b []byte, to net.Addr) (int, error) {
	c, m, _, ended := d.now()
	switch {
	case ended:
		return 0, net.ErrClosed
	case m != open:
		return len(b), nil
	}
	return c.WriteTo(b, to)
}

// set changes how the door behaves from now on.
func (d *packetDoor) set(m mode) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended || m == d.mode {
		return nil
	}
	d.mode = m
	if m == closed {
		d.shut()
		return nil
	}
	if d.conn != nil {
		return nil
	}
	defer d.tell()
	return d.listen()
}

func (d *packetDoor) shut() {
	if d.conn != nil {
		_ = d.conn.Close() // nothing is lost with it
		d.conn = nil
	}
	d.tell()
}

func (d *packetDoor) tell() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// Close removes the door.
func (d *packetDoor) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.ended {
		d.ended = true
		d.shut()
	}
	return nil
}

// LocalAddr is where the door is.
func (d *packetDoor) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(d.addr) }

// errNoDeadline is what a server gets that wants to leave a door after a while:
// none of ours does.
var errNoDeadline = errors.New("a door has no deadline")

// SetDeadline is not supported.
func (d *packetDoor) SetDeadline(time.Time) error { return errNoDeadline }

// SetReadDeadline is not supported.
func (d *packetDoor) SetReadDeadline(time.Time) error { return errNoDeadline }

// SetWriteDeadline is not supported.
func (d *packetDoor) SetWriteDeadline(time.Time) error { return errNoDeadline }

// setDivert has packets that are not the server's taken away.
func (d *packetDoor) setDivert(take func(b []byte, from net.Addr) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.divert = take
}
