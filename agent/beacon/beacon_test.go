package beacon_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/beacon"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

const zone = "help.fleet.example"

// key is a box's key.
type key struct {
	nkeys.KeyPair
	public string
}

func (k key) PublicKey() string { return k.public }

func newKey(t *testing.T) key {
	t.Helper()
	kp, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := kp.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return key{kp, public}
}

// world is a box whose uplink the test moves, and what it asked for when.
type world struct {
	t     *testing.T
	key   key
	mu    sync.Mutex // of what follows: the box reads and writes it meanwhile
	state agent.Evidence
	said  []fleet.SignedBeacon
}

func (w *world) ask(_ context.Context, name string) ([]netip.Addr, error) {
	b, err := fleet.ParseBeacon(name, zone)
	if err != nil || !b.By(w.key.public) {
		w.t.Errorf("asked for %q: %v", name, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, b)
	return nil, errors.New("no such name")
}

func (w *world) now() agent.Evidence {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

// set moves the uplink.
func (w *world) set(e agent.Evidence) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = e
}

// calls are what the box has said so far.
func (w *world) calls() []fleet.SignedBeacon {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.said)
}

// box runs a box for as long as play does.
func box(t *testing.T, play func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, key: newKey(t), state: uplink(agent.Silent, agent.Timeout)}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- beacon.Run(ctx, beacon.Options{Zone: zone, Key: w.key, Starts: 12, State: w.now, Ask: w.ask})
		}()
		play(w)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func uplink(o agent.Outcome, why agent.Reason) agent.Evidence {
	return agent.See(agent.ProbeUplink, agent.Target{}, o, why)
}

// pass lets time go by.
func pass(d time.Duration) {
	time.Sleep(d) // in a bubble: no time of ours
	synctest.Wait()
}

// A box that is not heard says so after a while, and then rarely.
func TestCallsForHelp(t *testing.T) {
	box(t, func(w *world) {
		pass(beacon.Patience - time.Minute)
		if len(w.calls()) != 0 {
			t.Errorf("called after %v", w.calls())
		}
		pass(beacon.Patience + 2*time.Minute)
		if len(w.calls()) != 1 {
			t.Fatalf("called %d times, want once", len(w.calls()))
		}
		want := fleet.Beacon{ID: fleet.ShortID(w.key.public), Reason: "timeout", Starts: 12, Seq: 1}
		if w.calls()[0].Beacon != want {
			t.Errorf("said %+v, want %+v", w.calls()[0].Beacon, want)
		}
		pass(24 * time.Hour)
		if n := len(w.calls()); n < 10 || n > 14 {
			t.Errorf("called %d times in a day, want about 12", n)
		}
		for i, b := range w.calls() {
			if b.Seq != uint64(i+1) {
				t.Errorf("call %d has number %d", i+1, b.Seq)
			}
		}
	})
}

// Another reason is news, but no reason to hurry.
func TestNewReason(t *testing.T) {
	box(t, func(w *world) {
		pass(2*beacon.Patience + time.Minute)
		for i := range 60 {
			w.set(uplink(agent.Refused, []agent.Reason{agent.AuthRefused, agent.TLSUnknownCA}[i%2]))
			pass(time.Minute)
		}
		if n := len(w.calls()); n < 2 || n > 5 {
			t.Errorf("called %d times in about an hour, want at most one in %v", n, beacon.Least)
		}
		if last := w.calls()[len(w.calls())-1].Reason; last == "timeout" {
			t.Error("the new reason was never said")
		}
	})
}

// A box that reports needs no beacon, and a short gap none either.
func TestSilentWhileHeard(t *testing.T) {
	box(t, func(w *world) {
		for range 100 {
			w.set(uplink(agent.Answered, ""))
			pass(time.Minute)
			w.set(uplink(agent.Silent, agent.Timeout))
			pass(beacon.Patience - time.Minute)
		}
		if len(w.calls()) != 0 {
			t.Errorf("called after %v", w.calls())
		}
	})
}

// Every state of the uplink can be said.
func TestEveryState(t *testing.T) {
	for _, e := range []agent.Evidence{uplink(agent.NotLooked, ""), uplink(agent.NotLooked, agent.Unclaimed), uplink(agent.Tampered, agent.TLSUnknownCA)} {
		box(t, func(w *world) {
			w.set(e)
			pass(2*beacon.Patience + time.Minute)
			if len(w.calls()) != 1 || strings.Trim(w.calls()[0].Reason, "abcdefghijklmnopqrstuvwxyz-") != "" {
				t.Errorf("%v: said %+v", e, w.calls())
			}
		})
	}
}
