package webrtc

import (
	"context"
	"net/netip"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

// ear sorts the datagrams that come in while one request waits.
type ear struct {
	asked  netip.AddrPort
	req    request
	answer answer
	stray  agent.Reason // what came instead; empty: nothing that counts
}

// accept takes the answer to our request from the address that was asked. Our
// transaction id from elsewhere cannot be chance (96 random bits): somebody on
// the way answered in the target's place or lost the sender's address. Any
// other datagram counts only if it comes from the address that was asked,
// because anybody may send to an open port.
func (e *ear) accept(b []byte, from netip.AddrPort) bool {
	a, stray := e.req.read(b)
	atHome := from.Port() == e.asked.Port() && from.Addr().Unmap() == e.asked.Addr().Unmap().WithZone("")
	switch {
	case stray == "" && atHome:
		e.answer = a
		return true
	case stray == "", stray == agent.ForeignAnswer && atHome:
		e.stray = agent.ForeignAnswer
	case atHome && e.stray == "":
		e.stray = agent.Garbage
	}
	return false
}

// ask sends req from s until it is answered or end has passed.
func (e *ear) ask(ctx context.Context, s *reach.Socket, end time.Duration) reach.Result {
	plan := schedule(end)
	began := time.Now()
	_, _, r := s.Ask(ctx, e.asked, e.req.raw, plan, e.accept)
	if r.Outcome == agent.Answered && r.RTT == 0 && r.Sends > 0 {
		r.RTT = max(0, time.Since(began)-plan[r.Sends-1])
	}
	return r
}

// askOnce asks from a socket of its own, and says so for probe p. The round
// trip of a request that had to be sent more than once (sends_count) is
// measured from the last send: it is a lower bound then, because an answer does
// not say to which of them it belongs.
func askOnce(ctx context.Context, p agent.ProbeName, t agent.Target, req request, end time.Duration) (agent.Evidence, answer) {
	s, err := reach.Listen(t.Addr)
	if err != nil {
		return reach.Classify(err, t.Addr).Evidence(p, t), answer{}
	}
	defer s.Close()
	e := &ear{asked: t.AddrPort(), req: req}
	r := e.ask(ctx, s, end)
	got := r.Evidence(p, t)
	switch {
	case r.Outcome == agent.Answered:
		got = with(got, e.answer.values())
		release(ctx, s, e)
	case r.Outcome != agent.NotLooked && e.stray != "":
		got = found(got, agent.Tampered, e.stray)
	}
	return got, e.answer
}

// release gives an allocation back that was made without credentials. There is
// nothing to say about it when that fails: it ends by itself.
func release(ctx context.Context, s *reach.Socket, e *ear) {
	if e.answer.allocated() {
		again := &ear{asked: e.asked, req: newRelease()}
		again.ask(ctx, s, releaseEnd)
	}
}
