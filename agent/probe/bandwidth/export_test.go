package bandwidth

import (
	"context"
	"net/netip"
	"time"
)

// P95 asks far how long an answer takes while do runs, and returns what 95 of
// 100 answers stay below.
func P95(ctx context.Context, far netip.AddrPort, do func()) (time.Duration, error) {
	l, err := watch(ctx, far)
	if err != nil {
		return 0, err
	}
	defer l.close()
	start := time.Now()
	do()
	rtts, _ := l.between(start, time.Now().Add(-jam))
	if len(rtts) == 0 {
		return 0, nil
	}
	return rtts[len(rtts)*95/100], nil
}
