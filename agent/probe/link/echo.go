package link

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io/fs"
	"net/netip"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

const (
	echoCount = 20
	echoPace  = 50 * time.Millisecond
	echoWait  = time.Second // for the last answers
)

// Types of ICMP (RFC 792) and ICMPv6 (RFC 4443 section 4) messages.
const (
	echoRequest4, echoReply4 = 8, 0
	echoRequest6, echoReply6 = 128, 129
)

// Gateway returns the probe of the practice's own cabling: 20 echo requests to the
// default gateway, within a second. It ignores the target and hands it back as it
// came. It is Answered, with reason some-lost where a tenth or more were not
// answered within another second. A gateway that answers to none of them is
// NotLooked with too-few-answers: many do not by policy. Some answer only so many
// a second, which looks like loss; who concludes anything from it should see loss
// or jitter beyond the gateway as well. NotLooked, too, where this program may not
// send echo requests. Values: gateway, sent_count, received_count, rtt_ms (the
// median), rtt_max_ms and jitter_ms.
func Gateway(s System) agent.Probe {
	s = s.withDefaults()
	return func(ctx context.Context, t agent.Target) agent.Evidence {
		see := func(why agent.Reason) agent.Evidence { return agent.See(agent.ProbeGateway, t, agent.NotLooked, why) }
		if ctx.Err() != nil {
			return see(agent.Cancelled)
		}
		routes, err := s.defaultRoutes()
		if err != nil {
			return see(agent.Unsupported).With(agent.Detail, "no readable route table")
		}
		way, _ := best(routes, s.Interface)
		if !way.gateway.IsValid() {
			return see(agent.NoGateway)
		}
		e := echoes(ctx, t, way.gateway)
		return e.With(agent.Gateway, way.gateway.WithZone("").String())
	}
}

// echoes asks and counts.
func echoes(ctx context.Context, t agent.Target, gateway netip.Addr) agent.Evidence {
	sock, err := reach.ListenEcho(gateway)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return agent.See(agent.ProbeGateway, t, agent.NotLooked, agent.Unsupported).With(agent.Detail, "echo requests are not permitted")
	case err != nil:
		return reach.Classify(err, gateway).Evidence(agent.ProbeGateway, t)
	}
	defer sock.Close()
	p := newPings(gateway)
	sent, err := sock.Volley(ctx, netip.AddrPortFrom(gateway, 0), p.shots, echoCount*echoPace+echoWait, p.hear)
	switch {
	case ctx.Err() != nil:
		return agent.See(agent.ProbeGateway, t, agent.NotLooked, agent.Cancelled)
	case err != nil:
		return reach.Classify(err, gateway).Evidence(agent.ProbeGateway, t)
	case len(p.arrived) == 0 && p.own.Outcome == agent.NotLooked && p.own.Reason != "":
		return p.own.Evidence(agent.ProbeGateway, t)
	case len(p.arrived) == 0:
		return agent.See(agent.ProbeGateway, t, agent.NotLooked, agent.TooFew)
	}
	trips := p.trips(sent)
	e := trips.Times(agent.See(agent.ProbeGateway, t, agent.Answered, ""))
	return reach.Count(e, len(sent), len(trips)).With(agent.Jitter, trips.Jitter())
}

// pings are the echo requests of one look.
type pings struct {
	gateway netip.Addr
	token   [8]byte // tells our answers from others'
	shots   []reach.Shot
	arrived []arrival // in this order
	seen    [echoCount]bool
	own     reach.Result // what this machine itself had to say
}

type arrival struct {
	seq uint16
	at  time.Duration
}

func newPings(gateway netip.Addr) *pings {
	p := &pings{gateway: gateway.Unmap()}
	_, _ = rand.Read(p.token[:]) // never fails
	for i := range uint16(echoCount) {
		p.shots = append(p.shots, reach.Shot{At: time.Duration(i) * echoPace, Msg: echoRequest(p.gateway.Is4(), i, p.token)})
	}
	return p
}

// hear notes each answer once.
func (p *pings) hear(h reach.Heard) bool {
	if h.Result.Reason != "" {
		p.own = h.Result
	}
	seq, ok := echoReply(h.Data, p.gateway.Is4(), p.token)
	if ok && h.From.Addr() == p.gateway.WithZone("") && int(seq) < len(p.seen) && !p.seen[seq] {
		p.seen[seq] = true
		p.arrived = append(p.arrived, arrival{seq, h.At})
	}
	return len(p.arrived) == len(p.shots)
}

func (p *pings) trips(sent []time.Duration) reach.Trips {
	var trips reach.Trips
	for _, a := range p.arrived {
		trips = append(trips, max(0, a.at-sent[a.seq]))
	}
	return trips
}

// echoRequest is an echo request whose data are a token. The kernel fills in the
// checksum for IPv6, which takes in addresses.
func echoRequest(v4 bool, seq uint16, token [8]byte) []byte {
	b := make([]byte, 8, 16)
	b[0] = echoRequest6
	copy(b[4:6], token[:]) // as identifier
	binary.BigEndian.PutUint16(b[6:], seq)
	b = append(b, token[:]...)
	if v4 {
		b[0] = echoRequest4
		binary.BigEndian.PutUint16(b[2:], checksum(b))
	}
	return b
}

// echoReply reads the answer to a request with this token. The identifier may be
// the kernel's.
func echoReply(b []byte, v4 bool, token [8]byte) (seq uint16, ok bool) {
	kind := byte(echoReply6)
	if v4 {
		kind = echoReply4
	}
	if len(b) != 16 || b[0] != kind || b[1] != 0 || !bytes.Equal(b[8:], token[:]) {
		return 0, false
	}
	return binary.BigEndian.Uint16(b[6:]), true
}

// checksum is the internet checksum (RFC 1071) of an even number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	sum = sum>>16 + sum&0xFFFF
	return ^uint16(sum + sum>>16)
}
