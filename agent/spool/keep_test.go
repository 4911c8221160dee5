package spool_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/spool"
)

// run keeps a spool until the test ends or stop is called.
func run(t *testing.T, s *spool.Spool) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

// What is taken within a minute never reaches the disk; what is not, does then.
func TestDiskOnlyInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, both)
		w.open()
		stop := run(t, w.s)
		for range 300 {
			w.put()
			time.Sleep(30 * time.Second)
			w.deliver()
			time.Sleep(4*time.Minute + 30*time.Second)
		}
		synctest.Wait()
		if n := w.m.written(onDisk); n != 0 {
			t.Errorf("%d bytes were written to disk while all was well", n)
		}
		w.put()
		w.put()
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if n := w.m.size(onDisk); n != 0 {
			t.Errorf("%d bytes on disk before a minute has passed", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if w.m.size(onDisk) == 0 {
			t.Error("nothing on disk after a minute")
		}
		// Once all is delivered, the disk knows soon.
		w.drain()
		time.Sleep(time.Second)
		synctest.Wait()
		stop()
		w.m = w.m.powerCut(w.r)
		w.open()
		if st := w.s.Status(); st.Waiting != 0 {
			t.Errorf("%d records wait after a power cut, want none", st.Waiting)
		}
	})
}

// Many records at once do not wait for a minute.
func TestManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, both)
		w.open()
		defer run(t, w.s)()
		for range 200 {
			w.put()
		}
		synctest.Wait()
		if n := w.s.InMemory(); n > 160<<10 {
			t.Errorf("%d bytes are still in memory only", n)
		}
	})
}

// A disk that takes nothing is told of once, tried again twice a minute, and
// told of again when it is well.
func TestTroubleWithTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := both
		var said []string
		o.Trouble = func(err error) { said = append(said, fmt.Sprint(err)) }
		w := newWorld(t, 1, o)
		w.open()
		tries := 0
		var well atomic.Bool
		w.m.hook = func(_ int, op, name string) fault {
			if !well.Load() && op == "create" && strings.HasPrefix(name, onDisk) {
				tries++
				return fault{err: syscall.EROFS}
			}
			return fault{}
		}
		defer run(t, w.s)()
		w.put()
		time.Sleep(time.Hour)
		synctest.Wait()
		if err := w.s.Status().Err; !errors.Is(err, syscall.EROFS) || tries < 100 || tries > 130 {
			t.Errorf("after an hour: %v, tried %d times", err, tries)
		}
		well.Store(true)
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if err := w.s.Status().Err; err != nil || w.m.size(onDisk) == 0 {
			t.Errorf("the disk is well again, but %v, %d bytes on it", err, w.m.size(onDisk))
		}
		if len(said) != 2 || said[1] != "<nil>" {
			t.Errorf("told %q, want the trouble and its end", said)
		}
	})
}

// A directory that cannot be made at first is used as soon as it can.
func TestDirectoryComesLater(t *testing.T) {
	w := newWorld(t, 1, both)
	w.m.hook = func(_ int, op, name string) fault {
		if op == "lock" && name == onDisk {
			return fault{err: syscall.EROFS}
		}
		return fault{}
	}
	w.open()
	w.put()
	w.flush()
	if err := w.s.Status().Err; !errors.Is(err, syscall.EROFS) {
		t.Errorf("no directory, but %v", err)
	}
	w.m.onCall(nil)
	w.flush()
	if err := w.s.Status().Err; err != nil || w.m.size(onDisk) == 0 {
		t.Errorf("the directory is there, but %v, %d bytes in it", err, w.m.size(onDisk))
	}
}

// One that comes later with records in it is left alone until the next start.
func TestFullDirectoryComesLater(t *testing.T) {
	w := newWorld(t, 1, both)
	w.open()
	w.put()
	w.s.Close()
	w.m = w.m.powerCut(w.r)
	w.m.hook = func(_ int, op, name string) fault {
		if op == "lock" && name == onDisk {
			return fault{err: syscall.ENOENT}
		}
		return fault{}
	}
	w.open()
	w.put()
	w.deliver()
	for range 500 {
		w.put()
	}
	dropped := w.s.Status().Dropped
	w.m.onCall(nil)
	w.flush()
	if err := w.s.Status().Err; err == nil || !strings.Contains(err.Error(), "after the start") {
		t.Errorf("the directory came late: %v", err)
	}
	w.m = w.m.restarted()
	w.doubted = false
	w.open()
	if st := w.s.Status(); st.Waiting != 1+500-int(dropped) || st.Dropped != dropped || st.Damaged != 0 || st.Err != nil || dropped == 0 {
		t.Errorf("after another start %+v, want the old record and %d new ones", st, 500-dropped)
	}
	first, _ := w.s.Next()
	if string(first.Data) != string(w.payload(1)) {
		t.Error("the old record does not come first")
	}
	w.drain()
	if w.last() != w.made || len(w.stream) != 1+500-int(dropped) {
		t.Errorf("%d came, the last was %d of %d", len(w.stream), w.last(), w.made)
	}
}

// What was forgotten does not come back, not after a power cut either, and counts
// begin again; what fails is told.
func TestForget(t *testing.T) {
	for _, o := range []spool.Options{both, {Dir: onDisk}, {Journal: inRun}, {}} {
		w := newWorld(t, 1, o)
		w.open()
		for range 50 {
			w.put()
		}
		w.flush()
		r, _ := w.s.Next()
		w.s.Refuse(r)
		if err := spool.ForgetOn(w.m, both); err == nil && o.Dir+o.Journal != "" {
			t.Errorf("%+v: it is forgotten while it is in use", o)
		}
		w.s.Close()
		w.m = w.m.restarted()
		if err := spool.ForgetOn(w.m, o); err != nil {
			t.Fatal(err)
		}
		w.m = w.m.powerCut(w.r)
		w.open()
		if st := w.s.Status(); st.Waiting != 0 || st.Dropped != 0 || st.Damaged != 0 || w.lost != 0 || w.bad != 0 {
			t.Errorf("%+v: %+v, %d lost", o, st, w.lost)
		}
	}
}

// A disk that hangs holds up nobody: records are put, taken and counted.
func TestDiskHangs(t *testing.T) {
	w := newWorld(t, 1, both)
	w.open()
	w.put()
	hangs, free := make(chan struct{}), make(chan struct{})
	w.m.hook = func(_ int, op, _ string) fault {
		if op == "sync" {
			close(hangs)
			<-free
			w.m.onCall(nil)
		}
		return fault{}
	}
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		w.s.Flush()
	}()
	<-hangs
	for range 20 {
		w.put()
	}
	for range 20 {
		if !w.deliver() {
			t.Fatal("nothing to deliver")
		}
	}
	if st := w.s.Status(); st.Waiting != 1 {
		t.Errorf("%+v", st)
	}
	close(free)
	<-flushed
	w.drain()
	w.complete()
}

// The real things: a disk of a few kilobytes, and one that cannot be written.
func TestRealDisks(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	dir, journal := t.TempDir(), filepath.Join(t.TempDir(), "journal")
	mount := func(flags uintptr, data string) {
		t.Helper()
		if err := unix.Mount("tmpfs", dir, "tmpfs", flags, data); err != nil {
			lab.LeaveOut(t, "this system does not let namespaces mount: "+err.Error())
		}
	}
	const records = 400
	o := spool.Options{Dir: filepath.Join(dir, "spool"), Journal: journal}
	open := func() *spool.Spool {
		s, found := spool.Open(o)
		if found.Err != nil {
			t.Fatalf("Open: %+v", found)
		}
		return s
	}
	mount(0, "size=32k")
	t.Cleanup(func() { _ = unix.Unmount(dir, 0) })
	w := newWorld(t, 2, o)
	w.s = open()
	for i := range records {
		w.put()
		if i%10 == 9 {
			w.s.Flush()
		}
	}
	st := w.s.Status()
	if !errors.Is(st.Err, syscall.ENOSPC) || st.Waiting+int(st.Dropped) != records || st.Damaged != 0 {
		t.Errorf("full: %+v of %d", st, records)
	}
	if n, err := filepath.Glob(filepath.Join(o.Dir, "*")); err != nil || len(n) == 0 {
		t.Errorf("nothing on the disk: %v", err)
	}
	w.s.Close()

	mount(unix.MS_REMOUNT, "size=8m")
	w.s = open()
	w.s.Flush()
	if again := w.s.Status(); again.Err != nil || again.Waiting != st.Waiting || again.Dropped != st.Dropped {
		t.Errorf("with space: %+v, was %+v", again, st)
	}
	w.s.Close()

	mount(unix.MS_REMOUNT|unix.MS_RDONLY, "")
	if err := os.RemoveAll(journal); err != nil { // a reboot
		t.Fatal(err)
	}
	w.s = open()
	w.put()
	w.s.Flush()
	ro := w.s.Status()
	if !errors.Is(ro.Err, syscall.EROFS) || ro.Waiting != st.Waiting+1 || ro.Dropped != st.Dropped {
		t.Errorf("read-only: %+v, was %+v", ro, st)
	}
	w.drain()
	if len(w.stream) != ro.Waiting || w.last() != records+1 {
		t.Errorf("%d records to %d came, want %d to %d", len(w.stream), w.last(), ro.Waiting, records+1)
	}
	w.s.Close()
	w.s = open() // the program again: the journal knows what was taken
	if st := w.s.Status(); st.Waiting != 0 {
		t.Errorf("%d wait again", st.Waiting)
	}
	w.s.Close()

	mount(unix.MS_REMOUNT, "")
	w.s = open()
	w.put()
	w.s.Flush()
	if end := w.s.Status(); end.Err != nil || end.Waiting != 1 {
		t.Errorf("writable again: %+v", end)
	}
	w.s.Close()
}

// Whatever the files hold, the spool opens, works, and takes no more memory than
// they have bytes, or so.
func FuzzOpen(f *testing.F) {
	w := newWorld(nil, 1, both)
	w.size = 40
	w.open()
	for range 3 {
		_ = w.s.Put(w.payload(1))
	}
	w.s.Flush()
	r, _ := w.s.Next()
	w.s.Try(r)
	w.s.Done(r, 7)
	w.s.Refuse(r)
	_ = w.s.Put(w.payload(2))
	for name, n := range w.m.now {
		if strings.HasPrefix(name, onDisk) {
			f.Add(n.data, w.m.now[inRun+"/journal"].data)
		}
	}
	f.Add([]byte{}, []byte("Sp\x01R"))
	f.Fuzz(func(t *testing.T, segment, journal []byte) {
		m := newModel()
		m.now[onDisk+"/0000000000000001.seg"] = &node{data: segment}
		m.now[inRun+"/journal"] = &node{data: journal}
		s, found := spool.OpenOn(m, both)
		before := s.Status()
		if before.Waiting != found.Waiting || before.Waiting < 0 || before.Bytes > int64(len(segment)+len(journal)) {
			t.Fatalf("%+v, found %+v", before, found)
		}
		if err := s.Put([]byte("new")); err != nil {
			t.Fatal(err)
		}
		s.Flush()
		var last string
		for n := 0; ; n++ {
			r, ok := s.Next()
			if !ok {
				break
			}
			if n > before.Waiting {
				t.Fatalf("%d records came of %d", n, before.Waiting)
			}
			s.Done(r, 1)
			last = string(r.Data)
		}
		if last != "new" {
			t.Errorf("the new record did not come last")
		}
		s.Close()
	})
}

// BenchmarkDay is what a day costs the flash, in bytes and in syncs, each of which
// may cost a block of metadata besides: all is well, the vendor is away all day,
// and he comes and goes.
func BenchmarkDay(b *testing.B) {
	const body = 4000 // a healthy report and its id
	for _, every := range []time.Duration{5 * time.Minute, 10 * time.Second} {
		for name, away := range map[string]func(time.Duration) bool{
			"well":     func(time.Duration) bool { return false },
			"away":     func(time.Duration) bool { return true },
			"flapping": func(at time.Duration) bool { return at%(20*time.Minute) < 10*time.Minute },
		} {
			b.Run(fmt.Sprintf("%s/every=%v", name, every), func(b *testing.B) {
				for b.Loop() {
					wrote, syncs := day(b, every, body, away)
					b.ReportMetric(float64(wrote), "bytes/day")
					b.ReportMetric(float64(syncs), "syncs/day")
				}
			})
		}
	}
}

func day(b *testing.B, every time.Duration, body int, away func(time.Duration) bool) (wrote int64, syncs int) {
	// A benchmark cannot have the bubble's clock; its moments are those at which
	// Run would flush.
	m := newModel()
	s, _ := spool.OpenOn(m, both)
	var oldest time.Duration = -1
	for at := time.Duration(0); at < 24*time.Hour; at += every {
		if err := s.Put(make([]byte, body)); err != nil {
			b.Fatal(err)
		}
		if oldest < 0 {
			oldest = at
		}
		if !away(at) {
			stored := m.size(onDisk) > 0
			for r, ok := s.Next(); ok; r, ok = s.Next() {
				s.Done(r, 1)
			}
			if oldest = -1; stored {
				s.Flush()
			}
		} else if at+every-oldest > time.Minute {
			s.Flush()
			oldest = -1
		}
	}
	return m.wrote[onDisk], m.syncs
}

// BenchmarkHostileSegment is how long a segment is read that was made to be read
// slowly: headers everywhere, each of them good, no body.
func BenchmarkHostileSegment(b *testing.B) {
	m := newModel()
	s, _ := spool.OpenOn(m, both)
	if err := s.Put(make([]byte, 64<<10)); err != nil {
		b.Fatal(err)
	}
	s.Flush()
	for name, n := range m.now {
		if !strings.HasPrefix(name, onDisk) {
			continue
		}
		head := n.data[80:108] // behind the place
		n.data = nil
		for len(n.data) < 128<<10 {
			n.data = append(n.data, head...)
		}
	}
	s.Close()
	b.SetBytes(128 << 10)
	for b.Loop() {
		s, _ := spool.OpenOn(m.restarted(), both)
		s.Close()
	}
}
