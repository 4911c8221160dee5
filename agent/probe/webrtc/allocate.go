package webrtc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v2"
	stunerr "github.com/pion/stun/v3" // the error type of turn/v4
	"github.com/pion/turn/v4"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/trust"
)

// Credentials are for one TURN server, long-term or made for a few minutes.
type Credentials struct{ Username, Password string }

const (
	codeForbidden  = 403
	codeStaleNonce = 438
	codeWrongUser  = 441

	allocationEnd = 3500 * time.Millisecond // both round trips of it
	streamRTO     = 3 * time.Second         // the client would repeat itself over TCP, too
	packetRTO     = 250 * time.Millisecond
	minLifetime   = 10 // seconds; below, the client would do nothing but refresh
)

// Allocate gets an allocation with credentials, over t's transport and variant
// as in [TURN], sends a datagram through it to a plain socket of this machine,
// and gives it back. Answered means that there was an answer; its reason is
// auth-refused where the credentials are not taken (401, 441) and open-relay
// where none are asked for, and any other refusal has its stun_error_code only.
// relayed says whether the relayed datagram came back within 2 s: that proves
// that media can pass, but its absence proves nothing, for a server may deny to
// relay to the address that asks; detail says more. Where a certificate is not
// the target's, the credentials are not shown, and nothing more is seen than by
// [TURN]. Values: as TURN; rtt_ms is the whole of the two exchanges.
func Allocate(ctx context.Context, t agent.Target, cred Credentials, c trust.Checker) agent.Evidence {
	e := allocateAs(ctx, t, cred, c)
	e.Probe = agent.ProbeRelay
	return e
}

func allocateAs(ctx context.Context, t agent.Target, cred Credentials, c trust.Checker) agent.Evidence {
	if e, bad := unaskable(agent.ProbeTURN, t); bad {
		return e
	}
	w, e := open(ctx, c, t, time.Now().Add(bound))
	if w == nil {
		return e
	}
	if w.seen.outcome == agent.Tampered { // no credentials for a stranger
		defer w.close()
		e, _ = w.ask(ctx, e)
		return w.seen.over(e)
	}
	r := &relaying{way: w, line: &line{Conn: w.conn}}
	return w.seen.over(r.run(ctx, e, cred, func(e agent.Evidence, relay net.PacketConn) agent.Evidence {
		came, detail := r.reflect(ctx, e.Target, relay)
		return e.With(agent.Relayed, came).With(agent.Detail, detail)
	}))
}

// relaying is one use of turn/v4's client over a way of ours. The client reads
// nothing itself: what comes in is checked first, since its own decoder
// trusts lengths and lifetimes, and its own reader ends at the first surprise.
type relaying struct {
	way    *way
	line   *line
	client *turn.Client
	freed  chan struct{} // told when the server says that it has let go; may be nil
	denied atomic.Int32  // code of the newest answer about a permission, 0: granted

	reading sync.WaitGroup

	mu     sync.Mutex
	last   answer       // the newest answer to an Allocate
	stray  agent.Reason // what came instead
	broken error        // how reading ended
}

// run gets an allocation, does something with it, and gives it back.
func (r *relaying) run(ctx context.Context, e agent.Evidence, cred Credentials,
	do func(agent.Evidence, net.PacketConn) agent.Evidence) agent.Evidence {
	relay, e := r.begin(ctx, e, cred)
	if relay == nil {
		return e
	}
	defer r.end(relay)
	return do(e, relay)
}

// begin gets an allocation, nil where there is none; then all is closed again.
func (r *relaying) begin(ctx context.Context, e agent.Evidence, cred Credentials) (net.PacketConn, agent.Evidence) {
	client, err := turn.NewClient(&turn.ClientConfig{
		Username:      cred.Username,
		Password:      cred.Password,
		RTO:           r.way.rto(),
		Conn:          r.line,
		LoggerFactory: quiet(),
	})
	if err != nil {
		r.way.close()
		return nil, found(e, agent.NotLooked, agent.OtherError)
	}
	r.client = client
	_ = r.way.conn.SetDeadline(r.way.until) // for a write that would block
	r.reading.Go(r.read)

	began := time.Now()
	relay, err := r.allocate(ctx)
	if err != nil {
		e = r.refused(ctx, e, err)
		r.close()
		r.reading.Wait()
		return nil, e
	}
	return relay, with(found(e, agent.Answered, ""), r.answer().values()).With(agent.RTT, time.Since(began))
}

// end gives the allocation back and closes the way to it.
func (r *relaying) end(relay net.PacketConn) {
	relay.Close()
	r.close()
	r.reading.Wait()
}

// allocate is the client's, which knows no context: it ends when the client and
// the connection are closed.
func (r *relaying) allocate(ctx context.Context) (net.PacketConn, error) {
	within, cancel := context.WithTimeout(ctx, left(r.way.until, allocationEnd))
	defer cancel()
	defer onEnd(within, r.close)()
	return r.client.Allocate()
}

// hush ends all that the client is waiting for, and lets nothing begin: what
// it starts from now on fails at the first write.
func (r *relaying) hush() {
	r.line.mute.Store(true)
	r.client.Close()
}

func (r *relaying) close() {
	r.hush()
	r.way.close()
}

// refused says why there is no allocation.
func (r *relaying) refused(ctx context.Context, e agent.Evidence, err error) agent.Evidence {
	r.mu.Lock()
	a, stray, broken := r.last, r.stray, r.broken
	r.mu.Unlock()
	e = with(e, a.values())
	var refusal *stunerr.TurnError
	switch {
	case errors.As(err, &refusal):
		code := int(refusal.ErrorCodeAttr.Code)
		e = found(e, agent.Answered, "").With(agent.STUNError, code)
		if code == codeUnauthorized || code == codeWrongUser {
			e.Reason = agent.AuthRefused
		}
		return e
	case a.allocated(): // without credentials, which the client does not expect
		return found(e, agent.Answered, agent.OpenRelay)
	case a.code != 0 && a.code != codeUnauthorized:
		return found(e, agent.Answered, "")
	case ctx.Err() != nil:
		return found(e, agent.NotLooked, agent.Cancelled)
	case stray == agent.TLSAlert:
		return found(e, agent.Refused, stray)
	case stray != "":
		return found(e, agent.Tampered, stray)
	case broken != nil && !errors.Is(broken, net.ErrClosed):
		return failed(ctx, e, broken)
	default:
		return found(e, agent.Silent, agent.Timeout)
	}
}

func (r *relaying) answer() answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// read feeds the client until the connection ends, or shows that it carries
// something else.
func (r *relaying) read() {
	for {
		b, stray, err := r.way.next()
		if stray == "" && err == nil {
			stray = r.feed(b)
		}
		if err == nil && (stray == "" || !r.way.stream) {
			r.note(stray, nil)
			continue
		}
		r.note(stray, err)
		r.hush() // it need not wait any longer
		return
	}
}

func (r *relaying) note(stray agent.Reason, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if stray != "" {
		r.stray = stray
	}
	r.broken = err
}

// feed passes on what the client can be trusted to understand.
func (r *relaying) feed(b []byte) agent.Reason {
	if !isChannelData(b) {
		a, ok := decode(b)
		ok = ok || deniesPermission(b)
		if !ok || a.kind.Class == stun.ClassRequest || !digestible(b) {
			return agent.Garbage
		}
		switch a.kind.Method {
		case stun.MethodAllocate:
			r.newest(a)
		case stun.MethodRefresh:
			r.free()
		case stun.MethodCreatePermission:
			r.denied.Store(int32(a.code))
			if a.kind.Class == stun.ClassErrorResponse && a.code == 0 {
				r.denied.Store(codeForbidden)
			}
		}
		b = bytes.Clone(b) // the client keeps messages, but copies what channels carry
	}
	_, _ = r.client.HandleInbound(b, r.way.conn.RemoteAddr())
	return ""
}

// free tells that a Refresh was answered.
func (r *relaying) free() {
	select {
	case r.freed <- struct{}{}:
	default:
	}
}

// newest takes note of an answer to an Allocate. The client does not expect an
// allocation before it has shown credentials, so that one is given back here.
func (r *relaying) newest(a answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.allocated() && r.last.code != codeUnauthorized {
		_, _ = r.way.conn.Write(newRelease().raw)
	}
	if a.realm == "" {
		a.realm = r.last.realm
	}
	r.last = a
}

// deniesPermission recognises a refusal without a code, as pion's server sends it.
func deniesPermission(b []byte) bool {
	var m stun.Message
	return len(b) <= maxMessage && stun.Decode(b, &m) == nil &&
		m.Type == stun.NewType(stun.MethodCreatePermission, stun.ClassErrorResponse)
}

// digestible reports whether turn/v4 can read the addresses of a message (it
// panics on an empty one) and live with its lifetime (it refreshes without a
// pause when that is 0).
func digestible(b []byte) bool {
	var m stun.Message
	if stun.Decode(b, &m) != nil {
		return false
	}
	for _, t := range []stun.AttrType{stun.AttrXORMappedAddress, stun.AttrXORPeerAddress, stun.AttrXORRelayedAddress} {
		if m.Contains(t) && !address(&m, t).IsValid() {
			return false
		}
	}
	life, err := m.Get(stun.AttrLifetime)
	freed := m.Type.Method == stun.MethodRefresh
	return err != nil || freed || len(life) == 4 && binary.BigEndian.Uint32(life) >= minLifetime
}

// line is a way in the form that turn/v4's client writes to. It knows one peer.
type line struct {
	net.Conn
	mute atomic.Bool
}

// ReadFrom is there for the interface; [relaying.read] reads.
func (l *line) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := l.Read(b)
	return n, l.RemoteAddr(), err
}

func (l *line) WriteTo(b []byte, _ net.Addr) (int, error) {
	if l.mute.Load() {
		return 0, net.ErrClosed
	}
	return l.Write(b)
}
