// Package spool keeps records until somebody has taken them: bounded, in order,
// the oldest dropped first and counted. New records lie in memory; what nobody
// took within a minute goes to disk, so that a box whose reports leave at once
// writes nothing to its flash. A journal below /run keeps what is only in memory
// over a kill of the program; over a power cut, what is on the disk is kept.
//
// Every record has a number, and the numbers have no holes: what is neither
// there nor known to be taken was lost, and is counted exactly. Nothing depends
// on a clock. The spool does not know what a record says or where it goes.
package spool

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// DefaultMax and LeastMax are bytes on disk.
	DefaultMax = 4 << 20
	LeastMax   = 256 << 10

	// mostInMemory bounds the records that are not on the disk, bytes: where
	// there is no disk, or it is full, the oldest of them go.
	mostInMemory = 512 << 10
	// soon is how many bytes in memory are not left there for a minute.
	soon = 128 << 10

	settle = time.Minute      // in memory, before a record goes to disk
	tidy   = 10 * time.Second // until the disk learns what was taken from it
	retry  = 30 * time.Second // after the disk refused

	// mostReads is how often a record is read in vain before it is given up.
	mostReads = 3
)

// Options say where a spool lies. Without any directory it is in memory only.
type Options struct {
	Dir     string // on disk; made where missing
	Journal string // in memory, such as below /run; made where missing
	Max     int64  // bound of Dir, bytes; 0: DefaultMax; at least LeastMax

	// Trouble is told when the disk stops or starts (nil) taking records; it may
	// be nil itself. It is called from Run, Open and Close.
	Trouble func(error)
}

// Found is what was there when a spool was opened.
type Found struct {
	Waiting int   // records
	Lost    int   // records that ought to have been there
	Bad     int64 // bytes on disk or in the journal that are no record
	Err     error // of the journal, or of files that could not be read
}

// Status is how a spool stands.
type Status struct {
	Waiting int   // records
	Bytes   int64 // of them
	Dropped int64 // records that had to make room or were refused, ever
	Damaged int64 // records that were lost on the disk, ever
	Err     error // why nothing can be written to Dir; nil: it can, or there is none
}

// Record is one that waits.
type Record struct {
	Data    []byte // not to be changed
	Tried   bool   // it may have been sent before
	Receipt uint64 // of the last delivery before; 0: not known

	number uint64
}

// Spool may be used from several goroutines, but only one may take records off
// it: Next, Try, Done and Refuse.
type Spool struct {
	opts  Options
	files files
	kick  chan struct{}

	writing sync.Mutex // taken before mu, never after it
	disk    *disk      // nil: none yet

	mu      sync.Mutex
	journal *journal
	entries []*entry // oldest first, without holes between them
	next    uint64   // number of the next record
	place   place
	written place // the newest one on the disk
	onDisk  int   // records
	memory  int64 // bytes of records that are not on the disk
	bytes   int64 // of all records
	waiting int
	due     time.Time // when the disk must learn what was taken; zero: no need
	after   time.Time // nothing is tried before
	err     error
}

// entry is a record, or a gap: records that are gone.
type entry struct {
	first, last uint64
	gap         bool
	damaged     bool      // of a gap: lost on the disk, not dropped
	gone        bool      // from the list of entries
	data        []byte    // nil: to be read from the disk
	put         time.Time // its monotonic part counts
	on          *segment  // nil: not on the disk
	off         int64
	size        int64 // of the frame
	reads       int   // in vain
}

// Put adds a record of 1 to 65536 bytes. It waits for no disk.
func (s *Spool) Put(data []byte) error {
	if len(data) == 0 || len(data) > maxBody {
		return fmt.Errorf("record of %d bytes: want 1 to %d", len(data), maxBody)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &entry{first: s.next, last: s.next, data: data, put: time.Now()}
	e.size = int64(s.frame(e).size())
	s.next++
	s.entries = append(s.entries, e)
	s.count(e, 1)
	s.note(s.frame(e))
	for s.memory > mostInMemory {
		s.dropOldestInMemory()
	}
	s.wake()
	return nil
}

// Next returns the oldest record. Without one, or while it cannot be read, it
// reports false.
func (s *Spool) Next() (Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.entries) > 0 {
		e := s.entries[0]
		data, err := e.data, error(nil)
		if data == nil {
			data, err = s.fetch(e)
		}
		switch {
		case len(s.entries) == 0 || s.entries[0] != e || e.gap:
			continue // dropped meanwhile
		case err == nil:
			return Record{data, e.first <= s.place.tried, s.place.receipt, e.first}, true
		}
		if e.reads++; e.reads < mostReads && data == nil {
			return Record{}, false
		}
		s.lose(e, true)
		s.absorb()
		s.notePlace()
	}
	return Record{}, false
}

// fetch reads a record from the disk, without holding up who puts. Without data
// and with an error the disk may do better next time.
func (s *Spool) fetch(e *entry) ([]byte, error) {
	b, number := make([]byte, e.size), e.first
	err := s.aside(e.on.name, b, e.off)
	if err != nil {
		return nil, err
	}
	f, ok := parse(b)
	if !ok || f.kind != record || f.number != number {
		return b, fmt.Errorf("record %d is damaged", number)
	}
	return f.body, nil
}

func (s *Spool) aside(name string, b []byte, off int64) error {
	s.mu.Unlock()
	defer s.mu.Lock()
	return s.files.ReadAt(name, b, off)
}

// Try notes that a record is about to be sent, so that it is known to be in doubt
// should the program be killed before the answer.
func (s *Spool) Try(r Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.number > s.place.tried {
		s.place.tried = r.number
		s.notePlace()
	}
}

// Done takes off a record that was delivered. The receipt is kept.
func (s *Spool) Done(r Record, receipt uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.place.receipt = receipt
	if !s.pop(r) {
		s.place.dropped-- // it had to make room while it was under way
	}
	s.absorb()
	s.notePlace()
}

// Refuse takes off a record that nobody will ever take, and counts it as
// dropped.
func (s *Spool) Refuse(r Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pop(r) {
		s.place.dropped++
		s.learn(tidy)
	}
	s.absorb()
	s.notePlace()
}

// Status returns how the spool stands.
func (s *Spool) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{Waiting: s.waiting, Bytes: s.bytes, Dropped: s.place.dropped, Damaged: s.place.damaged, Err: s.err}
	for _, e := range s.entries {
		if e.gap {
			*counter(&st.Dropped, &st.Damaged, e) += e.length()
		}
	}
	return st
}

func counter(dropped, damaged *int64, e *entry) *int64 {
	if e.damaged {
		return damaged
	}
	return dropped
}

func (e *entry) length() int64 { return int64(e.last - e.first + 1) }

func (s *Spool) frame(e *entry) frame {
	if !e.gap {
		return frame{record, e.first, s.place.floor, e.data}
	}
	why := byte(0)
	if e.damaged {
		why = 1
	}
	return frame{gap, e.first, s.place.floor, append(order.AppendUint64(nil, e.last), why)}
}

// pop takes off the oldest entry if it is this record.
func (s *Spool) pop(r Record) bool {
	if len(s.entries) == 0 || s.entries[0].gap || s.entries[0].first != r.number {
		return false
	}
	e := s.entries[0]
	s.count(e, -1)
	s.shift()
	return true
}

// shift takes off the oldest entry.
func (s *Spool) shift() {
	e := s.entries[0]
	e.gone = true
	s.place.floor = e.last
	s.entries = s.entries[1:]
}

// absorb takes off the gaps at the beginning: their numbers become counts.
func (s *Spool) absorb() {
	for len(s.entries) > 0 && s.entries[0].gap {
		e := s.entries[0]
		*counter(&s.place.dropped, &s.place.damaged, e) += e.length()
		s.shift()
	}
}

// count adds a record to the sums (n is 1) or takes it away (-1).
func (s *Spool) count(e *entry, n int) {
	s.waiting += n
	s.bytes += int64(n) * e.size
	if e.on == nil {
		s.memory += int64(n) * e.size
		return
	}
	s.onDisk += n
	switch {
	case n > 0:
	case s.onDisk == 0:
		s.learn(0)
	default:
		s.learn(tidy)
	}
}

// learn lets the disk know, in a while, what became of the records on it.
func (s *Spool) learn(wait time.Duration) {
	if at := time.Now().Add(wait); s.due.IsZero() || s.due.After(at) {
		s.due = at
	}
	s.wake()
}

// lose turns a record into a gap.
func (s *Spool) lose(e *entry, damaged bool) {
	s.count(e, -1)
	*e = entry{first: e.first, last: e.last, gap: true, damaged: damaged, put: e.put}
}

// dropOldestInMemory makes room there. What is on the disk is older, but its
// loss would make none.
func (s *Spool) dropOldestInMemory() {
	i := slices.IndexFunc(s.entries, func(e *entry) bool { return e.data != nil })
	e := s.entries[i]
	s.lose(e, false)
	if i > 0 {
		if before := s.entries[i-1]; before.gap && !before.damaged && before.on == nil {
			before.last = e.last
			s.entries = slices.Delete(s.entries, i, i+1)
			e = before
		}
	}
	s.note(s.frame(e))
	s.absorb()
	s.notePlace()
}

// note writes a frame to the journal.
func (s *Spool) note(f frame) {
	if s.journal.add(f.appendTo(nil)) {
		_ = s.journal.renew(s.snapshot())
	}
}

func (s *Spool) notePlace() {
	s.place.serial++
	s.note(s.place.frame())
}

// snapshot is everything that is not on the disk.
func (s *Spool) snapshot() []byte {
	s.place.serial++
	b := s.place.frame().appendTo(nil)
	for _, e := range s.entries {
		if e.on == nil {
			b = s.frame(e).appendTo(b)
		}
	}
	return b
}

func (s *Spool) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}
