package iperf3

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawOf is the descriptor of a connection that has one; nil: it has none.
func rawOf(c net.Conn) syscall.RawConn {
	s, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// inFD does something with the descriptor of a connection that has one.
func inFD(c net.Conn, do func(fd int)) {
	if raw := rawOf(c); raw != nil {
		_ = raw.Control(func(fd uintptr) { do(int(fd)) })
	}
}

type tcpInfo struct {
	retransmits, acked   int64
	cwnd, wnd, mss, pmtu uint32 // bytes
	rtt, rttVar          time.Duration
}

func tcpInfoOf(c net.Conn) (out tcpInfo, ok bool) {
	inFD(c, func(fd int) {
		i, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		ok = true
		out = tcpInfo{
			retransmits: int64(i.Total_retrans), acked: int64(i.Bytes_acked),
			cwnd: i.Snd_cwnd * i.Snd_mss, wnd: i.Snd_wnd, mss: i.Snd_mss, pmtu: i.Pmtu,
			rtt: time.Duration(i.Rtt) * time.Microsecond, rttVar: time.Duration(i.Rttvar) * time.Microsecond,
		}
	})
	return out, ok
}

// unacked is how many bytes the far end's system has not confirmed.
func unacked(c net.Conn) (n int) {
	inFD(c, func(fd int) { n, _ = unix.IoctlGetInt(fd, unix.SIOCOUTQ) })
	return n
}

// memDrops is the place of the drops in SO_MEMINFO (SK_MEMINFO_DROPS).
const memDrops = 8

// dropsOf is how many datagrams found no room in a socket's buffer; 0 where the
// kernel (before 4.12) does not tell.
func dropsOf(c net.Conn) (n int64) {
	inFD(c, func(fd int) {
		var mem [memDrops + 1]uint32
		size := uint32(unsafe.Sizeof(mem))
		_, _, err := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&mem)), uintptr(unsafe.Pointer(&size)), 0)
		if err == 0 {
			n = int64(mem[memDrops])
		}
	})
	return n
}

func congestionOf(c net.Conn) (name string) {
	inFD(c, func(fd int) { name, _ = unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION) })
	return name
}

// configure sets a data socket up as t asks, before it connects or after it was
// accepted.
func configure(fd int, t Test, v6 bool) error {
	set := func(level, name, value int) error {
		if value == 0 {
			return nil
		}
		return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, level, name, value))
	}
	err := errors.Join(
		set(unix.SOL_SOCKET, unix.SO_SNDBUF, t.Window),
		set(unix.SOL_SOCKET, unix.SO_RCVBUF, t.Window),
	)
	if v6 {
		err = errors.Join(err, set(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, t.TOS))
	} else {
		err = errors.Join(err, set(unix.IPPROTO_IP, unix.IP_TOS, t.TOS))
	}
	if t.UDP {
		return errors.Join(err, configureUDP(fd, t, v6))
	}
	if t.Congestion != "" {
		// A name that is not known here is not the test's end.
		_ = unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, t.Congestion)
	}
	return errors.Join(err, set(unix.IPPROTO_TCP, unix.TCP_MAXSEG, t.MSS))
}

// roomy is the buffer for datagrams: 100 Mbit/s for a third of a second, in which
// a busy machine may not come to read.
const roomy = 4 << 20

func configureUDP(fd int, t Test, v6 bool) error {
	if t.Window == 0 && unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, roomy) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, roomy) // as much as we may
	}
	if t.DontFragment && !v6 {
		return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO))
	}
	return nil
}

// buffers are the real sizes of a socket's buffers, bytes.
func buffers(c net.Conn) (send, receive int) {
	inFD(c, func(fd int) {
		send, _ = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
		receive, _ = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	})
	return send, receive
}

// payloadFile is b as a file in memory, for sendfile; nil where there is none.
func payloadFile(b []byte) *os.File {
	fd, err := unix.MemfdCreate("iperf3", unix.MFD_CLOEXEC)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), "payload")
	if _, err := f.Write(b); err != nil {
		_ = f.Close()
		return nil
	}
	return f
}

// newWriter returns what sends the first n bytes of data, and counts what has
// been taken over by the system. From file, if there is one, the kernel sends
// the same bytes without copying them.
func newWriter(c net.Conn, data []byte, file *os.File, count *atomic.Int64) func(n int) error {
	plain := plainWriter(c, data, count)
	raw := rawOf(c)
	if raw == nil || file == nil || len(data) < worthFile {
		return plain
	}
	var in, left, off int
	var failed error
	in = int(file.Fd())
	step := func(fd uintptr) bool {
		for left > 0 {
			at := int64(off)
			n, err := unix.Sendfile(int(fd), in, &at, left)
			if n > 0 {
				count.Add(int64(n))
				off, left = off+n, left-n
			}
			switch {
			case err == unix.EAGAIN:
				return false
			case err == unix.EINTR:
			case err != nil:
				failed = os.NewSyscallError("sendfile", err)
				return true
			case n == 0:
				failed = io.ErrUnexpectedEOF
				return true
			}
		}
		return true
	}
	return func(n int) error {
		off, left, failed = 0, n, nil
		err := raw.Write(step)
		switch {
		case err != nil:
			return err
		case errors.Is(failed, unix.EINVAL), errors.Is(failed, unix.ENOSYS):
			return plain(left) // this kernel does not send from such a file
		}
		return failed
	}
}

// newDiscarder returns what reads and throws away. TCP data is dropped in the
// kernel without being copied (MSG_TRUNC, tcp(7)); the buffer is as large as is
// said, for kernels that copy all the same.
func newDiscarder(c net.Conn, buf []byte) func() (int, error) {
	raw := rawOf(c)
	if raw == nil {
		return func() (int, error) { return c.Read(buf) }
	}
	var n int
	var failed error
	step := func(fd uintptr) bool {
		for {
			n, _, failed = syscall.Recvfrom(int(fd), buf, unix.MSG_TRUNC|unix.MSG_DONTWAIT)
			switch failed {
			case syscall.EAGAIN:
				return false
			case syscall.EINTR:
				continue
			}
			return true
		}
	}
	return func() (int, error) {
		if err := raw.Read(step); err != nil {
			return 0, err
		}
		if failed != nil {
			return 0, os.NewSyscallError("recvfrom", failed)
		}
		if n == 0 {
			return 0, io.EOF
		}
		return min(n, len(buf)), nil
	}
}

// newSegmenter returns what sends datagrams of size bytes that lie one behind the
// other: in one call (UDP_SEGMENT, Linux 4.18), or one by one where the kernel or
// the interface cannot. It says how many have been sent.
func newSegmenter(c net.Conn, size int) func(b []byte) (int, error) {
	u, ok := c.(*net.UDPConn)
	plain := plainSegmenter(c, size)
	if !ok || size > math.MaxUint16 {
		return plain
	}
	oob := segmentOption(size)
	whole := true
	return func(b []byte) (int, error) {
		if !whole || len(b) <= size {
			return plain(b)
		}
		_, _, err := u.WriteMsgUDP(b, oob, nil)
		if err == nil {
			return len(b) / size, nil
		}
		if full(err) || refused(err) || ended(err) == nil {
			return 0, err
		}
		whole = false
		return plain(b)
	}
}

// segmentOption is the control message that says how large each datagram is.
func segmentOption(size int) []byte {
	oob := make([]byte, unix.CmsgSpace(2))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
	h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(oob[unix.CmsgLen(0):], uint16(size))
	return oob
}

// full reports whether the system had no room for a datagram.
func full(err error) bool { return errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EAGAIN) }

// refused reports whether an ICMP error came back about an earlier datagram.
func refused(err error) bool {
	return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.EHOSTUNREACH) || errors.Is(err, unix.ENETUNREACH)
}

// usage is processor time: first as seconds, later as percent of one processor.
type usage struct {
	at           time.Time
	user, system float64
}

func (u usage) total() float64 { return u.user + u.system }

func usageNow() usage {
	var r unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &r) // of ourselves it never fails
	return usage{time.Now(), time.Duration(r.Utime.Nano()).Seconds(), time.Duration(r.Stime.Nano()).Seconds()}
}

// since is the usage from u to now, percent.
func (u usage) since() usage {
	now := usageNow()
	per := 100 / max(now.at.Sub(u.at).Seconds(), 1e-6)
	return usage{now.at, (now.user - u.user) * per, (now.system - u.system) * per}
}

// shareable lets the connected sockets of UDP streams share the server's port.
func shareable(_, _ string, raw syscall.RawConn) error {
	var err error
	ctl := raw.Control(func(fd uintptr) {
		err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	})
	return errors.Join(ctl, err)
}

// setUp configures an accepted connection.
func setUp(c net.Conn, t Test) (err error) {
	inFD(c, func(fd int) { err = configure(fd, t, addrPort(c.LocalAddr()).Addr().Is6()) })
	return err
}

// connected opens the socket of a UDP stream: bound to the server's own address,
// where it takes from the server's socket what comes from the one peer. What
// came from others between the two steps is returned.
func connected(local net.Addr, peer netip.AddrPort, t Test) (*net.UDPConn, []stray, error) {
	at := addrPort(local)
	domain := unix.AF_INET
	if at.Addr().Is6() {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "udp")
	defer f.Close() // the connection has a descriptor of its own
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		configure(fd, t, at.Addr().Is6()),
		unix.Bind(fd, sockaddr(at)),
		unix.Connect(fd, sockaddr(peer)),
	)
	if err != nil {
		return nil, nil, fmt.Errorf("socket for %v: %w", peer, err)
	}
	others := strays(fd, peer)
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, nil, err
	}
	return conn.(*net.UDPConn), others, nil
}

// strays takes what others than peer have sent to a socket, without waiting.
func strays(fd int, peer netip.AddrPort) (out []stray) {
	buf := make([]byte, 2048)
	for len(out) < 64 {
		n, from, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
		if err != nil {
			break
		}
		if at := addrPortOf(from); at != peer {
			out = append(out, stray{append([]byte(nil), buf[:n]...), at})
		}
	}
	return out
}

func addrPortOf(sa unix.Sockaddr) netip.AddrPort {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	s := &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	if i, err := net.InterfaceByName(a.Addr().Zone()); err == nil {
		s.ZoneId = uint32(i.Index)
	}
	return s
}
