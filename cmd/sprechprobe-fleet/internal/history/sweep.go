package history

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Swept is what a sweep has done.
type Swept struct {
	Reports int64 // summed up by the hour and deleted
	Hours   int64 // deleted
	Boxes   int64 // forgotten
}

// Sweep enforces how long things are kept. Reports that are too old become hours,
// also those that come late; hours, changes and boxes that are too old go.
func (db *DB) Sweep(ctx context.Context) (Swept, error) {
	now := db.conf.Now()
	raw, old := millis(now.Add(-db.conf.KeepRaw)), millis(now.Add(-db.conf.KeepAggregates))
	raw -= raw % hourMS // whole hours only, so that no hour is summed up in parts
	var all Swept
	for last := ""; ; {
		seen, boxes, err := db.due(ctx, last, raw, old)
		if err == nil && len(boxes) > 0 {
			err = db.sweep(ctx, boxes, raw, old, &all)
		}
		if err != nil {
			return all, fmt.Errorf("history: sweep: %w", err)
		}
		if seen == "" {
			return all, db.sweepIncidents(ctx, old)
		}
		last = seen
	}
}

// due looks at the next boxes after one, and returns the last of them, empty where
// there are none, and those of which something is too old. It keeps nobody waiting.
func (db *DB) due(ctx context.Context, after string, raw, old int64) (last string, boxes []string, err error) {
	const query = `SELECT box, CASE WHEN arrived_at < ?
			OR EXISTS (SELECT 1 FROM reports WHERE reports.box = boxes.no AND reports.event_at < ?)
			OR EXISTS (SELECT 1 FROM runs WHERE runs.box = boxes.no AND runs.event_at < ?)
			OR EXISTS (SELECT 1 FROM hours WHERE hours.box = boxes.box AND hours.hour < ?)
			OR EXISTS (SELECT 1 FROM changes WHERE changes.box = boxes.box AND changes.event_at < ?)
		THEN 1 ELSE 0 END FROM boxes WHERE box > ? ORDER BY box LIMIT 100`
	err = db.e.read(ctx, query, []any{old, raw, raw, old / hourMS, old, after}, func(s scan) error {
		var is int64
		err := s(&last, &is)
		if is != 0 {
			boxes = append(boxes, last)
		}
		return err
	})
	return last, boxes, err
}

func (db *DB) sweep(ctx context.Context, boxes []string, raw, old int64, all *Swept) error {
	with := func(ms ...any) [][]any {
		rows := make([][]any, len(boxes))
		for i, b := range boxes {
			rows[i] = append([]any{b}, ms...)
		}
		return rows
	}
	return db.e.write(ctx, func(t tx) error {
		// The boxes first, as all who write do.
		b := batch{t: t, boxes: map[string]*known{}}
		if err := b.read(boxes); err != nil {
			return err
		}
		var done Swept
		for _, step := range []struct {
			query string
			rows  [][]any
			count *int64
		}{
			{sumUp, with(raw), nil},
			{`DELETE FROM raws WHERE no IN (SELECT raw FROM reports WHERE box = (SELECT no FROM boxes WHERE box = ?) AND event_at < ?)`, with(raw), nil},
			{`DELETE FROM reports WHERE box = (SELECT no FROM boxes WHERE box = ?) AND event_at < ?`, with(raw), &done.Reports},
			{`DELETE FROM runs WHERE box = (SELECT no FROM boxes WHERE box = ?) AND event_at < ?`, with(raw), nil},
			{`DELETE FROM hours WHERE box = ? AND hour < ?`, with(old / hourMS), &done.Hours},
			{`DELETE FROM changes WHERE box = ? AND event_at < ?`, with(old), nil},
			{`DELETE FROM tags WHERE box = ? AND box IN (SELECT box FROM boxes WHERE arrived_at < ?)`, with(old), nil},
			{`DELETE FROM boxes WHERE box = ? AND arrived_at < ?`, with(old), &done.Boxes},
		} {
			changed, err := t.each(step.query, step.rows)
			if err != nil {
				return err
			}
			if step.count != nil {
				for _, n := range changed {
					*step.count += n
				}
			}
		}
		all.Reports += done.Reports
		all.Hours += done.Hours
		all.Boxes += done.Boxes
		return nil
	})
}

// sumUp adds the reports of a box before a time to its hours.
var sumUp = func() string {
	columns := []string{"n"}
	sets := []string{"n = hours.n + excluded.n"}
	for v := range verdicts {
		c := fmt.Sprintf("v%d", v)
		columns = append(columns, c)
		sets = append(sets, fmt.Sprintf("%[1]s = hours.%[1]s + excluded.%[1]s", c))
	}
	for _, m := range Metrics {
		c := statColumns(m)
		columns = slices.Concat(columns, c)
		for _, sum := range c[:2] {
			sets = append(sets, fmt.Sprintf("%[1]s = COALESCE(hours.%[1]s, 0) + COALESCE(excluded.%[1]s, 0)", sum))
		}
		for i, less := range []string{"<", ">"} {
			sets = append(sets, fmt.Sprintf("%[1]s = CASE WHEN hours.%[1]s IS NULL OR excluded.%[1]s %[2]s hours.%[1]s THEN excluded.%[1]s ELSE hours.%[1]s END", c[2+i], less))
		}
	}
	return fmt.Sprintf(`INSERT INTO hours (box, hour, %s) SELECT name, event_at / %d, %s
		FROM (SELECT no, box AS name FROM boxes WHERE box = ?) AS one JOIN reports ON reports.box = one.no WHERE event_at < ? GROUP BY 1, 2
		ON CONFLICT (box, hour) DO UPDATE SET %s`, strings.Join(columns, ", "), hourMS, ofReports, strings.Join(sets, ", "))
}()
