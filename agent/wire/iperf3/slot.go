package iperf3

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
)

// A slot is a promise of the server to take somebody's tests at a certain time, so that
// a fleet does not meet at its server. Who wants one opens a connection with a
// cookie that no test has, and sends a frame; the answer is a frame. A stock
// server takes the cookie for a test's, and is told by its first byte: that of
// a state, where a frame's length begins with 0.

// slotCookie opens the question for a slot. No test's cookie has a slash.
var slotCookie = cookie([]byte("sprechprobe/slot/1..................\x00"))

// SlotRequest is the question for a slot.
type SlotRequest struct {
	From netip.AddrPort `json:"-"`
	// Box is who asks, so that a box that asks again gets its slot and not a
	// second one.
	Box  string `json:"box"`
	Rate int64  `json:"rate_bits_per_s"` // of the test, each direction
	// TakesMS is how long the tests take with everything.
	TakesMS int64 `json:"takes_ms"`
}

// SlotAnswer is the answer.
type SlotAnswer struct {
	// Slot goes into the tests that use it, one after the other; empty: there
	// is none.
	Slot string `json:"slot,omitempty"`
	// InMS is how long to wait before the test, or with no slot before asking
	// again.
	InMS int64 `json:"in_ms"`
	// Rate is what the test may have, bit/s; less than asked for if the server
	// gives no more to one.
	Rate int64 `json:"rate_bits_per_s,omitempty"`
}

const (
	maxSlot = 1 << 10 // bytes of a frame
	// maxWait is the longest that a server may send somebody away for.
	maxWait = 24 * time.Hour
)

// ErrNoSlots is what a server that knows no slots comes down to.
var ErrNoSlots = errors.New("this server gives no slots")

// AskSlot asks the server at addr for a slot. A stock server gives ErrNoSlots.
func (c *Client) AskSlot(ctx context.Context, addr string, q SlotRequest) (SlotAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, connectBound)
	defer cancel()
	network := c.Network
	if network == "" {
		network = "tcp"
	}
	conn, err := c.dial(ctx, network, addr, nil)
	if err != nil {
		return SlotAnswer{}, err
	}
	defer func() { _ = conn.Close() }()
	ctl, release := newControl(ctx, conn)
	defer release()
	ctl.within(stateBound)
	a, err := askSlot(ctl, q)
	if err != nil {
		return SlotAnswer{}, ctl.cause(err)
	}
	return a, nil
}

func askSlot(ctl control, q SlotRequest) (SlotAnswer, error) {
	var a SlotAnswer
	if _, err := ctl.Write(slotCookie[:]); err != nil {
		return a, err
	}
	if err := writeFrame(ctl, q); err != nil {
		return a, err
	}
	first, err := ctl.hear()
	switch {
	case err != nil:
		return a, err
	case first == accessDenied:
		return a, ErrBusy
	case first != 0:
		return a, ErrNoSlots
	}
	b, err := readFrame(io.MultiReader(zero{}, ctl), maxSlot)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return a, fmt.Errorf("slot: %w: %v", ErrProtocol, err)
	}
	if a.InMS < 0 || a.InMS > maxWait.Milliseconds() || a.Rate < 0 {
		return a, fmt.Errorf("slot: %w: it makes no sense", ErrProtocol)
	}
	return a, nil
}

// zero reads as the one byte 0 that has been read already.
type zero struct{}

func (zero) Read(b []byte) (int, error) {
	b[0] = 0
	return 1, io.EOF
}

// slot answers the question for a slot.
func (s *Server) slot(ctl control, from netip.AddrPort) {
	ctl.within(paramsBound)
	if s.Slot == nil {
		_ = ctl.say(paramExchange) // as a stock server
		return
	}
	b, err := readFrame(ctl, maxSlot)
	q := SlotRequest{}
	if err != nil || json.Unmarshal(b, &q) != nil || q.Rate < 0 || q.TakesMS < 0 || q.TakesMS > maxWait.Milliseconds() {
		_ = ctl.say(accessDenied)
		return
	}
	q.From, q.Box = from, agent.Printable(q.Box, maxText)
	_ = writeFrame(ctl, s.Slot(q))
}
