package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/reports"
)

// Query says which boxes are wanted. Its zero value wants all, the worst first.
type Query struct {
	Tenants []string // whose boxes may be seen; nil: everybody's; empty: nobody's
	Tenant  string   // each empty field: any

	Verdict    *agent.Verdict // of boxes that are not silent
	Silent     *bool
	SilentFrom time.Time // not heard of since
	Finding    agent.Code
	Cause      *agent.Cause // with which a finding is shown, see [DB.Explain]
	Incident   string       // that boxes suffer from, or have suffered from
	Profile    string
	Version    string
	ISP        string
	Text       string // in name, tenant or box, in any case

	Sort Sort
	Page int // from 1; 0: the first
	Size int // of a page, 1 to 1000; 0: 50
}

// Sort is an order of boxes.
type Sort string

// The orders.
const (
	Worst  Sort = ""       // verdict, then the gravest finding
	ByName Sort = "name"   // tenant and box
	Heard  Sort = "heard"  // the longest silent first
	Recent Sort = "recent" // the newest change first
)

var sorts = map[Sort]string{Worst: "place, box", ByName: "box", Heard: "arrived_at, box", Recent: "since_at DESC, box"}

// Result is one page of boxes.
type Result struct {
	Boxes []Box
	Found int // on all pages
}

// Find returns one page of the boxes that are wanted.
func (db *DB) Find(ctx context.Context, q Query) (Result, error) {
	sort, ok := sorts[q.Sort]
	if !ok {
		return Result{}, fmt.Errorf("history: no order %q", q.Sort)
	}
	size := q.Size
	if size <= 0 {
		size = 50
	}
	size = min(size, 1000)
	where, args := q.where()
	var r Result
	err := db.e.read(ctx, `SELECT count(*) FROM boxes`+where, args, func(s scan) error { return s(&r.Found) })
	if err == nil && r.Found > 0 {
		from := size * min(max(q.Page-1, 0), (r.Found-1)/size)
		err = db.e.read(ctx, fmt.Sprintf(`SELECT %s FROM boxes%s ORDER BY %s LIMIT %d OFFSET %d`, boxColumns, where, sort, size, from), args,
			func(s scan) error {
				b, err := box(s)
				r.Boxes = append(r.Boxes, b)
				return err
			})
	}
	if err != nil {
		return Result{}, fmt.Errorf("history: find boxes: %w", err)
	}
	return r, nil
}

func box(s scan) (Box, error) {
	var k known
	if err := k.scan(s); err != nil {
		return Box{}, err
	}
	_, found := parseState(k.state)
	return Box{
		Address: addressOf(k.box), Name: k.title, Version: k.version, ISP: k.isp, Verdict: k.verdict, Severity: k.severity,
		Silent: k.silent, Findings: found, Boot: k.boot, Seq: uint64(k.seq), EventAt: moment(k.eventAt), ArrivedAt: moment(k.arrivedAt),
		FirstAt: moment(k.first), SinceAt: moment(k.since), Interval: time.Duration(k.every) * time.Millisecond, Reports: uint64(k.reports),
	}, nil
}

// where writes what is wanted as a condition.
func (q Query) where() (string, []any) {
	var all []string
	var args []any
	want := func(condition string, values ...any) {
		all, args = append(all, condition), append(args, values...)
	}
	if q.Tenants != nil {
		in := make([]any, len(q.Tenants))
		for i, t := range q.Tenants {
			in[i] = t
		}
		want("tenant IN ("+strings.TrimPrefix(strings.Repeat(", ?", len(in)), ", ")+")", in...)
		if len(in) == 0 {
			all[len(all)-1] = "1 = 0"
		}
	}
	if q.Tenant != "" {
		want("tenant = ?", q.Tenant)
	}
	if q.Verdict != nil {
		want("verdict = ? AND silent = 0", int64(*q.Verdict))
	}
	if q.Silent != nil {
		want("silent = ?", map[bool]int64{true: 1}[*q.Silent])
	}
	if !q.SilentFrom.IsZero() {
		want("arrived_at < ?", millis(q.SilentFrom))
	}
	tag := func(kind, value string) {
		// From the tag to its boxes: few boxes have most of what is asked for.
		want("boxes.box IN (SELECT box FROM tags WHERE tag = ?)", kind+value)
	}
	if q.Finding != "" {
		tag("finding:", string(q.Finding))
	}
	if q.Cause != nil {
		want(causeTag, "cause:"+q.Cause.String(), q.Cause.String())
	}
	if q.Incident != "" {
		want("boxes.box IN (SELECT box FROM suffered WHERE incident = ?)", q.Incident)
	}
	if q.Profile != "" {
		tag("profile:", q.Profile)
	}
	if q.Version != "" {
		want("version = ?", q.Version)
	}
	if q.ISP != "" {
		want("isp = ?", q.ISP)
	}
	if q.Text != "" {
		escape := strings.NewReplacer(`!`, `!!`, `%`, `!%`, `_`, `!_`)
		want("search LIKE ? ESCAPE '!'", "%"+escape.Replace(strings.ToLower(clip(q.Text, 200)))+"%")
	}
	if len(all) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(all, " AND "), args
}

// Counts is how many boxes there are of each kind. A silent box counts as silent,
// whatever its last verdict was.
type Counts struct {
	Verdicts map[agent.Verdict]int
	Silent   int
}

// Count counts the boxes that are wanted. Verdict, Silent, order and page do not
// matter.
func (db *DB) Count(ctx context.Context, q Query) (Counts, error) {
	q.Verdict, q.Silent = nil, nil
	where, args := q.where()
	c := Counts{Verdicts: map[agent.Verdict]int{}}
	// By place, which has an index, rather than by verdict.
	err := db.e.read(ctx, `SELECT place, count(*) FROM boxes`+where+` GROUP BY place`, args, func(s scan) error {
		var at int64
		var n int
		if err := s(&at, &n); err != nil {
			return err
		}
		if at/4 == silentPlace {
			c.Silent += n
			return nil
		}
		for v, p := range places {
			if p == at/4 {
				c.Verdicts[v] += n
			}
		}
		return nil
	})
	if err != nil {
		return Counts{}, fmt.Errorf("history: count boxes: %w", err)
	}
	return c, nil
}

// Facet is something that boxes can be found by, and how many there are.
type Facet struct {
	Kind  string // finding, cause, profile, version or isp
	Value string
	Boxes int
}

// Facets lists what the boxes that are wanted can be found by further, the most
// frequent first.
func (db *DB) Facets(ctx context.Context, q Query) ([]Facet, error) {
	where, args := q.where()
	var out []Facet
	add := func(kind string) func(scan) error {
		return func(s scan) error {
			f := Facet{Kind: kind}
			if err := s(&f.Value, &f.Boxes); err != nil {
				return err
			}
			if kind == "" {
				f.Kind, f.Value, _ = strings.Cut(f.Value, ":")
			}
			if f.Value != "" {
				out = append(out, f)
			}
			return nil
		}
	}
	tags := `SELECT tag, count(*) FROM tags GROUP BY tag`
	if where != "" {
		tags = `SELECT tag, count(*) FROM tags JOIN boxes ON boxes.box = tags.box` + where + ` GROUP BY tag`
	}
	err := db.e.read(ctx, tags, args, add(""))
	for _, column := range []string{"version", "isp"} {
		if err == nil {
			err = db.e.read(ctx, `SELECT `+column+`, count(*) FROM boxes`+where+` GROUP BY `+column, args, add(column))
		}
	}
	if err == nil {
		out, err = db.causesShown(ctx, where, args, out)
	}
	if err != nil {
		return nil, fmt.Errorf("history: facets: %w", err)
	}
	slices.SortStableFunc(out, func(a, b Facet) int {
		if a.Kind != b.Kind {
			return strings.Compare(a.Kind, b.Kind)
		}
		if a.Boxes != b.Boxes {
			return b.Boxes - a.Boxes
		}
		return strings.Compare(a.Value, b.Value)
	})
	return out, nil
}

// Each hands out every box that was last heard of before a moment, with its newest
// report, in the order of names. The report's Schema is empty where its time is over.
func (db *DB) Each(ctx context.Context, before time.Time, take func(Box, agent.Report)) error {
	const query = `SELECT ` + boxColumns + `, (SELECT raws.raw FROM reports JOIN raws ON raws.no = reports.raw
			WHERE reports.box = boxes.no AND reports.event_at = boxes.event_at AND reports.seq = boxes.seq AND reports.boot = boxes.boot)
		FROM boxes WHERE box > ? AND arrived_at < ? AND event_at > 0 ORDER BY box LIMIT 500`
	for last := ""; ; {
		n := 0
		err := db.e.read(ctx, query, []any{last, millis(before)}, func(s scan) error {
			var packed []byte
			b, err := box(func(into ...any) error { return s(append(into, &packed)...) })
			if err != nil {
				return err
			}
			r, err := db.unpack(ctx, packed)
			if err != nil {
				return fmt.Errorf("newest report of %s: %w", b.Address, err)
			}
			last = name(b.Address)
			n++
			take(b, r)
			return nil
		})
		if err != nil {
			return fmt.Errorf("history: all boxes: %w", err)
		}
		if n == 0 {
			return nil
		}
	}
}

// ISPs hands out the provider of each box whose provider is known.
func (db *DB) ISPs(ctx context.Context, take func(a fleet.Address, isp string)) error {
	err := db.e.read(ctx, `SELECT box, isp FROM boxes WHERE isp <> ''`, nil, func(s scan) error {
		var box, isp string
		err := s(&box, &isp)
		take(addressOf(box), isp)
		return err
	})
	if err != nil {
		return fmt.Errorf("history: providers: %w", err)
	}
	return nil
}

// Newest returns a box and its newest report, whose Schema is empty where its time
// is over. The error is [ErrUnknownBox] where there is none.
func (db *DB) Newest(ctx context.Context, a fleet.Address) (Box, agent.Report, error) {
	var b Box
	err := db.e.read(ctx, `SELECT `+boxColumns+` FROM boxes WHERE box = ? AND event_at > 0`, []any{name(a)},
		func(s scan) (err error) { b, err = box(s); return err })
	if err == nil && b.Tenant == "" {
		return Box{}, agent.Report{}, fmt.Errorf("box %s: %w", a, ErrUnknownBox)
	}
	var r agent.Report
	if err == nil {
		r, err = db.report(ctx, name(a))
	}
	if err != nil {
		return Box{}, agent.Report{}, fmt.Errorf("history: box %s: %w", a, err)
	}
	return b, r, nil
}

// report is the newest report of a box.
func (db *DB) report(ctx context.Context, box string) (agent.Report, error) {
	var packed []byte
	err := db.e.read(ctx, `SELECT raws.raw FROM boxes JOIN reports ON reports.box = boxes.no AND reports.event_at = boxes.event_at
			AND reports.seq = boxes.seq AND reports.boot = boxes.boot JOIN raws ON raws.no = reports.raw WHERE boxes.box = ?`, []any{box},
		func(s scan) error { return s(&packed) })
	if err != nil {
		return agent.Report{}, err
	}
	return db.unpack(ctx, packed)
}

func (db *DB) unpack(ctx context.Context, packed []byte) (agent.Report, error) {
	if packed == nil {
		return agent.Report{}, nil
	}
	raw, err := db.open(ctx, packed)
	if err != nil {
		return agent.Report{}, errors.Join(errors.New("kept report cannot be read"), err)
	}
	return reports.Decode(raw)
}
