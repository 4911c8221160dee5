package webrtc

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
	"github.com/sprechprobe/sprechprobe/agent/trust"
)

// way is an open way to a TURN server: a TCP or TLS connection, or datagrams to
// one address, bare or in DTLS.
type way struct {
	conn   net.Conn
	stream bool
	under  net.Conn      // what conn leaves open, if anything
	socket *reach.Socket // of datagrams; nil: a stream
	seen   verdict
	until  time.Time // when the look has to be over
	buf    []byte    // of datagrams
}

func (w *way) close() {
	w.conn.Close()
	if w.under != nil {
		w.under.Close()
	}
}

// verdict is what a certificate showed; the zero value: there was none.
type verdict struct {
	outcome agent.Outcome
	reason  agent.Reason
}

// over puts a certificate's verdict over what was said inside its connection:
// who is not the target cannot have answered for it, and an expired certificate
// is worth more mention than the refusal that we asked for.
func (v verdict) over(e agent.Evidence) agent.Evidence {
	switch {
	case v.outcome == agent.Tampered && e.Outcome != agent.NotLooked:
		return found(e, agent.Tampered, v.reason)
	case v.outcome == agent.Answered && v.reason != "" && e.Outcome == agent.Answered:
		return found(e, agent.Answered, v.reason)
	default:
		return e
	}
}

// open opens the way that t says; the evidence has what was seen doing so. The
// way is nil where it could not be opened, and the evidence is final then.
func open(ctx context.Context, c trust.Checker, t agent.Target, until time.Time) (*way, agent.Evidence) {
	switch {
	case t.Transport == agent.TCP && (t.Variant == agent.Plain || t.Variant == agent.TLS):
		return openTCP(ctx, c, t, until)
	case t.Transport == agent.UDP && t.Variant == agent.DTLS:
		return openDTLS(ctx, c, t, until)
	case t.Transport == agent.UDP && t.Variant == agent.Plain:
		return openUDP(t, until)
	default:
		return nil, agent.See(agent.ProbeTURN, t, agent.NotLooked, agent.Unsupported)
	}
}

func openUDP(t agent.Target, until time.Time) (*way, agent.Evidence) {
	s, err := reach.Listen(t.Addr)
	if err != nil {
		return nil, reach.Classify(err, t.Addr).Evidence(agent.ProbeTURN, t)
	}
	return &way{conn: s.Conn(t.AddrPort()), socket: s, until: until}, agent.See(agent.ProbeTURN, t, agent.Answered, "")
}

func openTCP(ctx context.Context, c trust.Checker, t agent.Target, until time.Time) (*way, agent.Evidence) {
	conn, r := reach.TCP(ctx, t.AddrPort())
	e := r.Evidence(agent.ProbeTURN, t)
	if conn == nil {
		return nil, e
	}
	w := &way{conn: conn, stream: true, until: until}
	if t.Variant == agent.Plain {
		return w, e
	}
	// The last second is for the Allocate, which the handshake is made for.
	hello, cancel := context.WithTimeout(ctx, left(until.Add(-time.Second), handshakeEnd))
	defer cancel()
	secured, seen := c.Client(hello, conn, hostOf(t))
	e = with(e, seen.Values)
	switch {
	case secured == nil && ctx.Err() != nil:
		return nil, found(e, agent.NotLooked, agent.Cancelled)
	case secured == nil:
		return nil, found(e, seen.Outcome, seen.Reason)
	}
	w.conn, w.seen = secured, verdict{seen.Outcome, seen.Reason}
	return w, e
}

// rto is the first wait of turn/v4's client before it repeats itself, which it
// does on streams as well.
func (w *way) rto() time.Duration {
	if w.stream {
		return streamRTO
	}
	return packetRTO
}

// next is the next message, or data of a channel, good until the next call. A
// reason says that something else came.
func (w *way) next() ([]byte, agent.Reason, error) {
	if w.stream {
		return readFrame(w.conn)
	}
	if w.buf == nil {
		w.buf = make([]byte, maxMessage)
	}
	n, err := w.conn.Read(w.buf)
	return w.buf[:n], "", err
}

// hostOf is the name that a certificate must be for.
func hostOf(t agent.Target) string {
	if t.Host == "" {
		return t.Addr.String()
	}
	return t.Host
}

// ask sends an Allocate along the way and adds to e how that ended.
func (w *way) ask(ctx context.Context, e agent.Evidence) (agent.Evidence, answer) {
	defer breakOff(ctx, w.conn)()
	began := time.Now()
	a, stray, err := w.exchange(ctx, newAllocate())
	switch {
	case err == nil && stray == "":
		e = with(e, a.values()).With(agent.RTT, time.Since(began))
	case ctx.Err() != nil:
		return found(e, agent.NotLooked, agent.Cancelled), answer{}
	case stray == agent.TLSAlert:
		return found(e, agent.Refused, stray), answer{}
	case stray != "":
		return found(e, agent.Tampered, stray), answer{}
	default:
		return failed(ctx, e, err), answer{}
	}
	if a.allocated() {
		w.release(ctx)
	}
	return found(e, agent.Answered, ""), a
}

// exchange sends req and waits for its answer. stray says what came instead,
// and without it err says how the waiting ended.
func (w *way) exchange(ctx context.Context, req request) (a answer, stray agent.Reason, err error) {
	if !w.stream {
		return w.exchangePackets(ctx, req)
	}
	if err := waitUntil(ctx, w.conn, left(w.until, streamEnd)); err != nil {
		return answer{}, "", err
	}
	if _, err := w.conn.Write(req.raw); err != nil {
		return answer{}, "", err
	}
	return await(w.conn, req)
}

// exchangePackets sends req again until it is answered.
func (w *way) exchangePackets(ctx context.Context, req request) (a answer, stray agent.Reason, err error) {
	e := ear{req: req}
	began := time.Now()
	plan := schedule(left(w.until, streamEnd))
	for _, next := range plan[1:] {
		if _, err = w.conn.Write(req.raw); err == nil {
			err = w.hear(ctx, &e, time.Until(began.Add(next)))
		}
		if err == nil {
			return e.answer, "", nil
		}
		if !isTimeout(err) {
			break
		}
	}
	return answer{}, e.stray, err
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// hear reads datagrams until one answers.
func (w *way) hear(ctx context.Context, e *ear, d time.Duration) error {
	if err := waitUntil(ctx, w.conn, d); err != nil {
		return err
	}
	b := make([]byte, maxMessage)
	for {
		n, err := w.conn.Read(b)
		if err != nil {
			return err
		}
		if e.accept(b[:n], e.asked) {
			return nil
		}
	}
}

// release gives an allocation back, as far as that can be done in passing.
func (w *way) release(ctx context.Context) {
	req := newRelease()
	if waitUntil(ctx, w.conn, releaseEnd) != nil {
		return
	}
	if _, err := w.conn.Write(req.raw); err != nil {
		return
	}
	if w.stream {
		_, _, _ = await(w.conn, req)
	} else {
		_ = w.hear(ctx, &ear{req: req}, releaseEnd)
	}
}

// waitUntil lets what follows on conn take d, but nothing once ctx has ended.
func waitUntil(ctx context.Context, conn net.Conn, d time.Duration) error {
	if err := conn.SetDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	return ctx.Err() // looked at last, because breakOff sets the deadline too
}

// breakOff makes conn stop waiting when ctx ends. What it returns ends that, and
// waits for it.
func breakOff(ctx context.Context, conn net.Conn) (end func()) {
	return onEnd(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
}

// onEnd does what f does when ctx ends. What it returns ends that, and waits
// for it.
func onEnd(ctx context.Context, f func()) (end func()) {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		f()
	})
	return func() {
		if !stop() {
			<-done
		}
	}
}
