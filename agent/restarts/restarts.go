// Package restarts counts how often the box's program has started, and how often
// in a row it did not live for long: what makes it fall over may be a setting
// that came over the network. It knows no settings.
package restarts

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/statefile"
)

const (
	// Many quick restarts in a row are a fault.
	Many = 10
	// Settled is how long a run takes to be none of them.
	Settled = 10 * time.Minute

	file = "starts"
)

// Count is the number of starts, kept in a file. It is safe for concurrent use.
type Count struct {
	path string

	mu sync.Mutex
	n  numbers
}

type numbers struct {
	Starts uint64 `json:"starts"` // of this box, this one included
	Quick  int    `json:"quick"`  // of them the last ones that did not settle
}

// Begin counts a start: one small write. Where it cannot be kept the count is
// still good for this run, and the error says why.
func Begin(dir string) (*Count, error) {
	c := &Count{path: filepath.Join(dir, file)}
	err := statefile.Read(c.path, &c.n)
	if err == nil && c.n.Quick < 0 {
		err = fmt.Errorf("%s: quick starts %d", c.path, c.n.Quick)
	}
	if err != nil { // torn: it starts again, which does no harm
		err = fmt.Errorf("%w; the count begins again at 1", err)
		c.n = numbers{}
	}
	c.n.Starts++
	c.n.Quick++
	return c, errors.Join(err, c.keep())
}

func (c *Count) keep() error { return statefile.Write(c.path, c.n) }

// Starts is how often the program has started on this box, this time included.
func (c *Count) Starts() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n.Starts
}

// TooMany reports whether so many starts in a row came to nothing that this one
// should do without what came over the network.
func (c *Count) TooMany() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n.Quick > Many
}

// Well says that this run is none of the quick ones: it has lived for [Settled], or
// was ended by somebody. It writes once.
func (c *Count) Well() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n.Quick == 0 {
		return nil
	}
	c.n.Quick = 0
	return c.keep()
}
