package nats

import (
	"bufio"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/web/http1"
	"github.com/sprechprobe/sprechprobe/agent/reach"
	"github.com/sprechprobe/sprechprobe/agent/trust"
)

// streamLimit is how much is read of a WebSocket until the greeting is whole.
const streamLimit = 2 * infoLimit

// plain waits for a greeting in the clear, and shakes hands over TLS where the
// server wants that next: a firewall may let INFO through and open or break
// what follows.
func (l ladder) plain(ctx context.Context, conn net.Conn) side {
	defer conn.Close()
	s := side{values: agent.Values{}}
	in := buffered{conn, bufio.NewReader(conn)}
	g, took, err := greet(ctx, in, in.r, infoWait)
	s.step("info", l.judge(ctx, err))
	if err != nil {
		return s
	}
	s.greeted(agent.Plain, g, took)
	if !g.needsTLS {
		return s
	}
	hand, cancel := context.WithTimeout(ctx, tlsWait)
	defer cancel()
	tc, seen := l.check.Client(hand, in, http1.Host(l.target))
	s.shook(seen)
	switch {
	case tc != nil:
		s.variant = agent.TLS
		tc.Close()
	case seen.Reason == agent.TLSAlert: // the server itself refuses us: reached
		s.result.Outcome = agent.Answered
	case seen.Reason == agent.Cancelled:
		s.decided = false
	}
	return s
}

// secure tries TLS before anything else: INFO may come behind it, or a
// WebSocket be offered.
func (l ladder) secure(ctx context.Context) side {
	s := side{values: agent.Values{}}
	raw, r := reach.TCP(ctx, l.target.AddrPort())
	if raw == nil {
		s.step("tls", r)
		return s
	}
	hand, cancel := context.WithTimeout(ctx, tlsWait)
	defer cancel()
	conn, seen := l.check.Client(hand, raw, http1.Host(l.target))
	s.shook(seen)
	if conn == nil {
		if seen.Reason == agent.NotTLS {
			return l.openSocket(ctx, s)
		}
		return s
	}
	defer conn.Close()
	in := buffered{conn, bufio.NewReader(conn)}
	g, took, err := greet(ctx, in, in.r, min(100*time.Millisecond+3*l.near, firstWait))
	if err == nil {
		s.rung("tls-info", "ok")
		return s.under(agent.TLSFirst, g, took, seen)
	}
	if r := l.judge(ctx, err); r.Outcome != agent.Silent { // silent as WebSocket listeners are
		s.step("tls-info", r)
		return s.overruled(seen)
	}
	s.upgrade(ctx, l, in, "https", seen)
	return s
}

// openSocket tries a WebSocket without TLS.
func (l ladder) openSocket(ctx context.Context, s side) side {
	conn, r := reach.TCP(ctx, l.target.AddrPort())
	if conn == nil {
		s.rung("ws", word(r))
		return s
	}
	defer conn.Close()
	before := s.result
	s.upgrade(ctx, l, buffered{conn, bufio.NewReader(conn)}, "http", trust.Seen{Outcome: agent.Answered})
	if !s.decided && s.result.Outcome != agent.Tampered && s.result.Outcome != agent.Answered {
		s.result = before // that it is no TLS tells more
	}
	return s
}

// upgrade asks for a WebSocket and waits for the greeting in it.
func (s *side) upgrade(ctx context.Context, l ladder, conn net.Conn, scheme string, seen trust.Seen) {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	defer http1.Bind(ctx, conn)()
	name, variant, bare := "upgrade", agent.WSS, agent.TLSFirst
	if scheme == "http" {
		name, variant, bare = "ws", agent.WS, agent.Plain
	}
	a, accepted, err := http1.Upgrade(conn, http1.URL(scheme, l.target, "/"))
	switch {
	case errors.Is(err, http1.ErrNotHTTP): // perhaps a late INFO
		g, err := readGreeting(bufio.NewReader(a.Stream(streamLimit)))
		s.step(name, l.judge(ctx, err))
		if err == nil {
			*s = s.under(bare, g, a.RTT, seen)
			s.decided = scheme != "http" // the plain side sees that INFO too, and judges what follows
			return
		}
	case err != nil:
		s.step(name, l.judge(ctx, err))
	case !accepted:
		s.rung(name, strconv.Itoa(a.Status))
		s.asked(a, false)
		s.result = reach.Result{Outcome: agent.Refused, Reason: agent.UpgradeRefused}
		if scheme == "http" {
			s.result = reach.Result{Outcome: agent.Tampered, Reason: agent.HTTPAnswer}
		}
	default:
		s.rung(name, strconv.Itoa(http.StatusSwitchingProtocols))
		s.asked(a, true)
		g, err := readGreeting(bufio.NewReader(&frames{r: a.Stream(streamLimit)}))
		if err == nil {
			*s = s.under(variant, g, a.RTT, seen)
			return
		}
		s.step("frame", l.judge(ctx, err))
	}
	*s = s.overruled(seen)
}

// greet reads a greeting, for at most wait, and leaves conn as usable as it was.
func greet(ctx context.Context, conn net.Conn, r *bufio.Reader, wait time.Duration) (greeting, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	release := http1.Bind(ctx, conn)
	began := time.Now()
	g, err := readGreeting(r)
	took := time.Since(began)
	release()
	_ = conn.SetDeadline(time.Time{})
	return g, took, err
}

// buffered is a connection whose first bytes have been read already.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// judge says what an error on the way to a greeting means.
func (l ladder) judge(ctx context.Context, err error) reach.Result {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return reach.Result{Outcome: agent.NotLooked, Reason: agent.Cancelled}
	case errors.Is(err, errForeign), errors.Is(err, http1.ErrNotHTTP):
		return reach.Result{Outcome: agent.Tampered, Reason: agent.Garbage}
	case errors.Is(err, errHTTP):
		return reach.Result{Outcome: agent.Tampered, Reason: agent.HTTPAnswer}
	case errors.Is(err, errTooMuch), errors.Is(err, http1.ErrTooMuch):
		return reach.Result{Outcome: agent.Tampered, Reason: agent.TooMuch}
	case errors.Is(err, io.EOF):
		return reach.Result{Outcome: agent.Refused, Reason: agent.Closed}
	}
	return trust.Classify(err, l.target.Addr)
}

// step notes a rung and takes its result.
func (s *side) step(name string, r reach.Result) {
	s.rung(name, word(r))
	s.result = r
}

// rung notes how a rung ended; one that we broke off ourselves is not worth a
// word.
func (s *side) rung(name, how string) {
	if how != string(agent.Cancelled) {
		s.rungs = append(s.rungs, name+":"+how)
	}
}

func word(r reach.Result) string {
	if r.Reason == "" {
		return "ok"
	}
	return string(r.Reason)
}

// shook notes a handshake.
func (s *side) shook(seen trust.Seen) {
	maps.Copy(s.values, seen.Values)
	detail := seen.Values.Text(agent.Detail)
	delete(s.values, agent.Detail)
	s.step("tls", reach.Result{Outcome: seen.Outcome, Reason: seen.Reason, Detail: detail})
	if s.variant != "" && seen.Outcome == agent.NotLooked && seen.Reason == agent.Unsupported {
		s.result.Outcome = agent.Answered // NATS all the same; only the chain was not judged
	}
}

// asked notes the answer to an upgrade.
func (s *side) asked(a http1.Answer, accepted bool) {
	s.values[agent.WSStatus] = agent.Value(a.Status)
	s.values[agent.WSUpgrade] = accepted
}

// greeted decides: this is NATS.
func (s *side) greeted(v agent.Variant, g greeting, took time.Duration) {
	s.decided, s.variant = true, v
	s.result = reach.Result{Outcome: agent.Answered, Detail: g.refusal}
	s.values[agent.RTT] = agent.Value(took)
	if g.refusal == "" {
		s.values[agent.NATSNeedsAuth] = g.needsAuth
		s.values[agent.NATSNeedsTLS] = g.needsTLS
	}
	if g.version != "" {
		s.values[agent.NATSVersion] = g.version
	}
	if g.client.IsValid() {
		s.values[agent.ClientAddr] = g.client.String()
	}
}

// under is s after a greeting that came through a TLS chain.
func (s side) under(v agent.Variant, g greeting, took time.Duration, seen trust.Seen) side {
	s.greeted(v, g, took)
	s.result.Reason = seen.Reason
	if seen.Outcome == agent.Tampered {
		s.result.Outcome = agent.Tampered
	}
	return s
}

// overruled is s without a greeting: a bad chain explains more than what
// happened behind it.
func (s side) overruled(seen trust.Seen) side {
	if seen.Outcome == agent.Tampered {
		s.result.Outcome, s.result.Reason = seen.Outcome, seen.Reason
	}
	return s
}
