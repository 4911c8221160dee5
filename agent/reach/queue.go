package reach

import (
	"encoding/binary"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Origins of an entry in the error queue (linux/errqueue.h).
const (
	fromLocal = 1
	fromICMP  = 2
	fromICMP6 = 3
)

// maxQueue bounds how many entries of an error queue are read at once.
const maxQueue = 64

// notice is one entry of a socket's error queue.
type notice struct {
	errno  syscall.Errno
	origin uint8
	icmp   ICMP           // From is valid only with an ICMP origin
	info   uint32         // of a packet too big (EMSGSIZE): the size that fits, bytes; 0 from old routers
	dest   netip.AddrPort // where the packet had been sent; unset for TCP
}

// hearErrors turns the error queue of a socket on or off.
func hearErrors(fd int, family netip.Addr, on bool) error {
	value := 0
	if on {
		value = 1
	}
	if family.Is4() {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, value)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVERR, value)
}

// readQueue takes one entry from the error queue without waiting; EAGAIN means
// that there is none. buf takes the head of the packet that was in error.
func readQueue(fd int, buf []byte) (notice, error) {
	// The entry is 16 bytes and at most one sockaddr_in6 after its header.
	var oob [128]byte
	for {
		_, oobn, _, from, err := unix.Recvmsg(fd, buf, oob[:], unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return notice{}, err
		}
		n := parseNotice(oob[:oobn])
		n.dest = addrPort(from)
		return n, nil
	}
}

// parseNotice finds the extended error among control messages. The zero notice
// means that there was none.
func parseNotice(oob []byte) notice {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return notice{}
	}
	for _, m := range msgs {
		v4 := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR
		v6 := m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		if v4 || v6 {
			return parseExtendedError(m.Data)
		}
	}
	return notice{}
}

// parseExtendedError reads a struct sock_extended_err and the address of the
// offender behind it. Its layout is the same on all machines; only the byte
// order differs.
func parseExtendedError(b []byte) notice {
	const size = 16 // errno u32, origin, type, code, pad u8, info u32, data u32
	if len(b) < size {
		return notice{}
	}
	n := notice{
		errno:  syscall.Errno(binary.NativeEndian.Uint32(b)),
		origin: b[4],
		icmp:   ICMP{Type: b[5], Code: b[6]},
		info:   binary.NativeEndian.Uint32(b[8:]),
	}
	if n.origin == fromICMP || n.origin == fromICMP6 {
		n.icmp.From = parseSockaddr(b[size:])
	}
	return n
}

// parseSockaddr reads the address of a struct sockaddr_in or sockaddr_in6; the
// zero address if it is neither.
func parseSockaddr(b []byte) netip.Addr {
	if len(b) < 2 {
		return netip.Addr{}
	}
	switch family := binary.NativeEndian.Uint16(b); {
	case family == unix.AF_INET && len(b) >= 8:
		return netip.AddrFrom4([4]byte(b[4:8]))
	case family == unix.AF_INET6 && len(b) >= 24:
		return netip.AddrFrom16([16]byte(b[8:24])).Unmap()
	}
	return netip.Addr{}
}

// addrPort turns the kernel's form of an address into ours, without zone.
func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
