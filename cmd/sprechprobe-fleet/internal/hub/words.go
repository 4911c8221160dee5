package hub

import "sync"

// lastWords keeps what the server said before it gave up.
type lastWords struct {
	mu   sync.Mutex
	text string
}

func (w *lastWords) set(s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = s
}

func (w *lastWords) get() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.text == "" {
		return "no reason given"
	}
	return w.text
}
