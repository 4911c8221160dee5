package uplink

import (
	"crypto/tls"
	"errors"
	"net/url"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/sprechprobe/sprechprobe/agent"
)

// Evidence says how the uplink stands right now.
func (u *Uplink) Evidence() agent.Evidence {
	u.mu.Lock()
	defer u.mu.Unlock()
	e := u.state.With(agent.Queued, len(u.queue))
	if u.dropped > 0 {
		e = e.With(agent.Dropped, u.dropped)
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

// target is the first server, as evidence names it.
func (u *Uplink) target() agent.Target {
	t := agent.Target{Transport: agent.TCP}
	first, err := url.Parse(u.opts.Servers[0])
	if err != nil {
		return t
	}
	t.Host = first.Hostname()
	t.Port = usualPorts[first.Scheme]
	if p, err := strconv.ParseUint(first.Port(), 10, 16); err == nil {
		t.Port = uint16(p)
	}
	return t
}

// usualPorts are those of servers whose URL names none.
var usualPorts = map[string]uint16{"nats": 4222, "tls": 4222, "ws": 80, "wss": 443}

// handlers keep the state that Evidence tells.
func (u *Uplink) handlers() []nats.Option {
	up := func(*nats.Conn) {
		u.set(agent.Answered, "", "")
		u.opts.Log.Info("reporting connected")
		select {
		case u.wake <- struct{}{}:
		default:
		}
	}
	return []nats.Option{
		nats.ConnectHandler(up),
		nats.ReconnectHandler(up),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { u.lost(err) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { u.lost(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { u.refused(err) }),
	}
}

// lost notes why there is no connection.
func (u *Uplink) lost(err error) {
	if u.refused(err) {
		return
	}
	var bad *tls.CertificateVerificationError
	switch {
	case errors.As(err, &bad):
		u.set(agent.Tampered, agent.TLSUnknownCA, agent.Printable(bad.Err.Error(), 80))
	case errors.Is(err, nats.ErrNoServers):
		u.set(agent.Silent, agent.OtherError, "") // the client hides whether it was refused
	default:
		u.set(agent.Silent, agent.Timeout, "")
	}
}

// refused notes that the vendor's server knows us and will not have us.
func (u *Uplink) refused(err error) bool {
	for _, auth := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked,
		nats.ErrAccountAuthExpired, nats.ErrPermissionViolation} {
		if errors.Is(err, auth) {
			u.set(agent.Refused, agent.AuthRefused, auth.Error())
			return true
		}
	}
	return false
}
