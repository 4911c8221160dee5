package daemon

import (
	"path/filepath"
	"slices"
	"time"

	hours "github.com/sprechprobe/sprechprobe/agent/schedule/quiet"
	"github.com/sprechprobe/sprechprobe/agent/statefile"
)

// usage is what measurements have moved, kept over restarts: a budget that a
// restart renews is none.
type usage struct {
	path string // empty: in memory only
	used []hours.Use
}

const (
	usageFile = "bandwidth-used"
	// remembered is how long a use matters: a month, by any calendar.
	remembered = 32 * 24 * time.Hour
	maxUses    = 1000
	ahead      = 24 * time.Hour // of the clock; what lies further there is a mistake of it
)

// useEntry is a use as it is written.
type useEntry struct {
	At    time.Time `json:"at"`
	Bytes int64     `json:"bytes"`
}

// openUsage reads what was used. What is torn is left out, and the error says so:
// then the budget begins anew.
func openUsage(dir string) (*usage, error) {
	u := &usage{path: filepath.Join(dir, usageFile)}
	var entries []useEntry
	if err := statefile.Read(u.path, &entries); err != nil {
		return u, err
	}
	for _, e := range entries[max(0, len(entries)-maxUses):] {
		if e.Bytes >= 0 {
			u.used = append(u.used, hours.Use(e))
		}
	}
	return u, nil
}

// at are the uses that matter at a time.
func (u *usage) at(now time.Time) []hours.Use {
	u.used = slices.DeleteFunc(u.used, func(x hours.Use) bool {
		return now.Sub(x.At) > remembered || x.At.Sub(now) > ahead
	})
	return u.used
}

// book notes a use before it is made, so that a power cut amid it cannot hide it.
// settle says what it really was.
func (u *usage) book(now time.Time, bytes int64) (settle func(bytes int64) error, err error) {
	u.used = append(u.at(now), hours.Use{At: now, Bytes: bytes})
	if len(u.used) > maxUses {
		u.used = u.used[1:]
	}
	mine := len(u.used) - 1
	return func(bytes int64) error {
		u.used[mine].Bytes = bytes
		return u.keep()
	}, u.keep()
}

func (u *usage) keep() error {
	entries := make([]useEntry, len(u.used))
	for i, x := range u.used {
		entries[i] = useEntry(x)
	}
	return statefile.Write(u.path, entries)
}
