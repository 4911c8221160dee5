package trust

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/sprechprobe/sprechprobe/agent"
)

// failed says how a handshake ended that gave no connection.
func failed(err error, to netip.Addr) Seen {
	o, why, detail := classify(err, to)
	s := Seen{Outcome: o, Reason: why, Values: agent.Values{}}
	if detail = printable(detail); detail != "" {
		s.Values[agent.Detail] = detail
	}
	return s
}

func classify(err error, _ netip.Addr) (agent.Outcome, agent.Reason, string) {
	var record tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.As(err, &record):
		return agent.Tampered, agent.NotTLS, ""
	case errors.As(err, &op) && op.Op == "remote error": // how crypto/tls reports an alert
		return agent.Refused, agent.TLSAlert, op.Err.Error()
	case errors.Is(err, context.Canceled):
		return agent.NotLooked, agent.Cancelled, ""
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return agent.Silent, agent.Timeout, ""
	case errors.Is(err, syscall.ECONNRESET):
		return agent.Refused, agent.ResetAfter, ""
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return agent.Refused, agent.Closed, ""
	default: // TLS records came whose content crypto/tls will not have
		return agent.Tampered, agent.Garbage, err.Error()
	}
}
