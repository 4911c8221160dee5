// Package middlebox has what stands in the way of a practice's TCP connections and
// meddles: proxies that intercept TLS, filters that reset, portals that catch. Each
// is handed a connection that a router has diverted. It does not know how.
package middlebox

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent/lab/pki"
)

// Box handles one connection of a client, and closes it; to is where the client
// wanted to go.
type Box func(client net.Conn, to netip.AddrPort)

// Dial is how a box gets on from where it stands.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// patience is how long a box waits for anybody.
const patience = 30 * time.Second

// Original is where a connection that a router redirected was to go.
func Original(c net.Conn) (netip.AddrPort, error) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return netip.AddrPort{}, errors.New("no TCP connection")
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return netip.AddrPort{}, err
	}
	own := tcp.LocalAddr().(*net.TCPAddr).AddrPort()
	var to netip.AddrPort
	var asked error
	err = raw.Control(func(fd uintptr) {
		if own.Addr().Unmap().Is4() {
			to, asked = original4(int(fd))
		} else {
			to, asked = original6(int(fd))
		}
	})
	if err == nil {
		err = asked
	}
	return to, err
}

// soOriginalDst is SO_ORIGINAL_DST of linux/netfilter_ipv4.h and its twin.
const soOriginalDst = 80

// original4 reads a sockaddr_in by way of a structure of at least its size.
func original4(fd int) (netip.AddrPort, error) {
	r, err := unix.GetsockoptIPv6Mreq(fd, unix.IPPROTO_IP, soOriginalDst)
	if err != nil {
		return netip.AddrPort{}, err
	}
	b := r.Multiaddr
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), uint16(b[2])<<8|uint16(b[3])), nil
}

func original6(fd int) (netip.AddrPort, error) {
	r, err := unix.GetsockoptIPv6MTUInfo(fd, unix.IPPROTO_IPV6, soOriginalDst)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port := r.Addr.Port // in the order of the network
	return netip.AddrPortFrom(netip.AddrFrom16(r.Addr.Addr), port<<8|port>>8), nil
}

// Reset ends a connection with a RST.
func Reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// join copies both ways until either side has ended, and closes both.
func join(a, b net.Conn) {
	defer a.Close()
	defer b.Close()
	done := make(chan struct{}, 2)
	half := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		if w, ok := to.(interface{ CloseWrite() error }); ok {
			_ = w.CloseWrite()
		}
		done <- struct{}{}
	}
	go half(a, b)
	go half(b, a)
	<-done
	select {
	case <-done:
	case <-time.After(time.Second): // of somebody who does not see the other's end
	}
}

// connect goes on to where the client wanted to go, or resets it.
func connect(dial Dial, client net.Conn, to netip.AddrPort) net.Conn {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	server, err := dial(ctx, "tcp", to.String())
	if err != nil {
		Reset(client)
		return nil
	}
	return server
}

// Intercept reads along: it shows clients a certificate of its own authority for
// the name they ask for, and speaks TLS with the server itself, whoever that is.
// What is not TLS passes.
func Intercept(dial Dial, ca *pki.Authority) Box {
	return func(client net.Conn, to netip.AddrPort) {
		if inner, server := intercept(dial, ca, client, to); inner != nil {
			join(inner, server)
		}
	}
}

// intercept is both connections in the clear, nil where there is nothing more to do.
func intercept(dial Dial, ca *pki.Authority, client net.Conn, to netip.AddrPort) (inner, server net.Conn) {
	raw := connect(dial, client, to)
	if raw == nil {
		return nil, nil
	}
	p := peek(client)
	if !p.startsTLS() {
		join(p, raw)
		return nil, nil
	}
	var outer *tls.Conn
	mine := tls.Server(p, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		outer = tls.Client(raw, &tls.Config{ServerName: h.ServerName, InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
		if err := outer.Handshake(); err != nil {
			return nil, err
		}
		name := h.ServerName
		if name == "" {
			name = to.Addr().String()
		}
		cert, err := ca.For(name)
		if err != nil {
			return nil, err
		}
		return &tls.Config{Certificates: []tls.Certificate{*cert}, NextProtos: []string{"http/1.1"}}, nil
	}})
	_ = client.SetDeadline(time.Now().Add(patience))
	if err := mine.Handshake(); err != nil {
		_ = client.Close()
		_ = raw.Close()
		return nil, nil
	}
	_ = client.SetDeadline(time.Time{})
	return mine, outer
}

// OnlyTLS resets whatever does not begin like TLS.
func OnlyTLS(dial Dial) Box {
	return func(client net.Conn, to netip.AddrPort) {
		p := peek(client)
		_ = client.SetReadDeadline(time.Now().Add(patience))
		if first, err := p.ahead.Peek(1); err != nil || first[0] != recordHandshake {
			Reset(client)
			return
		}
		_ = client.SetReadDeadline(time.Time{})
		if server := connect(dial, client, to); server != nil {
			join(p, server)
		}
	}
}

// ResetAfterHello resets connections for whose ClientHello bad holds; without TLS
// the name is empty and nothing happens.
func ResetAfterHello(dial Dial, bad func(serverName string, size int) bool) Box {
	return afterHello(dial, bad, Reset)
}

// SilentAfterHello goes silent instead, as a filter does that drops a segment.
func SilentAfterHello(dial Dial, bad func(serverName string, size int) bool) Box {
	return afterHello(dial, bad, func(c net.Conn) {
		_ = c.SetReadDeadline(time.Now().Add(patience))
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	})
}

func afterHello(dial Dial, bad func(string, int) bool, end func(net.Conn)) Box {
	return func(client net.Conn, to netip.AddrPort) {
		p := peek(client)
		name, size, isTLS := p.hello()
		if isTLS && bad(name, size) {
			end(client)
			return
		}
		if server := connect(dial, client, to); server != nil {
			join(p, server)
		}
	}
}
