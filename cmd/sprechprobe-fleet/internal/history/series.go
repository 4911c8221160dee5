package history

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// Changes is the log of a box between two times, the newest first, at most 1000.
func (db *DB) Changes(ctx context.Context, a fleet.Address, from, until time.Time) ([]Change, error) {
	var out []Change
	err := db.e.read(ctx, `SELECT event_at, was, state FROM changes WHERE box = ? AND event_at >= ? AND event_at < ? ORDER BY event_at DESC LIMIT 1000`,
		[]any{name(a), millis(from), millis(until)}, func(s scan) error {
			var at int64
			var was, state string
			err := s(&at, &was, &state)
			out = append(out, change(at, was, state))
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("history: changes of %s: %w", a, err)
	}
	return out, nil
}

func change(at int64, was, state string) Change {
	c := Change{At: moment(at)}
	var before, now []Finding
	c.From, before = parseState(was)
	c.To, now = parseState(state)
	c.Began = without(now, before)
	c.Ended = without(before, now)
	return c
}

func without(all, some []Finding) []Finding {
	return slices.DeleteFunc(slices.Clone(all), func(f Finding) bool { return slices.Contains(some, f) })
}

// Point is what reports of one stretch of time say together.
type Point struct {
	At       time.Time             // the start of the stretch
	Reports  int                   // 0 does not occur: a stretch without reports is left out
	Verdicts map[agent.Verdict]int // reports by verdict
	Metrics  map[Metric]Stat       // only what was measured
}

// Stat sums up the values of a metric.
type Stat struct {
	N              int
	Mean, Min, Max float64
}

// Series returns the measures of a box between two times, by stretches of a length
// of at least a second. What is older than reports are kept comes by the hour. It
// is at most 10000 points.
func (db *DB) Series(ctx context.Context, a fleet.Address, from, until time.Time, step time.Duration) ([]Point, error) {
	ms := step.Milliseconds()
	if ms < 1000 || until.Sub(from)/step >= 10000 {
		return nil, fmt.Errorf("history: series of %v in steps of %v: want steps of a second or more, and at most 10000", until.Sub(from), step)
	}
	sums := map[int64]*sums{}
	for _, query := range []string{
		fmt.Sprintf(`SELECT event_at / %d, %s FROM reports WHERE box = (SELECT no FROM boxes WHERE box = ?) AND event_at >= ? AND event_at < ? GROUP BY 1`, ms, ofReports),
		fmt.Sprintf(`SELECT hour * %d / %d, %s FROM hours WHERE box = ? AND hour * %[1]d >= ? AND hour * %[1]d < ? GROUP BY 1`, hourMS, ms, ofHours),
	} {
		err := db.e.read(ctx, query, []any{name(a), millis(from), millis(until)}, func(s scan) error { return addUp(sums, s) })
		if err != nil {
			return nil, fmt.Errorf("history: series of %s: %w", a, err)
		}
	}
	out := make([]Point, 0, len(sums))
	for at, s := range sums {
		out = append(out, s.point(moment(at*ms)))
	}
	slices.SortFunc(out, func(a, b Point) int { return a.At.Compare(b.At) })
	return out, nil
}

const hourMS = 3600 * 1000

// ofReports and ofHours are the same sums, of reports and of hours.
var ofReports, ofHours = func() (reports, hours string) {
	r, h := []string{"count(*)"}, []string{"CAST(sum(n) AS BIGINT)"}
	for v := range verdicts {
		r = append(r, fmt.Sprintf("count(CASE WHEN verdict = %d THEN 1 END)", v))
		h = append(h, fmt.Sprintf("CAST(sum(v%d) AS BIGINT)", v))
	}
	for _, m := range Metrics {
		r = append(r, fmt.Sprintf("CAST(count(%[1]s) AS DOUBLE PRECISION), sum(%[1]s), min(%[1]s), max(%[1]s)", m))
		c := statColumns(m)
		h = append(h, fmt.Sprintf("sum(%s), sum(%s), min(%s), max(%s)", c[0], c[1], c[2], c[3]))
	}
	return strings.Join(r, ", "), strings.Join(h, ", ")
}()

// sums are the columns of ofReports.
type sums struct {
	n        int64
	verdicts [verdicts]int64
	metrics  [][4]float64 // number, sum, least, greatest
}

// addUp reads a row and adds it to the others of its stretch.
func addUp(all map[int64]*sums, s scan) error {
	var at, n int64
	var v [verdicts]int64
	stats := make([][4]*float64, len(Metrics))
	into := []any{&at, &n}
	for i := range v {
		into = append(into, &v[i])
	}
	for i := range stats {
		for j := range stats[i] {
			into = append(into, &stats[i][j])
		}
	}
	if err := s(into...); err != nil {
		return err
	}
	to := all[at]
	if to == nil {
		to = &sums{metrics: make([][4]float64, len(Metrics))}
		all[at] = to
	}
	to.n += n
	for i := range v {
		to.verdicts[i] += v[i]
	}
	for i, st := range stats {
		if st[0] == nil || *st[0] == 0 {
			continue
		}
		m := &to.metrics[i]
		if m[0] == 0 {
			m[2], m[3] = *st[2], *st[3]
		}
		m[0], m[1], m[2], m[3] = m[0]+*st[0], m[1]+*st[1], min(m[2], *st[2]), max(m[3], *st[3])
	}
	return nil
}

func (s *sums) point(at time.Time) Point {
	p := Point{At: at, Reports: int(s.n), Verdicts: map[agent.Verdict]int{}, Metrics: map[Metric]Stat{}}
	for v, n := range s.verdicts {
		if n > 0 {
			p.Verdicts[agent.Verdict(v)] = int(n)
		}
	}
	for i, m := range s.metrics {
		if m[0] > 0 {
			p.Metrics[Metrics[i]] = Stat{N: int(m[0]), Mean: m[1] / m[0], Min: m[2], Max: m[3]}
		}
	}
	return p
}

// line is one line of an export: exactly one field is there.
type line struct {
	Box    *Box            `json:"box,omitempty"`
	Change *Change         `json:"change,omitempty"`
	Hour   *Point          `json:"hour,omitempty"` // of reports that are kept no longer
	Report json.RawMessage `json:"report,omitempty"`

	Incident *Incident `json:"incident,omitempty"` // that it has suffered from
}

func (db *DB) export(ctx context.Context, a fleet.Address, w io.Writer) error {
	b, _, err := db.Newest(ctx, a)
	if err != nil {
		return err
	}
	out := json.NewEncoder(w)
	if err := out.Encode(line{Box: &b}); err != nil {
		return err
	}
	suffered, err := db.Incidents(ctx, IncidentQuery{Box: a, Most: 10000})
	if err != nil {
		return err
	}
	for _, i := range suffered {
		i.Boxes = nil // of others
		if err := out.Encode(line{Incident: &i}); err != nil {
			return err
		}
	}
	box := []any{name(a)}
	err = db.e.read(ctx, `SELECT event_at, was, state FROM changes WHERE box = ? ORDER BY event_at`, box, func(s scan) error {
		var at int64
		var was, state string
		if err := s(&at, &was, &state); err != nil {
			return err
		}
		c := change(at, was, state)
		return out.Encode(line{Change: &c})
	})
	if err != nil {
		return err
	}
	err = db.e.read(ctx, fmt.Sprintf(`SELECT hour, %s FROM hours WHERE box = ? GROUP BY hour ORDER BY hour`, ofHours), box, func(s scan) error {
		one := map[int64]*sums{}
		if err := addUp(one, s); err != nil {
			return err
		}
		for hour, s := range one {
			p := s.point(moment(hour * hourMS))
			return out.Encode(line{Hour: &p})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return db.e.read(ctx, `SELECT raws.raw FROM reports JOIN raws ON raws.no = reports.raw
		WHERE reports.box = (SELECT no FROM boxes WHERE box = ?) ORDER BY reports.event_at, reports.seq`, box, func(s scan) error {
		var packed []byte
		if err := s(&packed); err != nil {
			return err
		}
		raw, err := db.open(ctx, packed)
		if err != nil {
			return err
		}
		return out.Encode(line{Report: raw})
	})
}
