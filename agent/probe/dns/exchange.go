package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

// exchange is one question to one server, by a socket of its own.
type exchange struct {
	server netip.AddrPort
	q      dnsmessage.Question
	sentAt map[uint16]time.Time // by transaction id
	odd    agent.Reason         // of the last thing that came and was not accepted
}

// reply is how an exchange ended: an answer if the result is Answered.
type reply struct {
	answer
	result reach.Result
	late   bool // the first datagram had no answer when the second went out
}

// run asks, asks again without EDNS0 each second in which nothing came, twice at
// most, or if the server does not know EDNS0, and by TCP if the answer did not fit.
func (x *exchange) run(ctx context.Context, until time.Time) reply {
	s, err := reach.Listen(x.server.Addr())
	if err != nil {
		return reply{result: reach.Classify(err, x.server.Addr())}
	}
	defer s.Close()
	x.sentAt = map[uint16]time.Time{}
	got := x.ask(ctx, s, true, min(resend, time.Until(until)))
	if got.wantsPlain() && ctx.Err() == nil && time.Until(until) > 0 {
		got = got.followedBy(x.ask(ctx, s, false, min(resend, time.Until(until))))
	}
	if got.isMissing() && ctx.Err() == nil && time.Until(until) > 0 {
		got = got.followedBy(x.ask(ctx, s, false, time.Until(until)))
	}
	if got.result.Outcome == agent.Answered && got.truncated {
		return x.overTCP(ctx, got)
	}
	if got.result.Outcome == agent.Silent && x.odd != "" {
		got.result.Outcome, got.result.Reason = agent.Tampered, x.odd
	}
	return got
}

// wantsPlain reports whether to ask again without EDNS0.
func (r reply) wantsPlain() bool {
	unknown := r.rcode == dnsmessage.RCodeFormatError || r.rcode == dnsmessage.RCodeNotImplemented
	return r.isMissing() || r.result.Outcome == agent.Answered && unknown
}

// isMissing reports whether nothing came, or only an ICMP error that package
// reach counts because nothing better came in time.
func (r reply) isMissing() bool {
	switch r.result.Reason {
	case agent.Timeout, agent.HostUnreachable, agent.NetUnreachable, agent.NoNeighbour:
		return true
	}
	return false
}

// followedBy is what two asks in a row say: the second counts unless it brought
// less than the first.
func (r reply) followedBy(again reply) reply {
	kept := again
	vague := again.result.Outcome == agent.Silent || again.result.Outcome == agent.NotLooked
	if vague && r.result.Outcome != agent.Silent {
		kept = r
	}
	kept.result.Sends = r.result.Sends + again.result.Sends
	kept.late = r.late || r.result.Outcome == agent.Silent
	return kept
}

// ask sends one datagram and waits for an answer to it or to the one before.
func (x *exchange) ask(ctx context.Context, s *reach.Socket, edns bool, wait time.Duration) reply {
	id := newID()
	msg, err := pack(id, x.q, edns)
	if err != nil {
		return reply{result: reach.Result{Outcome: agent.NotLooked, Reason: agent.OtherError, Detail: "question does not pack"}}
	}
	x.sentAt[id] = time.Now()
	var got reply
	_, _, got.result = s.Ask(ctx, x.server, msg, []time.Duration{0, wait}, func(b []byte, from netip.AddrPort) bool {
		return x.accept(b, from, &got.answer)
	})
	if got.result.Outcome == agent.Answered {
		got.result.RTT = time.Since(x.sentAt[got.id])
	}
	return got
}

// accept takes an answer from the asked server to one of our questions. Anything
// else is waited past, for it may be an attempt to be first with a lie; what
// came from the server's own address is remembered in case nothing else comes.
func (x *exchange) accept(b []byte, from netip.AddrPort, into *answer) bool {
	if from.Port() != x.server.Port() || from.Addr().Unmap() != x.server.Addr().Unmap().WithZone("") {
		return false
	}
	if len(b) > maxDatagram {
		x.odd = agent.TooMuch
		return false
	}
	a, err := parseAnswer(b, x.q)
	_, asked := x.sentAt[a.id]
	switch {
	case errors.Is(err, errGarbage):
		x.odd = agent.Garbage
	case err != nil || !asked:
		x.odd = agent.ForeignAnswer
	default:
		*into = a
		return true
	}
	return false
}

// overTCP asks again where answers are not cut (RFC 7766). The round trip stays
// that of the datagram, for it is the one that others can be compared with.
func (x *exchange) overTCP(ctx context.Context, cut reply) reply {
	conn, r := reach.TCP(ctx, x.server)
	r.Sends = cut.result.Sends
	if conn == nil {
		r.Detail = "answer cut, and no TCP to the resolver"
		return reply{result: r}
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	id := newID()
	b, err := roundTrip(conn, id, x.q)
	if err != nil {
		r = reach.Classify(err, x.server.Addr())
		r.Sends = cut.result.Sends
		return reply{result: r}
	}
	r.RTT = cut.result.RTT
	a, err := parseAnswer(b, x.q)
	switch {
	case errors.Is(err, errGarbage):
		r.Outcome, r.Reason = agent.Tampered, agent.Garbage
	case err != nil || a.id != id:
		r.Outcome, r.Reason = agent.Tampered, agent.ForeignAnswer
	}
	return reply{answer: a, result: r}
}

func roundTrip(conn net.Conn, id uint16, q dnsmessage.Question) ([]byte, error) {
	msg, err := pack(id, q, true)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err = io.ReadFull(conn, b)
	return b, err
}
