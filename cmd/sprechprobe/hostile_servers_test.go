package main_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// manners are how one villain answers. A nil one does not even listen, but for
// dns, which then tells the truth.
type manners struct {
	udp func(v *villain, question []byte, send func([]byte))
	tcp func(v *villain, c net.Conn)
	dns func(v *villain, question []byte, send func([]byte))
	// central is who answers in place of the vendor's NATS server.
	central func(v *villain, c net.Conn)
}

// villain is a video service at one address that answers every port of its in
// one hostile way.
type villain struct {
	manners
	addr netip.Addr
	cert tls.Certificate // good, as a hostile service may well have one

	asked    atomic.Int64 // datagrams and connections that came
	streamed atomic.Int64 // bytes that endless streams got rid of
	flooded  atomic.Int64 // rounds of floods

	done    chan struct{}
	serving sync.WaitGroup
	mu      sync.Mutex
	open    map[io.Closer]bool // nil: over
}

// The ports of a villain, besides those of a vendor.
const (
	namePort                  = 53
	centralPort               = 4222
	captivePort               = 80
	firstPort, lastPort       = 21000, 21002 // of a range
	oneGiB                    = 1 << 30
	mostFlooded               = 30_000
	mostStreamed        int64 = 64 << 20
)

// newVillain listens until the test ends.
func newVillain(t *testing.T, addr netip.Addr, m manners, cert tls.Certificate) *villain {
	t.Helper()
	v := &villain{manners: m, addr: addr, cert: cert, done: make(chan struct{}), open: map[io.Closer]bool{}}
	t.Cleanup(v.end)
	v.packets(t, namePort, v.answerName)
	v.connections(t, namePort, v.serveName)
	ports := []uint16{firstPort, firstPort + 1, lastPort, tlsPort}
	if m.udp != nil {
		for _, p := range append(ports, plainPort) {
			v.packets(t, p, func(q []byte, send func([]byte)) { m.udp(v, q, send) })
		}
	}
	if m.tcp != nil {
		for _, p := range append(ports, webPort, natsPort, captivePort) {
			v.connections(t, p, func(c net.Conn) { m.tcp(v, c) })
		}
	}
	if m.central != nil {
		v.connections(t, centralPort, func(c net.Conn) { m.central(v, c) })
	}
	return v
}

func (v *villain) end() {
	close(v.done)
	v.mu.Lock()
	for c := range v.open {
		c.Close()
	}
	v.open = nil
	v.mu.Unlock()
	v.serving.Wait()
}

// keep makes c end with the villain; it is false where that is over already.
func (v *villain) keep(c io.Closer) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.open == nil {
		c.Close()
		return false
	}
	v.open[c] = true
	return true
}

func (v *villain) forget(c io.Closer) {
	v.mu.Lock()
	defer v.mu.Unlock()
	c.Close()
	delete(v.open, c)
}

// packets answers the datagrams that come to a port.
func (v *villain) packets(t *testing.T, port uint16, answer func(question []byte, send func([]byte))) {
	t.Helper()
	pc, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(v.addr, port)))
	must(t, err)
	v.keep(pc)
	v.serving.Go(func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := pc.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			v.asked.Add(1)
			answer(bytes.Clone(b[:n]), func(a []byte) { _, _ = pc.WriteToUDPAddrPort(a, from) })
		}
	})
}

// connections serves the connections that come to a port.
func (v *villain) connections(t *testing.T, port uint16, serve func(net.Conn)) {
	t.Helper()
	l, err := net.Listen("tcp4", netip.AddrPortFrom(v.addr, port).String())
	must(t, err)
	v.keep(l)
	v.serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			v.asked.Add(1)
			if v.keep(c) {
				v.serving.Go(func() { defer v.forget(c); serve(c) })
			}
		}
	})
}

// wait lets the other side wait until it goes away.
func wait(_ *villain, c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// stream writes b again and again until the other side has enough of it, and
// waits then.
func (v *villain) stream(c net.Conn, b []byte, most int64) {
	for n := int64(0); n < most; n += int64(len(b)) {
		wrote, err := c.Write(b)
		v.streamed.Add(int64(wrote))
		if err != nil {
			return
		}
	}
	wait(v, c)
}

// drip writes one byte a second.
func (v *villain) drip(c net.Conn, text string) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for _, b := range []byte(text) {
		if _, err := c.Write([]byte{b}); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-v.done:
			return
		}
	}
	wait(v, c)
}
