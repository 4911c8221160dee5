package history_test

import (
	"bytes"
	"context"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/lab/postgres"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
)

// brief is a turn for tests.
const brief = 2 * time.Second

// player is a program that wants its turn.
type player struct {
	*history.DB
	end  func() // returns when it has ended
	kept chan []byte
	keep chan func([]byte) error
	over chan bool // the turn has ended
}

func play(t *testing.T, where string) *player {
	t.Helper()
	db, err := history.Open(t.Context(), where, history.Config{Turn: brief})
	if err != nil {
		t.Fatal(err)
	}
	second := &player{DB: db, kept: make(chan []byte, 9), keep: make(chan func([]byte) error, 9), over: make(chan bool, 9)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		second.Alone(ctx, "tell", func(ctx context.Context, kept []byte, keep func([]byte) error) {
			second.kept <- kept
			second.keep <- keep
			<-ctx.Done()
			second.over <- true
		})
	}()
	second.end = sync.OnceFunc(func() { cancel(); <-done; db.Close() })
	t.Cleanup(second.end)
	return second
}

func got[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case x := <-from:
		return x
	case <-time.After(60 * time.Second):
		t.Fatalf("waited in vain: %s", what)
		panic("unreachable")
	}
}

// Of several programs one has the turn, and the next one gets what it has kept: when
// it leaves, and when it is gone without a word.
func alone(t *testing.T, where string, vanish func()) {
	var all []*player
	for range 3 {
		all = append(all, play(t, where))
	}
	var last []byte
	for round := range 3 {
		var has *player
		for has == nil {
			for _, p := range all {
				select {
				case kept := <-p.kept:
					has = p
					if !bytes.Equal(kept, last) {
						t.Errorf("round %d: kept %q, want %q", round, kept, last)
					}
				case <-time.After(20 * time.Millisecond):
				}
			}
		}
		last = append(last, byte('a'+round))
		if err := got(t, "keep", has.keep)(last); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		for _, p := range all {
			if len(p.kept) > 0 {
				t.Errorf("round %d: two have the turn", round)
			}
		}
		has.end()
		all = slices.DeleteFunc(all, func(p *player) bool { return p == has })
	}
	if vanish == nil {
		return
	}
	p := play(t, where)
	got(t, "the turn", p.kept)
	keep := got(t, "keep", p.keep)
	vanish()
	got(t, "the turn ends without the database", p.over)
	if err := keep([]byte("late")); err == nil {
		t.Error("kept after the turn")
	}
	if kept := got(t, "the turn comes again", p.kept); !bytes.Equal(kept, last) {
		t.Errorf("kept %q, want %q", kept, last)
	}
}

func TestAloneSQLite(t *testing.T) {
	t.Parallel()
	alone(t, filepath.Join(t.TempDir(), "history.db"), nil)
}

func TestAlonePostgres(t *testing.T) {
	t.Parallel()
	server := postgres.Start(t)
	alone(t, server.URL(), func() {
		server.Stop(t, "immediate")
		<-time.After(2 * brief) // longer than a turn lasts
		server.Start(t)
	})
}

// Who has died keeps the turn for a while and no longer.
func TestTheTurnOfTheDead(t *testing.T) {
	t.Parallel()
	where := filepath.Join(t.TempDir(), "history.db")
	dead := play(t, where)
	got(t, "the turn", dead.kept)
	if err := got(t, "keep", dead.keep)([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	dead.DB.Close() // it counts no more and cannot say so
	if kept := got(t, "the turn of another one", play(t, where).kept); string(kept) != "last words" {
		t.Errorf("kept %q", kept)
	}
}
