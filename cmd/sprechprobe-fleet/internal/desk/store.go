package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// The buckets of the vendor's account.
const (
	waitingBucket = "SPRECHPROBE_WAITING" // claims of boxes that belong to nobody, by key
	grantsBucket  = "SPRECHPROBE_GRANTS"  // grants, by the key of the box
	maxWaiting    = 10_000
)

// Store holds who is waiting and who has been granted, in the vendor's account,
// and the assignments. Commands and the desk share it.
type Store struct {
	waiting, grants, assignments jetstream.KeyValue
}

// OpenStore makes the buckets, or brings them up to date. They are bound: whoever
// makes up boxes cannot fill the disk.
func OpenStore(ctx context.Context, js jetstream.JetStream) (*Store, error) {
	s := &Store{}
	for _, b := range []struct {
		at   *jetstream.KeyValue
		conf jetstream.KeyValueConfig
	}{
		{&s.waiting, jetstream.KeyValueConfig{Bucket: waitingBucket, Description: "boxes that wait to be claimed", TTL: 24 * time.Hour,
			MaxValueSize: maxClaim, MaxBytes: maxWaiting * maxClaim}},
		{&s.grants, jetstream.KeyValueConfig{Bucket: grantsBucket, Description: "grants of boxes that have been claimed", MaxValueSize: fleet.MaxSealed}},
		{&s.assignments, jetstream.KeyValueConfig{Bucket: fleet.Assignments, Description: "settings that boxes are given", History: 5, MaxValueSize: fleet.MaxSealed + 1024,
			// A box is told that there is news, and not what: it reads that itself.
			RePublish: &jetstream.RePublish{Source: fleet.AllAssignments, Destination: fleet.HintsFromKeys, HeadersOnly: true}}},
	} {
		var kv jetstream.KeyValue
		var err error
		if b.conf.Replicas, err = copies(ctx, js, b.conf.Bucket); err == nil {
			kv, err = js.CreateOrUpdateKeyValue(ctx, b.conf)
		}
		if err != nil {
			return nil, fmt.Errorf("bucket %s: %w", b.conf.Bucket, err)
		}
		*b.at = kv
	}
	return s, nil
}

// copies is in how many copies a bucket is kept: as many as the boxes' reports, and no
// fewer than it has. A command knows of no cluster by itself.
func copies(ctx context.Context, js jetstream.JetStream, bucket string) (int, error) {
	n := 1
	for _, name := range []string{fleet.Stream, "KV_" + bucket} {
		s, err := js.Stream(ctx, name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
		case err != nil:
			return 0, err
		default:
			n = max(n, s.CachedInfo().Config.Replicas)
		}
	}
	return n, nil
}

// Grant is the sealed grant for a box; empty: there is none.
func (s *Store) Grant(ctx context.Context, key string) (string, error) {
	return value(ctx, s.grants, key)
}

// value is what lies under a key; empty: nothing.
func value(ctx context.Context, kv jetstream.KeyValue, key string) (string, error) {
	e, err := kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return string(e.Value()), nil
}

// PutGrant hands a sealed grant to the desk.
func (s *Store) PutGrant(ctx context.Context, key, sealed string) error {
	if _, err := s.grants.PutString(ctx, key, sealed); err != nil {
		return err
	}
	return s.waiting.Delete(ctx, key)
}

// DropGrant takes a grant back: the box may claim again.
func (s *Store) DropGrant(ctx context.Context, key string) error { return s.grants.Delete(ctx, key) }

// Waiting is a box that waits to be claimed.
type Waiting struct {
	fleet.Claim
	At time.Time // when it was last heard of
}

// again is how often the claim of one box is written.
const again = 10 * time.Minute

// wait notes that a box is waiting.
func (s *Store) wait(ctx context.Context, c fleet.Claim) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	e, err := s.waiting.Get(ctx, c.Key)
	if err == nil && string(e.Value()) == string(b) && time.Since(e.Created()) < again {
		return nil
	}
	if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
		return err
	}
	_, err = s.waiting.Put(ctx, c.Key, b)
	return err
}

// Waiting lists the boxes that wait.
func (s *Store) Waiting(ctx context.Context) ([]Waiting, error) {
	var all []Waiting
	err := each(ctx, s.waiting, func(e jetstream.KeyValueEntry) {
		w := Waiting{At: e.Created()}
		if json.Unmarshal(e.Value(), &w.Claim) == nil && w.Key == e.Key() {
			all = append(all, w)
		}
	})
	return all, err
}

// each calls take for every value of a bucket.
func each(ctx context.Context, kv jetstream.KeyValue, take func(jetstream.KeyValueEntry)) error {
	w, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return err
	}
	defer func() { _ = w.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-w.Updates():
			if e == nil {
				return nil // all that there was
			}
			take(e)
		}
	}
}

// FindCode returns the keys of the boxes that wait with a claim code.
func (s *Store) FindCode(ctx context.Context, code string) (keys []string, err error) {
	all, err := s.Waiting(ctx)
	for _, w := range all {
		if w.Code == code && fleet.Code(w.Key) == code {
			keys = append(keys, w.Key)
		}
	}
	return keys, err
}

// Assignment is the sealed assignment of a box; empty: it has none.
func (s *Store) Assignment(ctx context.Context, a fleet.Address) (string, error) {
	return value(ctx, s.assignments, a.Key())
}

// Assign hands a sealed assignment to a box.
func (s *Store) Assign(ctx context.Context, a fleet.Address, sealed string) error {
	_, err := s.assignments.PutString(ctx, a.Key(), sealed)
	return err
}

// Granted calls take for each box that has been granted, now and whenever one is
// added or taken back, until ctx ends: with its key and its sealed grant, which is
// empty where it was taken back.
func (s *Store) Granted(ctx context.Context, take func(key, sealed string)) error {
	w, err := s.grants.WatchAll(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = w.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-w.Updates():
			if !ok {
				return errors.New("the watch of the grants has ended")
			}
			if e == nil {
				continue
			}
			sealed := ""
			if e.Operation() == jetstream.KeyValuePut {
				sealed = string(e.Value())
			}
			take(e.Key(), sealed)
		}
	}
}
