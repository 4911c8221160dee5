package reach

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent"
)

// maxAnswer is the largest datagram that is looked at as a whole. Nothing that a
// probe asks for is longer than a packet on the wire. Of longer ones Ask shows
// the beginning, one byte more than this: that something came must not pass for
// silence, and who reads it can tell that it is too long.
const maxAnswer = 4096

// Socket is one unconnected UDP socket that hears ICMP errors. It may talk to
// several destinations one after another; concurrent calls of Ask take turns.
type Socket struct {
	conn   packets
	raw    syscall.RawConn
	family netip.Addr    // of which the socket is
	header bool          // what is read begins with the IPv4 header
	turn   chan struct{} // holds one token while somebody asks
	buf    [maxAnswer + 1]byte
}

// packets is what package net offers for both kinds of socket.
type packets interface {
	net.PacketConn
	syscall.Conn
}

// Listen opens a socket on a free port of the wildcard address of the family
// of the given address. The caller closes it.
func Listen(family netip.Addr) (*Socket, error) {
	family = family.Unmap()
	network, local := "udp6", "[::]:0"
	if family.Is4() {
		network, local = "udp4", "0.0.0.0:0"
	}
	var optErr error
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		err := c.Control(func(fd uintptr) { optErr = hearErrors(int(fd), family, true) })
		if err != nil {
			return err
		}
		return optErr
	}}
	pc, err := lc.ListenPacket(context.Background(), network, local)
	if err != nil {
		return nil, fmt.Errorf("open %s socket: %w", network, err)
	}
	return newSocket(pc.(*net.UDPConn), family)
}

func newSocket(conn packets, family netip.Addr) (*Socket, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &Socket{conn: conn, raw: raw, family: family, turn: make(chan struct{}, 1)}, nil
}

// write sends one datagram.
func (s *Socket) write(b []byte, to netip.AddrPort) error {
	var err error
	switch c := s.conn.(type) {
	case *net.UDPConn:
		_, err = c.WriteToUDPAddrPort(b, to)
	default:
		_, err = c.WriteTo(b, &net.IPAddr{IP: to.Addr().AsSlice(), Zone: to.Addr().Zone()})
	}
	return err
}

// Close closes the socket; an Ask under way ends as NotLooked.
func (s *Socket) Close() error { return s.conn.Close() }

// LocalAddr is the address and port that a UDP socket is bound to.
func (s *Socket) LocalAddr() netip.AddrPort {
	return s.conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Ask sends msg to an address at the offsets of plan, as in 0, 250 ms, 750 ms,
// 2 s; the last entry is when to stop waiting. A plan of fewer than two entries
// sends once, at the start. Ask returns the first datagram that accept says is
// ours, and who sent it. accept is called from this goroutine only, and must
// not keep the slice it gets; one of more than 4096 bytes is the beginning of a
// longer datagram. A refusal by the target or a rejection ends the
// question at once, but ICMP net and host unreachable can be passing states
// and count only if no answer came by the end of the plan.
func (s *Socket) Ask(ctx context.Context, to netip.AddrPort, msg []byte, plan []time.Duration,
	accept func(answer []byte, from netip.AddrPort) bool) ([]byte, netip.AddrPort, Result) {
	cancelled := Result{Outcome: agent.NotLooked, Reason: agent.Cancelled}
	if ctx.Err() != nil {
		return nil, netip.AddrPort{}, cancelled
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, netip.AddrPort{}, cancelled
	}
	defer s.wakeOn(ctx)()
	q := question{s: s, to: unmap(to), msg: msg, accept: accept}
	q.setPlan(plan)
	return q.run(ctx)
}

// wakeOn makes a waiting read return when ctx ends. The function that it
// returns ends that and waits for it.
func (s *Socket) wakeOn(ctx context.Context) (end func()) {
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = s.conn.SetReadDeadline(time.Unix(1, 0))
		close(woken)
	})
	return func() {
		if !stop() {
			<-woken
		}
		_ = s.conn.SetDeadline(time.Time{})
	}
}

// heard is what came in: a datagram, an entry of the error queue, or nothing.
type heard struct {
	kind   uint8
	data   []byte // at most maxAnswer+1 bytes of a datagram
	from   netip.AddrPort
	lag    time.Duration // for how long a datagram had waited to be read, where the kernel stamps it
	notice notice
}

const (
	nothing = iota
	datagram
	trouble
)

// next waits until something comes in or a point in time. What came in before
// that point is returned even if this process was too slow to be woken for it.
func (s *Socket) next(ctx context.Context, until time.Time) (heard, error) {
	if err := s.conn.SetReadDeadline(until); err != nil {
		return heard{}, err
	}
	if err := ctx.Err(); err != nil { // after the deadline, for wakeOn sets it too
		return heard{}, err
	}
	h, err := s.wait()
	if err == nil || !isTimeout(err) {
		return h, err
	}
	if ctlErr := s.raw.Control(func(fd uintptr) { h = s.listen(int(fd)) }); ctlErr != nil {
		return heard{}, ctlErr
	}
	return h, ctx.Err()
}

// wait waits until something comes in or the read deadline passes.
func (s *Socket) wait() (h heard, err error) {
	err = s.raw.Read(func(fd uintptr) bool {
		h = s.listen(int(fd))
		return h.kind != nothing
	})
	return h, err
}

// listen takes one thing from the socket without waiting. An error of the
// plain read is only the echo of an entry in the error queue, so the queue is
// read first, and again after such an echo.
func (s *Socket) listen(fd int) heard {
	var oob [64]byte // takes a time stamp, if there are any
	for range 4 {
		if n, err := readQueue(fd, s.buf[:]); err == nil {
			return heard{kind: trouble, notice: n}
		}
		n, oobn, _, from, err := unix.Recvmsg(fd, s.buf[:], oob[:], unix.MSG_DONTWAIT|unix.MSG_TRUNC)
		switch {
		case err == unix.EAGAIN:
			return heard{}
		case err != nil:
			continue
		}
		n = min(n, len(s.buf)) // with MSG_TRUNC, n is the true length
		return heard{kind: datagram, data: s.content(n), from: addrPort(from), lag: lag(oob[:oobn])}
	}
	return heard{}
}

// content is what a datagram of n bytes in buf holds for who asked.
func (s *Socket) content(n int) []byte {
	if !s.header || n == 0 {
		return s.buf[:n]
	}
	return s.buf[min(n, int(s.buf[0]&0xF)*4):n] // RFC 791 section 3.1, IHL
}
