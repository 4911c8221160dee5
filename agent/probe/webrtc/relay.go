package webrtc

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
	"github.com/sprechprobe/sprechprobe/agent/trust"
)

// Relay is an allocation to use for a while, in the form of a socket: what is
// written to a peer leaves at [Relay.Addr], and what peers send there is read. A
// first write to a peer waits for the server's permission, up to 8 s; later ones
// do not. It is safe for one reader beside several writers.
type Relay struct {
	net.PacketConn // of turn/v4
	relaying       *relaying
}

// letGo is how long the server has to say that it has let an allocation go.
const letGo = time.Second

// OpenRelay gets an allocation with credentials as [Allocate] does, to use for up
// to d. Where there is none, the relay is nil, and the evidence is what Allocate's
// would be. The caller closes it.
func OpenRelay(ctx context.Context, t agent.Target, cred Credentials, c trust.Checker, d time.Duration) (*Relay, agent.Evidence) {
	if e, bad := unaskable(agent.ProbeTURN, t); bad {
		return nil, e
	}
	w, e := open(ctx, c, t, time.Now().Add(d))
	switch {
	case w == nil:
		return nil, e
	case w.seen.outcome == agent.Tampered: // no credentials for a stranger
		w.close()
		return nil, w.seen.over(e)
	}
	r := &relaying{way: w, line: &line{Conn: w.conn}, freed: make(chan struct{}, 1)}
	relay, e := r.begin(ctx, e, cred)
	if relay == nil {
		return nil, w.seen.over(e)
	}
	return &Relay{relay, r}, w.seen.over(e)
}

// Addr is where peers reach the relay; invalid where the server names an address
// that nobody outside its own network could reach.
func (r *Relay) Addr() netip.AddrPort {
	at := addrPort(r.LocalAddr())
	if !at.IsValid() || !mayFollow(addrPort(r.relaying.way.conn.RemoteAddr()).Addr(), at.Addr()) {
		return netip.AddrPort{}
	}
	return at
}

// Permit asks the server whether it relays to a peer's address. The code is that of
// its refusal (RFC 8656 section 10), 403 where it gives none, and 0 where there was
// no answer.
func (r *Relay) Permit(peer netip.AddrPort) (code int, err error) {
	to := net.UDPAddrFromAddrPort(peer)
	r.relaying.denied.Store(0)
	err = r.relaying.client.CreatePermission(to)
	if err != nil && r.relaying.denied.Load() == codeStaleNonce { // the client has the new one now
		err = r.relaying.client.CreatePermission(to)
	}
	if err == nil {
		return 0, nil
	}
	return int(r.relaying.denied.Load()), err
}

// Dropped is how many datagrams came for the relay's user and found no room in this
// machine, as [reach.Dropped] counts them.
func (r *Relay) Dropped() int {
	if s := r.relaying.way.socket; s != nil {
		return reach.Dropped(s)
	}
	return 0
}

// Hush ends what waits in Permit and in first writes, when ctx ends. What it returns
// ends that, and waits for it.
func (r *Relay) Hush(ctx context.Context) (end func()) { return onEnd(ctx, r.relaying.hush) }

// Close gives the allocation back, and waits a moment for the server to say so:
// over a line that loses packets it is asked more than once.
func (r *Relay) Close() error {
	r.relaying.line.mute.Store(false)
	err := r.PacketConn.Close()
	select {
	case <-r.relaying.freed:
	case <-time.After(letGo):
	}
	r.relaying.close()
	r.relaying.reading.Wait()
	return err
}

// Mirror is a plain UDP socket that knows how a server on the internet sees it. It
// is safe for one reader beside several writers.
type Mirror struct {
	*net.UDPConn
	seen netip.AddrPort
}

// OpenMirror opens one, and asks a STUN server over UDP how it is seen. It speaks to
// nobody else. The caller closes it.
func OpenMirror(ctx context.Context, server netip.AddrPort) (*Mirror, error) {
	network := "udp6"
	if server.Addr().Unmap().Is4() {
		network = "udp4"
	}
	conn, err := net.ListenUDP(network, nil)
	if err != nil {
		return nil, err
	}
	defer breakOff(ctx, conn)()
	m := &Mirror{UDPConn: conn}
	ask := newBinding()
	buf := make([]byte, maxMessage)
	plan := schedule(learnEnd)
	began := time.Now()
	for _, next := range plan[1:] {
		if _, err := conn.WriteToUDPAddrPort(ask.raw, server); err != nil {
			break
		}
		_ = conn.SetReadDeadline(began.Add(next))
		for ctx.Err() == nil {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				break
			}
			e := ear{asked: server, req: ask}
			if e.accept(buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port())) && e.answer.public().IsValid() {
				m.seen = e.answer.public()
				return m, conn.SetReadDeadline(time.Time{})
			}
		}
	}
	conn.Close()
	return nil, errors.New("no answer that says how this socket is seen")
}

// Dropped is as [Relay.Dropped].
func (m *Mirror) Dropped() int { return reach.Dropped(m.UDPConn) }

// Addr is how the server saw the socket.
func (m *Mirror) Addr() netip.AddrPort { return m.seen }
