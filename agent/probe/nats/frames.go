package nats

import (
	"encoding/binary"
	"io"
)

// framesLimit is how many WebSocket frames are read until a greeting is whole.
const framesLimit = 256

// Opcodes of WebSocket frames, RFC 6455 section 5.2.
const (
	continuation = 0
	binaryData   = 2
	closing      = 8
	ping         = 9
	pong         = 10
)

// frames reads the binary data in a server's WebSocket frames. It never
// believes a length: nothing is allocated by it, and who reads stops at a limit
// of its own. Pings are not answered, for we are gone before that matters.
type frames struct {
	r    io.Reader
	left uint64 // data still to come in this frame
	seen int    // frames so far
	open bool   // a message has begun and may go on
}

func (f *frames) Read(p []byte) (int, error) {
	for f.left == 0 {
		if err := f.next(); err != nil {
			return 0, err
		}
	}
	if uint64(len(p)) > f.left {
		p = p[:f.left]
	}
	n, err := f.r.Read(p)
	f.left -= uint64(n)
	return n, err
}

// next reads a frame's header, and the whole of a control frame.
func (f *frames) next() error {
	if f.seen++; f.seen > framesLimit {
		return errTooMuch
	}
	var head [2]byte
	if _, err := io.ReadFull(f.r, head[:]); err != nil {
		return err
	}
	const fin, reserved, masked = 0x80, 0x70, 0x80
	opcode, size := head[0]&0x0f, head[1]&0x7f
	if head[0]&reserved != 0 || head[1]&masked != 0 { // no extension was agreed; servers never mask
		return errForeign
	}
	switch opcode {
	case closing:
		return io.EOF
	case ping, pong:
		if size > 125 {
			return errForeign
		}
		_, err := io.CopyN(io.Discard, f.r, int64(size))
		return err
	case binaryData, continuation:
		if (opcode == continuation) != f.open {
			return errForeign
		}
		f.open = head[0]&fin == 0
		return f.length(size)
	}
	return errForeign
}

// length reads the rest of a length that does not fit into seven bits.
func (f *frames) length(size byte) error {
	var wide [8]byte
	switch size {
	case 126:
		if _, err := io.ReadFull(f.r, wide[6:]); err != nil {
			return err
		}
	case 127:
		if _, err := io.ReadFull(f.r, wide[:]); err != nil {
			return err
		}
	default:
		wide[7] = size
	}
	f.left = binary.BigEndian.Uint64(wide[:])
	return nil
}
