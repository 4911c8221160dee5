package web

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/web/http1"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

// How much of a page is searched for a redirect, and how long it may take.
const (
	bodyLimit = 8 << 10
	bodyWait  = 1500 * time.Millisecond
)

// Captive asks t.AddrPort() in plain HTTP for the service's own host, with a
// query that no cache can know, and looks at who answers. What the service may
// do itself is Answered: any page, any 4xx, a redirect within its own domain. A
// redirect to a foreign host or address is Tampered foreign-redirect; a page
// that sends the browser to one, and a status that only portals and proxies
// use, is Tampered block-page. That nobody answers on plain HTTP is no fault.
// http_via says that a proxy passed the answer on; where the service's answer over
// HTTPS does not say so too, it is one that nobody asked for.
func Captive(ctx context.Context, t agent.Target) agent.Evidence {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	conn, r := reach.TCP(ctx, t.AddrPort())
	e := r.Evidence(agent.ProbeCaptive, t)
	if conn == nil {
		return e
	}
	defer conn.Close()
	defer http1.Bind(ctx, conn)()
	a, err := http1.Get(conn, http1.URL("http", t, "/?sprechprobe="+nonce()))
	if err != nil {
		return with(e.With(agent.ConnectTime, r.RTT), classify(ctx, err, t.Addr))
	}
	e = e.With(agent.ConnectTime, r.RTT).With(agent.RTT, a.RTT).With(agent.HTTPStatus, a.Status).With(agent.HTTPVia, via(a))
	wait, enough := context.WithTimeout(ctx, bodyWait)
	defer enough()
	defer http1.Bind(wait, conn)()
	return portal(e, a)
}

// via reports whether a proxy has passed an answer on (RFC 9110 section 7.6.3).
// Its name in the header is the practice's own affair.
func via(a http1.Answer) bool { return a.Header.Get("Via") != "" }

// portal tells the service's own answer from a captive portal's.
func portal(e agent.Evidence, a http1.Answer) agent.Evidence {
	if to, foreign := elsewhere(a.Header, e.Target, "http"); foreign {
		return outcome(e.With(agent.LocationHost, word(to)), agent.Tampered, agent.Redirect)
	}
	if a.Status == http.StatusNetworkAuthenticationRequired || a.Status == http.StatusProxyAuthRequired {
		return outcome(e, agent.Tampered, agent.BlockPage)
	}
	for _, ref := range append(pageRedirects(a.Body(bodyLimit)), refreshURL(a.Header.Get("Refresh"))) {
		if to, foreign := leaves(ref, e.Target, "http"); foreign {
			return outcome(e.With(agent.LocationHost, word(to)), agent.Tampered, agent.BlockPage)
		}
	}
	return outcome(e, agent.Answered, "")
}

func nonce() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
