package spool_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/spool"
)

// world is a box and its vendor: records are put, delivered and taken off, and
// the program is started again and again on what the last one left.
type world struct {
	t *testing.T
	r *rand.Rand
	m *model
	s *spool.Spool
	o spool.Options

	size    int      // of records, bytes: each less
	made    uint32   // records put, or begun to be
	taken   []uint32 // those whose Put returned
	safe    uint32   // those up to it were written to the disk
	stream  []uint32 // what the vendor keeps: repeats left out
	done    uint32   // last one taken off
	again   int      // repeats
	doubted bool     // repeats must say that they are
	lost    int      // as the spool says when it opens
	bad     int64
}

func newWorld(t *testing.T, seed uint64, o spool.Options) *world {
	return &world{t: t, r: rand.New(rand.NewPCG(seed, 1)), m: newModel(), o: o, doubted: true, size: 3000}
}

// open starts the program.
func (w *world) open() {
	s, found := spool.OpenOn(w.m, w.o)
	w.s = s
	w.lost += found.Lost
	w.bad += found.Bad
}

// payload is record n, of a length of its own.
func (w *world) payload(n uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, n)
	return append(b, bytes.Repeat([]byte{byte(n)}, int(n*2654435761>>20)%w.size)...)
}

func (w *world) put() {
	w.made++
	n := w.made
	if err := w.s.Put(w.payload(n)); err != nil {
		w.t.Fatal(err)
	}
	w.taken = append(w.taken, n)
}

// deliver hands the oldest record to the vendor and takes it off.
func (w *world) deliver() bool {
	w.t.Helper()
	r, ok := w.s.Next()
	if !ok {
		return false
	}
	n := binary.BigEndian.Uint32(r.Data)
	if !bytes.Equal(r.Data, w.payload(n)) {
		w.t.Fatalf("record %d is not what was put", n)
	}
	w.s.Try(r)
	switch last := w.last(); {
	case n > last:
		w.stream = append(w.stream, n)
	default:
		w.again++
		if w.doubted && !(n == last && n > w.done && r.Tried) {
			w.t.Fatalf("record %d came again after %d, said to be new: %v", n, last, !r.Tried)
		}
	}
	w.s.Done(r, uint64(n))
	w.done = max(w.done, n)
	return true
}

func (w *world) last() uint32 {
	if len(w.stream) == 0 {
		return 0
	}
	return w.stream[len(w.stream)-1]
}

func (w *world) flush() {
	w.s.Flush()
	if w.s.Status().Err == nil {
		w.safe = w.made
	}
}

// step does something.
func (w *world) step() {
	switch n := w.r.IntN(10); {
	case n < 4:
		w.put()
	case n < 7:
		w.deliver()
	default:
		w.flush()
	}
}

// survive runs f and reports whether the program was not killed.
func (w *world) survive(f func()) (alive bool) {
	defer func() {
		if e := recover(); e != nil {
			if _, ok := e.(killed); !ok {
				panic(e)
			}
			alive = false
		}
	}()
	f()
	return true
}

// drain delivers all that waits.
func (w *world) drain() {
	for w.deliver() {
	}
}

// complete checks that every record whose Put returned was delivered.
func (w *world) complete() {
	w.t.Helper()
	have := map[uint32]bool{}
	for _, n := range w.stream {
		have[n] = true
	}
	for _, n := range w.taken {
		if !have[n] {
			w.t.Fatalf("record %d of %d was lost", n, w.made)
		}
	}
}
