package history

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	_ "modernc.org/sqlite" // the driver
)

// lite is a history in one SQLite file. One connection writes; others read the
// write-ahead log's past meanwhile.
type lite struct {
	pool *sql.DB

	mu     sync.Mutex // one transaction at a time
	writer *sql.Conn
	known  map[string]*statement
}

func openSQLite(ctx context.Context, file string) (engine, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	// The file holds what practices should not find in a backup of others.
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	f.Close()
	// An entry that is acknowledged is not asked for again, so each transaction is
	// on the disk before it ends (synchronous FULL): one flush for a whole batch.
	options := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)",
		"cache_size(-65536)", "wal_autocheckpoint(16000)", "secure_delete(fast)"}}
	pool, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: file}).EscapedPath(), RawQuery: options.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("history %s: %w", file, err)
	}
	pool.SetMaxOpenConns(4)
	pool.SetMaxIdleConns(4)
	l := &lite{pool: pool, known: map[string]*statement{}}
	if l.writer, err = pool.Conn(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("history %s: %w", file, err), pool.Close())
	}
	return l, nil
}

func (l *lite) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, s := range l.known {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, l.writer.Close(), l.pool.Close())...)
}

func (l *lite) define(ctx context.Context, statement string) error {
	_, err := l.writer.ExecContext(ctx, statement)
	return err
}

func (l *lite) write(ctx context.Context, f func(tx) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Immediate: a transaction that begins by reading could not write any more
	// when another program has written meanwhile.
	if _, err := l.writer.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	// A transaction is short and ends by itself; to be able to break off each of
	// its statements would cost a goroutine for each.
	ctx = context.WithoutCancel(ctx)
	err := l.writer.Raw(func(conn any) error {
		c, ok := conn.(driver.Conn)
		if !ok {
			return errors.ErrUnsupported
		}
		return f(liteTx{l, ctx, c})
	})
	if err == nil {
		_, err = l.writer.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		_, _ = l.writer.ExecContext(ctx, "ROLLBACK")
	}
	return err
}

func (l *lite) read(ctx context.Context, query string, args []any, row func(scan) error) error {
	rows, err := l.pool.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	return drain(rows, row)
}

func drain(rows *sql.Rows, row func(scan) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// liteTx speaks to the driver itself: rows are small, and package sql does more for
// each of them than they need.
type liteTx struct {
	*lite
	ctx  context.Context
	conn driver.Conn
}

// prepared keeps statements: there are a few dozen.
func (t liteTx) prepared(query string) (*statement, error) {
	if s := t.known[query]; s != nil {
		return s, nil
	}
	p, ok := t.conn.(driver.ConnPrepareContext)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	raw, err := p.PrepareContext(t.ctx, query)
	if err != nil {
		return nil, err
	}
	s := &statement{Stmt: raw}
	var canExec, canQuery bool
	s.exec, canExec = raw.(driver.StmtExecContext)
	s.query, canQuery = raw.(driver.StmtQueryContext)
	if !canExec || !canQuery {
		return nil, errors.Join(errors.ErrUnsupported, raw.Close())
	}
	t.known[query] = s
	return s, nil
}

// statement is one that is prepared, with room for its arguments.
type statement struct {
	driver.Stmt
	exec  driver.StmtExecContext
	query driver.StmtQueryContext
	args  []driver.NamedValue
}

// with gives the arguments their places.
func (s *statement) with(args []any) []driver.NamedValue {
	s.args = s.args[:0]
	for i, a := range args {
		s.args = append(s.args, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return s.args
}

func (t liteTx) each(query string, rows [][]any) ([]int64, error) {
	s, err := t.prepared(query)
	if err != nil {
		return nil, err
	}
	changed := make([]int64, len(rows))
	for i, args := range rows {
		r, err := s.exec.ExecContext(t.ctx, s.with(args))
		if err != nil {
			return nil, err
		}
		if changed[i], err = r.RowsAffected(); err != nil {
			return nil, err
		}
	}
	return changed, nil
}

func (t liteTx) query(query string, args []any, row func(scan) error) (err error) {
	s, err := t.prepared(query)
	if err != nil {
		return err
	}
	rows, err := s.query.QueryContext(t.ctx, s.with(args))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	cells := make([]driver.Value, len(rows.Columns()))
	for {
		if err := rows.Next(cells); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := row(func(into ...any) error { return assign(into, cells) }); err != nil {
			return err
		}
	}
}

// assign gives a row's cells to what transactions read: whole numbers and text.
func assign(into []any, cells []driver.Value) error {
	if len(into) != len(cells) {
		return fmt.Errorf("%d cells for %d values", len(cells), len(into))
	}
	for i, cell := range cells {
		ok := false
		switch to := into[i].(type) {
		case *int64:
			*to, ok = cell.(int64)
		case *string:
			*to, ok = cell.(string)
		}
		if !ok {
			return fmt.Errorf("cell %d is %T, for %T", i, cell, into[i])
		}
	}
	return nil
}

// forUpdate is nothing: there is one writer.
func (liteTx) forUpdate() string { return "" }

// numbers follow each other, so that what comes at one time lies together.
func (t liteTx) numbers(table string, n int) ([]int64, error) {
	var last int64
	if err := t.query(`SELECT COALESCE(max(no), 0) FROM `+table, nil, func(s scan) error { return s(&last) }); err != nil {
		return nil, err
	}
	out := make([]int64, n)
	for i := range out {
		out[i] = last + int64(i) + 1
	}
	return out, nil
}

// words: a number that is INTEGER is the row's place in the file.
func (*lite) words() words { return words{number: "INTEGER", clustered: " WITHOUT ROWID"} }
