package farends

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// mode is how a door treats who knocks.
type mode uint8

const (
	open    mode = iota
	dropped      // as if a firewall swallowed every packet
	closed       // nobody listens: the system itself refuses
	mute         // connections come up, and then nothing (stream doors)
	noPlain      // what does not begin as TLS is reset (stream doors)
)

// streamDoor is the net.Listener of one TCP far end. Its server never notices
// what the door does to those who knock.
type streamDoor struct {
	addr netip.AddrPort
	in   chan net.Conn // to the server
	done chan struct{}

	mu     sync.Mutex // guards a change of mode
	mode   mode
	ln     *net.TCPListener // nil while closed
	fill   []net.Conn       // what keeps a dropped door's queue full
	loop   sync.WaitGroup
	cancel context.CancelFunc // of the connections that the loop admitted
	ended  bool
}

func newStreamDoor(at netip.AddrPort) (*streamDoor, error) {
	d := &streamDoor{addr: at, in: make(chan net.Conn), done: make(chan struct{})}
	if err := d.listen(); err != nil {
		return nil, err
	}
	d.start()
	return d, nil
}

// Accept waits for who gets through.
func (d *streamDoor) Accept() (net.Conn, error) {
	select {
	case c := <-d.in:
		return c, nil
	case <-d.done:
		return nil, net.ErrClosed
	}
}

// Addr is where the door is.
func (d *streamDoor) Addr() net.Addr { return net.TCPAddrFromAddrPort(d.addr) }

// Close removes the door.
func (d *streamDoor) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		return nil
	}
	d.ended = true
	close(d.done)
	d.halt()
	d.shut()
	return nil
}

// set changes how the door behaves from now on.
func (d *streamDoor) set(m mode) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended || m == d.mode {
		return nil
	}
	d.halt()
	d.mode = m
	if m == closed {
		d.shut()
		return nil
	}
	if d.ln == nil {
		if err := d.listen(); err != nil {
			return err
		}
	}
	if m == dropped {
		return d.clog()
	}
	if err := d.queue(128); err != nil {
		return err
	}
	d.start()
	return nil
}

func (d *streamDoor) listen() error {
	ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(d.addr))
	if err != nil {
		return fmt.Errorf("open far end: %w", err)
	}
	d.ln = ln
	return nil
}

func (d *streamDoor) shut() {
	if d.ln != nil {
		_ = d.ln.Close() // nothing is lost with a listener
		d.ln = nil
	}
}

// halt stops admitting and lets go of everybody who was kept waiting.
func (d *streamDoor) halt() {
	if d.cancel != nil {
		_ = d.ln.SetDeadline(time.Unix(1, 0)) // ends Accept
		d.cancel()
		d.loop.Wait()
		d.cancel = nil
	}
	for _, c := range d.fill {
		_ = c.Close()
	}
	d.fill = nil
}

// queue sets how many connections the system may take before they are accepted.
func (d *streamDoor) queue(n int) error {
	raw, err := d.ln.SyscallConn()
	if err != nil {
		return err
	}
	var lerr error
	if err := raw.Control(func(fd uintptr) { lerr = unix.Listen(int(fd), n) }); err != nil {
		return err
	}
	return lerr
}

// clog makes the door swallow packets. A firewall rule would need root, but
// Linux drops each SYN to a listener whose queue is full, which looks the same
// from outside.
func (d *streamDoor) clog() error {
	if err := d.queue(0); err != nil {
		return err
	}
	dialer := net.Dialer{Timeout: 400 * time.Millisecond}
	for range 16 {
		c, err := dialer.Dial("tcp", d.addr.String())
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			return nil
		}
		if err != nil {
			return fmt.Errorf("clog far end %s: %w", d.addr, err)
		}
		d.fill = append(d.fill, c)
	}
	return fmt.Errorf("clog far end %s: its queue does not fill", d.addr)
}

func (d *streamDoor) start() {
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	_ = d.ln.SetDeadline(time.Time{})
	ln, m := d.ln, d.mode
	d.loop.Go(func() {
		for {
			c, err := ln.AcceptTCP()
			if err != nil {
				return
			}
			d.loop.Go(func() { d.admit(ctx, c, m) })
		}
	})
}

// admit treats one connection as the mode wants it.
func (d *streamDoor) admit(ctx context.Context, c *net.TCPConn, m mode) {
	switch m {
	case mute:
		hold(ctx, c)
	case noPlain:
		p, isTLS := sniff(ctx, c)
		if !isTLS {
			_ = c.SetLinger(0) // Close now resets
			_ = c.Close()
			return
		}
		d.pass(ctx, p)
	default:
		d.pass(ctx, c)
	}
}

func (d *streamDoor) pass(ctx context.Context, c net.Conn) {
	select {
	case d.in <- c:
	case <-ctx.Done():
		_ = c.Close()
	}
}

// hold keeps a connection open and says nothing until the other side leaves.
func hold(ctx context.Context, c net.Conn) {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	_, _ = io.Copy(io.Discard, c)
}

// peeked is a connection of which the first bytes were looked at.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

func (p *peeked) Read(b []byte) (int, error) { return p.r.Read(b) }

// handshake is the type of a TLS record that opens a connection.
const handshake = 0x16

// sniff reports whether a connection begins with a TLS handshake. One that says
// nothing for 10 s does not.
func sniff(ctx context.Context, c net.Conn) (*peeked, bool) {
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	p := &peeked{c, bufio.NewReader(c)}
	first, err := p.r.Peek(1)
	if stop() {
		_ = c.SetReadDeadline(time.Time{})
	}
	return p, err == nil && first[0] == handshake
}

// freePort finds a port that is free for TCP and UDP.
func freePort(a netip.Addr) (uint16, error) {
	for range 20 {
		ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
		if err != nil {
			return 0, fmt.Errorf("free port on %s: %w", a, err)
		}
		at := ln.Addr().(*net.TCPAddr).AddrPort()
		pc, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		_ = ln.Close()
		if err == nil {
			return at.Port(), pc.Close()
		}
	}
	return 0, fmt.Errorf("free port on %s: none", a)
}
