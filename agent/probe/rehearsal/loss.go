package rehearsal

import (
	"math"

	"github.com/sprechprobe/sprechprobe/agent"
)

// A share of packets that was counted in a run is one of chance: a line that loses
// 1 in 100 loses 5 of 500 in a usual run, and in every twentieth none or 10. So it
// is told with the bounds between which the true one lies.

// sureness is how many standard deviations the bounds are away: 95 % confidence.
const sureness = 1.96

// interval is between which shares the true one lies, where a share was counted
// over n packets (Wilson, 1927). It takes each packet to be lost for itself: where
// they are lost in rows, the true interval is wider.
func interval(share, n float64) (low, high float64) {
	if n <= 0 {
		return 0, 1
	}
	z2 := sureness * sureness
	middle := share + z2/(2*n)
	reach := sureness * math.Sqrt(share*(1-share)/n+z2/(4*n*n))
	return max(0, (middle-reach)/(1+z2/n)), min(1, (middle+reach)/(1+z2/n))
}

// apart is the best guess at the loss up and down, from what was lost of n packets
// that passed the line only up, of n only down, and of 2n both ways. The loss of
// those is about the sum of the others', known from twice as many packets, so it
// counts twice; how the sum is shared out only the others tell.
func apart(up, down, both float64) (u, d float64) {
	single := up + down
	total := (single + 2*(both+up*down)) / 3
	if single == 0 {
		return total / 2, total / 2
	}
	return total * up / single, total * down / single
}

// worth is on how many packets of one way [apart]'s guess at a share rests, where it
// had n of those and makes out the other direction's share to be other. For small
// shares the variance of the guess is share/n * (1 - 2/3 share/(share+other)): a
// direction that alone loses is known from all 3n packets.
func worth(share, other, n float64) float64 {
	if share == 0 {
		return n
	}
	return n / (1 - 2*share/(3*(share+other)))
}

// lossKeys are where a loss and its bounds are told.
type lossKeys struct{ share, low, high agent.Key }

var (
	lossBothWays = lossKeys{agent.LossBothWays, agent.LossLow, agent.LossHigh}
	lossUp       = lossKeys{agent.UpLoss, agent.UpLossLow, agent.UpLossHigh}
	lossDown     = lossKeys{agent.DownLoss, agent.DownLossLow, agent.DownLossHigh}
)

// say adds to e a share that was counted over n packets.
func (k lossKeys) say(e agent.Evidence, share, n float64) agent.Evidence {
	low, high := interval(share, n)
	return e.With(k.share, round(share, 4)).With(k.low, round(low, 4)).With(k.high, round(high, 4))
}

// directions adds to e what was lost up and what down.
func directions(e agent.Evidence, s sound) agent.Evidence {
	u, d := apart(s.up.loss(), s.down.loss(), (s.there.loss()+s.back.loss())/2)
	n := float64(len(s.up.sent))
	return lossDown.say(lossUp.say(e, u, worth(u, d, n)), d, worth(d, u, n))
}
