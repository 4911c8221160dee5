package webrtc

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
	"github.com/sprechprobe/sprechprobe/agent/trust"
)

// IdleRelayed looks for the same as [Idle], with credentials for t, a TURN server
// over UDP (Plain or DTLS): an allocation is a far end that sends when it is told
// to, from an address that the sockets have spoken to. NotLooked too-few-answers: it
// does not relay to the address of this practice, or its relayed addresses are out
// of reach. Where there is no allocation, the outcome is as with [Allocate].
func IdleRelayed(silences []time.Duration, cred Credentials, c trust.Checker) agent.Probe {
	return func(ctx context.Context, t agent.Target) agent.Evidence {
		if e, bad := unaskable(agent.ProbeIdle, t); bad {
			return e
		}
		if t.Transport != agent.UDP {
			return agent.See(agent.ProbeIdle, t, agent.NotLooked, agent.Unsupported)
		}
		longest := slices.Max(append([]time.Duration{0}, silences...))
		w, e := open(ctx, c, t, time.Now().Add(longest+2*bound))
		e.Probe = agent.ProbeIdle
		switch {
		case w == nil:
			return e
		case w.seen.outcome == agent.Tampered: // no credentials for a stranger
			w.close()
			return w.seen.over(e)
		}
		r := &relaying{way: w, line: &line{Conn: w.conn}}
		return r.run(ctx, e, cred, func(e agent.Evidence, relay net.PacketConn) agent.Evidence {
			return r.idle(ctx, e.Target, relay, silences)
		})
	}
}

func (r *relaying) idle(ctx context.Context, t agent.Target, relay net.PacketConn, silences []time.Duration) agent.Evidence {
	few := agent.See(agent.ProbeIdle, t, agent.NotLooked, agent.TooFew)
	defer onEnd(ctx, r.hush)()
	seen, err := r.client.SendBindingRequestTo(r.way.conn.RemoteAddr())
	at := addrPort(relay.LocalAddr())
	if err != nil || !at.IsValid() || !mayFollow(t.Addr, at.Addr()) {
		return few
	}
	// The first datagram asks the server for permission to relay to this practice.
	if _, err := relay.WriteTo(newToken(), seen); err != nil {
		return few.With(agent.Detail, "the server does not relay to our address")
	}
	b := &byRelay{relay: relay, at: at}
	within, stop := context.WithCancel(ctx)
	var serving sync.WaitGroup
	defer serving.Wait()
	defer func() { stop(); _ = relay.SetReadDeadline(time.Unix(1, 0)) }()
	serving.Go(b.serve)
	serving.Go(func() { r.keepAwake(within) })
	e := idle(ctx, t, silences, b)
	if e.Outcome != agent.Answered && e.Outcome != agent.NotLooked {
		return few.With(agent.Detail, "the relayed address is out of reach")
	}
	return e
}

// keepAwake keeps the way to the server in use until ctx ends.
func (r *relaying) keepAwake(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(awakeEvery):
		}
		if _, err := r.client.SendBindingRequestTo(r.way.conn.RemoteAddr()); err != nil {
			return
		}
	}
}

// byRelay is an allocation that tells each of our sockets where it is seen.
type byRelay struct {
	relay net.PacketConn
	at    netip.AddrPort

	mu     sync.Mutex
	knocks [][]byte // tokens by which our sockets are known
}

func (b *byRelay) addr() netip.AddrPort { return b.at }

// sees knocks, and is told by the relay from where that came.
func (b *byRelay) sees(ctx context.Context, s *reach.Socket) (netip.AddrPort, reach.Result) {
	knock := newToken()
	b.mu.Lock()
	b.knocks = append(b.knocks, knock)
	b.mu.Unlock()
	var seen netip.AddrPort
	_, _, r := s.Ask(ctx, b.at, knock, schedule(streamEnd), func(answer []byte, from netip.AddrPort) bool {
		where, ours := bytes.CutPrefix(answer, knock)
		p, err := netip.ParseAddrPort(string(where))
		seen = p
		return ours && err == nil && from == b.at
	})
	return seen, r
}

// serve answers our own knocks until the relay is closed.
func (b *byRelay) serve() {
	buf := make([]byte, 64)
	for {
		n, from, err := b.relay.ReadFrom(buf)
		if err != nil {
			return
		}
		if seen := addrPort(from); b.known(buf[:n]) && seen.IsValid() {
			_, _ = b.relay.WriteTo(append(bytes.Clone(buf[:n]), seen.String()...), from)
		}
	}
}

func (b *byRelay) known(knock []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.knocks, func(k []byte) bool { return bytes.Equal(k, knock) })
}

func (b *byRelay) send(ctx context.Context, to netip.AddrPort, token []byte) {
	for _, wait := range []time.Duration{300 * time.Millisecond, 500 * time.Millisecond, 0} {
		if _, err := b.relay.WriteTo(token, net.UDPAddrFromAddrPort(to)); err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}
