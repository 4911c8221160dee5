package fleet

import (
	"encoding/json"
	"fmt"
	"time"
)

const (
	// Times are the subjects at which boxes ask what time it is; the answer is a
	// [Time].
	Times = Prefix + ".*.*.up.time"

	// TimeSchema is the number of the time contract.
	TimeSchema = "sprechprobe.time/1"
	// maxTime is the longest answer, bytes.
	maxTime = 256
)

// Time is what the vendor's clock says, for boxes whose own nobody has set.
type Time struct {
	Schema string    `json:"schema"`
	At     time.Time `json:"at"` // UTC, when the answer was written
}

// Time is where the box asks what time it is.
func (a Address) Time() string { return a.subject("up.time") }

// DecodeTime reads an answer. It accepts unknown fields, but no unknown schema and
// no time before any box was made.
func DecodeTime(b []byte) (time.Time, error) {
	if len(b) > maxTime {
		return time.Time{}, fmt.Errorf("time: %d bytes, want at most %d", len(b), maxTime)
	}
	var t Time
	if err := json.Unmarshal(b, &t); err != nil {
		return time.Time{}, fmt.Errorf("time: %w", err)
	}
	if err := CheckSchema(t.Schema, TimeSchema); err != nil {
		return time.Time{}, fmt.Errorf("time: %w", err)
	}
	if y := t.At.Year(); y < 2026 || y > 2200 {
		return time.Time{}, fmt.Errorf("time: the year %d", y)
	}
	return t.At.UTC(), nil
}
