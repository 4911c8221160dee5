package uplink

import (
	"context"
	mrand "math/rand/v2"
	"sync"
	"time"
)

// pace spreads the attempts to connect, each over a window that doubles: a fleet
// that lost its server at one moment comes back over a minute and more, and the
// longer the server was away, or the fewer it lets in, over the longer. A hundred
// thousand boxes are then 1700 in a second, TLS handshakes for a dozen cores.
//
// After the loss of a connection the first window is wide at once, for all others
// may have lost theirs too. After a start it is small: boxes do not start
// together, and who plugs one in looks at its lights.
type pace struct {
	start, loss, most time.Duration // windows: first ones, and the widest

	hurry chan struct{}

	mu      sync.Mutex
	window  time.Duration
	up      time.Time // since when there is a connection; zero: there is none
	waiting bool
	hurried time.Time
}

const (
	leastWait = 200 * time.Millisecond
	// lasting is how long a connection must have been up for the next loss to be
	// the first one again: a server that takes and drops everybody is none.
	lasting = time.Minute
	// betweenHurries keeps rounds that follow each other from becoming attempts.
	betweenHurries = 30 * time.Second
)

func newPace() *pace {
	p := &pace{start: 2 * time.Second, loss: time.Minute, most: 5 * time.Minute, hurry: make(chan struct{}, 1)}
	p.window = p.start
	return p
}

func (p *pace) connected() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up = time.Now()
}

func (p *pace) lost() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.up.IsZero() {
		return
	}
	if time.Since(p.up) > lasting {
		p.window = p.loss
	}
	p.window = max(p.window, p.loss)
	p.up = time.Time{}
}

// wait returns when the next attempt is due. The client tells of a loss beside it,
// and maybe only then.
func (p *pace) wait(ctx context.Context) {
	p.lost()
	t := time.NewTimer(p.next())
	defer t.Stop()
	p.setWaiting(true)
	defer p.setWaiting(false)
	select {
	case <-ctx.Done():
	case <-p.hurry:
	case <-t.C:
	}
}

func (p *pace) setWaiting(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = yes
	select {
	case <-p.hurry: // it came as the wait ended by itself
	default:
	}
}

func (p *pace) next() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := max(leastWait, mrand.N(p.window))
	p.window = min(2*p.window, p.most)
	return d
}

// sooner ends the wait: whoever makes a round wants to know how it stands now.
func (p *pace) sooner() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.waiting || time.Since(p.hurried) < betweenHurries {
		return
	}
	p.hurried = time.Now()
	select {
	case p.hurry <- struct{}{}:
	default:
	}
}

func (p *pace) isUp() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.up.IsZero()
}
