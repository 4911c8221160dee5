package history

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
)

const (
	// quietUnknown is when a box counts as silent whose interval is not known, and
	// quietLeast keeps a fast box from flickering at each late report.
	quietUnknown = 15 * time.Minute
	quietLeast   = 30 * time.Second
)

// known is what the table of boxes says of a box before a batch.
type known struct {
	row
	no               int64
	seen             seen // which reports there are of its run
	silent           bool
	first, since     int64
	every            int64 // milliseconds; 0: not known
	reports          int64
	stated, restated bool // the row must be written, and what boxes are found by too
}

// Add takes reports, in one transaction, and returns how many were new: a report
// is known by box, boot and seq however often it comes. Order does not matter. When
// Add returns nil all of them are kept.
func (db *DB) Add(ctx context.Context, entries []Entry) (added int, err error) {
	if err := db.learn(ctx, entries); err != nil {
		return 0, fmt.Errorf("history: dictionary: %w", err)
	}
	rows := make([]row, 0, len(entries))
	for _, e := range entries {
		r, err := db.row(e)
		if err != nil {
			return 0, err
		}
		rows = append(rows, r)
	}
	// One order for all who write, so that no two of them wait for each other.
	slices.SortFunc(rows, order)
	err = db.e.write(ctx, func(t tx) error {
		added = 0
		b := batch{t: t}
		if err := b.lock(rows); err != nil {
			return err
		}
		fresh, err := b.unknown(rows)
		if err != nil {
			return err
		}
		if err := b.insert(fresh); err != nil {
			return err
		}
		added = len(fresh)
		for _, r := range fresh {
			if err := b.take(r); err != nil {
				return err
			}
		}
		return b.finish()
	})
	if err != nil {
		return 0, fmt.Errorf("history: add %d reports: %w", len(entries), err)
	}
	return added, nil
}

// batch is one transaction of Add.
type batch struct {
	t       tx
	boxes   map[string]*known
	names   []string // of boxes, in order
	changes [][]any
	runs    map[run]*past // that boxes have left, as far as rows are of them
}

const boxColumns = `no, box, name, version, isp, verdict, severity, silent, state, boot, seq, top, gaps, event_at, arrived_at, first_at, since_at, every_ms, uptime_ms, reports`

// lock reads the boxes that rows are of, and keeps others from writing them until
// the transaction ends. A box that is new gets a row first.
func (b *batch) lock(rows []row) error {
	b.boxes = map[string]*known{}
	for _, r := range rows {
		if b.boxes[r.box] == nil {
			b.boxes[r.box] = nil
			if len(b.names) == 0 || b.names[len(b.names)-1] != r.box {
				b.names = append(b.names, r.box)
			}
		}
	}
	if err := b.read(b.names); err != nil {
		return err
	}
	var missing []string
	var blank [][]any
	for _, n := range b.names {
		if b.boxes[n] == nil {
			missing = append(missing, n)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	numbers, err := b.t.numbers("boxes", len(missing))
	if err != nil {
		return err
	}
	for i, n := range missing {
		blank = append(blank, []any{numbers[i], n, addressOf(n).Tenant, place(agent.VerdictUnknown, 0, false)})
	}
	if _, err := b.t.each(`INSERT INTO boxes (no, box, tenant, name, search, version, isp, place, verdict, severity, silent, state, boot, seq, top, gaps,
		event_at, arrived_at, first_at, since_at, every_ms, uptime_ms, due_at, reports)
		VALUES (?, ?, ?, '', '', '', '', ?, 0, 0, 0, '', '', 0, -1, '', 0, 0, 0, 0, 0, 0, 0, 0) ON CONFLICT (box) DO NOTHING`, blank); err != nil {
		return err
	}
	return b.read(missing)
}

// read reads boxes in portions of one size, so that there is one statement.
func (b *batch) read(names []string) error {
	const portion = 50
	query := `SELECT ` + boxColumns + ` FROM boxes WHERE box IN (?` + strings.Repeat(", ?", portion-1) + `) ORDER BY box` + b.t.forUpdate()
	for part := range slices.Chunk(names, portion) {
		args := make([]any, portion)
		for i := range args {
			args[i] = part[min(i, len(part)-1)]
		}
		if err := b.t.query(query, args, func(s scan) error {
			var k known
			err := k.scan(s)
			b.boxes[k.box] = &k
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

func (k *known) scan(s scan) error {
	var verdict, severity, silent, top int64
	var gaps string
	err := s(&k.no, &k.box, &k.title, &k.version, &k.isp, &verdict, &severity, &silent, &k.state, &k.boot, &k.seq, &top, &gaps, &k.eventAt, &k.arrivedAt,
		&k.first, &k.since, &k.every, &k.uptime, &k.reports)
	k.seen = parseSeen(top, gaps)
	k.verdict, k.severity, k.silent = agent.Verdict(verdict), agent.Severity(severity), silent != 0
	return err
}

var insertReport = func() string {
	columns, marks := "box, event_at, seq, boot, arrived_at, verdict, state", "?, ?, ?, ?, ?, ?, ?"
	for _, m := range Metrics {
		columns, marks = columns+", "+string(m), marks+", ?"
	}
	return "INSERT INTO reports (" + columns + ", raw) VALUES (" + marks + ", ?) ON CONFLICT (box, event_at, seq, boot) DO NOTHING"
}()

// insert writes the reports, which are new.
func (b *batch) insert(rows []row) error {
	numbers, err := b.t.numbers("raws", len(rows))
	if err != nil {
		return err
	}
	width := 8 + len(Metrics)
	cells := make([]any, 0, len(rows)*(width+2)) // one piece of memory for all
	all, raws := make([][]any, len(rows)), make([][]any, len(rows))
	for i, r := range rows {
		from := len(cells)
		cells = append(cells, b.boxes[r.box].no, r.eventAt, r.seq, r.boot, r.arrivedAt, int64(r.verdict), r.state)
		for m := range Metrics {
			cells = append(cells, r.measures.cell(m))
		}
		cells = append(cells, numbers[i])
		all[i] = cells[from:len(cells):len(cells)]
		cells = append(cells, numbers[i], r.raw)
		raws[i] = cells[len(cells)-2 : len(cells) : len(cells)]
	}
	if _, err := b.t.each(insertReport, all); err != nil {
		return err
	}
	_, err = b.t.each(`INSERT INTO raws (no, raw) VALUES (?, ?)`, raws)
	return err
}

// take makes a new report the newest of its box, or else finds its place in the
// past.
func (b *batch) take(r row) error {
	k := b.boxes[r.box]
	k.reports++
	k.stated = true
	if k.first == 0 || r.arrivedAt < k.first {
		k.first = r.arrivedAt
	}
	late := k.eventAt > 0 && !newer(r, k.row)
	if late {
		k.arrivedAt = max(k.arrivedAt, r.arrivedAt)
		return b.remember(k.no, r)
	}
	k.learn(r)
	if r.boot != k.boot {
		b.move(k, r.boot)
	}
	if r.state != k.state {
		k.since = r.eventAt
		b.changes = append(b.changes, []any{r.box, r.eventAt, k.state, r.state})
	}
	if r.isp == "" {
		r.isp = k.isp // a short report does not say
	}
	r.arrivedAt = max(k.arrivedAt, r.arrivedAt)
	k.restated = k.restated || k.silent || r.state != k.state || r.severity != k.severity || r.title != k.title ||
		r.version != k.version || r.isp != k.isp || k.eventAt == 0 || r.verdict != k.verdict
	k.row, k.silent = r, false
	return nil
}

// newer reports whether r is to be shown in place of k. Within one run the number
// decides; between runs, whose numbers start again, time.
func newer(r, k row) bool {
	if r.boot == k.boot {
		return r.seq > k.seq
	}
	return r.eventAt >= k.eventAt
}

// learn finds the interval of a box, from its own uptime between two reports by
// schedule that follow each other.
func (k *known) learn(r row) {
	gap := r.uptime - k.uptime
	if !r.scheduled || r.boot != k.boot || r.seq != k.seq+1 || gap < 1000 || gap > 24*3600*1000 {
		return
	}
	if k.every == 0 {
		k.every = gap
	} else {
		k.every += (gap - k.every) / 4
	}
}

// due is when a box counts as silent.
func (k *known) due() int64 {
	limit := quietUnknown
	if k.every > 0 {
		limit = max(3*time.Duration(k.every)*time.Millisecond, quietLeast)
	}
	return k.arrivedAt + limit.Milliseconds()
}

// remember puts a report that came late into the log of changes: it may be one,
// and the one after it may be none any more.
func (b *batch) remember(no int64, r row) error {
	if err := b.compare(no, r.box, r.eventAt, r.state); err != nil {
		return err
	}
	var at int64
	var state string
	err := b.t.query(`SELECT event_at, state FROM reports WHERE box = ? AND event_at > ? ORDER BY event_at LIMIT 1`,
		[]any{no, r.eventAt}, func(s scan) error { return s(&at, &state) })
	if err != nil || at == 0 {
		return err
	}
	return b.compare(no, r.box, at, state)
}

// compare enters a report into the log of changes if it differs from the one
// before it.
func (b *batch) compare(no int64, box string, at int64, state string) error {
	var was string
	err := b.t.query(`SELECT state FROM reports WHERE box = ? AND event_at < ? ORDER BY event_at DESC LIMIT 1`,
		[]any{no, at}, func(s scan) error { return s(&was) })
	if err != nil {
		return err
	}
	// A change that this batch has found is written at its end; it is older news.
	b.changes = slices.DeleteFunc(b.changes, func(c []any) bool { return c[0] == box && c[1] == at })
	if was != state {
		b.changes = append(b.changes, []any{box, at, was, state})
		return nil
	}
	_, err = b.t.each(`DELETE FROM changes WHERE box = ? AND event_at = ?`, [][]any{{box, at}})
	return err
}

// finish writes the boxes and the changes. What boxes are sorted and found by is
// written only where it has changed: its indexes cost more than the rest.
func (b *batch) finish() error {
	var brief, whole, tags, untag [][]any
	for _, n := range b.names {
		k := b.boxes[n]
		if !k.stated {
			continue
		}
		brief = append(brief, []any{k.boot, k.seq, k.seen.top, k.seen.text(), k.eventAt, k.arrivedAt, k.first, k.every, k.uptime, k.due(), k.reports, k.no})
		if !k.restated {
			continue
		}
		search := strings.ToLower(k.title + "\n" + n)
		whole = append(whole, []any{k.title, search, k.version, k.isp, place(k.verdict, k.severity, false), int64(k.verdict), int64(k.severity), k.state, k.since, k.no})
		untag = append(untag, []any{n})
		for _, tag := range k.tags {
			tags = append(tags, []any{n, tag})
		}
	}
	for _, step := range []struct {
		query string
		rows  [][]any
	}{
		{`UPDATE boxes SET boot = ?, seq = ?, top = ?, gaps = ?, event_at = ?, arrived_at = ?, first_at = ?, every_ms = ?, uptime_ms = ?, due_at = ?,
			reports = ? WHERE no = ?`, brief},
		{`UPDATE boxes SET name = ?, search = ?, version = ?, isp = ?, place = ?, verdict = ?, severity = ?, silent = 0, state = ?, since_at = ? WHERE no = ?`, whole},
		{`DELETE FROM tags WHERE box = ?`, untag},
		{`INSERT INTO tags (box, tag) VALUES (?, ?)`, tags},
		{`INSERT INTO changes (box, event_at, was, state) VALUES (?, ?, ?, ?)
			ON CONFLICT (box, event_at) DO UPDATE SET was = excluded.was, state = excluded.state`, b.changes},
		{`INSERT INTO runs (box, boot, top, gaps, event_at) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (box, boot) DO UPDATE SET top = excluded.top, gaps = excluded.gaps, event_at = excluded.event_at`, b.leave()},
	} {
		if len(step.rows) == 0 {
			continue
		}
		if _, err := b.t.each(step.query, step.rows); err != nil {
			return err
		}
	}
	return nil
}

// Silence marks the boxes that should have spoken by now, and returns how many are
// newly silent.
func (db *DB) Silence(ctx context.Context) (int, error) {
	const query = `UPDATE boxes SET silent = 1, place = ? + 3 - severity WHERE silent = 0 AND due_at < ? AND event_at > 0`
	n := 0
	err := db.e.write(ctx, func(t tx) error {
		changed, err := t.each(query, [][]any{{int64(4 * silentPlace), millis(db.conf.Now())}})
		if err == nil {
			n = int(changed[0])
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("history: %w", err)
	}
	return n, nil
}
