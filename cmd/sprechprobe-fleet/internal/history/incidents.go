package history

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// Incident is an outage that boxes have suffered from.
type Incident struct {
	ID      string
	Target  string
	Cause   agent.Cause
	ISP     string // whose, where the cause is the provider's
	FromAt  time.Time
	UntilAt time.Time      // zero: it lasts
	Boxes   map[string]int `json:",omitempty"` // that have suffered from it, by tenant
}

// incidentTables are of outages: which there were, who suffered from them, and which
// boxes are shown with other causes now than they say. forgotten tells the other
// programs on a history which boxes were deleted lately.
var incidentTables = []string{
	`CREATE TABLE IF NOT EXISTS incidents (id TEXT NOT NULL PRIMARY KEY, target TEXT NOT NULL, cause TEXT NOT NULL, isp TEXT NOT NULL,
		from_at BIGINT NOT NULL, seen_at BIGINT NOT NULL, lasts BIGINT NOT NULL)`,
	`CREATE INDEX IF NOT EXISTS incidents_of ON incidents (target, seen_at)`,
	`CREATE TABLE IF NOT EXISTS suffered (box TEXT NOT NULL, incident TEXT NOT NULL, tenant TEXT NOT NULL, PRIMARY KEY (box, incident))`,
	`CREATE INDEX IF NOT EXISTS suffered_of ON suffered (incident, tenant, box)`,
	`CREATE TABLE IF NOT EXISTS explained (box TEXT NOT NULL, cause TEXT NOT NULL, PRIMARY KEY (box, cause))`,
	`CREATE INDEX IF NOT EXISTS explained_as ON explained (cause, box)`,
	`CREATE TABLE IF NOT EXISTS forgotten (box TEXT NOT NULL PRIMARY KEY, at_ms BIGINT NOT NULL)`,
}

const (
	// unseen is after how long without a word of it an incident is over that nobody
	// has ended: the program that watched it may have been stopped meanwhile.
	unseen = 10 * time.Minute
	// remembered is for how long deleted boxes can be asked for.
	remembered = 24 * time.Hour
	// atOnce is how many rows are written at a time, for others want to write, too.
	atOnce = 1000
)

// Begin enters an incident and returns its lasting ID. One that is known already,
// from before a restart or by another program, keeps the ID that it has.
func (db *DB) Begin(ctx context.Context, i Incident) (id string, err error) {
	sum := sha256.Sum256([]byte(strings.Join([]string{i.Target, i.Cause.String(), i.ISP, fmt.Sprint(millis(i.FromAt))}, "\n")))
	fresh, now := hex.EncodeToString(sum[:6]), millis(db.conf.Now())
	target, isp := clip(i.Target, 300), clip(i.ISP, 80)
	err = db.e.write(ctx, func(t tx) error {
		id = fresh
		err := t.query(`SELECT id FROM incidents WHERE target = ? AND cause = ? AND isp = ? AND seen_at >= ? ORDER BY from_at, id LIMIT 1`,
			[]any{target, i.Cause.String(), isp, millis(i.FromAt)}, func(s scan) error { return s(&id) })
		if err == nil {
			_, err = t.each(`INSERT INTO incidents (id, target, cause, isp, from_at, seen_at, lasts) VALUES (?, ?, ?, ?, ?, ?, 1)
				ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, lasts = 1`, [][]any{{id, target, i.Cause.String(), isp, millis(i.FromAt), now}})
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("history: incident at %s: %w", i.Target, err)
	}
	return id, nil
}

// Last notes that an incident was there at a moment, and whether it has ended then.
func (db *DB) Last(ctx context.Context, id string, at time.Time, ended bool) error {
	lasts := int64(1)
	if ended {
		lasts = 0
	}
	return db.inBatches(ctx, "incident "+id, `UPDATE incidents SET seen_at = ?, lasts = ? WHERE id = ?`, [][]any{{millis(at), lasts, id}})
}

// Suffer notes which boxes suffer from an incident. Who has once suffered stays.
func (db *DB) Suffer(ctx context.Context, id string, boxes []fleet.Address) error {
	var rows [][]any
	for _, a := range boxes {
		rows = append(rows, []any{name(a), id, a.Tenant})
	}
	return db.inBatches(ctx, "who suffers", `INSERT INTO suffered (box, incident, tenant) VALUES (?, ?, ?) ON CONFLICT (box, incident) DO NOTHING`, rows)
}

// Explain lets boxes be found by other causes than they say, by those with which they
// are shown. Boxes without causes are found by their own again.
func (db *DB) Explain(ctx context.Context, boxes map[fleet.Address][]agent.Cause) error {
	var old, fresh [][]any
	for a, causes := range boxes {
		old = append(old, []any{name(a)})
		for _, c := range causes {
			fresh = append(fresh, []any{name(a), c.String()})
		}
	}
	return errors.Join(db.inBatches(ctx, "causes", `DELETE FROM explained WHERE box = ?`, old),
		db.inBatches(ctx, "causes", `INSERT INTO explained (box, cause) VALUES (?, ?) ON CONFLICT (box, cause) DO NOTHING`, fresh))
}

// Explained is what [DB.Explain] has noted.
func (db *DB) Explained(ctx context.Context) (map[fleet.Address][]agent.Cause, error) {
	out := map[fleet.Address][]agent.Cause{}
	err := db.e.read(ctx, `SELECT box, cause FROM explained ORDER BY box, cause`, nil, func(s scan) error {
		var box, cause string
		err := s(&box, &cause)
		var c agent.Cause
		if c.UnmarshalText([]byte(cause)) == nil {
			out[addressOf(box)] = append(out[addressOf(box)], c)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("history: causes: %w", err)
	}
	return out, nil
}

func (db *DB) inBatches(ctx context.Context, what, statement string, rows [][]any) error {
	for len(rows) > 0 {
		n := min(len(rows), atOnce)
		err := db.e.write(ctx, func(t tx) error { _, err := t.each(statement, rows[:n]); return err })
		if err != nil {
			return fmt.Errorf("history: %s: %w", what, err)
		}
		rows = rows[n:]
	}
	return nil
}

// causeTag is the condition that a box is shown with a cause.
const causeTag = `boxes.box IN (SELECT box FROM tags WHERE tag = ? AND box NOT IN (SELECT box FROM explained)
	UNION ALL SELECT box FROM explained WHERE cause = ?)`

// causesShown corrects how many boxes there are of each cause, of the boxes that a
// condition holds for.
func (db *DB) causesShown(ctx context.Context, where string, args []any, all []Facet) ([]Facet, error) {
	shown := map[string]int{}
	add := func(sign int) func(scan) error {
		return func(s scan) error {
			var cause string
			var n int
			err := s(&cause, &n)
			shown[strings.TrimPrefix(cause, "cause:")] += sign * n
			return err
		}
	}
	here := strings.Replace(cmp.Or(where, " WHERE 1 = 1"), " WHERE ", " AND ", 1)
	err := db.e.read(ctx, `SELECT cause, count(*) FROM explained JOIN boxes ON boxes.box = explained.box WHERE 1 = 1`+here+` GROUP BY cause`, args, add(1))
	if err == nil && len(shown) > 0 {
		err = db.e.read(ctx, `SELECT tag, count(*) FROM tags JOIN boxes ON boxes.box = tags.box
			WHERE tag LIKE 'cause:%' AND tags.box IN (SELECT box FROM explained)`+here+` GROUP BY tag`, args, add(-1))
	}
	if err != nil || len(shown) == 0 {
		return all, err
	}
	out := all[:0]
	for _, f := range all {
		if f.Kind == "cause" {
			f.Boxes += shown[f.Value]
			delete(shown, f.Value)
		}
		if f.Boxes > 0 {
			out = append(out, f)
		}
	}
	for cause, n := range shown {
		if n > 0 {
			out = append(out, Facet{Kind: "cause", Value: cause, Boxes: n})
		}
	}
	return out, nil
}

// IncidentQuery says which incidents are wanted. Its zero value wants all.
type IncidentQuery struct {
	Tenants     []string // whose boxes may be seen; nil: everybody's; empty: nobody's
	ID          string   // each empty field: any
	Box         fleet.Address
	From, Until time.Time // that were there in between
	Most        int       // the newest ones; 0: 100
}

// Incidents lists incidents, the newest first: those from which boxes have suffered
// that may be seen. No other boxes are counted.
func (db *DB) Incidents(ctx context.Context, q IncidentQuery) ([]Incident, error) {
	all, args := []string{}, []any{}
	who, whose := Query{Tenants: q.Tenants}.where()
	who = strings.Replace(who, " WHERE ", " AND ", 1)
	exists := `EXISTS (SELECT 1 FROM suffered WHERE suffered.incident = incidents.id` + who
	args = append(args, whose...)
	if q.Box != (fleet.Address{}) {
		exists += ` AND suffered.box = ?`
		args = append(args, name(q.Box))
	}
	all = append(all, exists+`)`)
	if q.ID != "" {
		all, args = append(all, `id = ?`), append(args, q.ID)
	}
	if !q.Until.IsZero() {
		all, args = append(all, `from_at < ?`), append(args, millis(q.Until))
	}
	if !q.From.IsZero() {
		all, args = append(all, `(seen_at > ? OR lasts = 1 AND seen_at > ?)`), append(args, millis(q.From), millis(db.conf.Now().Add(-unseen)))
	}
	if q.Most <= 0 {
		q.Most = 100
	}
	var out []Incident
	err := db.e.read(ctx, fmt.Sprintf(`SELECT id, target, cause, isp, from_at, seen_at, lasts FROM incidents WHERE %s ORDER BY from_at DESC, id LIMIT %d`,
		strings.Join(all, " AND "), q.Most), args, func(s scan) error {
		i, err := db.incident(s)
		out = append(out, i)
		return err
	})
	for n := range out {
		if err == nil {
			err = db.e.read(ctx, `SELECT tenant, count(*) FROM suffered WHERE incident = ?`+who+` GROUP BY tenant`, append([]any{out[n].ID}, whose...), func(s scan) error {
				var tenant string
				var boxes int
				err := s(&tenant, &boxes)
				out[n].Boxes[tenant] = boxes
				return err
			})
		}
	}
	if err != nil {
		return nil, fmt.Errorf("history: incidents: %w", err)
	}
	return out, nil
}

func (db *DB) incident(s scan) (Incident, error) {
	i := Incident{Boxes: map[string]int{}}
	var cause string
	var from, seen, lasts int64
	if err := s(&i.ID, &i.Target, &cause, &i.ISP, &from, &seen, &lasts); err != nil {
		return i, err
	}
	_ = i.Cause.UnmarshalText([]byte(cause)) // one of a later version is not known
	i.FromAt = moment(from)
	if lasts == 0 || db.conf.Now().Sub(moment(seen)) > unseen {
		i.UntilAt = moment(seen)
	}
	return i, nil
}

// IncidentISPs counts the boxes that have suffered from an incident by provider, as
// far as it is known, the most first. Only boxes that may be seen are counted.
func (db *DB) IncidentISPs(ctx context.Context, id string, tenants []string) ([]Facet, error) {
	who, whose := Query{Tenants: tenants}.where()
	var out []Facet
	err := db.e.read(ctx, `SELECT isp, count(*) FROM boxes`+cmp.Or(who, " WHERE 1 = 1")+` AND isp <> '' AND box IN (SELECT box FROM suffered WHERE incident = ?)
		GROUP BY isp ORDER BY 2 DESC, 1 LIMIT 100`, append(whose, id), func(s scan) error {
		f := Facet{Kind: "isp"}
		err := s(&f.Value, &f.Boxes)
		out = append(out, f)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("history: providers of incident %s: %w", id, err)
	}
	return out, nil
}

// Forgotten hands out the boxes that were deleted after a moment, at most a day ago,
// and have not reported again.
func (db *DB) Forgotten(ctx context.Context, after time.Time, take func(fleet.Address, time.Time)) error {
	after = later(after, db.conf.Now().Add(-remembered))
	err := db.e.read(ctx, `SELECT box, at_ms FROM forgotten WHERE at_ms > ? AND box NOT IN (SELECT box FROM boxes) ORDER BY at_ms`, []any{millis(after)}, func(s scan) error {
		var box string
		var at int64
		err := s(&box, &at)
		take(addressOf(box), moment(at))
		return err
	})
	if err != nil {
		return fmt.Errorf("history: deleted boxes: %w", err)
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// sweepIncidents forgets what ended before a time, and which boxes were deleted.
func (db *DB) sweepIncidents(ctx context.Context, old int64) error {
	return db.e.write(ctx, func(t tx) error {
		for statement, at := range map[string]int64{
			`DELETE FROM suffered WHERE incident IN (SELECT id FROM incidents WHERE seen_at < ?)`: old,
			`DELETE FROM forgotten WHERE at_ms < ?`:                                               millis(db.conf.Now().Add(-remembered)),
		} {
			if _, err := t.each(statement, [][]any{{at}}); err != nil {
				return err
			}
		}
		_, err := t.each(`DELETE FROM incidents WHERE seen_at < ?`, [][]any{{old}})
		return err
	})
}
