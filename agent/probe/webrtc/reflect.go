package webrtc

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	stunerr "github.com/pion/stun/v3"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

const (
	learnEnd   = time.Second
	reflectEnd = 2 * time.Second
)

// reflect sends a datagram through the relay to a plain socket of ours, as the
// far end's NAT sees that socket, and says in words whether it came. The socket
// knocks at the relayed address first, so that our own NAT lets it in.
func (r *relaying) reflect(ctx context.Context, t agent.Target, relay net.PacketConn) (came bool, detail string) {
	relayed := addrPort(relay.LocalAddr())
	s, err := reach.Listen(t.Addr)
	if err != nil {
		return false, "no socket to reflect to"
	}
	defer s.Close()
	plain := &ear{asked: t.AddrPort(), req: newBinding()}
	if got := plain.ask(ctx, s, left(r.way.until, learnEnd)); got.Outcome != agent.Answered || !plain.answer.public().IsValid() {
		return false, "no address known to reflect to"
	}
	if !relayed.IsValid() || !mayFollow(t.Addr, relayed.Addr()) {
		return false, "the relayed address is outside the internet"
	}
	came, code := r.round(ctx, s, relay, plain.answer.public())
	switch {
	case came:
		return true, "a relayed datagram came back"
	case code != 0:
		return false, "the server does not relay to our address"
	default:
		return false, "no relayed datagram came back"
	}
}

// round sends a token by the relay until s has it or the time is over. The
// code is that of a server which will not relay to the address.
func (r *relaying) round(ctx context.Context, s *reach.Socket, relay net.PacketConn, to netip.AddrPort) (came bool, code int) {
	token, knock := make([]byte, 16), make([]byte, 16)
	_, _ = rand.Read(token) // never fails
	_, _ = rand.Read(knock)
	within, cancel := context.WithCancel(ctx)
	var sending sync.WaitGroup
	sending.Go(func() { code = sendBy(within, relay, token, to) })

	isToken := func(b []byte, _ netip.AddrPort) bool { return bytes.Equal(b, token) }
	plan := schedule(left(r.way.until, reflectEnd))
	_, _, got := s.Ask(ctx, addrPort(relay.LocalAddr()), knock, plan, isToken)

	cancel()
	r.hush() // a permission that is not answered would hold up the sender
	sending.Wait()
	r.line.mute.Store(false) // the allocation has still to be given back
	return got.Outcome == agent.Answered, code
}

// sendBy sends a token a few times, until ctx ends.
func sendBy(ctx context.Context, relay net.PacketConn, token []byte, to netip.AddrPort) (code int) {
	for _, wait := range schedule(reflectEnd)[1:] {
		if _, err := relay.WriteTo(token, net.UDPAddrFromAddrPort(to)); err != nil {
			var refusal *stunerr.TurnError
			if errors.As(err, &refusal) {
				return int(refusal.ErrorCodeAttr.Code)
			}
			return 0
		}
		select {
		case <-ctx.Done():
			return 0
		case <-time.After(wait):
		}
	}
	return 0
}

// addrPort is an address of package net in the form of netip; invalid where it
// is no UDP address.
func addrPort(a net.Addr) netip.AddrPort {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := u.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}
