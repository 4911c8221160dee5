// Package nats looks at NATS servers as targets: does anything at an address
// speak the NATS client protocol, and in which of its variants? The proof is
// the INFO that a server sends unasked; no CONNECT, no credentials and no
// subject are ever sent.
//
// It does not know which variant a service uses, so it climbs a ladder: INFO in
// the clear, TLS before INFO, WebSocket over TLS, WebSocket in the clear. Nor
// does it know whether a client would be let in. Of an INFO it keeps only what
// its values name. client_addr, the box's public address as the server sees it, is
// there to be compared with what STUN servers see; it stays on the box.
package nats

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
	"github.com/sprechprobe/sprechprobe/agent/trust"
)

// How long things may take.
const (
	bound     = 5800 * time.Millisecond // the whole ladder
	infoWait  = 1500 * time.Millisecond // INFO in the clear
	tlsWait   = 2500 * time.Millisecond // a TLS handshake
	firstWait = 500 * time.Millisecond  // INFO after TLS; near servers are waited for less
	askWait   = 2 * time.Second         // the answer to an upgrade, and INFO behind it
	headStart = 200 * time.Millisecond  // of INFO before TLS is tried; near servers get less
)

// Probe looks at t.AddrPort(), with t.Host as name. Any NATS greeting is
// Answered, and Target.Variant says which rung of the ladder gave it; the TLS
// chain on the way decides as package trust says, so it is Tampered where the
// chain is bad. Otherwise: as package reach says where no connection came up;
// Refused upgrade-refused where a good chain led to HTTP without WebSocket;
// Refused where every rung was cut off; Tampered where something else than NATS
// answered; Silent no-info where nothing did. Values rungs tells each step. A
// look takes at most 6 s.
func Probe(c trust.Checker) agent.Probe {
	return func(ctx context.Context, t agent.Target) agent.Evidence {
		ctx, cancel := context.WithTimeout(ctx, bound)
		defer cancel()
		conn, r := reach.TCP(ctx, t.AddrPort())
		e := r.Evidence(agent.ProbeNATS, t)
		if conn == nil {
			return e
		}
		l := ladder{check: c, target: t, near: r.RTT}
		return l.evidence(ctx, e.With(agent.ConnectTime, r.RTT), l.climb(ctx, conn))
	}
}

// ladder is one look at one address.
type ladder struct {
	check  trust.Checker
	target agent.Target
	near   time.Duration // time in which TCP connected: about one round trip
}

// side is one connection's way up the ladder, and how it ended.
type side struct {
	decided bool          // the ladder ends here
	variant agent.Variant // that gave a greeting; empty: none did
	result  reach.Result  // Outcome, Reason and Detail
	values  agent.Values
	rungs   []string
}

// climb tries INFO in the clear and TLS side by side, because a server that
// wants TLS first says nothing on the plain connection, and waiting for nothing
// would cost each healthy round 1.5 s. INFO gets a head start: it is there
// within two round trips or so, and its server is then spared a TLS handshake
// that it would log as an error.
func (l ladder) climb(ctx context.Context, conn net.Conn) []side {
	plain := begin(ctx, func(ctx context.Context) side { return l.plain(ctx, conn) })
	defer plain.end()
	head := time.NewTimer(min(20*time.Millisecond+2*l.near, headStart))
	defer head.Stop()
	select {
	case first := <-plain.done:
		plain.done <- first
		if first.decided {
			return []side{first}
		}
	case <-head.C:
	}
	secure := begin(ctx, l.secure)
	defer secure.end()
	return race(plain, secure)
}

// task is a side that is being climbed.
type task struct {
	stop context.CancelFunc
	done chan side // holds one
}

func begin(ctx context.Context, climb func(context.Context) side) task {
	ctx, cancel := context.WithCancel(ctx)
	t := task{stop: cancel, done: make(chan side, 1)}
	go func() {
		s := side{result: reach.Result{Reason: agent.Panicked}}
		defer func() {
			_ = recover() // a panic here would end the program, not just the look
			t.done <- s
		}()
		s = climb(ctx)
	}()
	return t
}

// end stops the task and waits for it.
func (t task) end() {
	t.stop()
	t.wait()
}

func (t task) wait() side {
	s := <-t.done
	t.done <- s
	return s
}

// race waits for a side that decides and stops the other one; or for both.
func race(plain, secure task) []side {
	select {
	case s := <-plain.done:
		plain.done <- s
		if s.decided {
			secure.stop()
		}
	case s := <-secure.done:
		secure.done <- s
		if s.decided {
			plain.stop()
		}
	}
	return []side{plain.wait(), secure.wait()}
}

// evidence sums the sides up.
func (l ladder) evidence(ctx context.Context, e agent.Evidence, sides []side) agent.Evidence {
	best := slices.MaxFunc(sides, func(a, b side) int { return cmp.Compare(weight(a), weight(b)) })
	rungs := best.rungs
	if !best.decided {
		rungs = nil
		for _, s := range sides {
			rungs = append(rungs, s.rungs...)
		}
	}
	for k, v := range best.values {
		e = e.With(k, v)
	}
	if len(rungs) > 0 {
		e = e.With(agent.Rungs, strings.Join(rungs, " "))
	}
	if best.result.Detail != "" {
		e = e.With(agent.Detail, best.result.Detail)
	}
	if best.variant != "" {
		e.Target.Variant = best.variant
	}
	e.Outcome, e.Reason = best.result.Outcome, best.result.Reason
	switch {
	case !best.decided && errors.Is(ctx.Err(), context.Canceled):
		e.Outcome, e.Reason = agent.NotLooked, agent.Cancelled
	case e.Outcome == agent.Silent && best.variant == "":
		e.Reason = agent.NoInfo
	}
	e.Grade = agent.GradeOf(e.Outcome)
	return e
}

// weight orders sides by how much they tell about the target.
func weight(s side) int {
	switch {
	case s.decided:
		return 7
	case s.result.Outcome == agent.Answered:
		return 6
	case s.result.Reason == agent.TLSUnknownCA || s.result.Reason == agent.TLSWrongName:
		return 5
	case s.result.Reason == agent.UpgradeRefused:
		return 4
	case s.result.Outcome == agent.Tampered:
		return 3
	case s.result.Outcome == agent.Refused || s.result.Outcome == agent.Rejected:
		return 2
	case s.result.Outcome == agent.Silent:
		return 1
	}
	return 0
}
