package spool_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/spool"
)

// writerVar makes this program one that puts records into a spool, writes them to
// disk and takes some off, and says so, until it is killed.
const writerVar = "SPRECHPROBE_SPOOL_WRITER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerVar); dir != "" {
		write(dir)
	}
	if words := strings.Fields(os.Getenv(briefVar)); len(words) == 3 {
		brief(words[0], words[1], words[2])
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func write(dir string) {
	s, _ := spool.Open(spool.Options{Dir: dir})
	for n := uint32(0); ; {
		for range 1 + rand.IntN(5) {
			n++
			if err := s.Put(record(n)); err != nil {
				panic(err)
			}
		}
		took := uint32(0)
		for range rand.IntN(4) {
			if r, ok := s.Next(); ok {
				took = binary.BigEndian.Uint32(r.Data)
				s.Done(r, uint64(took))
			}
		}
		fmt.Println("taken", took)
		s.Flush()
		if err := s.Status().Err; err != nil {
			panic(err)
		}
		fmt.Println("written", n)
	}
}

func record(n uint32) []byte {
	b := make([]byte, 100+n%5000)
	for i := range b {
		b[i] = byte(n)
	}
	binary.BigEndian.PutUint32(b, n)
	return b
}

// The power fails under a real file system: what its medium holds at one moment
// is a copy of the image while the writer stands still, for what was not synced
// is not in it. Every record that was said to be written is there, whole and in
// order.
//
// It needs root and loop devices; SPRECHPROBE_POWERCUTS sets how often.
func TestPowerCutsOnRealFileSystem(t *testing.T) {
	cuts, err := strconv.Atoi(os.Getenv("SPRECHPROBE_POWERCUTS"))
	if err != nil {
		t.Skip("SPRECHPROBE_POWERCUTS is not set; TestPowerCutAtEveryCall has the model of a disk")
	}
	if !lab.Inside(t) {
		return
	}
	dir := t.TempDir()
	image, medium := filepath.Join(dir, "image"), filepath.Join(dir, "medium")
	must := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	must("truncate", "-s", "48M", image)
	must("mkfs.ext4", "-q", image)
	disk, after := filepath.Join(dir, "disk"), filepath.Join(dir, "after")
	must("mkdir", disk, after)
	must("mount", "-o", "loop", image, disk)
	t.Cleanup(func() { _ = unix.Unmount(disk, 0) })
	records := 0
	for i := range cuts {
		name := fmt.Sprint("spool", i) // what is removed may come back in a power cut
		taken, written := untilTheCut(t, filepath.Join(disk, name), func() { must("cp", image, medium) })
		must("mount", "-o", "loop", medium, after)
		records += check(t, filepath.Join(after, name), taken, written)
		must("umount", after)
		must("rm", "-r", filepath.Join(disk, name))
	}
	t.Logf("%d power cuts, %d records came", cuts, records)
}

// untilTheCut runs a writer for a while, copies the medium while it stands still,
// and returns what it had said by then.
func untilTheCut(t *testing.T, dir string, snapshot func()) (taken, written uint32) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), writerVar+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	said := bufio.NewReader(out)
	hear := func() bool {
		var word string
		var n uint32
		if _, err := fmt.Fscan(said, &word, &n); err != nil {
			return false
		}
		switch word {
		case "taken":
			taken = max(taken, n)
		case "written":
			written = n
		}
		return true
	}
	for range 2 * (1 + rand.IntN(60)) {
		if !hear() {
			t.Fatal("the writer ended")
		}
	}
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	snapshot()
	_ = cmd.Process.Kill()
	for hear() { // what it had said before
	}
	return taken, written
}

// check reads a spool: all records behind those taken up to those written are
// there. More may be, on both sides.
func check(t *testing.T, dir string, taken, written uint32) (n int) {
	t.Helper()
	s, found := spool.Open(spool.Options{Dir: dir})
	defer s.Close()
	if found.Err != nil {
		t.Fatalf("%+v", found)
	}
	last := uint32(0)
	for r, ok := s.Next(); ok; r, ok = s.Next() {
		got := binary.BigEndian.Uint32(r.Data)
		if string(r.Data) != string(record(got)) || last > 0 && got != last+1 {
			t.Fatalf("record %d after %d", got, last)
		}
		if last == 0 && got > taken+1 {
			t.Fatalf("the first record is %d, %d were taken", got, taken)
		}
		last = got
		n++
		s.Done(r, 1)
	}
	if taken < written && last < written {
		t.Fatalf("records end with %d, %d were written", last, written)
	}
	return n
}
