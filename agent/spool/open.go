package spool

import (
	"cmp"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Open takes the directories and reads what is in them. It never fails: what
// cannot be used is told by the status, and the spool works without it. Close
// gives the directories free.
func Open(o Options) (*Spool, Found) { return open(system{}, o) }

func open(fs files, o Options) (*Spool, Found) {
	if o.Max == 0 {
		o.Max = DefaultMax
	}
	o.Max = max(o.Max, LeastMax)
	s := &Spool{opts: o, files: fs, kick: make(chan struct{}, 1), next: 1}
	var found Found
	var disk, noted remains
	if o.Dir != "" {
		d, bad, err := openDisk(fs, o.Dir, o.Max, disk.take)
		if found.Bad = bad; d != nil {
			s.disk, s.written, found.Err = d, disk.place, err
		} else {
			s.err = err
		}
	}
	j, b, err := openJournal(fs, o.Journal)
	s.journal = j
	found.Bad += scan(b, func(f frame, off int64) { noted.take(f, nil, off) })
	found.Lost = s.restore(disk.and(noted))
	s.absorb()
	if noted.place.serial == 0 && len(s.entries) > 0 { // nobody knows what was done with the oldest
		s.place.tried = max(s.place.tried, s.entries[0].first)
	}
	found.Waiting = s.waiting
	found.Err = errors.Join(found.Err, err, s.journal.renew(s.snapshot()))
	if s.behind() {
		s.learn(tidy)
	}
	s.tell(nil, s.err)
	return s, found
}

// Forget takes away all that waits in the directories, and the counts: the box comes
// to somebody else. No spool may be open there.
func Forget(o Options) error { return forget(system{}, o) }

func forget(fs files, o Options) error {
	var errs []error
	if o.Dir != "" {
		d, _, err := openDisk(fs, o.Dir, LeastMax, func(frame, *segment, int64) {})
		if errs = append(errs, err); d != nil {
			errs = append(errs, d.remove(slices.Clone(d.segments)), fs.SyncDir(o.Dir))
			d.close()
		}
	}
	j, b, err := openJournal(fs, o.Journal)
	if errs = append(errs, err); len(b) > 0 {
		errs = append(errs, fs.Remove(j.name()))
	}
	j.close()
	return errors.Join(errs...)
}

// remains are the frames that were found in one place, in no order.
type remains struct {
	entries []*entry
	place   place  // the newest
	floor   uint64 // the highest
}

// take keeps a frame.
func (r *remains) take(f frame, in *segment, off int64) {
	r.floor = max(r.floor, f.floor)
	e := &entry{first: f.number, last: f.number, on: in, off: off, size: int64(f.size())}
	switch f.kind {
	case position:
		r.place = r.place.newer(f)
		return
	case gap:
		if len(f.body) != 9 {
			return
		}
		e.gap, e.last, e.damaged = true, order.Uint64(f.body), f.body[8] != 0
		if e.last < e.first || e.last >= maxNumber {
			return
		}
	case record:
		if in == nil {
			e.data, e.put = slices.Clone(f.body), time.Now()
		}
	default:
		return
	}
	if in != nil {
		in.last = max(in.last, e.last)
	}
	r.entries = append(r.entries, e)
}

// and joins what the disk has with what the journal has. Usually they are of one
// line of numbers. Where the disk was not there for a while, or is another one,
// the journal's records are numbered anew, behind the disk's.
func (r remains) and(journal remains) remains {
	r.place.floor, journal.place.floor = r.floor, max(journal.floor, journal.place.floor)
	switch p := journal.place; {
	case p.serial == 0:
		return r
	case r.place.serial == 0 || r.place.line == p.line:
		if p.serial > r.place.serial {
			r.place = p
		}
		r.place.floor = max(r.floor, journal.floor)
		r.entries = append(r.entries, journal.entries...)
		return r
	}
	last := r.place.through
	for _, e := range r.entries {
		last = max(last, e.last)
	}
	slices.SortFunc(journal.entries, oldestFirst)
	at := journal.place.floor
	for _, e := range journal.entries {
		if e.last <= at {
			continue
		}
		n := e.last - max(at, e.first-1)
		at = e.last
		e.first, e.last = last+1, last+n
		last = e.last
		r.entries = append(r.entries, e)
	}
	r.place.serial = max(r.place.serial, journal.place.serial)
	r.place.dropped += journal.place.dropped
	r.place.damaged += journal.place.damaged
	return r
}

// restore puts what was found in its order, each number once, and returns how
// many records are missing between them. A gap is believed before a record that
// was dropped and is still there; the disk's copy before the journal's.
func (s *Spool) restore(r remains) (lost int) {
	all := r.entries
	if s.place = r.place; s.place.line == 0 {
		s.place.line = rand.Uint64() | 1
	}
	slices.SortStableFunc(all, oldestFirst)
	next := s.place.floor + 1
	for _, e := range append(all, &entry{first: s.place.through + 1}) {
		if e.first > next {
			g := &entry{first: next, last: e.first - 1, gap: true, damaged: true, put: time.Now()}
			lost = int(min(uint64(lost)+e.first-next, math.MaxInt32))
			s.entries = append(s.entries, g)
			next = e.first
		}
		if e.last < next {
			continue
		}
		if e.first < next { // only a gap has a beginning of its own
			e.first, e.on = next, nil
		}
		s.entries = append(s.entries, e)
		if !e.gap {
			s.count(e, 1)
		}
		next = e.last + 1
	}
	s.next = next
	return lost
}

// oldestFirst puts gaps, and of them the longest, before a record of their
// number.
func oldestFirst(a, b *entry) int {
	if a.gap != b.gap && a.first == b.first {
		if a.gap {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(b.last, a.last))
}
