package path

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/stun/v2"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

// most is how many hops are looked at. The practice's routers and the provider's
// first ones are among them; what is beyond is nobody's to change here.
const most = 6

// series is how packets ended that might travel 1, 2 ... hops.
type series [most]reach.Result

// interest says which of a series matters.
type interest uint8

const (
	wholeWay interest = iota // every router up to the target
	farthest                 // the last router only
)

// stagger lies between the first packets of two hops, so that a near target is
// not asked by all of them.
const stagger = 20 * time.Millisecond

// send lets packets travel 1, 2 ... hops to t side by side, each by a socket of
// its own, because an ICMP error does not say to which of several packets it
// belongs. What has become needless meanwhile is not sent: the hops beyond the
// target, and for the farthest router those on this side of one that answered.
func send(ctx context.Context, t agent.Target, plan []time.Duration, what interest) series {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var s series
	var each [most]context.Context
	var stop [most]context.CancelFunc
	for i := range s {
		each[i], stop[i] = context.WithCancel(ctx)
	}
	var wg sync.WaitGroup
	for i := range s {
		wg.Go(func() {
			s[i] = try(each[i], t, i+1, plan, time.Duration(i)*stagger)
			for j := range s {
				if j > i && ended(s[i]) || j < i && what == farthest && routerOf(s[i]).IsValid() {
					stop[j]()
				}
			}
		})
	}
	wg.Wait()
	return s
}

// ended reports whether no packet goes on from where r happened: the target spoke
// or somebody on the way refused.
func ended(r reach.Result) bool {
	switch r.Outcome {
	case agent.Answered, agent.Refused, agent.Rejected:
		return r.Reason != agent.TTLExceeded
	}
	return false
}

// last is the farthest router that spoke, and how many hops away it is. Whatever
// came from beyond an end is not the way of t's packets.
func (s series) last() (hop int, router netip.Addr) {
	way := len(s)
	if at := s.end(); at > 0 {
		way = at - 1
	}
	for i := range way {
		if r := routerOf(s[i]); r.IsValid() {
			hop, router = i+1, r
		}
	}
	return hop, router
}

// end is at how many hops the way first ended; 0: nowhere.
func (s series) end() int {
	for i, r := range s {
		if ended(r) {
			return i + 1
		}
	}
	return 0
}

// spoke reports whether anything came back at all.
func (s series) spoke() bool {
	_, router := s.last()
	return router.IsValid() || s.end() > 0
}

// try lets a packet travel a number of hops, after a while, and again at each
// offset of plan but the last, which is the end.
func try(ctx context.Context, t agent.Target, hops int, plan []time.Duration, after time.Duration) reach.Result {
	wait := time.NewTimer(after)
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return reach.Result{Outcome: agent.NotLooked, Reason: agent.Cancelled}
	case <-wait.C:
	}
	if t.Transport == agent.TCP {
		return trySYN(ctx, t.AddrPort(), hops, plan)
	}
	return tryBinding(ctx, t.AddrPort(), hops, plan)
}

func trySYN(ctx context.Context, to netip.AddrPort, hops int, plan []time.Duration) (r reach.Result) {
	for i := range len(plan) - 1 {
		within, cancel := context.WithTimeout(ctx, plan[i+1]-plan[i])
		r = reach.SYN(within, to, hops)
		cancel()
		if r.Outcome != agent.Silent || ctx.Err() != nil {
			break
		}
	}
	return r
}

// tryBinding sends STUN Binding requests: honest content for a media server's
// port, and small. Whatever the target sends back shows that it was reached.
func tryBinding(ctx context.Context, to netip.AddrPort, hops int, plan []time.Duration) reach.Result {
	msg, err := stun.Build(stun.TransactionID, stun.BindingRequest)
	if err != nil {
		return reach.Result{Reason: agent.OtherError, Detail: "no random numbers"}
	}
	s, err := reach.Listen(to.Addr())
	if err != nil {
		return reach.Classify(err, to.Addr())
	}
	defer func() { _ = s.Close() }()
	if err := s.Limit(hops); err != nil {
		return reach.Classify(err, to.Addr())
	}
	fromTarget := func(_ []byte, from netip.AddrPort) bool {
		return from.Port() == to.Port() && from.Addr() == to.Addr().Unmap().WithZone("")
	}
	_, _, r := s.Ask(ctx, to, msg.Raw, plan, fromTarget)
	return r
}
