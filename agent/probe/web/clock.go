package web

import (
	"math"
	"net/http"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/probe/web/http1"
	"github.com/sprechprobe/sprechprobe/agent/trust"
)

// dateOf is when the far end made its answer. An answer with an age comes out
// of a cache, and its date tells nothing (RFC 9111 section 5.1).
func dateOf(a http1.Answer) (time.Time, bool) {
	if a.Header.Get("Age") != "" {
		return time.Time{}, false
	}
	date, err := http.ParseTime(a.Header.Get("Date"))
	if err != nil || date.Year() < 1970 || date.Year() > 9999 {
		return time.Time{}, false
	}
	return date, true
}

// skew is the far end's clock minus ours in whole seconds. A Date is cut to the
// second and the way back takes its time, so up to 2 s count as none.
func skew(date, ours time.Time) float64 {
	s := math.Round(date.Add(500 * time.Millisecond).Sub(ours).Seconds())
	if math.Abs(s) <= 2 {
		return 0
	}
	return s
}

func clock(c trust.Checker) time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}
