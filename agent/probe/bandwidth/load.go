package bandwidth

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// load is what each processor has spent so far on interrupts, which is where the
// system handles packets, at a time.
type load struct {
	at    time.Time
	spent []time.Duration
}

// now is the load of this machine; none where that is not known.
func now() load {
	b, _ := os.ReadFile("/proc/stat")
	return load{time.Now(), interrupts(string(b))}
}

// interrupts reads /proc/stat as proc(5) has it: of each processor the sixth and
// the seventh figure, in hundredths of a second.
func interrupts(stat string) (spent []time.Duration) {
	for line := range strings.Lines(stat) {
		f := strings.Fields(line)
		if len(f) < 8 || !strings.HasPrefix(f[0], "cpu") || f[0] == "cpu" {
			continue
		}
		hard, _ := strconv.ParseInt(f[6], 10, 48)
		soft, _ := strconv.ParseInt(f[7], 10, 48)
		spent = append(spent, time.Duration(hard+soft)*(time.Second/100))
	}
	return spent
}

// share is the part of its time, 0 to 1, that the processor with most of such work
// has spent on it until then.
func (l load) share(then load) (most float64) {
	span := then.at.Sub(l.at)
	for i := range min(len(l.spent), len(then.spent)) {
		most = max(most, float64(then.spent[i]-l.spent[i])/float64(max(span, 1)))
	}
	return min(most, 1)
}
