package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/authority"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/dashboard"
)

// signer is a desk for the pages, where the vendor has put the keys on the serving
// machine. It is safe for concurrent use.
type signer struct {
	keys keyFlags

	mu sync.Mutex // the keys are for one at a time
}

// Command implements [dashboard.Desk].
func (s *signer) Command(ctx context.Context, at fleet.Address, name string) error {
	ctx, cancel := waiting(ctx)
	defer cancel()
	conn, by, err := s.prepare(at, name)
	if err != nil {
		return err
	}
	defer conn.Close()
	m, err := order(ctx, conn, by, at, name)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return dashboard.ErrAbsent
	case errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded):
		return dashboard.ErrLate
	case err != nil:
		return err
	case m.Header.Get(fleet.HeaderErrorCode) != "":
		return dashboard.Refusal(m.Header.Get(fleet.HeaderError))
	}
	return nil
}

// prepare notes a command beside the keys and joins the bus. The keys are free for
// others while the box thinks.
func (s *signer) prepare(at fleet.Address, name string) (*nats.Conn, fleet.Signer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.keys.open()
	if err != nil {
		return nil, nil, err
	}
	defer a.Close()
	if err := s.keys.note(a, "command-"+name, at, "sent"); err != nil {
		return nil, nil, err
	}
	conn, err := s.keys.centre(a)
	return conn, a.Signer(), err
}

// Claim implements [dashboard.Desk].
func (s *signer) Claim(ctx context.Context, code string, at fleet.Address) error {
	ctx, cancel := waiting(ctx)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.keys.open()
	if err != nil {
		return err
	}
	defer a.Close()
	key, err := s.keys.keyOf(ctx, a, code)
	var typed errUsage
	if errors.As(err, &typed) || errors.Is(err, errNoCode) {
		return fmt.Errorf("%w: %v", dashboard.ErrCode, err)
	}
	if err != nil {
		return err
	}
	b, err := a.Claim(key, at, false, time.Now())
	if errors.Is(err, authority.ErrTaken) {
		return fmt.Errorf("%w: %v", dashboard.ErrTaken, err)
	}
	if err != nil {
		return err
	}
	if err := s.keys.note(a, "claim", at, "ok, "+b.Code()); err != nil {
		return err
	}
	return s.keys.handOver(ctx, env{out: io.Discard, err: io.Discard}, a, b)
}
