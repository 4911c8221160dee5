// Package command decides which of the vendor's commands a box obeys, and keeps
// note of all that reached it. It knows signatures, ages and rates; it opens no
// connection, and does not know how a command is carried out.
package command

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

const (
	// maxAge is how old a command may be, and how far ahead of the box's clock.
	maxAge = 5 * time.Minute
	// maxSeen bounds the ids that are remembered. The rates let fewer through.
	maxSeen = 256
	// maxNotes is how many commands one report tells apart. The rest is counted
	// by what became of it.
	maxNotes = 16

	// Signatures are costly on a small processor: whoever floods the box with
	// commands cannot make it check more than these.
	checkEvery = 500 * time.Millisecond
	checkBurst = 20
)

// every is how often a command is obeyed: once in this time, and as often as the
// burst at once.
var every = map[string]struct {
	time  time.Duration
	burst int
}{
	fleet.Check:     {30 * time.Second, 2},
	fleet.Identify:  {5 * time.Second, 4},
	fleet.Last:      {5 * time.Second, 4},
	fleet.Bandwidth: {10 * time.Minute, 1},
	fleet.Config:    {10 * time.Second, 4},
}

// Refusal is why a command is not obeyed, with the code of HTTP that fits.
type Refusal struct {
	Code int
	Text string
}

func (r *Refusal) Error() string { return fmt.Sprintf("%d %s", r.Code, r.Text) }

// The refusals that are worth an answer. They are also what the next report says
// of the command.
var (
	TooOften    = &Refusal{429, "too-often"}
	TooOld      = &Refusal{403, "too-old"}
	Twice       = &Refusal{409, "twice"}
	Unsupported = &Refusal{501, "unsupported"}
	Failed      = &Refusal{500, "failed"}
)

// Guard lets commands through. It is safe for concurrent use.
type Guard struct {
	address fleet.Address
	keys    []string
	now     func() time.Time
	isSet   func() bool

	mu     sync.Mutex
	newest time.Time            // command that was obeyed, by the vendor's clock
	seen   map[string]time.Time // ids of commands, by the vendor's clock
	checks bucket
	rates  map[string]*bucket
	notes  []agent.CommandNote
}

// NewGuard makes a guard for the box at an address. keys are the vendor's. isSet
// says whether the clock that now reads has been set: one that has not cannot
// tell an old command from a new one, so then only those count as old that are
// older than the newest.
func NewGuard(a fleet.Address, keys []string, now func() time.Time, isSet func() bool) *Guard {
	g := &Guard{address: a, keys: keys, now: now, isSet: isSet, seen: map[string]time.Time{}, rates: map[string]*bucket{},
		checks: bucket{every: checkEvery, burst: checkBurst}}
	for name, r := range every {
		g.rates[name] = &bucket{every: r.time, burst: r.burst}
	}
	return g
}

// Admit says whether to obey what arrived at a subject. A nil command with no
// refusal is to be dropped without an answer: it has no reply subject, no valid
// signature, or came in a flood.
func (g *Guard) Admit(subject, reply string, sealed []byte) (*fleet.Command, *Refusal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	switch {
	case reply == "":
		g.note("", "", "no-reply-subject")
		return nil, nil
	case !g.checks.take(now):
		g.note("", "", "flood")
		return nil, nil
	}
	c, err := fleet.OpenCommand(sealed, g.address, g.keys)
	if err != nil || subject != g.address.Command(c.Name) {
		g.note("", "", "unsigned")
		return nil, nil
	}
	no := g.refuse(c, now)
	if no != nil {
		g.note(c.Name, c.ID, no.Text)
		return nil, no
	}
	g.note(c.Name, c.ID, "accepted")
	return &c, nil
}

// refuse says what is wrong with a command that is signed.
func (g *Guard) refuse(c fleet.Command, now time.Time) *Refusal {
	if g.old(c, now) {
		return TooOld
	}
	if _, ok := g.seen[c.ID]; ok {
		return Twice
	}
	if len(g.seen) >= maxSeen || !g.rates[c.Name].take(now) {
		return TooOften
	}
	if c.IssuedAt.After(g.newest) {
		g.newest = c.IssuedAt
	}
	g.seen[c.ID] = c.IssuedAt
	for id, at := range g.seen {
		if g.newest.Sub(at) > maxAge {
			delete(g.seen, id)
		}
	}
	return nil
}

// old reports whether a command's time has passed, or has not come.
func (g *Guard) old(c fleet.Command, now time.Time) bool {
	if g.newest.Sub(c.IssuedAt) > maxAge {
		return true
	}
	return g.isSet() && now.Sub(c.IssuedAt).Abs() > maxAge
}

// Failed notes that a command that was let through could not be carried out.
func (g *Guard) Failed(c fleet.Command, why *Refusal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, n := range g.notes {
		if n.ID == c.ID {
			g.notes[i].Answer = why.Text
		}
	}
}

// note remembers what became of a command, for the next report. Those that nobody
// vouches for are only counted.
func (g *Guard) note(name, id, answer string) {
	if len(g.notes) >= maxNotes && id != "" {
		name, id = "", "" // too many to tell them apart
	}
	i := slices.IndexFunc(g.notes, func(n agent.CommandNote) bool { return n.Name == name && n.ID == id && n.Answer == answer })
	if i >= 0 {
		g.notes[i].Count++
		return
	}
	g.notes = append(g.notes, agent.CommandNote{Name: name, ID: id, Answer: answer, Count: 1})
}

// Notes returns what became of the commands since it was called last.
func (g *Guard) Notes() []agent.CommandNote {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := g.notes
	g.notes = nil
	return out
}

// bucket lets through one thing in a time, and some at once.
type bucket struct {
	every time.Duration
	burst int
	free  time.Time // when the bucket will be full again
}

func (b *bucket) take(now time.Time) bool {
	if full := now.Add(time.Duration(b.burst) * b.every); b.free.After(full) {
		b.free = full // the clock was set back
	}
	next := b.free
	if next.Before(now) {
		next = now
	}
	if next.Add(b.every).Sub(now) > time.Duration(b.burst)*b.every {
		return false
	}
	b.free = next.Add(b.every)
	return true
}
