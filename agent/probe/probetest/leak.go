package probetest

import (
	"fmt"
	"os"
	"runtime"
	"time"
)

// counts is what a probe may leave behind.
type counts struct{ goroutines, descriptors int }

func count() counts {
	return counts{goroutines: runtime.NumGoroutine(), descriptors: descriptors()}
}

// descriptors counts what the process has open, -1 where that is not known.
func descriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(entries)
}

// settled waits until nothing more is left than there was before: the far ends
// of a test need a moment to notice that the probe has gone.
func settled(before counts) error {
	const patience, beat = 5 * time.Second, 5 * time.Millisecond
	end := time.NewTimer(patience)
	defer end.Stop()
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		now := count()
		if now.goroutines <= before.goroutines && now.descriptors <= before.descriptors {
			return nil
		}
		select {
		case <-ticker.C:
		case <-end.C:
			return fmt.Errorf("%d goroutines and %d descriptors, were %d and %d before\n%s",
				now.goroutines, now.descriptors, before.goroutines, before.descriptors, stacks())
		}
	}
}

// stacks says which goroutines there are.
func stacks() []byte {
	buf := make([]byte, 16<<10)
	return buf[:runtime.Stack(buf, true)]
}
