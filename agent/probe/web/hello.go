package web

import (
	"context"
	"crypto/tls"
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/web/http1"
	"github.com/sprechprobe/sprechprobe/agent/reach"
	"github.com/sprechprobe/sprechprobe/agent/trust"
)

// helloWait is how long one ClientHello may wait for its handshake: three
// retransmissions of the kernel, or a line by satellite.
const helloWait = 2500 * time.Millisecond

// Hello looks at what a device on the way dislikes about TLS, at a target where
// TCP came up and TLS did not: HTTPS, TURN over TLS, and NATS unless it speaks
// first. Side by side, on connections of their own, it makes the handshakes that
// differ in one thing each: the usual one, over 1,300 bytes because of ML-KEM; a
// small one, below 1,000 bytes; and a small one without a name, as to an address.
//
// Outcome, reason, connect_ms and rtt_ms (from the ClientHello to the answer or
// the refusal) are those of the usual one. Each value hello_plain, hello_small
// and hello_other_name is "answered" or the reason. A foreign certificate is no
// answer, but the certificate for strangers is not looked at; an alert is the
// answer of somebody who read the ClientHello. Without a name to leave out there
// is no hello_other_name. Other targets are NotLooked, unsupported.
func Hello(c trust.Checker) agent.Probe {
	return func(ctx context.Context, t agent.Target) agent.Evidence {
		switch {
		case ctx.Err() != nil:
			return agent.See(agent.ProbeHello, t, agent.NotLooked, agent.Cancelled)
		case !beginsWithTLS(t):
			return agent.See(agent.ProbeHello, t, agent.NotLooked, agent.Unsupported)
		}
		within, cancel := context.WithTimeout(ctx, bound)
		defer cancel()
		said := hellos(c, t)
		var wg sync.WaitGroup
		for _, h := range said {
			wg.Go(func() { h.run(within, t) })
		}
		wg.Wait()
		if ctx.Err() != nil { // one of them may have had no time
			return agent.See(agent.ProbeHello, t, agent.NotLooked, agent.Cancelled)
		}
		return compare(t, said)
	}
}

// beginsWithTLS reports whether the first bytes on a connection to t are a
// ClientHello.
func beginsWithTLS(t agent.Target) bool {
	if t.Transport != agent.TCP {
		return false
	}
	switch t.Variant {
	case agent.TLS:
		return t.Service != agent.NATS // INFO comes first
	case "":
		return t.Service == agent.HTTPS || t.Service == agent.NATS // whose ladder had no answer
	case agent.TLSFirst, agent.WSS:
		return true
	}
	return false
}

// hello is one ClientHello and how it ended.
type hello struct {
	key    agent.Key
	config *tls.Config
	judge  func(tls.ConnectionState) (agent.Outcome, agent.Reason)

	reach.Result               // RTT: of the ClientHello
	connected    time.Duration // 0: not
}

// hellos are the ClientHellos to try, the usual one first.
func hellos(c trust.Checker, t agent.Target) []*hello {
	host := http1.Host(t)
	own := func(s tls.ConnectionState) (agent.Outcome, agent.Reason) {
		o, why, _ := c.Judge(s.PeerCertificates, host)
		if o == agent.NotLooked { // no roots to judge by; the handshake passed
			return agent.Answered, ""
		}
		return o, why
	}
	anybody := func(tls.ConnectionState) (agent.Outcome, agent.Reason) { return agent.Answered, "" }
	usual := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, InsecureSkipVerify: true} // judged by judge
	if t.Service == agent.HTTPS {
		usual.NextProtos = []string{"http/1.1"}
	}
	small := usual.Clone()
	small.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256}
	said := []*hello{
		{key: agent.HelloPlain, config: usual, judge: own},
		{key: agent.HelloSmall, config: small, judge: own},
	}
	nameless := small.Clone()
	if nameless.ServerName = t.Addr.WithZone("").String(); nameless.ServerName != host {
		said = append(said, &hello{key: agent.HelloOther, config: nameless, judge: anybody})
	}
	return said
}

// run says the ClientHello. A panic must not end the program: it is not in the
// round's own goroutine.
func (h *hello) run(ctx context.Context, t agent.Target) {
	defer func() {
		if recover() != nil {
			h.Result = reach.Result{Outcome: agent.NotLooked, Reason: agent.Panicked}
		}
	}()
	conn, r := reach.TCP(ctx, t.AddrPort())
	if h.Result = r; conn == nil {
		return
	}
	h.connected = r.RTT
	ctx, cancel := context.WithTimeout(ctx, helloWait)
	defer cancel()
	began := time.Now()
	tc := tls.Client(conn, h.config)
	defer tc.Close()
	err := tc.HandshakeContext(ctx)
	h.Result = trust.Classify(err, t.Addr)
	if err == nil {
		h.Outcome, h.Reason = h.judge(tc.ConnectionState())
	}
	if h.Outcome != agent.Silent && h.Outcome != agent.NotLooked {
		h.RTT = time.Since(began)
	}
}

// compare puts the endings side by side; that of the first is the outcome.
func compare(t agent.Target, said []*hello) agent.Evidence {
	usual := said[0]
	e := usual.Evidence(agent.ProbeHello, t)
	if usual.connected > 0 && usual.RTT > 0 {
		e = e.With(agent.RTT, usual.RTT)
	}
	if usual.connected > 0 {
		e = e.With(agent.ConnectTime, usual.connected)
	}
	for _, h := range said {
		switch {
		case h.Outcome == agent.Answered:
			e = e.With(h.key, agent.Answered.String())
		case h.Outcome != agent.NotLooked || h.Reason != agent.Cancelled:
			e = e.With(h.key, string(h.Reason))
		}
	}
	return e
}
