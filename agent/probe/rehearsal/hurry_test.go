package rehearsal_test

import (
	"slices"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/probe/rehearsal"
)

// What this machine did to the packets is not the line's: it spoils the run.
func TestOwnFaultsSpoil(t *testing.T) {
	late := func(few int) []time.Duration { // of 100 packets
		return slices.Concat(make([]time.Duration, 100-few), slices.Repeat([]time.Duration{60 * time.Millisecond}, few))
	}
	for name, tt := range map[string]struct {
		late  []time.Duration
		drops int
		share float64
		want  bool
	}{
		"in time":               {late(0), 0, 0.3, false},
		"a few packets late":    {late(5), 0, 0.3, false},
		"many packets late":     {late(6), 0, 0.3, true},
		"no room for one":       {late(0), 1, 0.3, true},
		"all processors in use": {late(0), 0, 0.9, true},
	} {
		if got := rehearsal.TooBusy(tt.late, tt.drops, tt.share); got != tt.want {
			t.Errorf("%s: too busy is %v", name, got)
		}
	}
}
