package reach

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// ListenEcho opens a socket for ICMP echo (RFC 792) or ICMPv6 echo (RFC 4443
// section 4). What is asked and heard with it are ICMP messages, and addresses have
// port 0. The kernel may put its own identifier into requests, and it gets answers
// to others' as well. It needs a group in the kernel's ping_group_range (icmp(7)),
// or the right to open raw sockets; without either it fails with an error that is
// fs.ErrPermission. The caller closes it.
func ListenEcho(family netip.Addr) (*Socket, error) {
	family = family.Unmap()
	conn, err := echoConn(family, unix.SOCK_DGRAM)
	raw := err != nil
	if raw {
		conn, err = echoConn(family, unix.SOCK_RAW)
	}
	if err != nil {
		return nil, fmt.Errorf("open socket for echo: %w", err)
	}
	s, err := newSocket(conn, family)
	if err == nil {
		s.header = raw && family.Is4()
	}
	return s, err
}

func echoConn(family netip.Addr, kind int) (packets, error) {
	domain, protocol := unix.AF_INET6, unix.IPPROTO_ICMPV6
	if family.Is4() {
		domain, protocol = unix.AF_INET, unix.IPPROTO_ICMP
	}
	fd, err := unix.Socket(domain, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "icmp")
	defer func() { _ = f.Close() }() // the connection has a copy
	if err := hearErrors(fd, family, true); err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	c, err := net.FilePacketConn(f)
	if err != nil {
		return nil, err
	}
	return c.(packets), nil
}
