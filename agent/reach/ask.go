package reach

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent"
)

// question is one Ask under way.
type question struct {
	s      *Socket
	to     netip.AddrPort
	msg    []byte
	accept func([]byte, netip.AddrPort) bool

	sends []time.Duration // still to come, as offsets from start
	end   time.Duration

	start, sentAt time.Time
	sent          int
	soft, own     Result // a passing rejection, an error of our own; zero: none
}

func (q *question) setPlan(plan []time.Duration) {
	q.sends = []time.Duration{0}
	if n := len(plan); n > 0 {
		q.end = plan[n-1]
		if n > 1 {
			q.sends = plan[:n-1]
		}
	}
}

// maxLate bounds what is read after the end of the plan: what had come in
// before, but not the stream of somebody who floods us.
const maxLate = 64

func (q *question) run(ctx context.Context) ([]byte, netip.AddrPort, Result) {
	q.start = time.Now()
	for late := 0; ; {
		if r, over := q.sendDue(); over {
			return nil, netip.AddrPort{}, r
		}
		h, err := q.s.next(ctx, q.start.Add(q.wake()))
		if err != nil {
			return nil, netip.AddrPort{}, q.ended(err)
		}
		switch {
		case h.kind == datagram && q.accept(h.data, h.from):
			return bytes.Clone(h.data), h.from, q.counted(Result{Outcome: agent.Answered})
		case h.kind == trouble:
			if r, over := q.note(h.notice); over {
				return nil, netip.AddrPort{}, q.counted(r)
			}
		}
		if time.Since(q.start) < q.end {
			continue
		}
		if late++; h.kind == nothing || late > maxLate {
			return nil, netip.AddrPort{}, q.ended(context.DeadlineExceeded)
		}
	}
}

// wake is the offset of the next thing to do.
func (q *question) wake() time.Duration {
	if len(q.sends) > 0 {
		return min(q.sends[0], q.end)
	}
	return q.end
}

// sendDue sends once if one or more sends are due: when this process was held
// up, there is no use in a burst. It is over if nothing could be sent at all.
func (q *question) sendDue() (Result, bool) {
	due := false
	for len(q.sends) > 0 && time.Since(q.start) >= q.sends[0] {
		q.sends, due = q.sends[1:], true
	}
	if !due {
		return Result{}, false
	}
	err := q.send()
	if err == nil {
		q.sent++
		q.sentAt = time.Now()
		return Result{}, false
	}
	q.own = Classify(err, q.to.Addr())
	if q.own.Outcome != agent.NotLooked {
		q.own = Result{Outcome: agent.NotLooked, Reason: agent.OtherError, Detail: q.own.Detail}
	}
	return q.own, q.sent == 0
}

// send writes one datagram. A write can also report an ICMP error that an
// earlier datagram met, and to another destination; that one is taken note
// of, and the write is tried again. What is too big stays so.
func (q *question) send() error {
	_ = q.s.conn.SetWriteDeadline(q.start.Add(q.end + time.Second))
	var err error
	for range 4 {
		if err = q.s.write(q.msg, q.to); err == nil || errors.Is(err, unix.EMSGSIZE) {
			return err
		}
	}
	return err
}

// note takes an entry of the error queue. It is over if the entry decides.
func (q *question) note(n notice) (Result, bool) {
	if n.dest.Addr() != q.to.Addr().WithZone("") || n.dest.Port() != q.to.Port() {
		return Result{}, false // about an earlier question
	}
	r, known := grade(n, q.to.Addr())
	switch {
	case !known:
		return Result{}, false
	case isSoft(r):
		q.soft = q.counted(r)
		return Result{}, false
	}
	return r, true
}

// counted adds to a result what was sent and how long it took.
func (q *question) counted(r Result) Result {
	r.Sends = q.sent
	if q.sent == 1 && r.Outcome != agent.NotLooked {
		r.RTT = time.Since(q.sentAt)
	}
	return r
}

// ended is the result when no answer came and the wait ended with err.
func (q *question) ended(err error) Result {
	r := Classify(err, q.to.Addr())
	switch {
	case r.Outcome != agent.Silent:
	case q.soft.Reason != "":
		r = q.soft
	case q.own.Reason != "":
		r = q.own
	}
	r.Sends = q.sent
	return r
}
