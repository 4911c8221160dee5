package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sys/unix"
)

// post is a history in PostgreSQL. It uses no locks but those of rows, and nothing
// that a distributed database with PostgreSQL's protocol would lack.
type post struct{ pool *pgxpool.Pool }

func openPostgres(ctx context.Context, where string) (engine, error) {
	conf, err := pgxpool.ParseConfig(where)
	if err != nil {
		return nil, errors.New("history: the URL of the database cannot be read: want postgres://USER@HOST:PORT/DATABASE") // it may hold a password
	}
	if c := conf.ConnConfig; c.ConnectTimeout == 0 {
		c.ConnectTimeout = patience
		c.DialFunc = (&net.Dialer{Timeout: patience, Control: impatient,
			KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: patience, Interval: patience, Count: 2}}).DialContext
	}
	pool, err := pgxpool.NewWithConfig(ctx, conf)
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("history: database on %s: %w", conf.ConnConfig.Host, err)
	}
	return post{pool}, nil
}

// patience is how long a database may take to be reached, where its URL does not say
// connect_timeout; one that has vanished without a word is given up after three times
// as long.
const patience = 5 * time.Second

// impatient sets how long what was sent may stay without an acknowledgement.
func impatient(network, _ string, c syscall.RawConn) (err error) {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	return errors.Join(c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int((3 * patience).Milliseconds()))
	}), err)
}

func (p post) close() error { p.pool.Close(); return nil }

func (p post) define(ctx context.Context, statement string) error {
	return p.write(ctx, func(t tx) error { _, err := t.each(statement, [][]any{{}}); return err })
}

// write tries again where two transactions stood in each other's way: a
// distributed database says so often, and leaves it to us.
func (p post) write(ctx context.Context, f func(tx) error) error {
	for wait := 10 * time.Millisecond; ; wait *= 2 {
		err := pgx.BeginFunc(ctx, p.pool, func(t pgx.Tx) error { return f(postTx{ctx, t}) })
		if !conflict(err) || wait > 2*time.Second {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rand.N(wait)):
		}
	}
}

// conflict reports whether a transaction may pass when it is tried again:
// serialization_failure and deadlock_detected; and unique_violation, duplicate_object and
// duplicate_table, which CREATE TABLE IF NOT EXISTS says when somebody else makes the
// same table at that moment (PostgreSQL, appendix A).
func conflict(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && slices.Contains([]string{"40001", "40P01", "23505", "42P07", "42710"}, e.Code)
}

// read asks once more where the connection turns out to be one that the database has
// left meanwhile, at its restart for instance.
func (p post) read(ctx context.Context, query string, args []any, row func(scan) error) error {
	came := false
	ask := func() error {
		rows, err := p.pool.Query(ctx, numbered(query), args...)
		if err != nil {
			return err
		}
		return drainPost(rows, func(s scan) error { came = true; return row(s) })
	}
	err := ask()
	if came || !left(err) {
		return err
	}
	p.pool.Reset() // the others are no better
	return ask()
}

// left reports whether a connection had ended before it was used: neither the
// database's answer but that it shuts down (class 57P), nor that nobody is there.
func left(err error) bool {
	var said *pgconn.PgError
	var away *pgconn.ConnectError
	var late net.Error
	switch {
	case err == nil, errors.As(err, &away), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case errors.As(err, &said):
		return strings.HasPrefix(said.Code, "57P")
	default:
		return !errors.As(err, &late) || !late.Timeout()
	}
}

func drainPost(rows pgx.Rows, row func(scan) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

type postTx struct {
	ctx context.Context
	t   pgx.Tx
}

// each sends all rows at once and reads the answers then.
func (t postTx) each(query string, rows [][]any) (changed []int64, err error) {
	query = numbered(query)
	var b pgx.Batch
	for _, args := range rows {
		b.Queue(query, args...)
	}
	answers := t.t.SendBatch(t.ctx, &b)
	defer func() { err = errors.Join(err, answers.Close()) }()
	changed = make([]int64, len(rows))
	for i := range rows {
		tag, err := answers.Exec()
		if err != nil {
			return nil, err
		}
		changed[i] = tag.RowsAffected()
	}
	return changed, nil
}

func (t postTx) query(query string, args []any, row func(scan) error) error {
	rows, err := t.t.Query(t.ctx, numbered(query), args...)
	if err != nil {
		return err
	}
	return drainPost(rows, row)
}

func (postTx) forUpdate() string { return " FOR UPDATE" }

// numbers are random, so that a distributed database spreads what they stand for.
func (postTx) numbers(_ string, n int) ([]int64, error) {
	out := make([]int64, n)
	for i := range out {
		out[i] = rand.Int64()
	}
	return out, nil
}

func (post) words() words { return words{number: "BIGINT"} }

// numbered writes $1, $2 ... for each ?. No statement of ours has one in a text.
func numbered(query string) string {
	parts := strings.Split(query, "?")
	var b strings.Builder
	for i, part := range parts {
		if i > 0 {
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(i))
		}
		b.WriteString(part)
	}
	return b.String()
}
