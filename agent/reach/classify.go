package reach

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"github.com/sprechprobe/sprechprobe/agent"
)

// Classify says what an error of a Read, Write or handshake on a connected
// connection to an address means. It also understands the errors of
// [Socket.Conn], which carry the sender of an ICMP error. An error that it
// does not know is NotLooked, because it proves nothing about the network.
func Classify(err error, to netip.Addr) Result {
	var e *icmpError
	var errno syscall.Errno
	switch {
	case err == nil:
		return Result{Outcome: agent.Answered}
	case errors.As(err, &e):
		if r, known := grade(e.notice, to.Unmap()); known {
			return r
		}
	case errors.Is(err, context.Canceled), errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		return Result{Outcome: agent.NotLooked, Reason: agent.Cancelled} // we closed it ourselves
	case isTimeout(err):
		return Result{Outcome: agent.Silent, Reason: agent.Timeout}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Result{Outcome: agent.Refused, Reason: agent.Closed}
	case errors.As(err, &errno):
		return byErrno(err, errno)
	}
	return Result{Outcome: agent.NotLooked, Reason: agent.OtherError, Detail: words(err)}
}

func isTimeout(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// byErrno grades an error number that no ICMP error explains.
func byErrno(err error, errno syscall.Errno) Result {
	switch errno {
	case syscall.ECONNREFUSED:
		if isTCPDial(err) {
			return Result{Outcome: agent.Refused, Reason: agent.Reset}
		}
		return Result{Outcome: agent.Refused, Reason: agent.PortUnreachable}
	case syscall.ECONNRESET, syscall.EPIPE:
		return Result{Outcome: agent.Refused, Reason: agent.ResetAfter}
	}
	return ownErrno(errno)
}

// isTCPDial tells a refused connection from a refused datagram.
func isTCPDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" && strings.HasPrefix(op.Net, "tcp")
}

// ownErrno grades an error number that this machine made up itself: no packet
// left it.
func ownErrno(errno syscall.Errno) Result {
	r := Result{Outcome: agent.NotLooked, Reason: agent.OtherError}
	switch errno {
	case syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN,
		syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT:
		r.Reason = agent.NoRoute
	case syscall.EPERM, syscall.EACCES, syscall.EINVAL: // firewall; prohibit route; blackhole route
		r.Reason = agent.LocalReject
	default:
		r.Detail = errno.Error()
	}
	return r
}

// words is the innermost text of an error, with everything that looks like an
// address left out.
func words(err error) string {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	const limit = 100
	var kept []string
	for _, w := range strings.Fields(err.Error()) {
		bare := strings.Trim(w, ",;()\"'")
		bare = strings.TrimSuffix(bare, ":")
		if isAddr(bare) {
			continue
		}
		kept = append(kept, w)
	}
	text := strings.ToValidUTF8(strings.Join(kept, " "), "?")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "")
	}
	return text
}

// isAddr reports whether w is an address, an address with port, or two of
// them joined by an arrow, as in errors of package net.
func isAddr(w string) bool {
	from, to, arrow := strings.Cut(w, "->")
	if arrow {
		return isAddr(from) || isAddr(to)
	}
	_, err := netip.ParseAddr(w)
	_, errPort := netip.ParseAddrPort(w)
	_, errPrefix := netip.ParsePrefix(w)
	return err == nil || errPort == nil || errPrefix == nil
}
