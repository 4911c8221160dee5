package reach_test

import (
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

func TestJitter(t *testing.T) {
	const ms = time.Millisecond
	swing := func(low, high time.Duration) (trips reach.Trips) {
		for range 200 {
			trips = append(trips, low, high)
		}
		return trips
	}
	for _, tt := range []struct {
		trips reach.Trips
		want  time.Duration
	}{
		{nil, 0},
		{reach.Trips{20 * ms}, 0},
		{swing(20*ms, 20*ms), 0},
		{reach.Trips{20 * ms, 36 * ms}, ms}, // a sixteenth of the first difference
		{swing(20*ms, 36*ms), 16 * ms},      // settles where all differences are
	} {
		if got := tt.trips.Jitter().Round(time.Microsecond); got != tt.want {
			t.Errorf("jitter of %d trips = %v, want %v", len(tt.trips), got, tt.want)
		}
	}
}

func TestTimesOfTrips(t *testing.T) {
	e := reach.Trips{30e6, 10e6, 20e6}.Times(agent.Evidence{})
	if got := [2]any{e.Values[agent.RTT], e.Values[agent.RTTMax]}; got != [2]any{20.0, 30.0} {
		t.Errorf("rtt_ms and rtt_max_ms = %v, want 20 and 30", got)
	}
	if e := (reach.Trips{}).Times(agent.Evidence{}); len(e.Values) > 0 {
		t.Errorf("without a trip: %v", e.Values)
	}
}

func TestCount(t *testing.T) {
	for _, tt := range []struct {
		sent, received int
		want           agent.Reason
	}{
		{60, 60, ""}, {60, 55, ""}, {60, 54, agent.LostSome}, {60, 0, agent.LostSome}, {20, 19, ""}, {20, 18, agent.LostSome},
	} {
		e := reach.Count(agent.See(agent.ProbeBurst, agent.Target{}, agent.Answered, ""), tt.sent, tt.received)
		if e.Reason != tt.want || e.Values[agent.Sent] != float64(tt.sent) || e.Values[agent.Received] != float64(tt.received) {
			t.Errorf("%d of %d: %q %v, want %q", tt.received, tt.sent, e.Reason, e.Values, tt.want)
		}
	}
}
