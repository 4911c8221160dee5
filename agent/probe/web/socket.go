package web

import (
	"context"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/web/http1"
	"github.com/sprechprobe/sprechprobe/agent/trust"
)

// leastWait is the time without which a look at the WebSocket would prove
// nothing; it is left out then.
const leastWait = 1500 * time.Millisecond

// socket adds to e whether a WebSocket gets through to t.Path.
func socket(ctx context.Context, c trust.Checker, t agent.Target, e agent.Evidence) agent.Evidence {
	if end, ok := ctx.Deadline(); ok && time.Until(end) < leastWait {
		return e
	}
	conn, _, again := dial(ctx, c, t)
	if conn == nil {
		return unasked(e, again.Outcome, again.Reason)
	}
	defer conn.Close()
	defer http1.Bind(ctx, conn)()
	a, accepted, err := http1.Upgrade(conn, http1.URL("https", t, t.Path))
	if err != nil {
		r := classify(ctx, err, t.Addr)
		return unasked(e, r.Outcome, r.Reason)
	}
	e = e.With(agent.WSStatus, a.Status).With(agent.WSUpgrade, accepted)
	if !accepted {
		return refused(e)
	}
	return e
}

// unasked is e where the second connection brought no HTTP answer. A proxy may
// swallow or reset what it does not understand, so this counts as refused,
// unless we could not look.
func unasked(e agent.Evidence, o agent.Outcome, why agent.Reason) agent.Evidence {
	if o == agent.NotLooked {
		return e
	}
	return refused(e.With(agent.WSUpgrade, false).With(agent.Detail, "upgrade: "+string(why)))
}

// refused keeps a reason that weighs more.
func refused(e agent.Evidence) agent.Evidence {
	if e.Outcome == agent.Answered && (e.Reason == "" || e.Reason == agent.TLSClock) {
		e.Reason = agent.UpgradeRefused
	}
	return e
}
