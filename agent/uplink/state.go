package uplink

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/nats-io/nats.go"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/uplink/dial"
)

// Evidence says how the uplink stands right now. It waits for nothing.
func (u *Uplink) Evidence() agent.Evidence {
	st := u.spool.Status()
	u.mu.Lock()
	defer u.mu.Unlock()
	e := u.state.With(agent.Queued, st.Waiting)
	for key, n := range map[agent.Key]int64{agent.Dropped: st.Dropped, agent.Damaged: st.Damaged, agent.SpoolBytes: st.Bytes} {
		if n > 0 {
			e = e.With(key, n)
		}
	}
	if st.Err != nil {
		e = e.With(agent.InMemory, true)
	}
	if over := u.passedOver(); e.Outcome == agent.Answered && len(over) > 0 {
		e = e.With(agent.PassedOver, agent.Printable(strings.Join(over, " "), 200))
	}
	return e
}

func (u *Uplink) set(o agent.Outcome, why agent.Reason, detail string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.state = agent.See(agent.ProbeUplink, u.target(), o, why)
	if detail != "" {
		u.state = u.state.With(agent.Detail, detail)
	}
}

// passedOver are the servers that should have been reached before the one that was.
func (u *Uplink) passedOver() []string {
	d := u.dialer.Load()
	if d == nil {
		return nil
	}
	if over := d.over.Load(); over != nil {
		return *over
	}
	return nil
}

func (u *Uplink) outcome() agent.Outcome {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.state.Outcome
}

// target is the first server, as evidence names it.
func (u *Uplink) target() agent.Target {
	t := agent.Target{Transport: agent.TCP}
	first, err := url.Parse(u.opts.Servers[0])
	if err != nil {
		return t
	}
	t.Host, t.Port = first.Hostname(), portOf(first)
	return t
}

// portOf is the port of a server's URL.
func portOf(u *url.URL) uint16 {
	if p, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		return uint16(p)
	}
	return usualPorts[u.Scheme]
}

func hostPort(u *url.URL) string {
	return net.JoinHostPort(u.Hostname(), strconv.Itoa(int(portOf(u))))
}

// usualPorts are those of servers whose URL names none.
var usualPorts = map[string]uint16{"nats": 4222, "tls": 4222, "ws": 80, "wss": 443}

// handlers keep the state that Evidence tells.
func (u *Uplink) handlers() []nats.Option {
	return []nats.Option{
		nats.ConnectHandler(func(*nats.Conn) { u.connected() }),
		nats.ReconnectHandler(func(*nats.Conn) { u.connected() }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { u.lost(err) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { u.refused(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { u.refused(err) }),
	}
}

func (u *Uplink) connected() {
	u.set(agent.Answered, "", "")
	u.pace.connected()
	u.mu.Lock()
	u.news, u.mute = true, false
	u.mu.Unlock()
	u.opts.Log.Info("reporting connected")
	u.poke()
	u.Reread() // what was said meanwhile is lost
	select {
	case u.clockless <- struct{}{}:
	default:
	}
}

// lost notes that there is no connection any more. Whether there can be one is
// not known before it was tried, and that is not at once: see [pace].
func (u *Uplink) lost(err error) {
	u.pace.lost()
	if giveUp := u.giveUp.Load(); giveUp != nil {
		(*giveUp)()
	}
	if !u.refused(err) && u.outcome() == agent.Answered {
		u.set(agent.NotLooked, agent.Cancelled, "")
		u.opts.Log.Info("reporting interrupted")
	}
}

// failed notes why an attempt to connect brought nothing. Of several servers'
// errors the most telling counts.
func (u *Uplink) failed(err error) {
	var (
		cert    *tls.CertificateVerificationError
		expired x509.CertificateInvalidError
		name    x509.HostnameError
		status  *dial.StatusError
		out     *shutOut
		dns     *net.DNSError
	)
	switch {
	case errors.As(err, &expired) && expired.Reason == x509.Expired:
		u.set(agent.Refused, agent.TLSExpired, agent.Printable(expired.Error(), 120))
	case errors.As(err, &name):
		u.set(agent.Tampered, agent.TLSWrongName, agent.Printable(name.Error(), 80))
	case errors.As(err, &cert):
		u.set(agent.Tampered, agent.TLSUnknownCA, agent.Printable(cert.Err.Error(), 80))
	case errors.Is(err, dial.ErrTooMuch):
		u.set(agent.Tampered, agent.TooMuch, "")
	case errors.Is(err, dial.ErrNotNATS), errors.Is(err, dial.ErrNoTLS):
		u.set(agent.Tampered, agent.Garbage, "")
	case errors.As(err, &status):
		u.set(agent.Rejected, agent.HTTPAnswer, status.Error())
	case errors.As(err, &out):
		if u.outcome() != agent.Refused { // that is known better
			u.set(agent.Silent, agent.Closed, out.why)
		}
	case errors.Is(err, syscall.ECONNREFUSED):
		u.set(agent.Refused, agent.Reset, "")
	case errors.As(err, &dns) && dns.IsNotFound:
		u.set(agent.Silent, agent.NXDomain, "")
	case errors.Is(err, os.ErrDeadlineExceeded) || isTimeout(err):
		u.set(agent.Silent, agent.Timeout, "")
	default:
		u.set(agent.Silent, agent.OtherError, "")
	}
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// refused notes that the vendor's server knows us and will not have us.
func (u *Uplink) refused(err error) bool {
	if errors.Is(err, nats.ErrPermissionViolation) && u.aboutBeats(err) {
		return false
	}
	for _, auth := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked,
		nats.ErrAccountAuthExpired, nats.ErrPermissionViolation} {
		if errors.Is(err, auth) {
			u.set(agent.Refused, agent.AuthRefused, auth.Error())
			return true
		}
	}
	return false
}

// aboutBeats reports whether the server forbids only beats, which it may: then
// this connection brings none. The subject stands in the error's text and nowhere
// else.
func (u *Uplink) aboutBeats(err error) bool {
	if !strings.Contains(err.Error(), u.states) && !strings.Contains(err.Error(), u.beats) {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.mute = true
	return true
}
