package reach

import (
	"math"
	"slices"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
)

// Trips are round trips, in the order in which their ends arrived.
type Trips []time.Duration

// Times is e with the median of the trips as rtt_ms, and the longest; e without
// trips.
func (t Trips) Times(e agent.Evidence) agent.Evidence {
	if len(t) == 0 {
		return e
	}
	sorted := slices.Sorted(slices.Values(t))
	return e.With(agent.RTT, sorted[len(sorted)/2]).With(agent.RTTMax, sorted[len(sorted)-1])
}

// Jitter is their interarrival jitter (RFC 3550 section 6.4.1).
func (t Trips) Jitter() time.Duration {
	var j float64
	for i := 1; i < len(t); i++ {
		j += (math.Abs(float64(t[i]-t[i-1])) - j) / 16
	}
	return time.Duration(j)
}

// Count is e, which is Answered, with how many were sent and answered, and with
// reason some-lost where a tenth or more were not: that is no accident any more.
func Count(e agent.Evidence, sent, received int) agent.Evidence {
	if 10*(sent-received) >= sent {
		e.Reason = agent.LostSome
	}
	return e.With(agent.Sent, sent).With(agent.Received, received)
}
