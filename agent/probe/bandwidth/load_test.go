package bandwidth

import (
	"math"
	"testing"
	"time"
)

// A processor that is busy with packets for the system counts, whichever it is.
func TestShareOfInterrupts(t *testing.T) {
	const before = "cpu  1 2 3 4 5 10 20 0 0 0\ncpu0 1 2 3 4 5 10 20 0 0 0\ncpu1 0 0 0 0 0 0 0 0 0 0\nintr 1 2 3\n"
	const after = "cpu  1 2 3 4 5 60 320 0 0 0\ncpu0 1 2 3 4 5 30 20 0 0 0\ncpu1 9 9 9 9 9 30 110 0 0 0\nintr 1 2 3\n"
	start := time.Now()
	a, b := load{start, interrupts(before)}, load{start.Add(2 * time.Second), interrupts(after)}
	if got := a.share(b); math.Abs(got-0.7) > 1e-9 {
		t.Errorf("%v, want 0.7", got)
	}
	for _, none := range []string{"", "cpu0", "cpu0 a b c d e f g h\n", "cpu0 1 2 3\n"} {
		if got := a.share(load{start.Add(time.Second), interrupts(none)}); got > 0 {
			t.Errorf("%q: %v", none, got)
		}
	}
	if got := now(); len(got.spent) == 0 {
		t.Error("nothing is known of this machine")
	}
}
