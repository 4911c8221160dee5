package webrtc

import (
	"context"
	"net/netip"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
	"github.com/sprechprobe/sprechprobe/agent/wire/stamp"
)

// stampWait is for what is still under way when all was sent.
const stampWait = time.Second

// Trip is one datagram's way to a server and its answer's way back, by a clock here
// and one there: only differences between trips mean something.
type Trip struct{ There, Back time.Duration }

// Trips asks a server over UDP for stamps (package stamp), evenly in time, and
// returns those that were answered in the order of the questions. Servers that give
// none, as most do, are asked once; then there are no trips.
func Trips(ctx context.Context, server netip.AddrPort, gap, d time.Duration) []Trip {
	s, err := reach.Listen(server.Addr())
	if err != nil {
		return nil
	}
	defer s.Close()
	ask, id := stamp.Ask()
	answer, _, r := s.Ask(ctx, server, ask, schedule(learnEnd), func(b []byte, from netip.AddrPort) bool {
		return from == server && len(b) >= headerBytes && stamp.ID(b[headerBytes-len(id):headerBytes]) == id
	})
	if _, _, stamped := stamp.Read(answer); r.Outcome != agent.Answered || !stamped {
		return nil
	}
	shots, asked := questions(gap, d)
	there, back := make([]time.Duration, len(shots)), make([]time.Duration, len(shots))
	left := len(shots)
	sent, err := s.Volley(ctx, server, shots, d+stampWait, func(h reach.Heard) bool {
		id, at, ok := stamp.Read(h.Data)
		i, ours := asked[id]
		if ok && ours && h.From == server {
			delete(asked, id)
			there[i], back[i] = at, h.At-at
			left--
		}
		return left == 0
	})
	if err != nil {
		return nil
	}
	lost := map[int]bool{}
	for _, i := range asked {
		lost[i] = true
	}
	var out []Trip
	for i := range sent {
		if !lost[i] {
			out = append(out, Trip{there[i] - sent[i], back[i]})
		}
	}
	return out
}

// questions are requests evenly in time, and which is which.
func questions(gap, d time.Duration) ([]reach.Shot, map[stamp.ID]int) {
	asked := map[stamp.ID]int{}
	var shots []reach.Shot
	for at := time.Duration(0); at < d; at += gap {
		b, id := stamp.Ask()
		asked[id] = len(shots)
		shots = append(shots, reach.Shot{At: at, Msg: b})
	}
	return shots, asked
}
