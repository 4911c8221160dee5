package iperf3

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// state is what the ends tell each other in single, signed bytes.
type state int8

const (
	testStart       state = 1
	testRunning     state = 2
	testEnd         state = 4
	paramExchange   state = 9
	createStreams   state = 10
	serverTerminate state = 11
	clientTerminate state = 12
	exchangeResults state = 13
	displayResults  state = 14
	iperfDone       state = 16
	accessDenied    state = -1
	serverError     state = -2
)

// Bounds of what is read.
const (
	maxParams  = 8 << 10 // as servers since 3.18
	maxResults = 1 << 20
)

// cookie names a test: 37 bytes, of which stock ends take only the sameness
// into account. Every TCP connection of the test starts with it.
type cookie [37]byte

// newCookie makes 36 characters of a-z2-7 and the NUL that stock ends expect.
func newCookie() (c cookie) {
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	_, _ = rand.Read(c[:36]) // never fails
	for i, b := range c[:36] {
		c[i] = letters[b%32]
	}
	return c
}

func (c cookie) String() string { return string(c[:36]) }

// control is the connection over which one test is agreed.
type control struct {
	net.Conn
	ctx context.Context // ends every wait
}

// newControl makes conn obey ctx. The caller calls release in the end.
func newControl(ctx context.Context, conn net.Conn) (c control, release func() bool) {
	return control{conn, ctx}, context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
}

// within bounds the reads and writes that follow.
func (c control) within(d time.Duration) {
	_ = c.SetDeadline(time.Now().Add(d))
	if c.ctx.Err() != nil {
		_ = c.SetDeadline(time.Unix(1, 0))
	}
}

// cause is why a read or write failed: the context, if that has ended.
func (c control) cause(err error) error {
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	return err
}

// say sends a state.
func (c control) say(s state) error {
	_, err := c.Write([]byte{byte(s)})
	return err
}

// hear reads a state. Exactly one byte: what follows may be a frame.
func (c control) hear() (state, error) {
	var b [1]byte
	_, err := io.ReadFull(c, b[:])
	return state(int8(b[0])), err
}

// writeFrame sends v as JSON with its length in front.
func writeFrame(w io.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write frame: %w", err)
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
	return err
}

var errFrameSize = errors.New("a frame is empty or too long")

// readFrame reads what writeFrame sends, and no more than limit bytes of it.
func readFrame(r io.Reader, limit uint32) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > limit {
		return nil, errFrameSize
	}
	body := make([]byte, n)
	_, err := io.ReadFull(r, body)
	return body, err
}

// pause waits, but not beyond ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
