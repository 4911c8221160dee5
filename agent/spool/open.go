package spool

import (
	"cmp"
	"errors"
	"math"
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
	var all remains
	var disk place // the newest one there
	if o.Dir != "" {
		d, bad, err := openDisk(fs, o.Dir, o.Max, func(f frame, in *segment, off int64) {
			disk = all.take(f, disk, in, off)
		})
		found.Bad = bad
		if d != nil {
			s.disk, s.written, found.Err = d, disk, err
		} else {
			s.err = err
		}
	}
	j, b, err := openJournal(fs, o.Journal)
	s.journal = j
	var noted place
	found.Bad += scan(b, func(f frame, _ int64) { noted = all.take(f, noted, nil, 0) })
	if s.place = disk; noted.serial > disk.serial {
		s.place = noted
	}
	s.place.floor = all.floor
	found.Lost = s.restore(all.entries)
	s.absorb()
	if noted.serial == 0 && len(s.entries) > 0 { // nobody knows what was done with the oldest
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

// remains are the frames that were found, in no order.
type remains struct {
	entries []*entry
	floor   uint64 // the highest
}

// take keeps a frame, and returns the newer of two places.
func (r *remains) take(f frame, p place, in *segment, off int64) place {
	r.floor = max(r.floor, f.floor)
	e := &entry{first: f.number, last: f.number, on: in, off: off, size: int64(f.size())}
	switch f.kind {
	case position:
		return p.newer(f)
	case gap:
		if len(f.body) != 9 {
			return p
		}
		e.gap, e.last, e.damaged = true, order.Uint64(f.body), f.body[8] != 0
		if e.last < e.first || e.last >= maxNumber {
			return p
		}
	case record:
		if in == nil {
			e.data, e.put = slices.Clone(f.body), time.Now()
		}
	default:
		return p
	}
	if in != nil {
		in.last = max(in.last, e.last)
	}
	r.entries = append(r.entries, e)
	return p
}

// restore puts what was found in its order, each number once, and returns how
// many records are missing between them. A gap is believed before a record that
// was dropped and is still there; the disk's copy before the journal's.
func (s *Spool) restore(all []*entry) (lost int) {
	slices.SortStableFunc(all, func(a, b *entry) int {
		if a.gap != b.gap && a.first == b.first {
			if a.gap {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(b.last, a.last))
	})
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
