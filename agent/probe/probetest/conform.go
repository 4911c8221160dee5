// Package probetest is the conformance suite that each probe passes: it keeps
// its deadline, tells a cancelled look from a silent target, speaks only in
// listed words, and leaves nothing behind. It does not know what any probe is
// looking for.
package probetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
)

const (
	deadline = 300 * time.Millisecond // that a probe of a silent target is given
	giveUp   = 100 * time.Millisecond // after which a look is cancelled
	bound    = 6 * time.Second        // that a probe keeps without being told
	slack    = 3 * time.Second        // for a busy machine
)

// Conform fails t with each rule of package probe that p breaks. good is a
// target that answers p, and silent one that never does. A probe that looks at
// nothing far away gets the same target twice; then only the form of its
// evidence, its time and its leaks are checked. Conform counts goroutines and
// descriptors of the whole process: nothing else may run in parallel, and p
// starts up to seven times.
func Conform(t *testing.T, p agent.Probe, good agent.Target, silent agent.Target) {
	t.Helper()
	if err := Check(p, good, silent); err != nil {
		t.Errorf("the probe does not conform:\n%v", err)
	}
}

// Check does what [Conform] does, and returns all broken rules.
func Check(p agent.Probe, good, silent agent.Target) error {
	look(context.Background(), p, good) // lets the libraries below open what they keep
	before := count()
	s := suite{probe: p, good: good, silent: silent, local: reflect.DeepEqual(good, silent)}
	return errors.Join(
		rule("good target", s.answers()),
		rule("deadline", s.keepsDeadline()),
		rule("own bound", s.boundsItself()),
		rule("cancelled before", s.cancelledBefore()),
		rule("cancelled during", s.cancelledDuring()),
		rule("leak", settled(before)),
	)
}

func rule(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, err)
}

// suite is one probe under test.
type suite struct {
	probe        agent.Probe
	good, silent agent.Target
	local        bool // the probe looks at nothing far away
}

// seen is one look.
type seen struct {
	agent.Evidence
	took  time.Duration
	panic any
}

func look(ctx context.Context, p agent.Probe, t agent.Target) (s seen) {
	start := time.Now()
	defer func() { s.took, s.panic = time.Since(start), recover() }()
	s.Evidence = p(ctx, t)
	return s
}

func (s seen) within(limit time.Duration) error {
	if s.took > limit+slack {
		return fmt.Errorf("returned after %v, want %v", s.took.Round(time.Millisecond), limit)
	}
	return nil
}

func (s seen) is(want ...agent.Outcome) error {
	for _, o := range want {
		if s.Outcome == o {
			return nil
		}
	}
	return fmt.Errorf("outcome %v with reason %q, want %v", s.Outcome, s.Reason, want)
}

func (s suite) answers() error {
	got := look(context.Background(), s.probe, s.good)
	err := errors.Join(form(got, s.good), got.within(bound))
	if !s.local {
		err = errors.Join(err, got.is(agent.Answered))
	}
	return err
}

func (s suite) keepsDeadline() error {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	return s.silence(ctx, deadline)
}

func (s suite) boundsItself() error { return s.silence(context.Background(), bound) }

// silence looks at the silent target: silence is never a refusal.
func (s suite) silence(ctx context.Context, limit time.Duration) error {
	got := look(ctx, s.probe, s.silent)
	err := errors.Join(form(got, s.silent), got.within(limit))
	if !s.local {
		err = errors.Join(err, got.is(agent.Silent, agent.NotLooked))
	}
	return err
}

func (s suite) cancelledBefore() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return cancelled(look(ctx, s.probe, s.silent), s.silent)
}

func (s suite) cancelledDuring() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	time.AfterFunc(giveUp, cancel)
	got := look(ctx, s.probe, s.silent)
	if got.took < giveUp && ctx.Err() == nil { // it was done first
		return form(got, s.silent)
	}
	return cancelled(got, s.silent)
}

func cancelled(got seen, asked agent.Target) error {
	err := errors.Join(form(got, asked), got.within(giveUp), got.is(agent.NotLooked))
	if got.Reason != agent.Cancelled {
		err = errors.Join(err, fmt.Errorf("reason %q, want %q", got.Reason, agent.Cancelled))
	}
	return err
}
