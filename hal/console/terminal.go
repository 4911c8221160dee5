package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Terminal is a terminal on a serial port. Its fields are set before Run is
// called.
type Terminal struct {
	Port string // the port's device, as OpenPort takes it
	Baud int    // bits per second; 0: DefaultBaud
	// Open opens the port; nil: OpenPort. If the port has a method
	// ResetOutputBuffer, it is called before Close.
	Open func(port string, baud int) (io.ReadWriteCloser, error)
	// Trouble is called when something begins to be wrong with the terminal,
	// once for the same thing, and with nil when it is there again. It must not
	// block; nil: nobody is told.
	Trouble func(error)
}

// Run opens the port and talks by serve, on one goroutine, until that fails or
// ctx ends; then it opens the port again, after a while that grows while
// nothing lasts. It returns nil. A write that the system never ends is left
// behind when ctx ends; nothing else is.
func (t *Terminal) Run(ctx context.Context, serve func(*Dialogue) error) error {
	news := teller{tell: t.Trouble}
	left := closed()
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		began := time.Now()
		port, err := t.open()
		if err == nil {
			news.say(nil)
			left, err = talk(ctx, port, serve)
		}
		if ctx.Err() != nil {
			return nil
		}
		news.say(err)
		if time.Since(began) > lastWait {
			wait = firstWait
		}
		if !sleep(ctx, wait) {
			return nil
		}
		select {
		case <-left: // never two stuck writes on one port
		case <-ctx.Done():
			return nil
		}
	}
}

func (t *Terminal) open() (io.ReadWriteCloser, error) {
	open, baud := t.Open, t.Baud
	if open == nil {
		open = OpenPort
	}
	if baud == 0 {
		baud = DefaultBaud
	}
	port, err := open(t.Port, baud)
	if err != nil {
		return nil, fmt.Errorf("open console: %w", err)
	}
	return port, nil
}

// talk serves one dialogue. Left is closed when nothing of it is left behind.
func talk(ctx context.Context, port io.ReadWriteCloser, serve func(*Dialogue) error) (left <-chan struct{}, err error) {
	p := newPatient(port)
	done := make(chan error, 1)
	go func() { done <- serve(NewDialogue(p)) }()
	select {
	case err = <-done:
		left = p.stop()
	case <-ctx.Done():
		left = p.stop()
		select {
		case <-done:
		case <-time.After(closeWait): // its read does not end; nor would waiting
		}
	}
	if err == nil {
		err = io.EOF
	}
	return left, fmt.Errorf("console: %w", err)
}

// errStalled is what writing to a port gives whose far end takes nothing.
var errStalled = fmt.Errorf("a line could not be written in %v", stall)

// patient is a port whose writes end, with an error if the port does not take
// them for a while. The serial library cannot end a write, so a goroutine waits
// for it.
type patient struct {
	port io.ReadWriteCloser
	jobs chan []byte
	done chan error
	quit chan struct{}
	work sync.WaitGroup

	mu   sync.Mutex // of what follows
	err  error      // no write works any more
	busy bool       // a write is under way
}

func newPatient(port io.ReadWriteCloser) *patient {
	p := &patient{port: port, jobs: make(chan []byte, 1), done: make(chan error, 1), quit: make(chan struct{})}
	p.work.Go(p.run)
	return p
}

func (p *patient) run() {
	for {
		select {
		case <-p.quit:
			return
		case b := <-p.jobs:
			_, err := p.port.Write(b)
			p.done <- err
		}
	}
}

// Read reads from the port. One that gives nothing again and again is broken.
func (p *patient) Read(b []byte) (int, error) {
	for range 100 {
		if n, err := p.port.Read(b); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// Write waits until the port has taken everything, for a while.
func (p *patient) Write(b []byte) (int, error) {
	if err := p.begin(); err != nil {
		return 0, err
	}
	p.jobs <- append([]byte(nil), b...)
	t := time.NewTimer(stall)
	defer t.Stop()
	select {
	case err := <-p.done:
		p.end(err, false)
		if err != nil {
			return 0, fmt.Errorf("write: %w", err)
		}
		return len(b), nil
	case <-t.C:
		p.end(errStalled, true)
		return 0, errStalled
	case <-p.quit:
		return 0, io.ErrClosedPipe
	}
}

func (p *patient) begin() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.busy = true
	}
	return p.err
}

func (p *patient) end(err error, busy bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err, p.busy = errors.Join(p.err, err), busy
}

// stop closes the port and waits a little for its users. The channel it returns
// is closed when they have all ended.
func (p *patient) stop() <-chan struct{} {
	close(p.quit)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.close()
	}()
	t := time.NewTimer(2 * closeWait)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
	}
	return ended
}

// close lets a write that is under way reach the system before it closes the
// port: writing to one that was closed might reach another file.
func (p *patient) close() {
	// Closing waits for what is still to be sent, for half a minute.
	if r, ok := p.port.(interface{ ResetOutputBuffer() error }); ok {
		_ = r.ResetOutputBuffer()
	}
	p.mu.Lock()
	busy := p.busy
	p.err = io.ErrClosedPipe
	p.mu.Unlock()
	if busy {
		t := time.NewTimer(closeWait)
		select {
		case <-p.jobs: // taken back
		case <-p.done:
		case <-t.C: // blocked there, and harmless
		}
		t.Stop()
	}
	_ = p.port.Close()
	p.work.Wait()
}

// teller tells what is wrong, once for the same thing.
type teller struct {
	tell func(error) // nil: nobody is told
	told string
}

func (t *teller) say(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == t.told {
		return
	}
	t.told = text
	if t.tell != nil {
		t.tell(err)
	}
}
