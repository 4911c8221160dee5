package dashboard

import (
	"context"
	"sync"
	"time"
)

const (
	// An answer about a fleet of many boxes is shared for tenfold its cost by all who ask, so that
	// no number of open pages keeps the history from its work; stale bounds that.
	many  = 2000
	stale = 5 * time.Second
	// maxShared is how many different answers are kept.
	maxShared = 256
)

// shared keeps answers of the history for whoever asks the same. Its zero value is
// ready; it is safe for concurrent use.
type shared[T any] struct {
	mu  sync.Mutex
	all map[string]*answer[T]
}

type answer[T any] struct {
	turn  chan struct{} // holds one token: who has it asks
	mu    sync.Mutex
	value T         // the zero value: none yet
	until time.Time // when it is to be asked anew
	used  time.Time
}

// of is the answer of a name, and whoever has to may give up waiting by ctx. ask is
// called by one at a time; boxes is how large the fleet is.
func (s *shared[T]) of(ctx context.Context, name string, boxes int, ask func(context.Context) (T, error)) (T, error) {
	a := s.entry(name)
	select {
	case <-a.turn:
		defer func() { a.turn <- struct{}{} }()
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
	if v, ok := a.get(); ok {
		return v, nil
	}
	began := time.Now()
	v, err := ask(ctx)
	if err == nil && boxes >= many {
		a.keep(v, min(10*time.Since(began), stale))
	}
	return v, err
}

func (s *shared[T]) entry(name string) *answer[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.all == nil {
		s.all = map[string]*answer[T]{}
	}
	a := s.all[name]
	if a == nil {
		if len(s.all) >= maxShared {
			s.drop()
		}
		a = &answer[T]{turn: make(chan struct{}, 1)}
		a.turn <- struct{}{}
		s.all[name] = a
	}
	a.used = now
	return a
}

// drop forgets what was used longest ago.
func (s *shared[T]) drop() {
	oldest := ""
	for name, a := range s.all {
		if oldest == "" || a.used.Before(s.all[oldest].used) {
			oldest = name
		}
	}
	delete(s.all, oldest)
}

func (a *answer[T]) get() (T, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.value, time.Now().Before(a.until)
}

func (a *answer[T]) keep(v T, d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.value, a.until = v, time.Now().Add(d)
}
