// Package ports samples a range of ports on which no protocol is known, and on
// most of which nothing listens. An answer or a refusal by the target itself
// proves that a port's path is open; an ICMP error from anybody else proves
// that it is not; silence proves nothing. It does not know which ports a service
// really uses, nor whether a silent port is blocked: package assess compares.
package ports

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/stun/v2"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

const (
	// A range is sampled gently: scans trip intrusion detection and the flood
	// policies of firewalls, and routers limit the ICMP errors they send.
	maxCount     = 24
	defaultCount = 6
	pace         = 200 * time.Millisecond // from one start to the next: 5 a second

	udpPatience = 1200 * time.Millisecond // for one port
	tcpPatience = 1500 * time.Millisecond // covers one SYN that is sent again
	bound       = 6 * time.Second         // for all
)

// Probe returns a probe that samples count ports (at most 24; 6 if count is not
// positive) of t.Port to t.LastPort at t.Addr over t.Transport: both ends, the
// middle and random others, in random order, at most 5 a second, with one
// connection or datagram each. It is Answered if any port is open, Rejected if
// none is and somebody on the way rejected, and Silent if nothing came back;
// the counts say how many ports did what.
func Probe(count int) agent.Probe {
	if count <= 0 {
		count = defaultCount
	}
	count = min(count, maxCount)
	return func(ctx context.Context, t agent.Target) agent.Evidence {
		if why := unfit(t); why != "" {
			return agent.See(agent.ProbePorts, t, agent.NotLooked, why)
		}
		return sum(t, look(ctx, t, sample(t.Port, t.LastPort, count)), ctx.Err())
	}
}

// unfit says why a target cannot be sampled at all.
func unfit(t agent.Target) agent.Reason {
	switch {
	case !t.Addr.IsValid():
		return agent.NoAddress
	case t.Port == 0, t.Transport != agent.UDP && t.Transport != agent.TCP:
		return agent.Unsupported
	}
	return ""
}

// seen is how one port answered. Ports that the context left no time for are
// NotLooked.
type seen struct {
	port uint16
	reach.Result
}

// look tries each port, one start every pace, and waits for all.
func look(ctx context.Context, t agent.Target, ports []uint16) []seen {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	try := tryTCP
	if t.Transport == agent.UDP {
		try = tryUDP
	}
	all := make([]seen, len(ports))
	var wg sync.WaitGroup
	defer wg.Wait()
	for i, port := range ports {
		all[i] = seen{port: port, Result: reach.Result{Reason: agent.Cancelled}}
		if i > 0 && !rest(ctx) || ctx.Err() != nil {
			continue
		}
		wg.Go(func() { all[i].Result = try(ctx, netip.AddrPortFrom(t.Addr, port)) })
	}
	return all
}

// rest lets one pace pass. It is false if ctx ended first.
func rest(ctx context.Context) bool {
	timer := time.NewTimer(pace)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func tryTCP(ctx context.Context, to netip.AddrPort) reach.Result {
	ctx, cancel := context.WithTimeout(ctx, tcpPatience)
	defer cancel()
	conn, r := reach.TCP(ctx, to)
	if conn != nil {
		_ = conn.Close()
	}
	return r
}

// tryUDP sends one STUN Binding request: honest content for a port of a media
// server, and small. Whatever the port sends back proves the path.
func tryUDP(ctx context.Context, to netip.AddrPort) reach.Result {
	msg, err := stun.Build(stun.TransactionID, stun.BindingRequest)
	if err != nil {
		return reach.Result{Reason: agent.OtherError, Detail: "no random numbers"}
	}
	s, err := reach.Listen(to.Addr())
	if err != nil {
		return reach.Classify(err, to.Addr())
	}
	defer func() { _ = s.Close() }()
	fromTarget := func(_ []byte, from netip.AddrPort) bool {
		return from.Port() == to.Port() && from.Addr() == to.Addr().Unmap().WithZone("")
	}
	_, _, r := s.Ask(ctx, to, msg.Raw, []time.Duration{0, udpPatience}, fromTarget)
	return r
}
