// Package console keeps a serial panel informed: a display or a traffic light
// on a USB adapter that is told one word at a time. It knows the line, never
// what a word means.
package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// DefaultBaud is the speed of a panel that names none, bits per second.
const DefaultBaud = 115200

const (
	helloWait = 2 * time.Second  // for a panel to start after its port was opened
	repeat    = 5 * time.Second  // the word is told again
	lost      = 15 * time.Second // without an answer
	stale     = 13 * time.Second // the word was not kept: nothing is told any more
	stall     = 5 * time.Second  // for one line to be written
	firstWait = time.Second      // before a port is opened again; doubled each time
	lastWait  = 30 * time.Second
)

// Panel is a panel on a serial port. Its fields are set before Run and Show
// are called.
type Panel struct {
	Port string // the port's device
	Baud int    // bits per second; 0: DefaultBaud
	// Open opens the port; nil: OpenPort. If the port has a method
	// ResetOutputBuffer, it is called before Close.
	Open func(port string, baud int) (io.ReadWriteCloser, error)
	// Trouble is called when something begins to be wrong with the panel, once
	// for the same thing, and with nil when the panel answers again. It must
	// not block; nil: nobody is told.
	Trouble func(error)

	mu   sync.Mutex
	word string
	kept time.Time // when somebody last answered for the word
	news chan struct{}
}

// Show tells the panel a word, see [Frame]: now if it can, else when it is
// there again. It goes on telling it only while Keep is called every few
// seconds, so that the panel finds out by itself when nobody knows the truth
// any more. Show never blocks and may be called from any goroutine.
func (p *Panel) Show(word string) error {
	if _, err := Frame(word, 0); err != nil {
		return err
	}
	news := p.changes()
	p.mu.Lock()
	p.word, p.kept = word, time.Now()
	p.mu.Unlock()
	select {
	case news <- struct{}{}:
	default: // Run will see this word as well
	}
	return nil
}

// Keep says that the word is still true. It never blocks.
func (p *Panel) Keep() {
	p.mu.Lock()
	p.kept = time.Now()
	p.mu.Unlock()
}

func (p *Panel) changes() chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.news == nil {
		p.news = make(chan struct{}, 1)
	}
	return p.news
}

// current is the word to tell; empty: none, or none that anybody answers for.
func (p *Panel) current() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.kept) > stale {
		return ""
	}
	return p.word
}

// Run talks to the panel until ctx ends, and opens its port again whenever it
// is lost. It returns nil. A write that the system never ends is left behind
// then; nothing else is.
func (p *Panel) Run(ctx context.Context) error {
	d := &dialogue{panel: p, news: p.changes(), left: closed(), trouble: teller{tell: p.Trouble}}
	wait := firstWait
	for {
		err := d.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		d.trouble.say(err)
		if d.answered {
			wait = firstWait
		}
		if !sleep(ctx, wait) {
			return nil
		}
		wait = min(2*wait, lastWait)
		select {
		case <-d.left: // never two stuck writes on one port
		case <-ctx.Done():
			return nil
		}
	}
}

// dialogue is what Run remembers between sessions.
type dialogue struct {
	panel    *Panel
	news     <-chan struct{}
	left     <-chan struct{} // closed when the last session left nothing behind
	trouble  teller
	seq      uint16
	answered bool // the panel answered in this session
}

// session opens the port and talks until something goes wrong or ctx ends.
func (d *dialogue) session(ctx context.Context) error {
	d.answered = false
	open, baud := d.panel.Open, d.panel.Baud
	if open == nil {
		open = OpenPort
	}
	if baud == 0 {
		baud = DefaultBaud
	}
	port, err := open(d.panel.Port, baud)
	if err != nil {
		return fmt.Errorf("open panel: %w", err)
	}
	l := newLink(port)
	defer func() { d.left = l.stop() }()
	if err := d.hello(ctx, l); err != nil {
		return d.wrong(err)
	}
	return d.wrong(d.talk(ctx, l))
}

func (d *dialogue) wrong(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("panel %s: %w", d.panel.Port, err)
}

// hello waits until the panel has started, or has had the time to.
func (d *dialogue) hello(ctx context.Context, l *link) error {
	t := time.NewTimer(helloWait)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	case _, ok := <-l.replies:
		if !ok {
			return l.readErr
		}
		return nil
	}
}

// talk tells the word until something goes wrong or ctx ends.
func (d *dialogue) talk(ctx context.Context, l *link) error {
	tick := time.NewTicker(repeat)
	defer tick.Stop()
	heard := time.Now()
	d.send(l)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.news:
			if d.panel.current() != l.word {
				d.send(l)
			}
		case <-tick.C:
			if d.panel.current() == "" { // nothing to answer
				heard = time.Now()
			}
			if time.Since(heard) >= lost {
				d.trouble.say(d.wrong(errors.New("no answer")))
			}
			d.send(l)
		case err := <-l.written:
			if err != nil {
				return err
			}
			if l.wrote(); d.panel.current() != l.word {
				d.send(l)
			}
		case <-l.stalled():
			return fmt.Errorf("a line could not be written in %v", stall)
		case r, ok := <-l.replies:
			switch {
			case !ok:
				return l.readErr
			case r.hello: // it has restarted and knows nothing
				d.send(l)
			case d.seq-r.seq <= 3: // one of the last few lines
				heard, d.answered = time.Now(), true
				d.trouble.say(nil)
			}
		}
	}
}

// send writes the word, unless there is none yet or a line is on its way.
func (d *dialogue) send(l *link) {
	word := d.panel.current()
	if word == "" || l.busy() {
		return
	}
	d.seq++
	frame, err := Frame(word, d.seq)
	if err != nil {
		return // not reached: Show has checked it
	}
	l.send(word, frame)
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
