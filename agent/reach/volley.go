package reach

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Shot is one datagram of a volley.
type Shot struct {
	At  time.Duration // since the start of the volley; ascending
	Msg []byte
}

// Heard is one thing that came back to a volley: a datagram, or what an ICMP error
// means.
type Heard struct {
	Data   []byte         // of a datagram; the first 4097 bytes, not to be kept
	From   netip.AddrPort // of a datagram
	At     time.Duration  // of a datagram, since the start: when it arrived, not when it was read
	Result Result         // of an ICMP error; the zero Result if it decides nothing
	TooBig bool           // a router, or this machine, could not pass a packet on in one piece
	Fits   int            // the size that would have fit, bytes, where TooBig; 0: not said
}

// Volley sends many datagrams to an address, each at its time or as soon after as
// this machine can, and gives hear all that comes back until hear says that it is
// done, or until end. It returns how long after the start each was sent; fewer
// than shots if it was done before. A datagram that is too big for the interface
// counts as sent and comes back as Heard.TooBig. An error is this machine's own
// trouble or the end of ctx, for [Classify].
func (s *Socket) Volley(ctx context.Context, to netip.AddrPort, shots []Shot, end time.Duration,
	hear func(Heard) (done bool)) ([]time.Duration, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.stampArrivals()
	defer s.wakeOn(ctx)()
	v := volley{q: question{s: s, to: unmap(to), end: end}, shots: shots, hear: hear}
	err := v.run(ctx)
	return v.sent, err
}

// volley is one Volley under way.
type volley struct {
	q     question // knows how to send
	shots []Shot   // still to come
	hear  func(Heard) bool
	sent  []time.Duration
}

func (v *volley) run(ctx context.Context) error {
	v.q.start = time.Now()
	for late := 0; ; {
		if err := v.fire(); err != nil {
			return err
		}
		h, err := v.q.s.next(ctx, v.q.start.Add(v.wake()))
		switch {
		case err != nil:
			return err
		case h.kind != nothing && v.pass(h):
			return nil
		case time.Since(v.q.start) < v.q.end:
			continue
		}
		if late++; h.kind == nothing || late > maxLate+len(v.sent) {
			return nil
		}
	}
}

func (v *volley) wake() time.Duration {
	if len(v.shots) > 0 {
		return min(v.shots[0].At, v.q.end)
	}
	return v.q.end
}

// fire sends all that is due.
func (v *volley) fire() error {
	for len(v.shots) > 0 && time.Since(v.q.start) >= v.shots[0].At {
		at := time.Since(v.q.start)
		v.q.msg = v.shots[0].Msg
		if err := v.q.send(); err != nil && !errors.Is(err, unix.EMSGSIZE) {
			return err
		}
		v.shots, v.sent = v.shots[1:], append(v.sent, at)
	}
	return nil
}

// pass gives what was heard to who asked. An ICMP error about an earlier question
// is none of it.
func (v *volley) pass(h heard) (done bool) {
	if h.kind == datagram {
		return v.hear(Heard{Data: h.data, From: h.from, At: time.Since(v.q.start) - h.lag})
	}
	n := h.notice
	ours := n.dest.Port() == v.q.to.Port() || n.origin == fromLocal // which names no port for IPv4
	if !ours || n.dest.Addr() != v.q.to.Addr().WithZone("") {
		return false
	}
	if n.errno == unix.EMSGSIZE {
		return v.hear(Heard{TooBig: true, Fits: int(n.info)})
	}
	r, _ := grade(n, v.q.to.Addr())
	return v.hear(Heard{Result: r})
}

// stampArrivals makes the kernel say when a datagram arrived. Where it cannot, the
// time of reading stands in.
func (s *Socket) stampArrivals() {
	_ = s.raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	})
}

// lag is how long ago the datagram arrived to which these control messages belong,
// 0 if they do not say so. The stamp is of the wall clock, which may be set in
// between: what makes no sense is not believed.
func lag(oob []byte) time.Duration {
	const sensible = time.Second
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0
	}
	for _, m := range msgs {
		if m.Header.Level != unix.SOL_SOCKET || m.Header.Type != unix.SCM_TIMESTAMPNS {
			continue
		}
		if d := time.Since(timespec(m.Data)); d >= 0 && d < sensible {
			return d
		}
	}
	return 0
}

// timespec reads a struct timespec, of which 32-bit machines have a short one.
func timespec(b []byte) time.Time {
	switch len(b) {
	case 8:
		return time.Unix(int64(int32(binary.NativeEndian.Uint32(b))), int64(binary.NativeEndian.Uint32(b[4:])))
	case 16:
		return time.Unix(int64(binary.NativeEndian.Uint64(b)), int64(binary.NativeEndian.Uint64(b[8:])))
	}
	return time.Time{}
}

// Fragment says whether what the socket sends from now on may be cut into
// fragments on its way. If not, what is too big for the interface or for a link
// comes back as Heard.TooBig, and what the kernel knows of the path does not count.
// If so, IPv6 that is too big for the interface is cut here, to its smallest MTU,
// because routers do not cut it.
func (s *Socket) Fragment(may bool) error {
	var err error
	ctlErr := s.raw.Control(func(fd uintptr) { err = fragment(int(fd), s.family.Is4(), may) })
	if ctlErr != nil {
		return ctlErr
	}
	return os.NewSyscallError("set path MTU discovery", err)
}

func fragment(fd int, v4, may bool) error {
	const smallest = 1280 // RFC 8200 section 5
	switch {
	case v4 && may:
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
	case v4:
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
	case !may:
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DONT); err != nil {
		return err
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU, smallest)
}
