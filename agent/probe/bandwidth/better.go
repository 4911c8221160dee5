package bandwidth

import (
	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/iperf3"
)

// Better sums up two looks at one line, one right after the other: of each figure
// the better one counts, so that only what both have seen is a trouble. What was
// moved adds up.
func Better(a, b agent.Evidence) agent.Evidence {
	moved, some := a.Values.Num(agent.TestBytes)
	more, too := b.Values.Num(agent.TestBytes)
	switch {
	case !some:
		return b
	case !too:
		return a
	}
	out := b.With(agent.TestBytes, moved+more)
	for _, d := range []keys{keysOf(iperf3.Down), keysOf(iperf3.Up)} {
		if n, ok := a.Values.Num(d.rate); ok && beats(n, b, d.rate, 1) {
			out = out.With(d.rate, n).With(d.limit, a.Values.Text(d.limit))
		}
		for _, k := range []agent.Key{d.loaded, d.loss, d.jitter} {
			if n, ok := a.Values.Num(k); ok && beats(n, b, k, -1) {
				out = out.With(k, n)
			}
		}
	}
	if n, ok := a.Values.Num(agent.IdleRTT); ok && beats(n, b, agent.IdleRTT, -1) {
		out = out.With(agent.IdleRTT, n)
	}
	return out
}

// beats reports whether n is better than what e has at k; sign says which way.
func beats(n float64, e agent.Evidence, k agent.Key, sign float64) bool {
	other, ok := e.Values.Num(k)
	return !ok || sign*n > sign*other
}
