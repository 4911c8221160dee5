package incident

import (
	"slices"
	"sync"
)

// Board shows the incidents that there are to whoever asks. Its zero value is empty;
// it is safe for concurrent use.
type Board struct {
	mu   sync.Mutex
	open []Incident
}

// Set replaces what there is.
func (b *Board) Set(open []Incident) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open = open
}

// Open lists the incidents that last, the gravest first.
func (b *Board) Open() []Incident {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.open)
}
