package hub

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// setup bounds what is asked of the bus before anything else goes on, with all
	// attempts; a cluster that has lost a server elects others meanwhile.
	setup = 30 * time.Second
	// attempt is how long one answer is waited for. A question that comes while a
	// cluster has no leader is never answered.
	attempt = 3 * time.Second
	// longest is the longest wait before something that broke is begun again.
	longest = 15 * time.Second
)

// again asks until there is an answer, or ctx ends.
func again[T any](ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	for {
		try, done := context.WithTimeout(ctx, attempt)
		answer, err := ask(try)
		done()
		if err == nil || !lost(err) || !pause(ctx, attempt/20) {
			return answer, err
		}
	}
}

// lost reports whether an error says that nobody has answered, rather than no.
func lost(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders) ||
		errors.Is(err, jetstream.ErrNoStreamResponse)
}

// lasting does something again whenever it breaks, until ctx ends; what says so in
// the log. The waits grow until it has lasted for a minute.
func (h *Hub) lasting(ctx context.Context, what string, do func(context.Context) error) {
	for wait := time.Second; ; wait = min(2*wait, longest) {
		began := time.Now()
		err := do(ctx)
		if ctx.Err() != nil {
			return
		}
		h.conf.Log.Warn(what, "err", err)
		if time.Since(began) > time.Minute {
			wait = time.Second
		}
		if !pause(ctx, wait/2+rand.N(wait/2)) {
			return
		}
	}
}
