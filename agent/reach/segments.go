package reach

import (
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Segments is what the kernel knows of how a TCP connection's data travel out.
type Segments struct {
	Largest int // the largest IP packet it sends, bytes
	Unacked int // segments that nobody has acknowledged yet
	Again   int // segments sent again so far
}

// SegmentsOf asks the kernel about a TCP connection of package net.
func SegmentsOf(conn net.Conn) (Segments, error) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return Segments{}, os.ErrInvalid
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return Segments{}, err
	}
	var info *unix.TCPInfo
	ctlErr := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
	switch {
	case ctlErr != nil:
		return Segments{}, ctlErr
	case err != nil:
		return Segments{}, os.NewSyscallError("get TCP information", err)
	}
	return Segments{
		Largest: int(info.Snd_mss) + headers(conn.RemoteAddr(), info.Options),
		Unacked: int(info.Unacked),
		Again:   int(info.Total_retrans),
	}, nil
}

// headers is the size of the headers of a data segment, bytes.
func headers(to net.Addr, options uint8) int {
	const timestamps, bytesOfTimestamps = 1, 12 // TCPI_OPT_TIMESTAMPS; RFC 7323 appendix A
	size := 20 + 40
	if a, err := netip.ParseAddrPort(to.String()); err == nil && a.Addr().Unmap().Is4() {
		size = 20 + 20
	}
	if options&timestamps != 0 {
		size += bytesOfTimestamps
	}
	return size
}
