package practice

import (
	"context"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent/lab/internet"
)

// Upload has the PC send as much as the line takes.
func (pr *Practice) Upload() (stop func()) {
	pr.t.Helper()
	return pr.load(internet.DiscardPort, func(c net.Conn) {
		for b := make([]byte, 16<<10); ; {
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	})
}

// Download has the PC take as much as the line gives.
func (pr *Practice) Download() (stop func()) {
	pr.t.Helper()
	return pr.load(internet.ChargenPort, func(c net.Conn) {
		for b := make([]byte, 16<<10); ; {
			if _, err := c.Read(b); err != nil {
				return
			}
		}
	})
}

// load keeps one connection of the PC busy.
func (pr *Practice) load(port uint16, busy func(net.Conn)) (stop func()) {
	pr.t.Helper()
	ctx, cancel := context.WithTimeout(pr.t.Context(), patience)
	defer cancel()
	c, err := pr.PC.Dial(ctx, "tcp", netip.AddrPortFrom(internet.SpeedAddr, port).String())
	if err != nil {
		pr.t.Fatalf("load by the PC: %v", err)
	}
	fillQueues(c)
	done := make(chan struct{})
	go func() { defer close(done); busy(c) }()
	return func() {
		_ = c.Close()
		<-done
	}
}

// fillQueues has a connection fill queues until packets are lost, as those of most
// computers do; this machine's may be more considerate.
func fillQueues(c net.Conn) {
	if s, ok := c.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "reno") })
		}
	}
}

// Crowd has the PC open this many UDP connections through the router, which keeps
// each for half a minute.
func (pr *Practice) Crowd(connections int) {
	pr.t.Helper()
	c, err := pr.PC.ListenPacket("udp4", ":0")
	if err != nil {
		pr.t.Fatal(err)
	}
	defer c.Close()
	for i := range connections {
		to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(internet.SpeedAddr, uint16(20000+i)))
		_, _ = c.WriteTo(nil, to) // an earlier one may be rejected by now
	}
}
