package webrtc

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/pion/stun/v2"

	"github.com/sprechprobe/sprechprobe/agent/reach"
)

// What nat_filtering says, by RFC 4787 section 5.
const (
	openFilter   = "endpoint-independent"
	byAddrFilter = "address-dependent"
	byPortFilter = "address-and-port-dependent"
)

// changeRequest asks for an answer from another address, port or both (RFC 5780
// section 7.2).
const changeRequest stun.AttrType = 0x0003

const (
	changePort = 2
	changeBoth = 6

	greetEnd  = time.Second
	filterEnd = 1200 * time.Millisecond
)

// filtering says whom a NAT lets answer to a socket that has spoken to the server
// only; empty: that cannot be known here. It takes a server that offers RFC 5780,
// and a fresh socket, because whoever a socket has spoken to may answer. An answer
// from the server's other address proves that the NAT does not filter. That there is
// none proves something only if the other address is one of others, for only then
// may it be spoken to: from a socket that has done so, the answer has to come.
func filtering(ctx context.Context, server netip.AddrPort, others []netip.AddrPort) string {
	fresh, err := reach.Listen(server.Addr())
	if err != nil {
		return ""
	}
	defer fresh.Close()
	e := &ear{asked: server, req: newBinding()}
	e.ask(ctx, fresh, greetEnd)
	other := e.answer.other
	if !other.IsValid() || other.Addr() == server.Addr() || other.Addr().Is4() != server.Addr().Is4() {
		return ""
	}
	c := changed{server: server, other: other}
	switch both, port := c.ask(ctx, fresh); {
	case c.refused:
		return ""
	case both:
		return openFilter
	case !slices.Contains(others, other) || !c.works(ctx):
		return ""
	case port:
		return byAddrFilter
	}
	return byPortFilter
}

// changed is a server that is asked to answer from elsewhere.
type changed struct {
	server, other netip.AddrPort
	refused       bool // it answers from where it was asked
}

// ask reports whether the answer from the other address and port comes, and that
// from the same address and the other port.
func (c *changed) ask(ctx context.Context, s *reach.Socket) (both, port bool) {
	byBoth, byPort := newChange(changeBoth), newChange(changePort)
	var shots []reach.Shot
	for _, at := range []time.Duration{0, 300 * time.Millisecond, 700 * time.Millisecond} {
		shots = append(shots, reach.Shot{At: at, Msg: byBoth.raw}, reach.Shot{At: at, Msg: byPort.raw})
	}
	_, _ = s.Volley(ctx, c.server, shots, filterEnd, func(h reach.Heard) bool {
		_, whyBoth := byBoth.read(h.Data)
		_, whyPort := byPort.read(h.Data)
		switch {
		case whyBoth != "" && whyPort != "":
		case h.From == c.server:
			c.refused = true
		case whyBoth == "" && h.From == c.other:
			both = true
		case whyPort == "" && h.From == netip.AddrPortFrom(c.server.Addr(), c.other.Port()):
			port = true
		}
		return c.refused || both
	})
	return both, port
}

// works reports whether the server does answer from its other address, where
// nothing can keep that out.
func (c *changed) works(ctx context.Context) bool {
	s, err := reach.Listen(c.server.Addr())
	if err != nil {
		return false
	}
	defer s.Close()
	e := &ear{asked: c.other, req: newBinding()}
	e.ask(ctx, s, greetEnd)
	again := changed{server: c.server, other: c.other}
	both, _ := again.ask(ctx, s)
	return both
}

func newChange(what byte) request {
	return newRequest(stun.MethodBinding, stun.RawAttribute{Type: changeRequest, Value: []byte{0, 0, 0, what}})
}
