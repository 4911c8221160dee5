package idle

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

// conn is a connection on which the service was greeted.
type conn struct {
	net.Conn
	tcp   *net.TCPConn // below
	to    netip.Addr
	begun time.Time // when it became silent
}

// open makes a connection on which the service answers more than once, so that an
// answer that is missing later means something. The connection is nil where that
// did not work; the evidence says why.
func (l look) open(ctx context.Context) (agent.Evidence, *conn) {
	const bound = 5 * time.Second
	raw, r := reach.TCP(ctx, l.target.AddrPort())
	e := r.Evidence(agent.ProbeIdle, l.target)
	if raw == nil {
		return e, nil
	}
	c := &conn{Conn: raw, tcp: raw.(*net.TCPConn), to: l.target.Addr}
	within, cancel := context.WithTimeout(ctx, min(bound, l.Grace))
	defer cancel()
	// Package net keeps connections awake unless told not to.
	err := c.tcp.SetKeepAlive(false)
	if err == nil {
		err = c.during(within, func() (err error) {
			if c.Conn, err = l.voice.greet(within, raw, l.target); err != nil {
				return err
			}
			return l.voice.speak(c.Conn)
		})
	}
	c.begun = time.Now()
	switch {
	case err == nil:
		return e, c
	case ctx.Err() != nil:
		r = reach.Result{Outcome: agent.NotLooked, Reason: agent.Cancelled}
	case errors.Is(err, errForeign):
		r = reach.Result{Outcome: agent.Tampered, Reason: agent.Garbage}
	case errors.Is(err, errCredentials):
		r = reach.Result{Outcome: agent.NotLooked, Reason: agent.TooFew, Detail: errCredentials.Error()}
	case within.Err() != nil:
		r = reach.Result{Outcome: agent.Silent, Reason: agent.Timeout}
	default:
		r = reach.Classify(err, l.target.Addr)
	}
	_ = raw.Close()
	late := r.Evidence(agent.ProbeIdle, l.target)
	for k, v := range e.Values {
		late = late.With(k, v)
	}
	return late, nil
}

// during does something on the connection that ends with ctx.
func (c *conn) during(ctx context.Context, do func() error) error {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		_ = c.tcp.SetDeadline(time.Unix(1, 0))
	})
	err := do()
	if !stop() {
		<-done
	}
	_ = c.tcp.SetDeadline(time.Time{})
	return err
}

// keepAwake lets the kernel send keepalives (RFC 1122 section 4.2.3.6).
func (c *conn) keepAwake(every time.Duration) error {
	const losses = 8 // in a row that are borne
	return c.tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: every, Interval: every, Count: losses})
}

// word is what was heard on a silent connection.
type word uint8

const (
	nothing word = iota
	data         // the service said something
	closed       // it closed the connection
	aborted      // it reset it, or somebody in its name
	failed       // this machine gave it up, or ctx ended
)

// service reports whether it was the service that broke the silence.
func (w word) service() bool { return w == data || w == closed || w == aborted }

// ended reports whether the connection is over, and how that showed.
func (w word) ended() (agent.Reason, bool) {
	switch w {
	case closed:
		return agent.Closed, true
	case aborted:
		return agent.ResetAfter, true
	}
	return "", false
}

// hear waits in silence.
func (c *conn) hear(ctx context.Context, until time.Time) word {
	within, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	var n int
	err := c.during(within, func() (err error) {
		n, err = c.Read(make([]byte, 512))
		return err
	})
	switch {
	case n > 0:
		return data
	case ctx.Err() != nil:
		return failed
	case within.Err() != nil:
		return nothing
	}
	switch reach.Classify(err, c.to).Reason {
	case agent.Closed:
		return closed
	case agent.ResetAfter:
		return aborted
	}
	return failed
}

func (c *conn) close() { _ = c.Close() }
