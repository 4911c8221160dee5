package dial

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
)

// webSocket is the client's end of a WebSocket (RFC 6455) as a byte stream:
// messages have no meaning, what they hold is put together. Writes go out in one
// binary frame each.
type webSocket struct {
	net.Conn
	r    *bufio.Reader
	left uint64 // bytes of the frame being read

	mu sync.Mutex // of writing: answers to pings go between
}

// The opcodes, RFC 6455 section 5.2.
const (
	opMore   = 0
	opBinary = 2
	opClose  = 8
	opPing   = 9
	opPong   = 10

	mostControl = 125 // bytes, section 5.5
)

var errFrame = errors.New("bad WebSocket frame")

// Read reads what frames hold, however long they are said to be.
func (w *webSocket) Read(b []byte) (int, error) {
	for w.left == 0 {
		if err := w.next(); err != nil {
			return 0, err
		}
	}
	n, err := w.r.Read(b[:min(uint64(len(b)), w.left)])
	w.left -= uint64(n)
	if err == io.EOF && w.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// next reads the header of a data frame, and the control frames before it.
func (w *webSocket) next() error {
	var h [8]byte
	if _, err := io.ReadFull(w.r, h[:2]); err != nil {
		return err
	}
	op, n := h[0]&0x0f, uint64(h[1])
	if h[0]&0x70 != 0 || n > 127 { // an extension that we did not ask for; a mask that servers must not use
		return errFrame
	}
	switch op {
	case opMore, opBinary:
	case opClose, opPing, opPong:
		return w.control(op, n)
	default:
		return errFrame
	}
	switch size := map[uint64]int{126: 2, 127: 8}[n]; {
	case size > 0:
		if _, err := io.ReadFull(w.r, h[8-size:]); err != nil {
			return err
		}
		clear(h[:8-size])
		n = binary.BigEndian.Uint64(h[:])
	}
	w.left = n
	return nil
}

func (w *webSocket) control(op byte, n uint64) error {
	if n > mostControl {
		return errFrame
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(w.r, body); err != nil {
		return err
	}
	switch op {
	case opClose:
		_ = w.frame(opClose, body[:min(len(body), 2)])
		return io.EOF
	case opPing:
		return w.frame(opPong, body)
	}
	return nil
}

func (w *webSocket) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if err := w.frame(opBinary, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// frame writes one whole frame, masked with a key of its own (section 5.3).
func (w *webSocket) frame(op byte, body []byte) error {
	const masked, final = 0x80, 0x80
	f := make([]byte, 0, len(body)+14)
	f = append(f, final|op)
	switch n := len(body); {
	case n < 126:
		f = append(f, masked|byte(n))
	case n < 1<<16:
		f = binary.BigEndian.AppendUint16(append(f, masked|126), uint16(n))
	default:
		f = binary.BigEndian.AppendUint64(append(f, masked|127), uint64(n))
	}
	var key [4]byte
	_, _ = rand.Read(key[:]) // never fails
	f = append(f, key[:]...)
	for i, b := range body {
		f = append(f, b^key[i%4])
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.Conn.Write(f)
	return err
}
