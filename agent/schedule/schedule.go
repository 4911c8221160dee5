// Package schedule says when a job's turn comes. Jobs of many boxes are spread
// over their interval by a hash of the box's identity, so that a fleet that was
// switched on by one power cut does not ask the same servers in the same
// second. It knows names and times, not what a job does, and uses no wall
// clock: a box without a clock chip keeps its rhythm.
package schedule

import (
	"context"
	"hash/fnv"
	"time"
)

// Job is something to do again and again.
type Job struct {
	Name  string
	Every time.Duration // more than zero
}

// Phase is how long after the start the job's first turn comes: more than zero
// and at most Every, always the same for one identity.
func (j Job) Phase(identity string) time.Duration {
	h := fnv.New64a()
	h.Write([]byte(identity))
	h.Write([]byte{0})
	h.Write([]byte(j.Name))
	return time.Duration(h.Sum64()%uint64(j.Every)) + 1
}

// Run calls fire with a job's name at each of its turns until ctx ends. fire
// must not block; turns that pass while it does are skipped, not made up for.
func Run(ctx context.Context, identity string, jobs []Job, fire func(job string)) {
	start := time.Now()
	next := make([]time.Duration, len(jobs))
	for i, j := range jobs {
		next[i] = j.Phase(identity)
	}
	for len(jobs) > 0 {
		i := soonest(next)
		timer := time.NewTimer(time.Until(start.Add(next[i])))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		fire(jobs[i].Name)
		for next[i] <= time.Since(start) {
			next[i] += jobs[i].Every
		}
	}
	<-ctx.Done()
}

func soonest(next []time.Duration) int {
	best := 0
	for i, d := range next {
		if d < next[best] {
			best = i
		}
	}
	return best
}
