package history

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// DefaultTurn is how long a program that has died keeps its turn.
const DefaultTurn = 30 * time.Second

// errOver says that another program has taken the turn.
var errOver = errors.New("it is another program's turn")

// turn is one program's claim to something that only one of several may do. Clocks
// of different machines do not count: whoever waits looks whether the one who has the
// turn still counts on, and that one gives it up by itself long before the others
// take it, if the database has not let it count.
type turn struct {
	db       *DB
	what, me string

	beat int64     // as it was seen last
	seen time.Time // when it was seen first
}

// Alone does something whenever it is this program's turn, of all that use one
// database, until ctx ends. do gets what the last one has kept, and keeps what the
// next one needs; its context ends with the turn, and it has to return then. Errors of
// the database end a turn, and are tried again.
func (db *DB) Alone(ctx context.Context, what string, do func(ctx context.Context, kept []byte, keep func([]byte) error)) {
	t := &turn{db: db, what: what, me: rand.Text(), beat: -1}
	for tick := time.NewTicker(t.every()); ; {
		if kept, ok := t.take(ctx); ok {
			t.hold(ctx, kept, do)
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
	}
}

// every is between two counts, and held how long a turn lasts without one.
func (t *turn) every() time.Duration { return t.db.conf.Turn / 10 }
func (t *turn) held() time.Duration  { return t.db.conf.Turn / 10 * 4 }

// take takes the turn if nobody has it, or who had it has not counted on for too
// long. Who was faster is told by the count.
func (t *turn) take(ctx context.Context) (kept []byte, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, t.held())
	defer cancel()
	holder, beat, found := "", int64(0), false
	err := t.db.e.read(ctx, `SELECT holder, beat, kept FROM turns WHERE what = ?`, []any{t.what}, func(s scan) error {
		found = true
		return s(&holder, &beat, &kept)
	})
	if err == nil && !found {
		_, err = t.change(ctx, `INSERT INTO turns (what, holder, beat, kept) VALUES (?, '', 0, ?) ON CONFLICT (what) DO NOTHING`, t.what, []byte{})
	}
	if err != nil {
		return nil, false
	}
	if beat != t.beat {
		t.beat, t.seen = beat, time.Now()
	}
	if holder != "" && time.Since(t.seen) < t.db.conf.Turn {
		return nil, false
	}
	n, err := t.change(ctx, `UPDATE turns SET holder = ?, beat = beat + 1 WHERE what = ? AND beat = ?`, t.me, t.what, beat)
	return kept, err == nil && n == 1
}

// hold does it until the turn is over.
func (t *turn) hold(ctx context.Context, kept []byte, do func(context.Context, []byte, func([]byte) error)) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	keep := func(b []byte) error {
		return t.count(ctx, `UPDATE turns SET kept = ?, beat = beat + 1 WHERE what = ? AND holder = ?`, b, t.what, t.me)
	}
	done := make(chan struct{})
	go func() { defer close(done); do(ctx, kept, keep) }()
	t.counting(ctx, done)
	cancel()
	<-done
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.every())
	defer cancel()
	// If nobody hears of it, the next one waits a little longer.
	_ = t.count(end, `UPDATE turns SET holder = '', beat = beat + 1 WHERE what = ? AND holder = ?`, t.what, t.me)
}

// counting counts on, until that does not succeed any more, or there is nothing more
// to do.
func (t *turn) counting(ctx context.Context, done <-chan struct{}) {
	tick := time.NewTicker(t.every())
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-done:
			return
		case <-tick.C:
		}
		began := time.Now()
		ask, cancel := context.WithDeadline(ctx, last.Add(t.held()))
		err := t.count(ask, `UPDATE turns SET beat = beat + 1 WHERE what = ? AND holder = ?`, t.what, t.me)
		cancel()
		switch {
		case err == nil:
			last = began
		case errors.Is(err, errOver), time.Since(last) >= t.held():
			return
		}
	}
}

// count makes a change that only who has the turn may make.
func (t *turn) count(ctx context.Context, query string, args ...any) error {
	n, err := t.change(ctx, query, args...)
	if err == nil && n == 0 {
		err = errOver
	}
	if err != nil {
		return fmt.Errorf("history: turn of %s: %w", t.what, err)
	}
	return nil
}

func (t *turn) change(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = t.db.e.write(ctx, func(x tx) error {
		changed, err := x.each(query, [][]any{args})
		if err == nil {
			n = changed[0]
		}
		return err
	})
	return n, err
}
