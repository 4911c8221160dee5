package trend

import (
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/statefile"
)

// Diary keeps the looks of two weeks over restarts. It may be used by several at
// once.
type Diary struct {
	path string // empty: in memory only

	mu    sync.Mutex
	looks []Look
}

const (
	diaryFile = "line-diary"
	maxLooks  = 14 * 24 * 2 // twice an hour
	ahead     = 24 * time.Hour
)

// entry is a look as it is written.
type entry struct {
	At   time.Time `json:"at"`
	What string    `json:"what,omitempty"`
	Poor bool      `json:"poor,omitempty"`
}

// Open reads the diary in a directory; without one it is kept in memory. A diary
// that cannot be read begins anew, and the error says why.
func Open(dir string) (*Diary, error) {
	if dir == "" {
		return &Diary{}, nil
	}
	d := &Diary{path: filepath.Join(dir, diaryFile)}
	var entries []entry
	if err := statefile.Read(d.path, &entries); err != nil {
		return d, err
	}
	for _, e := range entries[max(0, len(entries)-maxLooks):] {
		d.looks = append(d.looks, Look(e))
	}
	return d, nil
}

// Note enters a look that has just been made. The error says why it was not kept
// on the disk.
func (d *Diary) Note(look Look) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.looks = slices.DeleteFunc(d.looks, func(l Look) bool {
		return look.At.Sub(l.At) > remembered || l.At.Sub(look.At) > ahead
	})
	look.At = look.At.UTC().Truncate(time.Second)
	d.looks = append(d.looks, look)
	d.looks = d.looks[max(0, len(d.looks)-maxLooks):]
	entries := make([]entry, len(d.looks))
	for i, l := range d.looks {
		entries[i] = entry(l)
	}
	return statefile.Write(d.path, entries)
}

// Find finds the hours in which the line is regularly poor.
func (d *Diary) Find(now time.Time, zone *time.Location) (Hours, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Find(d.looks, now, zone)
}

// Again is when to look again to know whether yesterday's trouble comes back: a day
// after the first poor look of the last day. Without one it is the zero time.
func (d *Diary) Again(now time.Time) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.looks {
		if next := l.At.Add(24 * time.Hour); l.Poor && next.After(now) && !l.At.After(now) {
			return next
		}
	}
	return time.Time{}
}
