package uplink

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// dialer gives the whole handshake a deadline and a bound on what is read, which
// the client lifts once it is connected. Without the one, a half-open wss path
// holds the client for good; without the other, whoever answers in the vendor's
// place fills the memory: the client reads INFO, which comes before TLS, and
// the header of an upgrade until they end.
//
// The client holds its lock while it dials and shakes hands, and nothing of it
// returns before; so both end with ctx. A connection that is up does not: the
// newest report may still leave on it.
type dialer struct {
	ctx    context.Context // here because the client's Dial knows none
	latest atomic.Pointer[handshake]
}

// Dial connects. The client dials one at a time: an older handshake that is not
// over is one that it has forgotten.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	d.drop()
	by := net.Dialer{Timeout: dialLimit}
	raw, err := by.DialContext(d.ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn := &handshake{Conn: raw}
	conn.left.Store(handshakeLimit)
	d.latest.Store(conn)
	if d.ctx.Err() != nil {
		d.drop()
	}
	if err := conn.SetDeadline(time.Now().Add(dialLimit)); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// drop closes the newest connection unless its handshake is over.
func (d *dialer) drop() {
	if h := d.latest.Swap(nil); h != nil && !h.over.Load() {
		h.Conn.Close()
	}
}

// handshakeLimit is how much a server may say before the client is connected,
// bytes: a chain of certificates may have 256 KiB, an INFO has a few.
const handshakeLimit = 512 << 10

var errTooMuch = errors.New("the server says too much before it lets us in")

// handshake is a connection that may read only so much until it is over.
type handshake struct {
	net.Conn
	left atomic.Int64 // bytes still to be read
	over atomic.Bool
}

func (h *handshake) Read(b []byte) (int, error) {
	if h.over.Load() {
		return h.Conn.Read(b)
	}
	if h.left.Load() <= 0 {
		h.Conn.Close() // the client forgets connections whose upgrade fails
		return 0, errTooMuch
	}
	n, err := h.Conn.Read(b)
	h.left.Add(-int64(n))
	return n, err
}

// SetDeadline ends the handshake when it takes the deadline away: the client does
// so once it is connected, or has given up.
func (h *handshake) SetDeadline(t time.Time) error {
	if t.IsZero() {
		h.over.Store(true)
	}
	return h.Conn.SetDeadline(t)
}
