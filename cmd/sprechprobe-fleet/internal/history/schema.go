package history

import (
	"fmt"
	"strings"
)

// Metric is a measure that reports carry and charts show.
type Metric string

// The metrics, by their column.
const (
	RTT       Metric = "rtt_ms"          // median over the service's own answers
	Loss      Metric = "loss_ratio"      // of media-like bursts, or of a measurement
	Jitter    Metric = "jitter_ms"       // likewise
	Down      Metric = "down_bits_per_s" // measured throughput
	Up        Metric = "up_bits_per_s"
	LoadedRTT Metric = "loaded_rtt_ms" // round trip while the line is busy, the worse direction
)

// Metrics lists the metrics.
var Metrics = []Metric{RTT, Loss, Jitter, Down, Up, LoadedRTT}

const verdicts = 5

// words are what the two databases call differently.
type words struct {
	number    string // the type of a number that rows are kept by
	clustered string // follows a table whose rows lie in the order of their key
}

// schema is the statements that make the tables. They are written for both
// databases: times are milliseconds since 1970, and no key starts with a time, so
// that a distributed database spreads what is written at one time.
func schema(w words) []string {
	var measured, hourly strings.Builder
	for _, m := range Metrics {
		fmt.Fprintf(&measured, ", %s DOUBLE PRECISION", m)
		for _, c := range statColumns(m) {
			fmt.Fprintf(&hourly, ", %s DOUBLE PRECISION", c)
		}
	}
	for v := range verdicts {
		fmt.Fprintf(&hourly, ", v%d BIGINT NOT NULL", v)
	}
	return []string{
		// The newest of each box. place orders them, the worst first; due is when
		// a box without a word counts as silent.
		`CREATE TABLE IF NOT EXISTS boxes (no ` + w.number + ` NOT NULL PRIMARY KEY, box TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL,
			name TEXT NOT NULL, search TEXT NOT NULL, version TEXT NOT NULL, isp TEXT NOT NULL,
			place BIGINT NOT NULL, verdict BIGINT NOT NULL, severity BIGINT NOT NULL, silent BIGINT NOT NULL, state TEXT NOT NULL,
			boot TEXT NOT NULL, seq BIGINT NOT NULL, top BIGINT NOT NULL, gaps TEXT NOT NULL, event_at BIGINT NOT NULL, arrived_at BIGINT NOT NULL, first_at BIGINT NOT NULL,
			since_at BIGINT NOT NULL, every_ms BIGINT NOT NULL, uptime_ms BIGINT NOT NULL, due_at BIGINT NOT NULL, reports BIGINT NOT NULL)`,
		`CREATE INDEX IF NOT EXISTS boxes_worst ON boxes (place, box)`,
		`CREATE INDEX IF NOT EXISTS boxes_tenant ON boxes (tenant, place, box)`,
		// What a box can be found by: finding, cause, profile.
		`CREATE TABLE IF NOT EXISTS tags (box TEXT NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (box, tag))`,
		`CREATE INDEX IF NOT EXISTS tags_of ON tags (tag, box)`,
		// What charts show of each report, box by box: box is the box's number, raw
		// that of the report as it came.
		`CREATE TABLE IF NOT EXISTS reports (box BIGINT NOT NULL, event_at BIGINT NOT NULL, seq BIGINT NOT NULL, boot TEXT NOT NULL,
			arrived_at BIGINT NOT NULL, verdict BIGINT NOT NULL, state TEXT NOT NULL` + measured.String() +
			`, raw BIGINT NOT NULL, PRIMARY KEY (box, event_at, seq, boot))` + w.clustered,
		// Reports as they came, in the order of their arrival.
		`CREATE TABLE IF NOT EXISTS raws (no ` + w.number + ` NOT NULL PRIMARY KEY, raw BYTEA NOT NULL)`,
		// Which reports there are of a run that is not the newest report's; see seen.
		`CREATE TABLE IF NOT EXISTS runs (box BIGINT NOT NULL, boot TEXT NOT NULL, top BIGINT NOT NULL, gaps TEXT NOT NULL,
			event_at BIGINT NOT NULL, PRIMARY KEY (box, boot))` + w.clustered,
		`CREATE TABLE IF NOT EXISTS changes (box TEXT NOT NULL, event_at BIGINT NOT NULL, was TEXT NOT NULL, state TEXT NOT NULL,
			PRIMARY KEY (box, event_at))`,
		`CREATE TABLE IF NOT EXISTS dictionaries (day BIGINT NOT NULL PRIMARY KEY, dictionary BYTEA NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS hours (box TEXT NOT NULL, hour BIGINT NOT NULL, n BIGINT NOT NULL` + hourly.String() +
			`, PRIMARY KEY (box, hour))`,
		// What one of several programs does, who that is, and whether it still counts on.
		`CREATE TABLE IF NOT EXISTS turns (what TEXT NOT NULL PRIMARY KEY, holder TEXT NOT NULL, beat BIGINT NOT NULL, kept BYTEA NOT NULL)`,
	}
}

// statColumns are those of a metric in the table of hours.
func statColumns(m Metric) []string {
	s := string(m)
	return []string{s + "_n", s + "_sum", s + "_min", s + "_max"}
}
