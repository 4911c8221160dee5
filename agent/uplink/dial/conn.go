package dial

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"sync/atomic"
)

// limited is a connection that may say only so much until the limit is lifted.
type limited struct {
	net.Conn
	limit atomic.Int64  // bytes still to be read; negative: no limit
	rest  *bytes.Reader // read already, comes first; may be nil
}

func (l *limited) Read(b []byte) (int, error) {
	if l.rest != nil && l.rest.Len() > 0 {
		return l.rest.Read(b)
	}
	left := l.limit.Load()
	switch {
	case left == 0:
		return 0, ErrTooMuch
	case left > 0:
		b = b[:min(int64(len(b)), left)]
	}
	n, err := l.Conn.Read(b)
	if left > 0 {
		l.limit.CompareAndSwap(left, left-int64(n))
	}
	return n, err
}

// buffered is a connection that is read through a buffer.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// readLine reads up to the end of a line, at most most bytes.
func readLine(r *bufio.Reader, most int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > most:
			return nil, ErrTooMuch
		case err == nil:
			return line, nil
		case err == io.EOF:
			return nil, io.ErrUnexpectedEOF
		case err != bufio.ErrBufferFull:
			return nil, err
		}
	}
}
