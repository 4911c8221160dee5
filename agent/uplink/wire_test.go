package uplink_test

import (
	"bytes"
	"net"
	"sync"
	"testing"
)

// wire is a line between box and server that can be cut, and made deaf: then what
// the server says is lost, while what the box says arrives.
type wire struct {
	l  net.Listener
	to string

	mu    sync.Mutex
	forge func(info string) string // alters what a server says first; may be nil
	down  bool
	deaf  bool
	open  map[net.Conn]bool
	sent  int // reports
}

func newWire(t testing.TB, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{l: l, to: to, open: map[net.Conn]bool{}}
	t.Cleanup(func() { l.Close(); w.cut() })
	go w.serve()
	return w
}

// alter has every later connection begin with what f makes of the server's
// first words.
func (w *wire) alter(f func(info string) string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forge = f
}

func (w *wire) url() string { return "nats://" + w.l.Addr().String() }

func (w *wire) serve() {
	for {
		c, err := w.l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", w.to)
		w.mu.Lock()
		if err != nil || w.down {
			c.Close()
			if err == nil {
				far.Close()
			}
			w.mu.Unlock()
			continue
		}
		w.open[c], w.open[far] = true, true
		forge := w.forge
		w.mu.Unlock()
		if forge != nil {
			b := make([]byte, 4096)
			n, _ := far.Read(b)
			_, _ = c.Write([]byte(forge(string(b[:n]))))
		}
		go w.pass(far, c, false)
		go w.pass(c, far, true)
	}
}

func (w *wire) pass(to, from net.Conn, fromServer bool) {
	b := make([]byte, 4096)
	for {
		n, err := from.Read(b)
		w.mu.Lock()
		lost := w.deaf && fromServer
		if !fromServer {
			w.sent += bytes.Count(b[:n], []byte(".up.report "))
		}
		w.mu.Unlock()
		if err == nil && !lost {
			_, err = to.Write(b[:n])
		}
		if err != nil {
			to.Close()
			from.Close()
			return
		}
	}
}

func (w *wire) setDeaf(deaf bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deaf = deaf
}

func (w *wire) setDown(down bool) {
	w.mu.Lock()
	w.down = down
	w.mu.Unlock()
	if down {
		w.cut()
	}
}

// cut ends every connection.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.open {
		c.Close()
		delete(w.open, c)
	}
}

// reports is how many reports the box has sent.
func (w *wire) reports() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent
}
