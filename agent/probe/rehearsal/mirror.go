package rehearsal

import (
	"context"
	"net/netip"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
)

// mirror looks what a plain socket beside the relay can reach and be reached by, in
// an order in which no step spoils another:
//
//  1. The relay writes first. If that arrives, the router lets in what nobody asked
//     for. The relay is at the host that the socket has spoken to, on another port,
//     unless it is not: nat_filtering says no more than that shows.
//  2. The socket writes to the relay: may datagrams leave to any high port
//     (high_port)? Where the relay sees them come from tells its mapping there.
//  3. The relay answers to that address: the whole of what two peers do
//     (hole_punched).
//
// It returns the way between relay and socket, nil where there is none both ways.
func (r *rehearsal) mirror(ctx context.Context, a *station, e agent.Evidence) (*way, agent.Evidence) {
	if !a.addr.IsValid() || r.target.Variant != agent.Plain || r.target.Transport != agent.UDP {
		return nil, e
	}
	m, err := webrtc.OpenMirror(ctx, r.target.AddrPort())
	if err != nil {
		return nil, e
	}
	p := newStation(m, m.Addr())
	r.open = append(r.open, p)
	if code, err := a.relay.Permit(p.addr); err != nil {
		if code != 0 {
			e = e.With(agent.STUNError, code)
		}
		return nil, e
	}
	if _, heard := knock(ctx, a, p, p.addr); heard {
		e = e.With(agent.Filtering, openness(a.addr.Addr(), r.target.Addr))
	} else {
		e = e.With(agent.Filtering, "address-and-port-dependent")
	}
	seen, heard := knock(ctx, p, a, a.addr)
	if ctx.Err() != nil {
		return nil, e
	}
	e = e.With(agent.HighPort, heard)
	if !heard {
		return nil, e
	}
	if code, err := a.relay.Permit(seen); err != nil {
		return nil, e.With(agent.STUNError, code)
	}
	_, punched := knock(ctx, a, p, seen)
	e = e.With(agent.Punched, punched).With(agent.PortKept, seen == p.addr)
	if !punched {
		return nil, e
	}
	return &way{a, p, a.addr, seen}, e
}

// openness is what the arrival of a datagram shows that nobody asked for.
func openness(relay, asked netip.Addr) string {
	if relay == asked {
		return "address-dependent" // or better: the host was known already
	}
	return "endpoint-independent"
}
