// Package localname makes the box reachable by a name on its own network: it
// answers multicast DNS (RFC 6762) for that one name with the box's address.
//
// It only ever answers. It asks nothing, announces nothing, and keeps nothing of
// what others say there. Its socket takes packets to the multicast group alone,
// so that no port is open to be written to. Nobody can make it answer more than
// a few times a second, or answer anyone outside the network.
package localname

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Group is where multicast DNS is spoken, RFC 6762 section 3.
var Group = netip.AddrPortFrom(netip.AddrFrom4([4]byte{224, 0, 0, 251}), port)

// Place is where the box is: an interface and its address there, with the
// network's prefix. The zero value is nowhere.
type Place struct {
	Interface string
	Addr      netip.Prefix
}

// valid reports whether a name can be answered for here.
func (p Place) valid() bool { return p.Interface != "" && p.Addr.IsValid() && p.Addr.Addr().Is4() }

// Responder answers for a name.
type Responder struct {
	name  string // with the dot of the root
	log   *slog.Logger
	moves chan Place // holds the newest
}

// New makes a responder for a label: "sprechprobe" is found as
// sprechprobe.local. The label must be one of a host name.
func New(label string, log *slog.Logger) *Responder {
	return &Responder{name: label + ".local.", log: log, moves: make(chan Place, 1)}
}

// Move says where the box is now. It does not block. It must not be called by
// two goroutines at once.
func (r *Responder) Move(p Place) {
	select {
	case <-r.moves:
	default:
	}
	r.moves <- p
}

// Run answers until ctx ends. Where the network does not let it, it says so in
// the log and waits for the next place.
func (r *Responder) Run(ctx context.Context) error {
	var now Place
	var index int
	stop := func() {}
	defer func() { stop() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case p := <-r.moves:
			ifi, err := net.InterfaceByName(p.Interface)
			if err == nil && p == now && ifi.Index == index {
				continue
			}
			stop()
			now, index, stop = Place{}, 0, func() {}
			if err != nil || !p.valid() {
				continue
			}
			if stop, err = r.start(p, ifi.Index); err != nil {
				r.log.Warn("no name on this network", "name", r.name, "interface", p.Interface, "err", err)
				continue
			}
			now, index = p, ifi.Index
		}
	}
}

// start answers in the background; stop ends that and waits for it.
func (r *Responder) start(p Place, index int) (stop func(), err error) {
	c, err := listen(index)
	if err != nil {
		return func() {}, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.serve(c, p)
	}()
	return func() { c.Close(); <-done }, nil
}

// listen joins the group on one interface. The socket is bound to the group's
// address and not, as package net would, to all of the machine's: a packet that
// is sent to the box itself does not get there. Others may be bound too.
func listen(index int) (*net.UDPConn, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "mdns")
	defer f.Close() // the connection below has its own
	group := Group.Addr().As4()
	here := &unix.IPMreqn{Multiaddr: group, Ifindex: int32(index)}
	for _, set := range []struct {
		what string
		err  error
	}{
		{"reuse address", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)},
		// Without this every socket on the machine gets what any of them joined.
		{"multicast all", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0)},
		{"join", unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, here)},
		{"multicast interface", unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, here)},
		{"multicast ttl", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, 255)},
		{"ttl", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, 255)},
		{"bind", unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: group})},
	} {
		if set.err != nil {
			return nil, fmt.Errorf("%s: %w", set.what, set.err)
		}
	}
	c, err := net.FilePacketConn(f)
	if err != nil {
		return nil, err
	}
	return c.(*net.UDPConn), nil
}

// pace bounds what a network can make us do: how many packets are read and how
// many answers are sent in a second. Multicast answers are to be a second apart,
// RFC 6762 section 6.
const (
	readsPerS = 100
	sendsPerS = 10
)

// serve answers until c is closed.
func (r *Responder) serve(c *net.UDPConn, p Place) {
	var second, lastMulticast time.Time
	reads, sends := 0, 0
	for b := make([]byte, maxQuery); ; {
		n, from, err := c.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(time.Second)
			continue
		}
		now := time.Now()
		if now.Sub(second) >= time.Second {
			second, reads, sends = now, 0, 0
		}
		if reads++; reads > readsPerS {
			time.Sleep(time.Second - now.Sub(second)) // the kernel drops what is too much
			continue
		}
		q, ok := read(b[:n], r.name, p.Addr.Addr())
		if !ok || q.known || !p.Addr.Contains(from.Addr().Unmap()) || sends >= sendsPerS {
			continue
		}
		legacy := from.Port() != port
		to := from
		if !legacy && !q.unicast {
			if now.Sub(lastMulticast) < time.Second {
				continue
			}
			to, lastMulticast = Group, now
		}
		if out, err := reply(q, p.Addr.Addr(), legacy); err == nil {
			sends++
			_, _ = c.WriteToUDPAddrPort(out, to)
		}
	}
}
