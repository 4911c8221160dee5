package reach

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent"
)

// connectBound is how long a TCP connection may take to come up. It covers one
// lost SYN (sent again after 1 s) and the 3 s that the kernel asks in vain for
// the hardware address of a next hop.
const connectBound = 3500 * time.Millisecond

// TCP connects to an address, within 3.5 s and ctx. The connection is nil
// unless the outcome is Answered; the caller closes it.
func TCP(ctx context.Context, to netip.AddrPort) (net.Conn, Result) {
	to = unmap(to)
	if ctx.Err() != nil {
		return nil, Result{Outcome: agent.NotLooked, Reason: agent.Cancelled}
	}
	ctx, cancel := context.WithTimeout(ctx, connectBound)
	defer cancel()

	w := watch{family: to.Addr(), fd: -1}
	defer w.close()
	dialer := net.Dialer{ControlContext: w.control}
	start := time.Now()
	conn, err := dialer.DialTCP(ctx, "tcp", netip.AddrPort{}, to)
	took := time.Since(start)
	if err != nil {
		return nil, w.result(err, to.Addr(), took)
	}
	w.forget()
	return conn, Result{Outcome: agent.Answered, RTT: took}
}

// watch keeps a second descriptor of a connecting socket, because the error
// queue is read after the dialer has closed its own.
type watch struct {
	family netip.Addr
	fd     int // -1: none
}

func (w *watch) control(_ context.Context, _, _ string, c syscall.RawConn) error {
	w.close() // the dialer may try again, with a new socket
	var err error
	ctlErr := c.Control(func(fd uintptr) {
		if err = hearErrors(int(fd), w.family, true); err != nil {
			return
		}
		w.fd, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			w.fd = -1
		}
	})
	if ctlErr != nil {
		return ctlErr
	}
	return err
}

// forget ends the watch on a connection that came up. From now on, an ICMP
// error must not break it: the kernel would report it without its sender.
func (w *watch) forget() { _ = hearErrors(w.fd, w.family, false) }

func (w *watch) close() {
	if w.fd >= 0 {
		_ = unix.Close(w.fd)
		w.fd = -1
	}
}

// result says why a connection did not come up. An ICMP error tells most, and
// the error number is ambiguous without it.
func (w *watch) result(err error, to netip.Addr, took time.Duration) Result {
	r := Classify(err, to)
	if r.Reason == agent.Cancelled {
		return r
	}
	if n, ok := w.notice(); ok {
		if byNotice, known := grade(n, to); known {
			r = byNotice
		}
	}
	if r.Outcome == agent.Refused || r.Outcome == agent.Rejected {
		r.RTT = took
	}
	return r
}

// notice reads the last entry of the error queue.
func (w *watch) notice() (last notice, ok bool) {
	if w.fd < 0 {
		return notice{}, false
	}
	var buf [64]byte
	for range maxQueue {
		n, err := readQueue(w.fd, buf[:])
		if err != nil {
			break
		}
		last, ok = n, true
	}
	return last, ok
}

// unmap gives an IPv4 address in IPv6 clothes its own family.
func unmap(ap netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
