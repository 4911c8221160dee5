package webrtc

import (
	"context"
	"net"
	"time"

	"github.com/pion/stun/v2"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

const (
	// bulk is a request that takes two full segments and more, bytes. Real servers
	// take it (measured: coturn up to 60,000).
	bulk = 4096
	// crumb is a piece of it that every path carries.
	crumb = 1000

	ackEnd  = 2 * time.Second       // the kernel has then sent again three times
	ackBeat = 20 * time.Millisecond // between two looks at the kernel's account
)

// segments looks whether full TCP segments arrive.
func segments(ctx context.Context, t agent.Target, until time.Time) agent.Evidence {
	e, full, err := transfer(ctx, t, bulk, until)
	switch {
	case e.Outcome != agent.Answered:
		return e
	case err != nil:
		return found(e, agent.NotLooked, agent.Unsupported)
	case full.Unacked == 0:
		return e.With(agent.PathMTU, min(full.Largest, largest))
	case full.Again == 0: // not even this machine thinks that something is lost
		return found(e, agent.NotLooked, agent.TooFew)
	}
	small, crumbs, err := transfer(ctx, t, crumb, until)
	if small.Outcome != agent.Answered || err != nil || crumbs.Unacked > 0 {
		return found(e, agent.NotLooked, agent.TooFew).With(agent.Detail, "small segments are not acknowledged either")
	}
	return found(e, agent.Answered, agent.LostLarge).With(agent.LostSize, full.Largest)
}

// transfer makes a connection, over which a small request is answered first, and
// sends a large one in pieces, each once the one before is acknowledged: the kernel
// would put them together otherwise. It returns what the kernel knows of the last.
func transfer(ctx context.Context, t agent.Target, piece int, until time.Time) (agent.Evidence, reach.Segments, error) {
	conn, r := reach.TCP(ctx, t.AddrPort())
	e := r.Evidence(agent.ProbeMTU, t)
	if conn == nil {
		return e, reach.Segments{}, nil
	}
	defer conn.Close()
	defer breakOff(ctx, conn)()
	w := &way{conn: conn, stream: true, until: until}
	_, stray, err := w.exchange(ctx, newBinding())
	switch {
	case ctx.Err() != nil:
		return found(e, agent.NotLooked, agent.Cancelled), reach.Segments{}, nil
	case stray != "":
		return found(e, agent.Tampered, stray), reach.Segments{}, nil
	case err != nil:
		return failed(ctx, e, err), reach.Segments{}, nil
	}
	msg := newRequest(stun.MethodBinding, stun.RawAttribute{Type: filler, Value: make([]byte, bulk)}).raw
	var s reach.Segments
	for len(msg) > 0 && s.Unacked == 0 && ctx.Err() == nil {
		n := min(piece, len(msg))
		if _, err = conn.Write(msg[:n]); err != nil {
			return failed(ctx, e, err), reach.Segments{}, nil
		}
		msg = msg[n:]
		if s, err = acknowledged(ctx, conn, left(until, ackEnd)); err != nil {
			break
		}
	}
	if ctx.Err() != nil {
		e = found(e, agent.NotLooked, agent.Cancelled)
	}
	return e, s, err
}

// acknowledged waits until nothing is under way any more.
func acknowledged(ctx context.Context, conn net.Conn, d time.Duration) (reach.Segments, error) {
	end := time.NewTimer(d)
	defer end.Stop()
	beat := time.NewTicker(ackBeat)
	defer beat.Stop()
	for {
		s, err := reach.SegmentsOf(conn)
		if err != nil || s.Unacked == 0 {
			return s, err
		}
		select {
		case <-beat.C:
		case <-end.C:
			return s, nil
		case <-ctx.Done():
			return s, nil
		}
	}
}
