package spool_test

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/spool"
)

var both = spool.Options{Dir: onDisk, Journal: inRun}

// What was put comes out in order, over restarts, from memory and from disk.
func TestOrder(t *testing.T) {
	for name, o := range map[string]spool.Options{"both": both, "disk": {Dir: onDisk}, "journal": {Journal: inRun}, "memory": {}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, o)
			w.open()
			for i := range 300 {
				w.step()
				if i%20 == 19 && name != "memory" {
					w.s.Close()
					w.m = w.m.restarted()
					w.open()
				}
			}
			w.drain()
			w.complete()
			if st := w.s.Status(); st.Waiting != 0 || st.Bytes != 0 || st.Dropped != 0 || st.Damaged != 0 || w.lost != 0 || w.bad != 0 || w.again != 0 {
				t.Errorf("at the end %+v, %d lost, %d bad bytes, %d repeats", st, w.lost, w.bad, w.again)
			}
		})
	}
}

func TestRecordSizes(t *testing.T) {
	s, _ := spool.Open(spool.Options{})
	for _, n := range []int{0, 64<<10 + 1} {
		if err := s.Put(make([]byte, n)); err == nil {
			t.Errorf("a record of %d bytes was taken", n)
		}
	}
	if err := s.Put(make([]byte, 64<<10)); err != nil {
		t.Error(err)
	}
}

// The program is killed in the middle of every call that it makes, at any byte of
// a write: nothing that was put is lost, nothing is delivered twice unless it
// says so, and no restart finds anything missing.
func TestKilledAtEveryCall(t *testing.T) {
	for seed := range uint64(3) {
		calls := 0
		for at := 0; at <= calls; at++ { // 0: never
			w := newWorld(t, seed, both)
			w.m.hook = func(call int, _, _ string) fault {
				return fault{kill: call == at, share: w.r.Float64()}
			}
			w.survive(func() {
				w.open()
				for range 60 {
					w.step()
				}
				calls = max(calls, w.m.calls)
			})
			for range 2 {
				w.m = w.m.restarted()
				w.open()
				w.put()
			}
			w.drain()
			w.complete()
			if st := w.s.Status(); w.lost != 0 || st.Dropped != 0 || st.Damaged != 0 {
				t.Fatalf("killed at call %d: %d lost, %+v", at, w.lost, st)
			}
		}
		if calls < 50 {
			t.Errorf("only %d calls were made", calls)
		}
	}
}

// The power fails in the middle of every call: what was on the disk comes, in
// order, and what is said to be lost was.
func TestPowerCutAtEveryCall(t *testing.T) {
	o := both
	o.Max = spool.LeastMax
	for seed := range uint64(8) {
		calls := 0
		for at := 0; at <= calls; at++ { // 0: never
			w := newWorld(t, seed, o)
			if seed%2 == 1 {
				w.size = 30000 // about two in a segment
			}
			w.doubted = false // memory of what was taken is gone
			w.m.hook = func(call int, _, _ string) fault {
				return fault{kill: call == at, share: w.r.Float64()}
			}
			w.survive(func() {
				w.open()
				for range 90 {
					w.step()
				}
				calls = max(calls, w.m.calls)
			})
			w.m = w.m.powerCut(w.r)
			w.open()
			missing := len(w.taken) - len(w.stream) - w.s.Status().Waiting
			if w.lost > max(missing, 0)+1 { // the one that was being put may have been on its way
				t.Fatalf("seed %d, call %d: %d records are said to be lost, %d are missing", seed, at, w.lost, missing)
			}
			before := w.last()
			w.put()
			w.drain()
			for n := before + 1; n <= w.safe; n++ {
				if !contains(w.stream, n) {
					t.Fatalf("seed %d, call %d: record %d was on the disk, and is lost (stream %v)", seed, at, n, w.stream)
				}
			}
			if w.last() != w.made {
				t.Fatalf("seed %d, call %d: the newest record is not delivered last", seed, at)
			}
		}
	}
}

func contains(all []uint32, n uint32) bool {
	for _, v := range all {
		if v == n {
			return true
		}
	}
	return false
}

// Every call fails once, or from then on for a while, in every way: nothing is
// lost, and once the disk is well again it is used again.
func TestEveryCallFails(t *testing.T) {
	for _, err := range []error{syscall.EIO, syscall.ENOSPC, syscall.EROFS} {
		for _, times := range []int{1, 40} {
			calls := 0
			for at := 0; at <= calls; at++ { // 0: never
				w := newWorld(t, 4, both)
				w.m.hook = func(call int, op, name string) fault {
					if at == 0 || call < at || call >= at+times {
						return fault{}
					}
					if op == "readat" && times > 1 {
						return fault{} // a record that can never be read is damaged
					}
					return fault{err: err, share: w.r.Float64()}
				}
				w.open()
				for range 60 {
					w.step()
				}
				calls = max(calls, w.m.calls)
				w.m.hook = nil
				w.flush()
				if st := w.s.Status(); st.Err != nil {
					t.Fatalf("%v at call %d: the disk is well again, but %v", err, at, st.Err)
				}
				w.s.Close()
				w.m = w.m.powerCut(w.r)
				w.doubted = false
				w.open()
				w.drain()
				w.complete()
				if st := w.s.Status(); w.lost != 0 || st.Dropped != 0 || st.Damaged != 0 {
					t.Fatalf("%v at call %d: %d lost, %+v", err, at, w.lost, st)
				}
			}
		}
	}
}

// small is a spool with a few records on disk and in the journal.
func small(t *testing.T) *world {
	w := newWorld(t, 7, both)
	w.size = 50
	w.open()
	for range 4 {
		w.put()
	}
	w.flush()
	w.deliver()
	w.put()
	w.put()
	w.s.Close() // writes them to a second batch
	w.m = w.m.restarted()
	w.open()
	w.put()
	w.put()
	w.m = w.m.restarted() // killed
	return w
}

// Every bit of a small spool is turned, and every file cut at every byte: it
// opens, keeps what is whole in its order, and says what it lost.
func TestCorruption(t *testing.T) {
	good := small(t)
	waiting, tried := len(good.taken)-len(good.stream), 0
	for name, n := range good.m.now {
		for i := range n.data {
			harms := []func(b []byte) []byte{
				func(b []byte) []byte { b[i] ^= 0xff; return b },
				func(b []byte) []byte { b[i] = 0; return b },
				func(b []byte) []byte { return b[:i] },
			}
			for bit := range 8 {
				if testing.Short() {
					break // the race detector has seen enough
				}
				harms = append(harms, func(b []byte) []byte { b[i] ^= 1 << bit; return b })
			}
			for _, harm := range harms {
				w := small(t)
				was := w.m.now[name].data
				w.m.now[name].data = harm(append([]byte(nil), was...))
				if string(w.m.now[name].data) == string(was) {
					continue
				}
				tried++
				w.doubted = false
				w.open()
				got := w.s.Status()
				if got.Waiting > waiting+1 { // the first was taken off: the journal said so
					t.Fatalf("%s, byte %d: %d records wait, %d were there", name, i, got.Waiting, waiting)
				}
				// A journal that ends early looks like one of a moment before.
				whole := len(w.m.now[name].data) == len(was) || filepath.Dir(name) == onDisk
				if kept := got.Waiting; kept < waiting && w.lost == 0 && w.bad == 0 && whole {
					t.Fatalf("%s, byte %d: %d of %d records kept, and nothing is said", name, i, kept, waiting)
				}
				if kept := got.Waiting; kept+w.lost > waiting+1 {
					t.Fatalf("%s, byte %d: %d kept and %d lost of %d", name, i, kept, w.lost, waiting)
				}
				if int(got.Damaged) != w.lost {
					t.Fatalf("%s, byte %d: %d lost, but %d damaged", name, i, w.lost, got.Damaged)
				}
				w.put()
				w.drain()
				if w.last() != w.made {
					t.Fatalf("%s, byte %d: a new record did not come out", name, i)
				}
			}
		}
	}
	t.Logf("%d broken spools", tried)
}

// What was lost on the disk is counted once, however often the spool is opened.
func TestDamageIsCountedOnce(t *testing.T) {
	w := newWorld(t, 1, both)
	w.open()
	for range 9 {
		w.put()
	}
	w.s.Close()
	for _, n := range w.m.now { // in the middle of the fourth or so
		if len(n.data) > 5000 {
			n.data[5000] ^= 1
		}
	}
	for range 3 {
		w.m = w.m.restarted()
		w.open()
		if st := w.s.Status(); st.Damaged != 1 || st.Waiting != 8 {
			t.Fatalf("%+v, want 8 waiting and 1 damaged", st)
		}
		w.s.Close()
		w.m.wipe(inRun) // a reboot
	}
	if w.lost != 1 {
		t.Errorf("%d records were said to be lost, want 1, once", w.lost)
	}
	w.drain()
	if len(w.stream) != 8 {
		t.Errorf("%d records came, want 8", len(w.stream))
	}
}

// The bound holds, the oldest go, and the count is exact whatever happens.
func TestBound(t *testing.T) {
	o := both
	o.Max = spool.LeastMax
	w := newWorld(t, 3, o)
	w.open()
	check := func(when string) {
		t.Helper()
		st := w.s.Status()
		if st.Waiting+int(st.Dropped) != len(w.taken) || st.Damaged != 0 {
			t.Fatalf("%s: %d wait and %d were dropped of %d, %d damaged", when, st.Waiting, st.Dropped, len(w.taken), st.Damaged)
		}
		if n := w.m.size(onDisk); n > o.Max {
			t.Fatalf("%s: %d bytes on disk, over %d", when, n, o.Max)
		}
	}
	for i := range 1500 {
		w.put()
		if i%3 == 0 {
			w.flush()
		}
		check("while the vendor is away")
		switch {
		case i%50 == 20:
			w.m = w.m.restarted() // killed
			w.open()
		case i%50 == 40:
			w.s.Close()
			w.m = w.m.restarted()
			w.open()
		}
	}
	check("at the end")
	dropped := w.s.Status().Dropped
	if dropped == 0 {
		t.Fatal("the bound was not reached")
	}
	w.drain()
	if first := w.stream[0]; int64(first) != dropped+1 || w.last() != w.made || len(w.stream) != int(w.made)-int(dropped) {
		t.Errorf("%d records from %d to %d came, want those from %d to %d", len(w.stream), first, w.last(), dropped+1, w.made)
	}
}

// Without a disk the memory is bound, and what goes is counted too.
func TestBoundInMemory(t *testing.T) {
	for name, o := range map[string]spool.Options{"memory": {}, "journal": {Journal: inRun}, "full disk": both} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 5, o)
			w.open()
			for range 20 {
				w.put()
			}
			if name == "full disk" {
				w.flush()
			}
			w.m.hook = func(_ int, op, file string) fault {
				if op == "write" && len(file) > len(onDisk) && file[:len(onDisk)] == onDisk {
					return fault{err: syscall.EROFS}
				}
				return fault{}
			}
			for i := range 1500 {
				w.put()
				if i%100 == 0 {
					w.s.Flush()
				}
			}
			st := w.s.Status()
			if st.Waiting+int(st.Dropped) != 1520 || st.Bytes > 1<<20 || st.Dropped == 0 {
				t.Fatalf("%+v of 1520", st)
			}
			if name == "full disk" && !errors.Is(st.Err, syscall.EROFS) {
				t.Errorf("the disk's trouble is told as %v", st.Err)
			}
			w.m.hook = nil
			if name != "memory" {
				w.m = w.m.restarted()
				w.open()
				if again := w.s.Status(); again.Dropped != st.Dropped || again.Waiting != st.Waiting {
					t.Fatalf("%+v before a kill, %+v after it", st, again)
				}
			}
			w.s.Flush()
			w.drain()
			if w.last() != 1520 || len(w.stream) != st.Waiting {
				t.Errorf("%d records came, %d waited", len(w.stream), st.Waiting)
			}
			if name == "full disk" && w.stream[19] != 20 {
				t.Errorf("the records on the disk did not come first: %v", w.stream[:20])
			}
			if end := w.s.Status(); end.Dropped != st.Dropped {
				t.Errorf("%d dropped at the end, %d before", end.Dropped, st.Dropped)
			}
		})
	}
}

// A disk that others have filled is used as far as it goes, and the newest
// records are those that are kept.
func TestFullDisk(t *testing.T) {
	w := newWorld(t, 5, both)
	w.open()
	const space = 100 << 10
	w.m.hook = func(_ int, op, name string) fault {
		if op == "write" && name[:len(onDisk)] == onDisk && w.m.size(onDisk) > space {
			return fault{err: syscall.ENOSPC, share: 0.5}
		}
		return fault{}
	}
	for i := range 2000 {
		w.put()
		if i%20 == 0 {
			w.s.Flush()
		}
	}
	st := w.s.Status()
	if st.Waiting+int(st.Dropped) != 2000 || st.Damaged != 0 {
		t.Fatalf("%+v of 2000", st)
	}
	w.m = w.m.restarted()
	w.open()
	if again := w.s.Status(); again.Dropped != st.Dropped || again.Waiting != st.Waiting {
		t.Fatalf("%+v before a kill, %+v after it", st, again)
	}
	w.drain()
	if len(w.stream) != st.Waiting || w.last() != 2000 || int64(w.stream[0]) != st.Dropped+1 {
		t.Errorf("%d records from %d to %d came, %d waited and %d were dropped", len(w.stream), w.stream[0], w.last(), st.Waiting, st.Dropped)
	}
}

// One that is refused counts as dropped, and holds up nothing.
func TestRefuse(t *testing.T) {
	w := newWorld(t, 5, both)
	w.open()
	for i := range int64(2) {
		w.put()
		r, _ := w.s.Next()
		w.s.Refuse(r)
		w.s.Close()
		w.m = w.m.powerCut(w.r)
		w.open()
		if st := w.s.Status(); st.Dropped != i+1 || st.Waiting != 0 {
			t.Fatalf("%+v, want %d dropped", st, i+1)
		}
	}
}

// After a power cut nothing comes again that the disk has learned of, and what
// does come says that it may have been sent.
func TestWhatTheDiskLearns(t *testing.T) {
	w := newWorld(t, 5, both)
	w.open()
	for range 4 {
		w.put()
	}
	w.flush()
	w.deliver()
	w.deliver()
	w.flush()
	w.m = w.m.powerCut(w.r)
	w.open()
	r, _ := w.s.Next()
	if st := w.s.Status(); st.Waiting != 2 || !r.Tried || r.Receipt != 2 {
		t.Errorf("%+v, oldest tried %v after receipt %d; want 2 waiting, the first in doubt after 2", st, r.Tried, r.Receipt)
	}
	w.drain()
	w.flush()
	w.m = w.m.powerCut(w.r)
	w.open()
	if st := w.s.Status(); st.Waiting != 0 {
		t.Errorf("%+v, want none waiting", st)
	}
}

// Segments whose records were all taken go, and a power cut at any moment of that
// makes none of those records a lost one.
func TestTakenSegmentsGo(t *testing.T) {
	ended := false
	for at := 0; !ended; at++ {
		for seed := range uint64(8) {
			ended = takenSegmentsGo(t, seed, at)
		}
	}
}

func takenSegmentsGo(t *testing.T, seed uint64, at int) (ended bool) {
	w := newWorld(t, seed, both)
	w.open()
	for range 100 {
		w.put()
	}
	w.flush()
	for range 95 {
		w.deliver()
	}
	before := len(w.m.now)
	w.m.calls = 0
	w.m.hook = func(call int, _, _ string) fault { return fault{kill: call == at+1, share: w.r.Float64()} }
	alive := w.survive(w.flush)
	if alive && len(w.m.now) >= before {
		t.Errorf("%d files before, %d after", before, len(w.m.now))
	}
	w.m = w.m.powerCut(w.r)
	w.open()
	if st := w.s.Status(); w.lost != 0 || st.Waiting < 5 {
		t.Fatalf("power cut at call %d: %d are said to be lost, %+v", at, w.lost, st)
	}
	return alive
}

// A file that ends too early, or lost the first block of what was written at
// last: the missing records are counted, and no other.
func TestTornBatch(t *testing.T) {
	tests := map[string]struct {
		harm func(second []byte) []byte // of the second batch
		lost int
	}{
		"cut within":          {func(b []byte) []byte { return b[:len(b)-10] }, 1},
		"cut after the place": {func(b []byte) []byte { return b[:80] }, 3},
		"first block zero":    {func(b []byte) []byte { clear(b[:512]); return b }, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 5, both)
			w.size = 1000
			w.open()
			w.put()
			w.flush()
			var file *node
			for n, f := range w.m.now {
				if n[:len(onDisk)] == onDisk {
					file = f
				}
			}
			first := len(file.data)
			w.put()
			w.drain() // the second is only ever in memory
			for range 3 {
				w.put()
			}
			w.flush()
			file.data = append(file.data[:first:first], tt.harm(file.data[first:])...)
			w.m = w.m.restarted()
			w.m.wipe(inRun)
			w.doubted = false
			w.open()
			if w.lost != tt.lost {
				t.Errorf("%d records are said to be lost, want %d", w.lost, tt.lost)
			}
			w.drain()
			if len(w.stream) != 2+3-tt.lost {
				t.Errorf("stream %v", w.stream)
			}
		})
	}
}

// Records are taken, and memory becomes full, while the disk is being written.
func TestTakenWhileWritten(t *testing.T) {
	for name, held := range map[string]int{"what is written is taken": 0, "what is written has to make room": 20} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 5, both)
			w.open()
			for range held { // on the disk, before what is written now
				w.put()
			}
			w.flush()
			for range 30 {
				w.put()
			}
			w.m.hook = func(_ int, op, name string) fault {
				if op == "sync" {
					w.m.hook = nil
					for range 10 {
						w.deliver()
					}
					for range 500 {
						w.put()
					}
				}
				return fault{}
			}
			w.flush()
			if n := w.s.InMemory(); n != 0 {
				t.Errorf("%d bytes are said to be in memory", n)
			}
			st := w.s.Status()
			w.m = w.m.restarted()
			w.m.wipe(inRun)
			w.open()
			if again := w.s.Status(); again.Waiting != st.Waiting || again.Dropped != st.Dropped || again.Bytes != st.Bytes {
				t.Errorf("%+v before, %+v after", st, again)
			}
			w.drain()
			if len(w.stream)+int(st.Dropped) != int(w.made) || st.Dropped == 0 {
				t.Errorf("%d came and %d were dropped of %d", len(w.stream), st.Dropped, w.made)
			}
		})
	}
}

// A record that had to make room while it was under way was not lost after all.
func TestDeliveredWhileDropped(t *testing.T) {
	s, _ := spool.Open(spool.Options{})
	for range 8 {
		if err := s.Put(make([]byte, 60<<10)); err != nil {
			t.Fatal(err)
		}
	}
	r, _ := s.Next()
	if err := s.Put(make([]byte, 60<<10)); err != nil {
		t.Fatal(err)
	}
	if st := s.Status(); st.Dropped != 1 || st.Waiting != 8 {
		t.Fatalf("%+v, want one dropped of nine", st)
	}
	s.Done(r, 1)
	if st := s.Status(); st.Dropped != 0 || st.Waiting != 8 {
		t.Errorf("%+v, want none dropped and eight waiting", st)
	}
}

// Another program on the same directories keeps its records; this one works in
// memory and says why.
func TestTwoPrograms(t *testing.T) {
	dir, run := t.TempDir(), t.TempDir()
	o := spool.Options{Dir: dir, Journal: run}
	first, _ := spool.Open(o)
	defer first.Close()
	var said error
	o.Trouble = func(err error) { said = err }
	second, found := spool.Open(o)
	defer second.Close()
	if !errors.Is(said, syscall.EWOULDBLOCK) || !errors.Is(found.Err, syscall.EWOULDBLOCK) {
		t.Errorf("the second one says %v about the disk and %v about the journal", said, found.Err)
	}
	if err := second.Put([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if r, ok := second.Next(); !ok || string(r.Data) != "x" {
		t.Error("the second one does not work")
	}
}
