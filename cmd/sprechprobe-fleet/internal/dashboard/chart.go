package dashboard

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
)

// The size of a drawing, in its own units: the plot lies between left and right, top
// and bottom.
const (
	wide   = 800.0
	left   = 56.0
	right  = wide - 8
	top    = 10.0
	bottom = 150.0
)

// drawing is what charts are drawn from.
type drawing struct {
	labels
	lang             advice.Lang
	over             period
	from, until, now time.Time
	zone             *time.Location
	interval         time.Duration // between two reports of the box; 0: not known
	points           []history.Point
}

// chart is one chart with its text.
type chart struct {
	ID, Name, Unit string
	Lines          []line
	YTicks, XTicks []tick
	Head           []string
	Rows           [][]string
}

// line is one metric in a chart.
type line struct {
	Name, Text string // Text says what the line shows
	Path, Band string // of SVG
	Second     bool
}

type tick struct {
	At   string
	Text string
}

// kind is what one chart shows, and by how much values are multiplied.
type kind struct {
	id, unit string
	factor   float64
	metrics  []history.Metric
}

var kinds = []kind{
	{"rtt", "ms", 1, []history.Metric{history.RTT, history.LoadedRTT}},
	{"jitter", "ms", 1, []history.Metric{history.Jitter}},
	{"loss", "%", 100, []history.Metric{history.Loss}},
	{"rate", "Mbit/s", 1e-6, []history.Metric{history.Down, history.Up}},
}

func (d drawing) charts() []chart {
	out := make([]chart, len(kinds))
	for i, k := range kinds {
		out[i] = d.chart(k)
	}
	return out
}

func (d drawing) chart(k kind) chart {
	c := chart{ID: k.id, Name: d.Metrics[k.id], Unit: k.unit, XTicks: d.xTicks()}
	most := 0.0
	for _, p := range d.points {
		for _, m := range k.metrics {
			most = max(most, p.Metrics[m].Max*k.factor)
		}
	}
	scale := nice(most)
	for i, m := range k.metrics {
		if l := d.line(k, m, scale); l.Path != "" {
			l.Second = i > 0
			c.Lines = append(c.Lines, l)
		}
	}
	if len(c.Lines) == 0 {
		return c
	}
	for i := range 3 {
		v := scale * float64(i) / 2
		c.YTicks = append(c.YTicks, tick{coordinate(height(v, scale)), d.number(v)})
	}
	c.Head, c.Rows = d.table(k)
	return c
}

// nice is the least of 1, 2 and 5 times a power of ten that is not below v.
func nice(v float64) float64 {
	if !(v > 0) {
		return 1
	}
	base := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if v <= m*base*(1+1e-9) {
			return m * base
		}
	}
	return 10 * base
}

func height(v, scale float64) float64 { return bottom - (bottom-top)*v/scale }

func (d drawing) x(t time.Time) float64 {
	return left + (right-left)*float64(t.Sub(d.from))/float64(d.until.Sub(d.from))
}

// coordinate writes a coordinate no finer than a screen shows.
func coordinate(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

// apart is how far two reports may be from each other without a gap between them.
func (d drawing) apart() time.Duration { return max(2*d.over.step, 3*d.interval) }

// line draws the mean of a metric, and a band from its least to its greatest value.
// Where nothing was measured for long there is a gap. Bandwidth is measured seldom:
// what is measured once in hours has points, and no gaps that would say nothing.
func (d drawing) line(k kind, m history.Metric, scale float64) line {
	l := line{Name: d.Metrics[string(m)]}
	var path, upper strings.Builder
	var lower []string
	var last time.Time
	total := history.Stat{Min: math.Inf(1)}
	band := func() {
		if len(lower) > 1 {
			l.Band += "M" + strings.TrimPrefix(upper.String(), "L")
			for i := len(lower) - 1; i >= 0; i-- {
				l.Band += "L" + lower[i]
			}
			l.Band += "Z"
		}
		upper.Reset()
		lower = nil
	}
	for _, p := range d.points {
		s, ok := p.Metrics[m]
		if !ok {
			continue
		}
		x := coordinate(d.x(p.At.Add(d.over.step / 2)))
		at := x + " " + coordinate(height(s.Mean*k.factor, scale))
		if last.IsZero() || p.At.Sub(last) > d.reach(m) {
			band()
			fmt.Fprintf(&path, "M%sh.1", at) // seen even if no line follows
		} else {
			fmt.Fprintf(&path, "L%s", at)
		}
		upper.WriteString("L" + x + " " + coordinate(height(s.Max*k.factor, scale)))
		lower = append(lower, x+" "+coordinate(height(s.Min*k.factor, scale)))
		last = p.At
		add(&total, s)
	}
	band()
	l.Path = path.String()
	if total.N > 0 {
		l.Text = fmt.Sprintf(d.ChartOf, d.number(total.Mean*k.factor), d.number(total.Min*k.factor), d.number(total.Max*k.factor))
	}
	return l
}

// reach is how far two values of a metric may be apart and still be joined.
func (d drawing) reach(m history.Metric) time.Duration {
	switch m {
	case history.Down, history.Up, history.LoadedRTT:
		return max(d.apart(), 26*time.Hour)
	}
	return d.apart()
}

// add adds values to others. Those of nothing have an infinite minimum.
func add(to *history.Stat, s history.Stat) {
	n := to.N + s.N
	if n == 0 {
		return
	}
	to.Mean = (to.Mean*float64(to.N) + s.Mean*float64(s.N)) / float64(n)
	to.Min, to.Max, to.N = min(to.Min, s.Min), max(to.Max, s.Max), n
}

// table is a chart in words, by longer stretches.
func (d drawing) table(k kind) (head []string, rows [][]string) {
	head = []string{d.Time}
	for _, m := range k.metrics {
		name := d.Metrics[string(m)]
		head = append(head, name+", "+d.Mean, name+", "+d.Least, name+", "+d.Most)
	}
	for at := d.from.In(d.zone).Truncate(d.over.row); at.Before(d.until); at = at.Add(d.over.row) {
		row, some := []string{at.In(d.zone).Format(d.over.cell(d.lang))}, false
		for _, m := range k.metrics {
			sum := history.Stat{Min: math.Inf(1)}
			for _, p := range d.points {
				if !p.At.Before(at) && p.At.Before(at.Add(d.over.row)) {
					if s, ok := p.Metrics[m]; ok {
						add(&sum, s)
					}
				}
			}
			if sum.N == 0 {
				row = append(row, "–", "–", "–")
				continue
			}
			some = true
			row = append(row, d.number(sum.Mean*k.factor), d.number(sum.Min*k.factor), d.number(sum.Max*k.factor))
		}
		if some {
			rows = append(rows, row)
		}
	}
	return head, rows
}

// number writes a number with as many digits as anybody reads.
func (d drawing) number(v float64) string {
	digits := 0
	switch {
	case v == 0 || math.Abs(v) >= 100:
	case math.Abs(v) >= 10:
		digits = 1
	default:
		digits = 2
	}
	s := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	if d.lang != advice.English {
		s = strings.Replace(s, ".", ",", 1)
	}
	return s
}

// xTicks are round local times.
func (d drawing) xTicks() []tick {
	var out []tick
	from := d.from.In(d.zone)
	at := time.Date(from.Year(), from.Month(), from.Day(), 0, 0, 0, 0, d.zone)
	for ; at.Before(d.until); at = d.step(at) {
		if x := d.x(at); x >= left && x <= right-24 {
			out = append(out, tick{coordinate(x), at.Format(d.over.axis(d.lang))})
		}
	}
	return out
}

// step is the next tick: days are not always 24 hours.
func (d drawing) step(at time.Time) time.Time {
	if days := int(d.over.tick / (24 * time.Hour)); days > 0 {
		return at.AddDate(0, 0, days)
	}
	return at.Add(d.over.tick)
}

// timeline is what state a box was in, and when.
type timeline struct {
	Segments []segment
	XTicks   []tick
	Text     string // the same in words
}

type segment struct {
	X, Y, Width, Height string
	State               state // or gap
	Title               string
}

// tall is how tall the bars of states are: the worse, the taller, so that colour is
// not all that tells them apart.
var tall = map[state]float64{"blocked": 36, "offline": 36, "limited": 26, "unknown": 18, "ready": 10, gap: 4}

// floor is where bars stand.
const floor = 44.0

const gap state = "gap"

// timeline joins equal states. A stretch with several has the worst of them.
func (d drawing) timeline() timeline {
	t := timeline{XTicks: d.xTicks()}
	type stretch struct {
		from, until time.Time
		state       state
	}
	var all []stretch
	enter := func(from, until time.Time, s state) {
		if n := len(all); n > 0 && all[n-1].state == s && !all[n-1].until.Before(from) {
			all[n-1].until = until
		} else if until.After(from) {
			all = append(all, stretch{from, until, s})
		}
	}
	end := d.until
	if d.now.Before(end) {
		end = d.now
	}
	for i, p := range d.points {
		until := end
		if i+1 < len(d.points) {
			until = d.points[i+1].At
		}
		if until.Sub(p.At) > d.apart() {
			enter(p.At, p.At.Add(d.over.step), worst(p.Verdicts))
			enter(p.At.Add(d.over.step), until, gap)
		} else {
			enter(p.At, until, worst(p.Verdicts))
		}
	}
	shares := map[state]time.Duration{}
	total := time.Duration(0)
	for _, s := range all {
		word := d.Gap
		if s.state != gap {
			word = d.word(s.state, d.lang)
		}
		shares[s.state] += s.until.Sub(s.from)
		total += s.until.Sub(s.from)
		layout := d.over.cell(d.lang)
		t.Segments = append(t.Segments, segment{coordinate(d.x(s.from)), coordinate(floor - tall[s.state]), coordinate(max(.8, d.x(s.until)-d.x(s.from))), coordinate(tall[s.state]), s.state,
			word + ", " + s.from.In(d.zone).Format(layout) + " – " + s.until.In(d.zone).Format(layout)})
	}
	var words []string
	for _, s := range append(append([]state{}, states...), gap) {
		if shares[s] == 0 {
			continue
		}
		word := d.Gap
		if s != gap {
			word = d.word(s, d.lang)
		}
		words = append(words, fmt.Sprintf("%s %s %%", word, d.number(math.Round(1000*float64(shares[s])/float64(total))/10)))
	}
	t.Text = strings.Join(words, ", ")
	return t
}

// worst is the worst verdict of some.
func worst(of map[agent.Verdict]int) state {
	for _, s := range states {
		if s != silent && of[verdictOf(s)] > 0 {
			return s
		}
	}
	return "unknown"
}
