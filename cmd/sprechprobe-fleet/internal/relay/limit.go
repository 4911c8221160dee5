package relay

import (
	"net"
	"sync"
	"time"

	"github.com/pion/turn/v4"
)

// addresses makes the sockets of allocations, each with its limits.
type addresses struct {
	conf   Config
	ranged turn.RelayAddressGeneratorPortRange
}

func (a *addresses) Validate() error { return a.ranged.Validate() }

// AllocatePacketConn takes a port of the range, whichever was asked for.
func (a *addresses) AllocatePacketConn(network string, _ int) (net.PacketConn, net.Addr, error) {
	c, addr, err := a.ranged.AllocatePacketConn(network, 0)
	if err != nil {
		return nil, nil, err
	}
	rate := float64(a.conf.Rate) / 8
	return &limited{PacketConn: c, in: bucket{rate: rate}, out: bucket{rate: rate}}, addr, nil
}

// AllocateConn is for TCP, which no call uses here.
func (a *addresses) AllocateConn(network string, port int) (net.Conn, net.Addr, error) {
	return a.ranged.AllocateConn(network, port)
}

// limited drops what is beyond its rate, as a line would.
type limited struct {
	net.PacketConn
	in, out bucket
}

func (l *limited) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := l.PacketConn.ReadFrom(b)
		if err != nil || l.in.take(n, time.Now()) {
			return n, from, err
		}
	}
}

func (l *limited) WriteTo(b []byte, to net.Addr) (int, error) {
	if !l.out.take(len(b), time.Now()) {
		return len(b), nil
	}
	return l.PacketConn.WriteTo(b, to)
}

// bucket holds a second of its rate.
type bucket struct {
	mu   sync.Mutex
	rate float64 // bytes a second
	full float64
	at   time.Time
}

// take takes n bytes, if there are so many.
func (b *bucket) take(n int, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.at.IsZero() {
		b.full = b.rate
	} else {
		b.full = min(b.rate, b.full+now.Sub(b.at).Seconds()*b.rate)
	}
	b.at = now
	if b.full < float64(n) {
		return false
	}
	b.full -= float64(n)
	return true
}
