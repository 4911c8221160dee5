package console

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// maxGarbage is how much a panel may say without a single reply before its
// port is closed for a while: it may be set to another speed, and must not
// keep the processor busy.
const maxGarbage = 4 << 10

// closeWait is how long a line on its way is waited for before its port is
// closed, and then the closing.
const closeWait = time.Second

// link is an open port with a goroutine that reads and one that writes. A
// write may block for ever: the serial library cannot end it, not even by
// closing the port.
type link struct {
	port    io.ReadWriteCloser
	replies chan reply // closed when reading ends
	readErr error      // why, once replies is closed
	frames  chan []byte
	written chan error
	quit    chan struct{}
	work    sync.WaitGroup

	word  string      // on its way, or written last
	timer *time.Timer // of the line on its way; nil: none is
}

func newLink(port io.ReadWriteCloser) *link {
	l := &link{
		port:    port,
		replies: make(chan reply),
		frames:  make(chan []byte, 1),
		written: make(chan error, 1),
		quit:    make(chan struct{}),
	}
	l.work.Go(l.read)
	l.work.Go(l.write)
	return l
}

func (l *link) busy() bool { return l.timer != nil }

// send hands a line to the writer; none may be on its way.
func (l *link) send(word string, frame []byte) {
	l.word, l.timer = word, time.NewTimer(stall)
	l.frames <- frame
}

// wrote notes that the line has been written.
func (l *link) wrote() {
	l.timer.Stop()
	l.timer = nil
}

// stalled fires when the line on its way takes too long.
func (l *link) stalled() <-chan time.Time {
	if l.timer == nil {
		return nil
	}
	return l.timer.C
}

func (l *link) read() {
	defer close(l.replies)
	var found replies
	b := make([]byte, maxLine)
	for empty := 0; empty < 100; {
		n, err := l.port.Read(b)
		found.read(b[:n], func(r reply) {
			select {
			case l.replies <- r:
			case <-l.quit:
			}
		})
		if err != nil {
			l.readErr = fmt.Errorf("read: %w", err)
			return
		}
		if found.garbage > maxGarbage {
			l.readErr = errors.New("it sends something else than answers")
			return
		}
		if empty++; n > 0 {
			empty = 0
		}
	}
	l.readErr = io.ErrNoProgress
}

// write ends when the link is given up, or with the write that is under way.
func (l *link) write() {
	for {
		select {
		case <-l.quit:
			return
		case f := <-l.frames:
			n, err := l.port.Write(f)
			if err == nil && n < len(f) {
				err = io.ErrShortWrite
			}
			if err != nil {
				err = fmt.Errorf("write: %w", err)
			}
			l.written <- err
		}
	}
}

// stop closes the port and waits a little for its users. The channel it
// returns is closed when they have all ended.
func (l *link) stop() <-chan struct{} {
	close(l.quit)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.end()
	}()
	t := time.NewTimer(2 * closeWait)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
	}
	return ended
}

// end closes the port, but first lets a line on its way reach the system:
// writing to a port that was closed might reach another file.
func (l *link) end() {
	// Closing waits for what is still to be sent, for half a minute.
	if p, ok := l.port.(interface{ ResetOutputBuffer() error }); ok {
		_ = p.ResetOutputBuffer()
	}
	if l.busy() {
		l.timer.Reset(closeWait)
		select {
		case <-l.frames: // taken back
		case <-l.written:
		case <-l.timer.C: // blocked there, and harmless
		}
		l.timer.Stop()
	}
	_ = l.port.Close()
	l.work.Wait()
}
