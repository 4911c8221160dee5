package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent"
)

const (
	// States are the subjects on which boxes say at once what has changed, and
	// Beats those on which they say that they are alive. Both carry a [Beat], are
	// published without a stream, and need no answer.
	States = Prefix + ".*.*.up.state"
	Beats  = Prefix + ".*.*.up.hb"

	// BeatSchema is the number of the beat contract.
	BeatSchema = "sprechprobe.beat/1"
	// MaxBeat is the largest beat on the wire, bytes.
	MaxBeat = 1 << 10
)

// Beat is what a box says between reports and ahead of those that wait: which
// report is its newest, so that older ones that arrive later are known to be of
// the past, and how many wait. It belongs to the run that [HeaderBoot] names.
type Beat struct {
	Schema  string        `json:"schema"`
	Seq     uint64        `json:"seq"` // of the newest report; 0: none yet
	Verdict agent.Verdict `json:"verdict"`
	Stamp   agent.Stamp   `json:"stamp"` // of this beat
	Queued  int           `json:"queued_count"`
	Dropped int64         `json:"dropped_count"`
	EveryS  float64       `json:"every_s"` // another one comes within this time
}

// BeatSubjects are where a box publishes its changes and its beats.
func BeatSubjects(tenant, box string) (state, beat string, err error) {
	report, err := ReportSubject(tenant, box)
	if err != nil {
		return "", "", err
	}
	up := strings.TrimSuffix(report, "report")
	return up + "state", up + "hb", nil
}

// ParseBeatSubject returns the tenant and box of a beat's subject, and whether it
// tells a change.
func ParseBeatSubject(s string) (tenant, box string, change bool, err error) {
	up, kind, ok := cutLast(s, ".")
	if !ok || kind != "state" && kind != "hb" {
		return "", "", false, fmt.Errorf("subject %.100q is not a beat's", s)
	}
	tenant, box, err = ParseReportSubject(up + ".report")
	return tenant, box, kind == "state", err
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// DecodeBeat reads a beat from the wire. It accepts unknown fields, but no unknown
// schema and no oversized message.
func DecodeBeat(b []byte) (Beat, error) {
	if len(b) > MaxBeat {
		return Beat{}, fmt.Errorf("beat of %d bytes is over %d", len(b), MaxBeat)
	}
	var beat Beat
	if err := json.Unmarshal(b, &beat); err != nil {
		return Beat{}, fmt.Errorf("beat: %w", err)
	}
	if err := CheckSchema(beat.Schema, BeatSchema); err != nil {
		return Beat{}, fmt.Errorf("beat: %w", err)
	}
	if beat.Queued < 0 || beat.Dropped < 0 || beat.EveryS < 0 {
		return Beat{}, errors.New("beat: a count or a time is negative")
	}
	return beat, nil
}
