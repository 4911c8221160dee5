package trust

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"syscall"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

// Classify says what an error of a TLS connection to an address means: of its
// handshake, or of a later Read or Write. It adds to [reach.Classify] what only
// TLS can tell: an alert of the far end (Refused, tls-alert), bytes that are
// not TLS (Tampered, not-tls), and TLS that breaks its own rules (Tampered,
// bad-answer).
func Classify(err error, to netip.Addr) reach.Result {
	var record tls.RecordHeaderError
	var op *net.OpError
	var errno syscall.Errno
	switch {
	case errors.As(err, &record):
		return reach.Result{Outcome: agent.Tampered, Reason: agent.NotTLS}
	case errors.As(err, &op) && op.Op == "remote error": // how crypto/tls marks an alert
		return reach.Result{Outcome: agent.Refused, Reason: agent.TLSAlert, Detail: agent.Printable(op.Err.Error(), wordsLimit)}
	}
	r := reach.Classify(err, to)
	if r.Reason == agent.OtherError && !errors.As(err, &errno) { // not the system but crypto/tls said no
		return reach.Result{Outcome: agent.Tampered, Reason: agent.Garbage, Detail: agent.Printable(err.Error(), wordsLimit)}
	}
	return r
}

// failed is a handshake that gave no connection.
func failed(err error, to netip.Addr) Seen {
	r := Classify(err, to)
	s := Seen{Outcome: r.Outcome, Reason: r.Reason, Values: agent.Values{}}
	if r.Detail != "" {
		s.Values[agent.Detail] = r.Detail
	}
	return s
}
