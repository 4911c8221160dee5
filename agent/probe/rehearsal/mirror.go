package rehearsal

import (
	"context"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
)

// mirror looks what a plain socket beside the relay can reach and be reached by:
//
//  1. The socket writes to the relay: may datagrams leave to any high port
//     (high_port)? Where the relay sees them come from tells its mapping there
//     (mapping_kept).
//  2. The relay answers to that address: the whole of what two peers do
//     (hole_punched).
//
// The relay must not write first: what comes unasked makes some routers change the
// mapping of what follows. It returns the socket, if it is of use, and the way
// between relay and socket, nil where there is none both ways.
func (r *rehearsal) mirror(ctx context.Context, a *station, e agent.Evidence) (*station, *way, agent.Evidence) {
	if !a.addr.IsValid() || r.target.Variant != agent.Plain || r.target.Transport != agent.UDP {
		return nil, nil, e
	}
	m, err := webrtc.OpenMirror(ctx, r.target.AddrPort())
	if err != nil {
		return nil, nil, e
	}
	p := newStation(m, m.Addr())
	r.open = append(r.open, p)
	if code, err := a.relay.Permit(p.addr); err != nil {
		if code != 0 {
			e = e.With(agent.STUNError, code)
		}
		return nil, nil, e
	}
	seen, heard := knock(ctx, p, a, a.addr)
	if ctx.Err() != nil {
		return nil, nil, e
	}
	e = e.With(agent.HighPort, heard)
	if !heard {
		return p, nil, e
	}
	if code, err := a.relay.Permit(seen); err != nil {
		return p, nil, e.With(agent.STUNError, code)
	}
	_, punched := knock(ctx, a, p, seen)
	e = e.With(agent.Punched, punched).With(agent.PortKept, seen == p.addr)
	if !punched {
		return p, nil, e
	}
	return p, &way{a, p, a.addr, seen}, e
}

// filtering looks whether a second relay reaches the socket, to which the socket has
// never written. The host of the relays has heard from it before, so that arrival
// shows no more than that the router does not look at ports.
func filtering(ctx context.Context, p, b *station, e agent.Evidence) agent.Evidence {
	if punched, _ := e.Values.Flag(agent.Punched); p == nil || !punched {
		return e
	}
	if _, err := b.relay.Permit(p.addr); err != nil {
		return e
	}
	if _, heard := knock(ctx, b, p, p.addr); heard {
		return e.With(agent.Filtering, "address-dependent")
	}
	return e.With(agent.Filtering, "address-and-port-dependent")
}
