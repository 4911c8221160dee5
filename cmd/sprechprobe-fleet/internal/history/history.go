// Package history keeps what the boxes of a fleet have reported: each report for
// a month, hours of them for a year, the newest state of each box and each change
// of it. It does so in SQLite or in PostgreSQL, by the same statements. It knows
// neither the bus nor the pages.
package history

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// How long things are kept where nothing else is said.
const (
	DefaultRaw        = 30 * 24 * time.Hour
	DefaultAggregates = 396 * 24 * time.Hour // 13 months
)

// Config bounds a history. Zero fields take defaults.
type Config struct {
	KeepRaw        time.Duration // reports as they came; at least an hour
	KeepAggregates time.Duration // hours, changes and boxes; at least KeepRaw
	// ISP names the provider of a public address, cut to its network; empty where
	// it is not known. nil: never known.
	ISP func(netip.Addr) string
	Now func() time.Time // default time.Now
	// Turn is how long a program that has died keeps its turn, see [DB.Alone]; all who
	// use one database have to agree. Default [DefaultTurn].
	Turn time.Duration
}

// Entry is one report as it arrived. Who speaks is what the bus vouches for.
type Entry struct {
	From      fleet.Address
	Boot      string // the run that sent it
	Report    agent.Report
	Raw       []byte // the report as it was on the wire
	ArrivedAt time.Time
}

// Box is the newest that is known of one box.
type Box struct {
	fleet.Address
	Name, Version string
	ISP           string // empty: not known
	Verdict       agent.Verdict
	Severity      agent.Severity // of its gravest finding
	Silent        bool           // not heard of for too long, which is not a verdict
	Findings      []Finding
	Boot          string
	Seq           uint64
	EventAt       time.Time     // of the newest report, by the better of two clocks
	ArrivedAt     time.Time     // when the box was last heard of
	FirstAt       time.Time     // when it was first heard of
	SinceAt       time.Time     // when verdict or findings last changed
	Interval      time.Duration // between its reports; 0: not known yet
	Reports       uint64        // ever taken
}

// Finding is a finding without its evidence.
type Finding struct {
	Code  agent.Code
	Cause agent.Cause
}

// Change is a report that brought another verdict or other findings than the one
// made before it. The first report of a box is a change from unknown.
type Change struct {
	At           time.Time // by the box
	From, To     agent.Verdict
	Began, Ended []Finding
}

// ErrUnknownBox is returned where a box is asked for that has never reported.
var ErrUnknownBox = errors.New("no such box in the history")

// DB is a history. It is safe for concurrent use, and so are several programs on
// one database.
type DB struct {
	conf Config
	e    engine
	pack *packer
}

// Open opens a history and makes its tables: a postgres:// URL, or the file of an
// SQLite database.
func Open(ctx context.Context, where string, c Config) (*DB, error) {
	if c.KeepRaw == 0 {
		c.KeepRaw = DefaultRaw
	}
	if c.KeepAggregates == 0 {
		c.KeepAggregates = max(DefaultAggregates, c.KeepRaw)
	}
	if c.KeepRaw < time.Hour || c.KeepAggregates < c.KeepRaw {
		return nil, fmt.Errorf("history: keep reports for %v and aggregates for %v: want at least 1h, and aggregates no shorter", c.KeepRaw, c.KeepAggregates)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Turn == 0 {
		c.Turn = DefaultTurn
	}
	open := openSQLite
	if strings.HasPrefix(where, "postgres://") || strings.HasPrefix(where, "postgresql://") {
		open = openPostgres
	}
	e, err := open(ctx, where)
	if err != nil {
		return nil, err
	}
	db := &DB{conf: c, e: e, pack: newPacker()}
	if err := db.readable(ctx, where); err != nil {
		return nil, errors.Join(err, e.close())
	}
	for _, statement := range append(schema(e.words()), incidentTables...) {
		if err := e.define(ctx, statement); err != nil {
			return nil, errors.Join(fmt.Errorf("history: make tables: %w", err), e.close())
		}
	}
	if err := db.dictionaries(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("history: %w", err), e.close())
	}
	return db, nil
}

// readable refuses tables of another layout than this program's.
func (db *DB) readable(ctx context.Context, where string) error {
	ask := func(query string) error {
		return db.e.read(ctx, query, nil, func(scan) error { return nil })
	}
	if ask(`SELECT box FROM boxes WHERE 1 = 0`) != nil {
		return nil // there are none
	}
	if err := ask(`SELECT no, top, gaps FROM boxes WHERE 1 = 0`); err != nil {
		if strings.Contains(where, "://") {
			where = "the database" // its URL may hold a password
		}
		return fmt.Errorf("history: %s holds a history of an earlier version of this program, which this one cannot read: "+
			"put it away or name another one; a new one gets what the bus still holds (%v)", where, err)
	}
	return nil
}

// Close ends the history's connections.
func (db *DB) Close() error { return db.e.close() }

// engine is what the two databases do differently. Statements have ? for each
// argument.
type engine interface {
	// define makes a table or index if there is none, and waits for nobody who writes
	// if there is.
	define(ctx context.Context, statement string) error
	// write runs f in one transaction, again where the database asks for that.
	write(ctx context.Context, f func(tx) error) error
	read(ctx context.Context, query string, args []any, row func(scan) error) error
	close() error
	words() words
}

// tx is one transaction that writes.
type tx interface {
	// each runs one statement for each row of arguments and says how many rows of
	// the table it changed each time.
	each(query string, rows [][]any) ([]int64, error)
	query(query string, args []any, row func(scan) error) error
	// forUpdate ends a query whose rows nobody else may change meanwhile.
	forUpdate() string
	// numbers are n that no row of a table is kept by yet.
	numbers(table string, n int) ([]int64, error)
}

// scan reads the columns of a row.
type scan func(into ...any) error

// name is a box in the tables.
func name(a fleet.Address) string { return a.Tenant + "/" + a.Box }

func addressOf(name string) fleet.Address {
	tenant, box, _ := strings.Cut(name, "/")
	return fleet.Address{Tenant: tenant, Box: box}
}

func millis(t time.Time) int64 { return t.UnixMilli() }

func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// EventAt is when a report was made. The box is believed if its clock is set and
// not ahead of ours; a box without a clock cannot say, so that the time of arrival
// must do.
func EventAt(r agent.Report, arrived time.Time) time.Time {
	const ahead = 5 * time.Minute
	at := r.Stamp.At
	if r.Stamp.Clock != agent.ClockSet || at.Year() < 2020 || at.After(arrived.Add(ahead)) {
		return arrived
	}
	return at
}

// Delete forgets a box. It is unknown afterwards, until it reports again. That it was
// deleted is known for a day, by [DB.Forgotten].
func (db *DB) Delete(ctx context.Context, a fleet.Address) error {
	return db.e.write(ctx, func(t tx) error {
		const no = ` WHERE box IN (SELECT no FROM boxes WHERE box = ?)`
		for _, what := range []string{
			`raws WHERE no IN (SELECT raw FROM reports` + no + `)`, `reports` + no, `runs` + no,
			`tags WHERE box = ?`, `changes WHERE box = ?`, `hours WHERE box = ?`, `suffered WHERE box = ?`, `explained WHERE box = ?`, `boxes WHERE box = ?`,
		} {
			if _, err := t.each("DELETE FROM "+what, [][]any{{name(a)}}); err != nil {
				return fmt.Errorf("delete box %s: %w", a, err)
			}
		}
		_, err := t.each("INSERT INTO forgotten (box, at_ms) VALUES (?, ?) ON CONFLICT (box) DO UPDATE SET at_ms = excluded.at_ms",
			[][]any{{name(a), millis(db.conf.Now())}})
		return err
	})
}

// Export writes all that is kept of a box, as lines of JSON; see [line].
func (db *DB) Export(ctx context.Context, a fleet.Address, w io.Writer) error {
	if err := db.export(ctx, a, w); err != nil {
		return fmt.Errorf("export box %s: %w", a, err)
	}
	return nil
}
