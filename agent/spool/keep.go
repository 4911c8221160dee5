package spool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"
)

// Run writes to the disk what stays in memory for too long, until ctx ends. It
// returns nil.
func (s *Spool) Run(ctx context.Context) error {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.kick:
		case <-t.C:
		}
		if wait, wanted := s.wait(); wanted {
			if wait <= 0 {
				s.flush()
				wait, _ = s.wait()
			}
			t.Reset(max(wait, 0))
		}
	}
}

// Close writes what is in memory to the disk and gives the directories free. Run
// must have ended.
func (s *Spool) Close() {
	s.flush()
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.disk != nil {
		s.disk.close()
		s.disk = nil
	}
	s.journal.close()
}

// wait is how long the disk may still rest, if there is anything for it to do.
func (s *Spool) wait() (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opts.Dir == "" {
		return 0, false
	}
	at := s.due
	for _, e := range s.entries {
		if e.on != nil {
			continue
		}
		first := e.put.Add(settle)
		if s.memory > soon {
			first = time.Now()
		}
		if at.IsZero() || first.Before(at) {
			at = first
		}
		break // the others are younger
	}
	if at.IsZero() {
		return 0, false
	}
	return max(time.Until(at), time.Until(s.after)), true
}

// flush writes everything to the disk, and says how that went.
func (s *Spool) flush() {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.opts.Dir == "" {
		return
	}
	err := s.reopen()
	if err == nil {
		err = s.flushAll()
	}
	s.mu.Lock()
	was := s.err
	s.err = err
	if s.after = (time.Time{}); err != nil {
		s.after = time.Now().Add(retry)
	}
	s.mu.Unlock()
	s.tell(was, err)
}

// tell reports a change for the worse or back.
func (s *Spool) tell(was, is error) {
	if s.opts.Trouble != nil && (was == nil) != (is == nil) {
		s.opts.Trouble(is)
	}
}

// reopen tries a directory that could not be used at the start. One that holds
// records has to wait for the next start: their numbers are taken by now.
func (s *Spool) reopen() error {
	if s.disk != nil {
		return nil
	}
	held := false
	d, _, err := openDisk(s.files, s.opts.Dir, s.opts.Max, func(frame, *segment, int64) { held = true })
	if d == nil {
		return err
	}
	if held || err != nil {
		d.close()
		return errors.Join(err, fmt.Errorf("%s came after the start, and holds reports: it is read at the next one", s.opts.Dir))
	}
	s.disk = d
	return nil
}

// batch is what is written at once.
type batch struct {
	b    []byte
	what []part
	last uint64 // number
}

// part is an entry as it was when it was taken into a batch.
type part struct {
	*entry
	gap  bool
	last uint64
	at   int64 // offset in the batch
}

// flushAll writes until nothing is left to write. Where others have filled the
// disk, half as much may still fit; and once memory is about to be full too, the
// oldest make room for the newest.
func (s *Spool) flushAll() error {
	limit, given := s.disk.segmentSize(), len(s.disk.segments)
	for {
		more, err := s.flushSome(limit)
		switch {
		case err == nil && !more:
			return nil
		case err == nil:
		case !errors.Is(err, syscall.ENOSPC):
			return err
		case limit > block:
			limit /= 2
		case given == 0 || !s.cramped():
			return err
		default:
			given--
			if err := s.makeRoom(s.disk.used()); err != nil {
				return err
			}
		}
	}
}

// flushSome writes up to limit bytes, but at least one record, and reports whether
// there is more.
func (s *Spool) flushSome(limit int64) (more bool, err error) {
	w := s.collect(min(limit, s.disk.room()))
	if err := s.makeRoom(s.disk.max - int64(len(w.b))); err != nil {
		return false, err
	}
	if len(w.b) > 0 || s.behind() {
		return len(w.b) > 0, s.write(w)
	}
	return false, nil
}

// behind reports whether the disk would be wrong about records on it, or about
// counts, if it were all that is left.
func (s *Spool) behind() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, w := s.place, s.written
	if p.dropped != w.dropped || p.damaged != w.damaged || min(p.floor, w.through) > w.floor {
		return true
	}
	s.due = time.Time{}
	return false
}

// cramped reports whether memory is about to be full too.
func (s *Spool) cramped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.memory > mostInMemory/2
}

// collect takes what is to be written, up to limit bytes but at least one entry.
func (s *Spool) collect(limit int64) (w batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if e.on != nil {
			continue
		}
		f := s.frame(e)
		if len(w.b) > 0 && int64(len(w.b)+f.size()+placeSize) > limit {
			break
		}
		w.what = append(w.what, part{e, e.gap, e.last, int64(len(w.b))})
		w.b = f.appendTo(w.b)
		w.last = e.last
	}
	return w
}

// makeRoom removes segments: those of which everything was taken, then the
// oldest, until the rest takes no more than most bytes. The disk learns first what
// became of their records; only where it is full, afterwards.
func (s *Spool) makeRoom(most int64) error {
	d := s.disk
	var gone []*segment
	s.mu.Lock()
	for _, g := range d.segments {
		taken := g.last <= s.place.floor && g != d.newest()
		if taken || d.used()-cost(gone) > most-2*block {
			gone = append(gone, g)
			s.drop(g)
		}
	}
	s.mu.Unlock()
	if len(gone) == 0 {
		return nil
	}
	if slices.Contains(gone, d.newest()) {
		d.end() // so that the place goes into another
	}
	if err := s.write(batch{}); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	return d.remove(gone)
}

func cost(all []*segment) (n int64) {
	for _, g := range all {
		n += g.cost()
	}
	return n
}

// drop loses the records of a segment that have not been taken.
func (s *Spool) drop(g *segment) {
	for _, e := range s.entries {
		switch {
		case e.on != g:
		case e.gap:
			e.on = nil
		default:
			s.lose(e, false)
		}
	}
	s.absorb()
	s.notePlace()
}

// write appends a place and a batch to the disk.
func (s *Spool) write(w batch) error {
	s.mu.Lock()
	s.notePlace()
	p := s.place
	p.through = max(s.written.through, w.last)
	s.mu.Unlock()
	b := p.frame().appendTo(nil)
	head := int64(len(b))
	on, at, err := s.disk.write(append(b, w.b...), w.last)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written, s.place.through, s.due = p, p.through, time.Time{}
	for _, e := range w.what {
		if e.gone || e.entry.gap != e.gap || e.entry.last != e.last {
			continue // taken or dropped meanwhile, or more of it is gone
		}
		if e.gap {
			e.on = on
			continue
		}
		s.count(e.entry, -1)
		e.on, e.off, e.data = on, at+head+e.at, nil
		s.count(e.entry, 1)
	}
	if s.place.floor != p.floor { // more was taken while this was written
		s.learn(tidy)
	}
	return nil
}
