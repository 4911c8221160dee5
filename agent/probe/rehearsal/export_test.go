package rehearsal

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
)

// Bounds are the share that is told of what was lost up, and its bounds, where up,
// down and both are the shares of n packets lost up, of n down and of 2n both ways.
func Bounds(up, down, both, n float64) (share, low, high float64) {
	u, d := apart(up, down, both)
	low, high = interval(u, worth(u, d, n))
	return u, low, high
}

// Sound is what a rehearsal says of sound for a time, over a line that loses shares
// of it up and down at random; the seed decides which packets.
func Sound(ctx context.Context, d time.Duration, up, down float64, seed uint64) agent.Evidence {
	l := &line{up: up, down: down, seed: seed}
	a, b, w := l.end(1, true), l.end(2, true), l.end(3, false)
	r := &rehearsal{Plan: Plan{Voice: d}, open: []*station{a, b, w}}
	defer r.close()
	flow := func(from, to *station) *flow { return newFlow(from, to, to.addr, voiceSize, voiceRate, d) }
	s := sound{there: flow(a, b), back: flow(b, a), up: flow(a, w), down: flow(w, a)}
	return r.hear(ctx, s, agent.See(agent.ProbeRehearsal, agent.Target{}, agent.Answered, ""))
}

// line is between the box, where all ends are, and a relay that loses nothing.
type line struct {
	up, down float64
	seed     uint64
	ends     []*end
}

// end is a socket on the line.
type end struct {
	net.PacketConn // nil: nobody calls what is not below
	line           *line
	addr           *net.UDPAddr
	lossy          bool
	in             chan datagram
	closed         chan struct{}
}

type datagram struct {
	b    []byte
	from net.Addr
}

func (l *line) end(port int, lossy bool) *station {
	e := &end{line: l, addr: &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: port}, lossy: lossy,
		in: make(chan datagram, 64), closed: make(chan struct{})}
	l.ends = append(l.ends, e)
	return newStation(e, addrPort(e.addr))
}

func (e *end) Close() error { close(e.closed); return nil }

func (e *end) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case <-e.closed:
		return 0, nil, net.ErrClosed
	case d := <-e.in:
		return copy(b, d.b), d.from, nil
	}
}

func (e *end) WriteTo(b []byte, to net.Addr) (int, error) {
	far := e.line.ends[slices.IndexFunc(e.line.ends, func(o *end) bool { return o.addr.String() == to.String() })]
	chance := rand.New(rand.NewPCG(e.line.seed, uint64(e.addr.Port)<<32|uint64(far.addr.Port)<<16|uint64(binary.BigEndian.Uint16(b[2:]))))
	if e.lossy && chance.Float64() < e.line.up || far.lossy && chance.Float64() < e.line.down {
		return len(b), nil
	}
	select {
	case far.in <- datagram{slices.Clone(b), e.addr}:
	case <-far.closed:
	}
	return len(b), nil
}

// TooBusy reports whether a machine was too busy to measure that sent packets so
// late, had no room for some that came, and used a share of its processors.
func TooBusy(late []time.Duration, drops int, share float64) bool {
	h := hurry{late: late, drops: drops, wall: time.Second, cpu: time.Duration(share * float64(runtime.GOMAXPROCS(0)) * float64(time.Second))}
	return h.busy()
}
