package webrtc

import (
	"context"
	"math"
	"time"

	"github.com/pion/stun/v2"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

const (
	burstCount = 60
	burstTime  = 200 * time.Millisecond
	burstLate  = 50 * time.Millisecond // a send so late spoils the run
	burstWait  = 1200 * time.Millisecond

	flowCount = 40
	flowPace  = 10 * time.Millisecond
	flowAgain = 700 * time.Millisecond
)

// Burst sends 60 Binding requests within 0.2 s from one socket, as the beginning
// of a video stream would, after one that must be answered. It is Answered, with
// reason some-lost where a tenth or more were not answered within 1.2 s. Where
// this machine was too busy to keep the pace, it is NotLooked: that is no fault of
// the line. Values: sent_count, received_count, rate_per_s, rtt_ms (the median),
// rtt_max_ms, jitter_ms, and icmp_* of who rejected a part.
//
// It cannot tell a limit of the rate from loss at any rate: that takes a look at a
// slower pace.
func Burst(ctx context.Context, t agent.Target) agent.Evidence {
	if e, bad := unaskable(agent.ProbeBurst, t); bad {
		return e
	}
	if t.Transport != agent.UDP {
		return agent.See(agent.ProbeBurst, t, agent.NotLooked, agent.Unsupported)
	}
	s, err := reach.Listen(t.Addr)
	if err != nil {
		return reach.Classify(err, t.Addr).Evidence(agent.ProbeBurst, t)
	}
	defer s.Close()
	base := &ear{asked: t.AddrPort(), req: newBinding()}
	r := base.ask(ctx, s, streamEnd)
	if r.Outcome != agent.Answered {
		return r.Evidence(agent.ProbeBurst, t)
	}
	e := agent.See(agent.ProbeBurst, t, agent.Answered, "")
	b := newBurst(t)
	sent, err := s.Volley(ctx, t.AddrPort(), b.shots, burstTime+burstWait, b.hear)
	switch {
	case ctx.Err() != nil:
		return found(e, agent.NotLooked, agent.Cancelled)
	case err != nil:
		return reach.Classify(err, t.Addr).Evidence(agent.ProbeBurst, t)
	case b.late(sent):
		return found(e, agent.NotLooked, agent.OtherError).With(agent.Detail, "this machine was too busy to send evenly")
	}
	return b.evidence(e, sent)
}

// burst is one burst under way.
type burst struct {
	t       agent.Target
	shots   []reach.Shot
	asked   map[[stun.TransactionIDSize]byte]int // which shot a request is
	open    map[int]request                      // not answered yet
	arrived []arrival                            // in this order
	reject  reach.Result                         // who rejected, if anybody
}

type arrival struct {
	shot int
	at   time.Duration
}

func newBurst(t agent.Target) *burst {
	b := &burst{t: t, asked: map[[stun.TransactionIDSize]byte]int{}, open: map[int]request{}}
	for i := range burstCount {
		q := newBinding()
		b.asked[q.id], b.open[i] = i, q
		b.shots = append(b.shots, reach.Shot{At: burstTime * time.Duration(i) / burstCount, Msg: q.raw})
	}
	return b
}

// hear notes each answer once.
func (b *burst) hear(h reach.Heard) bool {
	if h.Result.Outcome == agent.Rejected || h.Result.Outcome == agent.Refused {
		b.reject = h.Result
	}
	if len(h.Data) < headerBytes {
		return false
	}
	i, ours := b.asked[[stun.TransactionIDSize]byte(h.Data[headerBytes-stun.TransactionIDSize:])]
	q, waiting := b.open[i]
	e := &ear{asked: b.t.AddrPort(), req: q}
	if ours && waiting && e.accept(h.Data, h.From) {
		delete(b.open, i)
		b.arrived = append(b.arrived, arrival{i, h.At})
	}
	return len(b.open) == 0
}

// late reports whether a send was so late that the pace was not kept.
func (b *burst) late(sent []time.Duration) bool {
	for i, at := range sent {
		if at-b.shots[i].At > burstLate {
			return true
		}
	}
	return len(sent) < len(b.shots)
}

func (b *burst) evidence(e agent.Evidence, sent []time.Duration) agent.Evidence {
	var trips reach.Trips
	for _, a := range b.arrived {
		trips = append(trips, max(0, a.at-sent[a.shot]))
	}
	e = reach.Count(trips.Times(e), len(sent), len(trips)).
		With(agent.SendRate, math.Round(float64(len(sent)-1)/(sent[len(sent)-1]-sent[0]).Seconds()))
	if len(trips) > 1 {
		e = e.With(agent.Jitter, trips.Jitter())
	}
	if e.Reason == agent.LostSome {
		e = with(e, reach.Result{ICMP: b.reject.ICMP}.Evidence(e.Probe, e.Target).Values)
	}
	return e
}
