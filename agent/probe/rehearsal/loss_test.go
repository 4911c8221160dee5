package rehearsal_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/rehearsal"
)

// What a line loses at random is told within a fifth where the run is long enough
// to know it so well, for 1 in 100 some 10,000 packets, and within the bounds that
// are told with it.
func TestRandomLoss(t *testing.T) {
	if testing.Short() {
		t.Skip("LEFT OUT: the whole run has it; the race detector counts a million packets slowly")
	}
	const long = 200 * time.Second // 10,000 packets a flow
	for i, loss := range []struct{ up, down float64 }{{0.01, 0}, {0, 0.02}, {0.05, 0}, {0, 0.08}, {0.01, 0.01}, {0.08, 0.02}} {
		t.Run(fmt.Sprint(loss), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := rehearsal.Sound(t.Context(), long, loss.up, loss.down, uint64(i))
				inBounds(t, e, agent.UpLoss, agent.UpLossLow, agent.UpLossHigh, loss.up)
				inBounds(t, e, agent.DownLoss, agent.DownLossLow, agent.DownLossHigh, loss.down)
				both := 1 - (1-loss.up)*(1-loss.down)
				inBounds(t, e, agent.LossBothWays, agent.LossLow, agent.LossHigh, both)
				for k, want := range map[agent.Key]float64{agent.UpLoss: loss.up, agent.DownLoss: loss.down, agent.LossBothWays: both} {
					near(t, e, k, want)
				}
			})
		})
	}
}

// near wants a value within a fifth.
func near(t *testing.T, e agent.Evidence, k agent.Key, want float64) {
	t.Helper()
	if got, ok := e.Values.Num(k); !ok || math.Abs(got-want) > 0.2*want {
		t.Errorf("%s = %v, want %v +- 20 %%", k, e.Values[k], want)
	}
}

// inBounds wants the truth between the bounds that are told, and these around what
// is told.
func inBounds(t *testing.T, e agent.Evidence, share, low, high agent.Key, truth float64) {
	t.Helper()
	s, _ := e.Values.Num(share)
	l, _ := e.Values.Num(low)
	h, ok := e.Values.Num(high)
	if !ok || truth < l || truth > h || s < l || s > h {
		t.Errorf("%s = %v, between %v and %v; the truth is %v", share, e.Values[share], e.Values[low], e.Values[high], truth)
	}
}

// Where nothing comes back there is no loss to tell: the line is not what swallows all.
func TestNothingComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := rehearsal.Sound(t.Context(), time.Second, 1, 1, 0)
		if e.Reason != agent.NoMedia || e.Values[agent.Relayed] != false || e.Values[agent.LossBothWays] != nil || e.Values[agent.UpLoss] != nil {
			t.Errorf("%v %q %v, want no-media and no loss", e.Outcome, e.Reason, e.Values)
		}
	})
}

// Of many runs, bounds of 95 % hold the truth in about that many, however short the
// run is; and a long run tells it within a fifth as often.
func TestBounds(t *testing.T) {
	if testing.Short() {
		t.Skip("LEFT OUT: the whole run has it; the race detector counts a million packets slowly")
	}
	const usual, long = 500, 10_000 // packets of one flow
	chance := rand.New(rand.NewPCG(1, 2))
	lost := func(n int, p float64) float64 { // of n packets
		k := 0
		for range n {
			if chance.Float64() < p {
				k++
			}
		}
		return float64(k) / float64(n)
	}
	for _, tt := range []struct {
		up, down  float64
		n, played int
	}{
		{0.01, 0, usual, 2000}, {0.02, 0, usual, 2000}, {0.05, 0, usual, 2000}, {0.08, 0, usual, 2000}, {0.02, 0.02, usual, 2000}, {0.08, 0.08, usual, 2000},
		{0.01, 0.05, usual, 2000}, {0.01, 0, long, 400}, {0.01, 0.01, long, 400}, {0.02, 0, long, 400}, {0.08, 0.08, long, 400},
	} {
		held, close := 0, 0
		for range tt.played {
			both := lost(2*tt.n, 1-(1-tt.up)*(1-tt.down))
			share, low, high := rehearsal.Bounds(lost(tt.n, tt.up), lost(tt.n, tt.down), both, float64(tt.n))
			if low <= tt.up && tt.up <= high {
				held++
			}
			if math.Abs(share-tt.up) <= 0.2*tt.up {
				close++
			}
		}
		if ratio := float64(held) / float64(tt.played); ratio < 0.93 {
			t.Errorf("%v up, %v down, %d packets: the bounds hold the truth in %.3f of the runs", tt.up, tt.down, tt.n, ratio)
		}
		if ratio := float64(close) / float64(tt.played); tt.n == long && ratio < 0.95 {
			t.Errorf("%v up, %v down, %d packets: told within a fifth in %.3f of the runs", tt.up, tt.down, tt.n, ratio)
		}
	}
}
