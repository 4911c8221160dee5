// Package web looks at a service's web host: over HTTPS at its certificate, its
// answer and whether a WebSocket gets through, and over plain HTTP at whether
// a captive portal answers in its place. It follows no redirect, sends no
// cookie and keeps nothing.
//
// It does not know what a service's pages ought to hold, cannot tell a service
// that refuses a WebSocket from a proxy that strips the request, and never
// says whose fault anything is.
package web

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/web/http1"
	"github.com/sprechprobe/sprechprobe/agent/reach"
	"github.com/sprechprobe/sprechprobe/agent/trust"
)

// bound is how long one look may take in all.
const bound = 5800 * time.Millisecond

// HTTPS looks at t.AddrPort() as a browser would: TLS with t.Host as name, then
// GET /, and where t.Path is set, a WebSocket upgrade of that path on a second
// connection. Any HTTP answer under a good chain is Answered, with reason
// tls-expired, http-error (5xx), upgrade-refused or tls-clock, the first that
// applies. Under a bad chain it is Tampered, with reason block-page where the
// answer is one, and else the chain's own. A look takes at most 6 s.
func HTTPS(c trust.Checker) agent.Probe {
	return func(ctx context.Context, t agent.Target) agent.Evidence {
		ctx, cancel := context.WithTimeout(ctx, bound)
		defer cancel()
		e := page(ctx, c, t)
		if t.Path == "" || e.Outcome != agent.Answered && e.Outcome != agent.Tampered {
			return e
		}
		if _, came := e.Values.Num(agent.HTTPStatus); !came {
			return e
		}
		return socket(ctx, c, t, e)
	}
}

// page looks at the start page.
func page(ctx context.Context, c trust.Checker, t agent.Target) agent.Evidence {
	conn, seen, e := dial(ctx, c, t)
	if conn == nil {
		return e
	}
	defer conn.Close()
	defer http1.Bind(ctx, conn)()
	a, err := http1.Get(conn, http1.URL("https", t, "/"))
	now := clock(c)
	if err != nil {
		return broken(ctx, e, seen, err)
	}
	if date, ok := dateOf(a); ok && seen.Outcome == agent.Answered {
		seen = seen.ByClockOf(date)
		e = e.With(agent.ClockSkew, skew(date, now.Add(-a.RTT/2)))
	}
	to, foreign := elsewhere(a.Header, t, "https")
	if foreign {
		e = e.With(agent.LocationHost, word(to))
	}
	e = e.With(agent.HTTPStatus, a.Status).With(agent.RTT, a.RTT).With(agent.HTTPVia, via(a))
	return grade(e, seen, a.Status, foreign)
}

// dial connects and shakes hands. The connection is nil where that failed, and
// the evidence is complete then.
func dial(ctx context.Context, c trust.Checker, t agent.Target) (net.Conn, trust.Seen, agent.Evidence) {
	raw, r := reach.TCP(ctx, t.AddrPort())
	e := r.Evidence(agent.ProbeWeb, t)
	if raw == nil {
		return nil, trust.Seen{}, e
	}
	e = e.With(agent.ConnectTime, r.RTT)
	conn, seen := c.Client(ctx, raw, http1.Host(t), "http/1.1")
	for k, v := range seen.Values {
		e = e.With(k, v)
	}
	if conn == nil {
		return nil, seen, outcome(e, seen.Outcome, seen.Reason)
	}
	return conn, seen, e
}

// grade says what an HTTP answer is worth under the chain it came with.
func grade(e agent.Evidence, seen trust.Seen, status int, foreign bool) agent.Evidence {
	switch {
	case seen.Outcome == agent.Tampered && (foreign || blocks(status)):
		return outcome(e, agent.Tampered, agent.BlockPage)
	case seen.Outcome == agent.Answered && seen.Reason != agent.TLSExpired && status >= 500:
		return outcome(e, agent.Answered, agent.HTTPError)
	default:
		return outcome(e, seen.Outcome, seen.Reason)
	}
}

// blocks reports whether filters answer with a status in the service's place.
func blocks(status int) bool {
	switch status {
	case http.StatusForbidden, http.StatusProxyAuthRequired,
		http.StatusUnavailableForLegalReasons, http.StatusNetworkAuthenticationRequired:
		return true
	}
	return false
}

// broken is evidence where no HTTP answer came after TLS did. A bad chain
// explains more than what happened behind it.
func broken(ctx context.Context, e agent.Evidence, seen trust.Seen, err error) agent.Evidence {
	r := classify(ctx, err, e.Target.Addr)
	if seen.Outcome == agent.Tampered && r.Reason != agent.Cancelled {
		return outcome(e, seen.Outcome, seen.Reason)
	}
	return with(e, r)
}

// classify says what it means that an exchange ended with err.
func classify(ctx context.Context, err error, to netip.Addr) reach.Result {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return reach.Result{Outcome: agent.NotLooked, Reason: agent.Cancelled}
	case errors.Is(err, http1.ErrTooMuch):
		return reach.Result{Outcome: agent.Tampered, Reason: agent.TooMuch}
	case errors.Is(err, http1.ErrNotHTTP):
		return reach.Result{Outcome: agent.Tampered, Reason: agent.Garbage}
	}
	return trust.Classify(err, to)
}

// with is e as it ends when r is how the connection ended.
func with(e agent.Evidence, r reach.Result) agent.Evidence {
	if r.Detail != "" {
		e = e.With(agent.Detail, r.Detail)
	}
	return outcome(e, r.Outcome, r.Reason)
}

// outcome is e with another outcome, its grade, and a reason.
func outcome(e agent.Evidence, o agent.Outcome, why agent.Reason) agent.Evidence {
	e.Outcome, e.Grade, e.Reason = o, agent.GradeOf(o), why
	return e
}
