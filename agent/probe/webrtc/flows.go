package webrtc

import (
	"context"
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

// Flows sends one Binding request each from 40 fresh sockets, all open at once, and
// once more where none was answered within 0.7 s. It is Answered if any was, with
// reason some-lost where a tenth or more were not. Beside a [Burst] without loss
// that is a NAT or firewall that takes no new flows: its table is full, or it
// limits them. Values: sent_count and received_count are flows; rtt_ms (the median)
// and rtt_max_ms are of those answered at once.
func Flows(ctx context.Context, t agent.Target) agent.Evidence {
	if e, bad := unaskable(agent.ProbeFlows, t); bad {
		return e
	}
	if t.Transport != agent.UDP {
		return agent.See(agent.ProbeFlows, t, agent.NotLooked, agent.Unsupported)
	}
	seen := flows(ctx, t)
	if ctx.Err() != nil {
		return agent.See(agent.ProbeFlows, t, agent.NotLooked, agent.Cancelled)
	}
	var trips reach.Trips
	received := 0
	for _, r := range seen {
		if r.Outcome != agent.Answered {
			continue
		}
		received++
		if r.Sends == 1 {
			trips = append(trips, r.RTT)
		}
	}
	if received == 0 {
		return seen[0].Evidence(agent.ProbeFlows, t)
	}
	e := agent.See(agent.ProbeFlows, t, agent.Answered, "")
	return reach.Count(trips.Times(e), len(seen), received)
}

// flows asks from fresh sockets, which are closed when all are done.
func flows(ctx context.Context, t agent.Target) []reach.Result {
	seen := make([]reach.Result, flowCount)
	var asking, open sync.WaitGroup
	asking.Add(flowCount)
	for i := range seen {
		open.Go(func() {
			s, r := flow(ctx, t, time.Duration(i)*flowPace)
			seen[i] = r
			asking.Done()
			asking.Wait()
			if s != nil {
				s.Close()
			}
		})
	}
	open.Wait()
	return seen
}

// flow asks from a fresh socket after a while. The caller closes it.
func flow(ctx context.Context, t agent.Target, after time.Duration) (*reach.Socket, reach.Result) {
	wait := time.NewTimer(after)
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return nil, reach.Result{Outcome: agent.NotLooked, Reason: agent.Cancelled}
	case <-wait.C:
	}
	s, err := reach.Listen(t.Addr)
	if err != nil {
		return nil, reach.Classify(err, t.Addr)
	}
	e := &ear{asked: t.AddrPort(), req: newBinding()}
	_, _, r := s.Ask(ctx, e.asked, e.req.raw, []time.Duration{0, flowAgain, 2 * flowAgain}, e.accept)
	return s, r
}
