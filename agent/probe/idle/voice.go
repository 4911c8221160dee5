package idle

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/pion/stun/v2"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/web/http1"
	"github.com/sprechprobe/sprechprobe/agent/trust"
)

// Errors about what came in place of an answer.
var (
	errForeign     = errors.New("answer is not the protocol's")
	errCredentials = errors.New("the service asks for credentials at once")
)

// answerLimit bounds one answer, bytes.
const answerLimit = 32 << 10

// voice is how a service is spoken to without credentials.
type voice struct {
	// greet does what has to be done on a new connection until the service has
	// answered once. What it returns is spoken on; it closes nothing.
	greet func(ctx context.Context, conn net.Conn, t agent.Target) (net.Conn, error)
	speak func(conn net.Conn) error // asks, and reads the answer
}

// voiceOf says how t is spoken to, if that is known.
func voiceOf(t agent.Target) (voice, bool) {
	if t.Transport != agent.TCP {
		return voice{}, false
	}
	switch v := t.Variant; {
	case t.Service == agent.HTTPS:
		head := headOf(t)
		return voice{overTLS(head), head}, true
	case t.Service == agent.STUN || t.Service == agent.TURN:
		if v == agent.TLS {
			return voice{overTLS(binding), binding}, true
		}
		return voice{bare(binding), binding}, v == agent.Plain || v == ""
	case t.Service == agent.NATS:
		switch v {
		case agent.Plain, "":
			return voice{bare(greeted), ping}, true
		case agent.TLS:
			return voice{natsTLS, ping}, true
		case agent.TLSFirst:
			return voice{overTLS(greeted), ping}, true
		}
	}
	return voice{}, false
}

// bare greets without anything in between.
func bare(speak func(net.Conn) error) func(context.Context, net.Conn, agent.Target) (net.Conn, error) {
	return func(_ context.Context, conn net.Conn, _ agent.Target) (net.Conn, error) { return conn, speak(conn) }
}

// overTLS greets over TLS. Whose certificate it is does not matter here.
func overTLS(speak func(net.Conn) error) func(context.Context, net.Conn, agent.Target) (net.Conn, error) {
	return func(ctx context.Context, conn net.Conn, t agent.Target) (net.Conn, error) {
		var checker trust.Checker
		secure, seen := checker.Client(ctx, conn, http1.Host(t))
		switch {
		case secure != nil:
			return secure, speak(secure)
		case seen.Outcome == agent.Tampered:
			return nil, errForeign
		case seen.Outcome == agent.Silent:
			return nil, context.DeadlineExceeded
		}
		return nil, io.EOF // an alert, a close or a reset: no service here
	}
}

// natsTLS reads INFO, shakes hands and goes on.
func natsTLS(ctx context.Context, conn net.Conn, t agent.Target) (net.Conn, error) {
	if err := greeted(conn); err != nil {
		return nil, err
	}
	return overTLS(ping)(ctx, conn, t)
}

// binding asks for a STUN Binding (RFC 8489).
func binding(conn net.Conn) error {
	req, err := stun.Build(stun.TransactionID, stun.BindingRequest)
	if err != nil {
		return err
	}
	if _, err := conn.Write(req.Raw); err != nil {
		return err
	}
	const header, idAt = 20, 8
	b := make([]byte, header, header+512)
	if _, err := io.ReadFull(conn, b); err != nil {
		return err
	}
	rest := int(binary.BigEndian.Uint16(b[2:]))
	if b[0]&0xC0 != 0 || !bytes.Equal(b[idAt:], req.TransactionID[:]) || rest > cap(b)-header {
		return errForeign
	}
	_, err = io.ReadFull(conn, b[header:header+rest])
	return err
}

// headOf asks a web host for the header of its first page.
func headOf(t agent.Target) func(net.Conn) error {
	host := strings.TrimSuffix(strings.TrimPrefix(http1.URL("https", t, "/"), "https://"), "/")
	request := "HEAD / HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: sprechprobe\r\nAccept: */*\r\n\r\n"
	return func(conn net.Conn) error {
		if _, err := io.WriteString(conn, request); err != nil {
			return err
		}
		answer, err := readUntil(conn, "\r\n\r\n")
		if err == nil && !strings.HasPrefix(answer, "HTTP/") {
			return errForeign
		}
		return err
	}
}

// greeted reads the INFO that a NATS server begins with.
func greeted(conn net.Conn) error {
	info, err := readUntil(conn, "\r\n")
	switch {
	case err != nil:
		return err
	case !strings.HasPrefix(info, "INFO "):
		return errForeign
	case strings.Contains(info, `"auth_required":true`):
		return errCredentials
	}
	return nil
}

// ping asks a NATS server for a sign of life. It may have asked for one itself.
func ping(conn net.Conn) error {
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		return err
	}
	for {
		line, err := readUntil(conn, "\r\n")
		switch {
		case err != nil:
			return err
		case line == "PONG\r\n":
			return nil
		case line != "PING\r\n" && !strings.HasPrefix(line, "INFO "):
			return errForeign
		}
	}
}

// readUntil reads up to a mark and not a byte further, because what follows may be
// TLS or the next answer.
func readUntil(r io.Reader, mark string) (string, error) {
	var got []byte
	b := make([]byte, 1)
	for len(got) < answerLimit {
		if _, err := io.ReadFull(r, b); err != nil {
			return string(got), err
		}
		got = append(got, b[0])
		if bytes.HasSuffix(got, []byte(mark)) {
			return string(got), nil
		}
	}
	return string(got), errForeign
}
