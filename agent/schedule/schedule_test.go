package schedule_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/schedule"
)

func TestPhaseSpreadsAFleet(t *testing.T) {
	job := schedule.Job{Name: "round", Every: 5 * time.Minute}
	const boxes, slots = 3000, 10
	var per [slots]int
	for i := range boxes {
		p := job.Phase(fmt.Sprintf("box-%d", i))
		if p <= 0 || p > job.Every {
			t.Fatalf("phase %v, want more than 0 and at most %v", p, job.Every)
		}
		per[min(int(p*slots/job.Every), slots-1)]++
	}
	for i, n := range per {
		if n < boxes/slots/2 || n > boxes/slots*2 {
			t.Errorf("slot %d has %d boxes, want about %d: %v", i, n, boxes/slots, per)
		}
	}
}

func TestPhaseIsStableAndOfItsJob(t *testing.T) {
	a := schedule.Job{Name: "round", Every: time.Hour}
	b := schedule.Job{Name: "bandwidth", Every: time.Hour}
	if first, again := a.Phase("box-1"), a.Phase("box-1"); first != again {
		t.Errorf("phase %v, then %v: it changes from call to call", first, again)
	}
	if a.Phase("box-1") == b.Phase("box-1") {
		t.Error("two jobs of a box share a phase")
	}
}

func TestRunKeepsTheRhythm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		job := schedule.Job{Name: "round", Every: time.Minute}
		var at []time.Duration
		done := make(chan struct{})
		go func() {
			schedule.Run(ctx, "box", []schedule.Job{job}, func(string) { at = append(at, time.Since(start)) })
			close(done)
		}()
		time.Sleep(10 * time.Minute) // of the bubble's own clock
		cancel()
		<-done
		if len(at) != 10 {
			t.Fatalf("%d turns in ten minutes, want 10", len(at))
		}
		for i := 1; i < len(at); i++ {
			if at[i]-at[i-1] != time.Minute {
				t.Errorf("turn %d came %v after the one before, want 1m", i, at[i]-at[i-1])
			}
		}
	})
}

// A turn that takes too long swallows the turns it covers, and no more.
func TestRunSkipsWhatPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute+time.Second)
		defer cancel()
		turns := 0
		schedule.Run(ctx, "box", []schedule.Job{{Name: "round", Every: time.Minute}}, func(string) {
			turns++
			if turns == 1 {
				time.Sleep(3*time.Minute + 30*time.Second) // of the bubble's own clock
			}
		})
		if turns < 6 || turns > 8 {
			t.Errorf("%d turns, want the ten of ten minutes less the three or so that the first covered", turns)
		}
	})
}

func TestRunWithSeveralJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var got []string
		schedule.Run(ctx, "box", []schedule.Job{{"often", 10 * time.Minute}, {"seldom", 30 * time.Minute}},
			func(j string) { got = append(got, j) })
		count := func(name string) (n int) {
			for _, g := range got {
				if g == name {
					n++
				}
			}
			return n
		}
		if count("often") != 6 || count("seldom") != 2 || !slices.Contains(got, "seldom") {
			t.Errorf("turns %v, want 6 often and 2 seldom", got)
		}
	})
}
