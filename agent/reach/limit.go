package reach

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent"
)

// Limit lets what the socket sends from now on travel at most that many hops, 1
// to 255. A packet that dies on the way makes [Socket.Ask] end as Rejected with
// reason icmp-ttl-exceeded, and its ICMP.From is the router at that distance.
func (s *Socket) Limit(hops int) error {
	var err error
	ctlErr := s.raw.Control(func(fd uintptr) { err = limit(int(fd), s.family, hops) })
	if ctlErr != nil {
		return ctlErr
	}
	return os.NewSyscallError("limit hops", err)
}

// limit sets the time to live of IPv4 or the hop limit of IPv6.
func limit(fd int, family netip.Addr, hops int) error {
	switch {
	case hops < 1 || hops > 255: // IPv6 would send with 0
		return unix.EINVAL
	case family.Unmap().Is4():
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, hops)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, hops)
}

// SYN begins a TCP connection whose packets travel at most that many hops, 1 to
// 255, and closes it. It ends at the first thing that comes back, and waits 3.5 s
// and until ctx ends at most; the kernel sends the SYN again after about 1 s. As
// with [Socket.Limit], a router at that distance shows itself as Rejected with
// reason icmp-ttl-exceeded. Its RTT is exact also for rejections.
func SYN(ctx context.Context, to netip.AddrPort, hops int) Result {
	to = unmap(to)
	if ctx.Err() != nil {
		return Result{Outcome: agent.NotLooked, Reason: agent.Cancelled}
	}
	ctx, cancel := context.WithTimeout(ctx, connectBound)
	defer cancel()
	start := time.Now()
	f, err := knock(to, hops)
	if err != nil {
		return refusedAt(err, to.Addr())
	}
	defer func() { _ = f.Close() }()
	r := verdict(ctx, f, to.Addr())
	if r.Outcome != agent.Silent && r.Outcome != agent.NotLooked {
		r.RTT = time.Since(start)
	}
	return r
}

// knock opens a TCP socket that hears ICMP errors and lets it connect. It is not
// package net's, which looks at the error queue of no socket: an ICMP error that
// comes while connect(2) still runs is to be found only there.
func knock(to netip.AddrPort, hops int) (*os.File, error) {
	family := unix.AF_INET6
	if to.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err = hearErrors(fd, to.Addr(), true); err == nil {
		err = limit(fd, to.Addr(), hops)
	}
	if err == nil {
		err = unix.Connect(fd, sockaddr(to))
	}
	if err != nil && err != unix.EINPROGRESS {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "tcp"), nil // pollable, because it does not block
}

// verdict waits until it is known how a connection attempt ended.
func verdict(ctx context.Context, f *os.File, to netip.Addr) Result {
	raw, err := f.SyscallConn()
	if err != nil {
		return Classify(err, to)
	}
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = f.SetDeadline(time.Unix(1, 0))
		close(woken)
	})
	defer func() {
		if !stop() {
			<-woken
		}
	}()
	var r Result
	// Write, because the runtime gives up reading from a socket of which an error
	// is all that it hears.
	err = raw.Write(func(fd uintptr) (over bool) {
		r, over = state(int(fd), to)
		return over
	})
	switch {
	case err == nil:
		return r
	case ctx.Err() != nil:
		return Classify(ctx.Err(), to)
	}
	return Classify(err, to)
}

// state says how a connection attempt ended, if it has.
func state(fd int, to netip.Addr) (Result, bool) {
	var buf [64]byte
	for range maxQueue {
		n, err := readQueue(fd, buf[:])
		if err != nil {
			break
		}
		if r, known := grade(n, to); known {
			return r, true
		}
	}
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	switch {
	case err != nil:
		return refusedAt(err, to), true
	case errno != 0:
		return refusedAt(syscall.Errno(errno), to), true
	}
	if _, err := unix.Getpeername(fd); err == nil {
		return Result{Outcome: agent.Answered}, true
	}
	return Result{}, false
}

// refusedAt classifies the error number of a connection attempt, in which
// "refused" can only mean a reset.
func refusedAt(err error, to netip.Addr) Result {
	if errors.Is(err, unix.ECONNREFUSED) {
		return Result{Outcome: agent.Refused, Reason: agent.Reset}
	}
	return Classify(err, to)
}

// sockaddr is an address in the kernel's form. Targets have no zone.
func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
