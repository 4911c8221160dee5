package internet

import (
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// serveEcho sends back what comes until the socket is closed.
func serveEcho(c net.PacketConn) {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = c.WriteTo(buf[:n], from)
	}
}

func echo(c net.Conn) {
	defer c.Close()
	_, _ = io.Copy(c, c)
}

func discard(c net.Conn) {
	defer c.Close()
	_, _ = io.Copy(io.Discard, c)
}

func chargen(c net.Conn) {
	defer c.Close()
	for b := make([]byte, 16<<10); ; {
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

// accept serves connections until the listener is closed.
func accept(l net.Listener, serve func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go serve(c)
	}
}

// Clock is a time server. It is safe for use by several goroutines.
type Clock struct {
	ahead atomic.Int64
}

// SetAhead makes the time server tell a time in the future.
func (c *Clock) SetAhead(by time.Duration) { c.ahead.Store(int64(by)) }

// ntpEpoch is the start of era 0 in Unix time, seconds (RFC 5905, figure 4).
const ntpEpoch = -2208988800

// serve answers clients (RFC 5905, section 14) until the socket is closed.
func (c *Clock) serve(conn net.PacketConn) {
	buf := make([]byte, 128)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if n < 48 || buf[0]&7 != 3 { // client
			continue
		}
		now := timestamp(time.Now().Add(time.Duration(c.ahead.Load())))
		out := make([]byte, 48)
		out[0] = buf[0]&0x38 | 4 // no leap, the client's version, server
		out[1], out[2], out[3] = 2, buf[2], 0xec
		copy(out[12:], "LAB\x00")
		binary.BigEndian.PutUint64(out[16:], now-1<<36) // set 16 s ago
		copy(out[24:32], buf[40:48])
		binary.BigEndian.PutUint64(out[32:], now)
		binary.BigEndian.PutUint64(out[40:], now)
		_, _ = conn.WriteTo(out, from)
	}
}

// timestamp is 32 bits of seconds and 32 of their fraction.
func timestamp(t time.Time) uint64 {
	return uint64(t.Unix()-ntpEpoch)<<32 | uint64(t.Nanosecond())<<32/1e9
}
