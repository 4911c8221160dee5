package spool

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// disk is a directory of segments: files that are appended to, synced after each
// append, and removed whole. None is ever renamed or overwritten, and after a
// start or a failure none is appended to again, so that a bad end stays an end.
// It is for one goroutine.
type disk struct {
	files files
	dir   string
	max   int64 // of all segments, bytes
	lock  io.Closer

	segments []*segment // oldest first
	active   file       // the last segment, open; nil: the next append begins one
	ids      uint64     // of the newest segment
}

// segment is one file.
type segment struct {
	name string
	size int64
	last uint64 // highest record or gap in it; 0: none
}

// block is what a file takes at least, and rounds up to.
const block = 4 << 10

func (s *segment) cost() int64 { return max(block, (s.size+block-1)/block*block) }

const suffix = ".seg"

// openDisk takes a directory and hands out every whole frame in it, with its
// segment and its offset there. It returns how many bytes are no frame. A file
// that cannot be read is left, and told of.
func openDisk(fs files, dir string, most int64, take func(f frame, in *segment, off int64)) (*disk, int64, error) {
	lock, err := fs.Lock(dir)
	if err != nil {
		return nil, 0, err
	}
	d := &disk{files: fs, dir: dir, max: most, lock: lock}
	names, err := fs.List(dir)
	if err != nil {
		lock.Close()
		return nil, 0, err
	}
	var bad int64
	for _, id := range ids(names) {
		s := &segment{name: d.name(id)}
		b, readErr := fs.Read(s.name, d.segmentSize()+2*maxBody)
		err = errors.Join(err, readErr)
		s.size = int64(len(b))
		bad += scan(b, func(f frame, off int64) { take(f, s, off) })
		d.segments = append(d.segments, s)
		d.ids = id
	}
	return d, bad, err
}

// ids are the numbers of the segments among names, ascending.
func ids(names []string) []uint64 {
	var all []uint64
	for _, n := range names {
		hex, ok := strings.CutSuffix(n, suffix)
		if id, err := strconv.ParseUint(hex, 16, 64); ok && err == nil && len(hex) == 16 && id > 0 && id < maxNumber {
			all = append(all, id)
		}
	}
	slices.Sort(all)
	return all
}

func (d *disk) name(id uint64) string {
	return filepath.Join(d.dir, fmt.Sprintf("%016x%s", id, suffix))
}

// segmentSize is when a segment is full, bytes: a few of them make the whole.
func (d *disk) segmentSize() int64 { return min(64<<10, d.max/8) }

// room is how much the active segment still takes, bytes.
func (d *disk) room() int64 {
	if d.active == nil {
		return d.segmentSize()
	}
	return d.segmentSize() - d.newest().size
}

// used is what the segments take, bytes.
func (d *disk) used() (n int64) {
	for _, s := range d.segments {
		n += s.cost()
	}
	return n
}

// begin starts a segment.
func (d *disk) begin() error {
	d.end()
	d.ids++
	s := &segment{name: d.name(d.ids)}
	f, err := d.files.Create(s.name)
	if err != nil {
		return err
	}
	if len(d.segments) == 0 { // the directory itself may be new
		_ = d.files.SyncDir(filepath.Dir(d.dir))
	}
	if err := d.files.SyncDir(d.dir); err != nil {
		f.Close()
		_ = d.files.Remove(s.name)
		return err
	}
	d.active, d.segments = f, append(d.segments, s)
	return nil
}

// end closes the active segment. What it holds has been synced.
func (d *disk) end() {
	if d.active != nil {
		d.active.Close()
		d.active = nil
	}
}

// write appends b and syncs it. After an error nobody knows what is there, so
// the segment is not appended to again; one that holds nothing else is removed.
func (d *disk) write(b []byte, last uint64) (*segment, int64, error) {
	if d.active == nil || d.room() < int64(len(b)) {
		if err := d.begin(); err != nil {
			return nil, 0, err
		}
	}
	s := d.newest()
	at := s.size
	_, err := d.active.Write(b)
	if err == nil {
		err = d.active.Sync()
	}
	if err != nil {
		d.end()
		if s.size += int64(len(b)); at == 0 && d.files.Remove(s.name) == nil {
			d.segments = d.segments[:len(d.segments)-1]
		}
		return nil, 0, err
	}
	s.size += int64(len(b))
	s.last = max(s.last, last)
	return s, at, nil
}

// remove takes segments away.
func (d *disk) remove(gone []*segment) error {
	for _, s := range gone {
		if err := d.files.Remove(s.name); err != nil {
			return err
		}
		d.segments = slices.DeleteFunc(d.segments, func(o *segment) bool { return o == s })
	}
	return nil
}

// newest is the segment that holds the newest place, nil without any.
func (d *disk) newest() *segment {
	if len(d.segments) == 0 {
		return nil
	}
	return d.segments[len(d.segments)-1]
}

func (d *disk) close() {
	d.end()
	d.lock.Close()
}
