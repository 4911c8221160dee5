package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/lab/postgres"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// disk is a small file system of a test's own.
type disk struct {
	dir    string
	filler string
}

func newDisk(t *testing.T, size string) *disk {
	t.Helper()
	lab.IP(t, "link set lo up")
	dir, err := os.MkdirTemp("", "disk-") // which everybody may enter, other than the test's own
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d := &disk{dir: dir}
	if err := unix.Mount("tmpfs", d.dir, "tmpfs", 0, "mode=0755,size="+size); err != nil {
		lab.LeaveOut(t, "this system does not let namespaces mount: "+err.Error())
	}
	t.Cleanup(func() { _ = unix.Unmount(d.dir, unix.MNT_DETACH) })
	d.filler = filepath.Join(d.dir, "filler")
	return d
}

// fill leaves so many bytes.
func (d *disk) fill(t *testing.T, left int64) {
	t.Helper()
	var fs unix.Statfs_t
	err := unix.Statfs(d.dir, &fs)
	f, errF := os.Create(d.filler)
	if err != nil || errF != nil {
		t.Fatal(err, errF)
	}
	defer f.Close()
	if n := int64(fs.Bavail)*int64(fs.Bsize) - left; n > 0 {
		if err := unix.Fallocate(int(f.Fd()), 0, 0, n); err != nil {
			t.Fatal(err)
		}
	}
}

func (d *disk) empty(t *testing.T) {
	t.Helper()
	if err := os.Remove(d.filler); err != nil {
		t.Fatal(err)
	}
}

// large is a report of 20 kB.
func large(t *testing.T, seq uint64) *nats.Msg {
	t.Helper()
	r := agent.Report{Schema: agent.Schema, Box: agent.Box{ID: "nord"}, Tenant: "acme", Seq: seq, Verdict: agent.Ready,
		Stamp: agent.Stamp{At: time.Now().UTC(), Clock: agent.ClockSet}}
	for n := range 150 {
		r.Evidence = append(r.Evidence, agent.See(agent.ProbeSTUN, agent.Target{Host: fmt.Sprintf("stun-%d-%d.example", seq, n)}, agent.Answered, "").With(agent.RTT, n))
	}
	payload, err := fleet.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	subject, err := fleet.ReportSubject("acme", "nord")
	if err != nil {
		t.Fatal(err)
	}
	return &nats.Msg{Subject: subject, Data: payload, Header: nats.Header{fleet.HeaderBoot: {"b1"}}}
}

// fleetOn starts serve as a process with a bus of its own.
func fleetOn(t *testing.T, data, where string) (page, bus string, p *lab.Process) {
	t.Helper()
	page, p = fleetProgram(t, "--listen", "127.0.0.1:0", "--data", data, "--history", where, "--max-bytes", "50000000", "--access", t.TempDir())
	return page, regexp.MustCompile(`bus=(\S+)`).FindStringSubmatch(p.Said())[1], p
}

func says(t *testing.T, page, what string) func() bool {
	return func() bool {
		code, text := answerOf(t, page+"healthz")
		return code == http.StatusServiceUnavailable && strings.Contains(text, what)
	}
}

func well(t *testing.T, page string) func() bool {
	return func() bool { code, _ := answerOf(t, page+"healthz"); return code == http.StatusOK }
}

// A full disk of the bus is said before and after, and costs nothing that was
// acknowledged; with room, the program has to be started again.
func TestBusDiskFull(t *testing.T) {
	t.Parallel() // it waits for the most part
	if !lab.Inside(t) {
		return
	}
	d, where := newDisk(t, "120m"), filepath.Join(t.TempDir(), "history.db")
	page, bus, p := fleetOn(t, filepath.Join(d.dir, "bus"), where)
	nc, err := nats.Connect(bus)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	send := func(seq uint64) error { _, err := nc.RequestMsg(large(t, seq), 3*time.Second); return err }
	if err := send(1); err != nil {
		t.Fatal(err)
	}
	patiently(t, "all is well", well(t, page))
	d.fill(t, 2<<20)
	patiently(t, "it is said before", says(t, page, "bus: the disk is full, or nearly"))
	acked := uint64(1)
	for ; acked < 1000; acked++ {
		if err = send(acked + 1); err != nil {
			break
		}
	}
	if err == nil {
		t.Fatalf("%d reports of 20 kB fit into 2 MB", acked)
	}
	patiently(t, "it is said after", func() bool {
		return says(t, page, "bus: the disk was full, and it has stopped")() && strings.Contains(p.Said(), "make room and start this program again")
	})
	if code, _ := answerOf(t, page); code != http.StatusOK {
		t.Errorf("the page: %d", code)
	}
	d.empty(t)
	p.Kill()
	page, bus, _ = fleetOn(t, filepath.Join(d.dir, "bus"), where)
	patiently(t, "what was acknowledged is there", func() bool { return kept(t, where, nord) >= int(acked) })
	again, err := nats.Connect(bus)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if _, err := again.RequestMsg(large(t, acked+100), 10*time.Second); err != nil {
		t.Errorf("with room again: %v", err)
	}
	patiently(t, "all is well again", well(t, page))
	t.Logf("%d acknowledged until the disk was full", acked)
}

// historyFull fills the disk of a history, and makes room again.
func historyFull(t *testing.T, d *disk, where string, left int64) {
	t.Helper()
	page, bus, _ := fleetOn(t, t.TempDir(), where)
	nc, err := nats.Connect(bus)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	seq := uint64(0)
	send := func() {
		seq++
		if _, err := nc.RequestMsg(large(t, seq), 10*time.Second); err != nil {
			t.Fatalf("the bus has room: %v", err)
		}
	}
	send()
	patiently(t, "the first report is written", func() bool { return kept(t, where, nord) == 1 })
	d.fill(t, left)
	full := says(t, page, "writing the history")
	patiently(t, "it is said", func() bool {
		if seq < 1500 {
			send()
		}
		return full()
	})
	d.empty(t)
	patiently(t, "all reports are written", func() bool { return kept(t, where, nord) == int(seq) })
	patiently(t, "all is well again", well(t, page))
	t.Logf("%d reports, all written", seq)
}

// Where the history has no room the bus keeps the reports, and the program goes on by
// itself when there is some.
func TestHistoryDiskFull(t *testing.T) {
	t.Parallel() // it waits for the most part
	if !lab.Inside(t) {
		return
	}
	d := newDisk(t, "20m")
	historyFull(t, d, filepath.Join(d.dir, "history.db"), 100<<10)
}

func TestPostgresDiskFull(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	d := newDisk(t, "200m")
	t.TempDir() // elsewhere, as all others then
	t.Setenv("TMPDIR", d.dir)
	server := postgres.Start(t, "fsync=on")
	historyFull(t, d, server.URL(), 40<<10)
}
