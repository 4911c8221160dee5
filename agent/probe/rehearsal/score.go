package rehearsal

import (
	"math"

	"github.com/sprechprobe/sprechprobe/agent"
)

// The inputs of the E-model that no rehearsal measures.
const (
	plainR     = 93.2 // R without delay and loss, all else by the defaults of G.107
	lossSize   = 25.1 // Bpl of G.711 with concealment, G.113 appendix I; Opus has no entry
	worstLoss  = 95   // what loss can take off R at most, G.107 formula 7-29
	otherDelay = 40   // milliseconds: a packet of 20 ms and as much again in codec and sound card
	audible    = 177.3
)

// Score is a guess at how people would rate the sound, 1 to 4.5, by the E-model
// (ITU-T G.107): a headline, never a reason for a light. The delay from mouth to
// ear is half the round trip, two jitters for the buffer that evens them out, and
// 40 ms of packets and codec; delay costs as in the usual approximation of G.107's
// Idd (Cole and Rosenbluth, 2001), loss as G.107 has it for losses at random.
// Times are in milliseconds, loss is 0 to 1.
func Score(rtt, jitter, loss float64) float64 {
	delay := rtt/2 + 2*jitter + otherDelay
	r := plainR - 0.024*delay
	if delay > audible {
		r -= 0.11 * (delay - audible)
	}
	percent := 100 * loss
	r -= worstLoss * percent / (percent + lossSize)
	switch {
	case r <= 0:
		return 1
	case r >= 100:
		return 4.5
	}
	mos := 1 + 0.035*r + r*(r-60)*(100-r)*7e-6 // G.107 annex B
	return math.Max(1, mos)
}

// scoreOf is the score of what e says. Where the directions are known apart the
// worse one is heard.
func scoreOf(e agent.Evidence) float64 {
	rtt, _ := e.Values.Num(agent.RTT)
	jitter, _ := e.Values.Num(agent.Jitter)
	loss, _ := e.Values.Num(agent.LossBothWays)
	up, apart := e.Values.Num(agent.UpLoss)
	if down, _ := e.Values.Num(agent.DownLoss); apart {
		loss = max(up, down)
	}
	upJitter, stamped := e.Values.Num(agent.UpJitter)
	if down, _ := e.Values.Num(agent.DownJitter); stamped {
		jitter = max(upJitter, down)
	}
	return round(Score(rtt, jitter, loss), 2)
}
