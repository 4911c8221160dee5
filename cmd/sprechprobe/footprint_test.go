package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
)

// The budgets of the program on the smallest board.
const (
	maxProgram  = 12_500_000 // bytes, mipsle softfloat, stripped
	maxPacked   = 2_800_000  // the same as xz, as flash holds it
	maxResident = 20 << 10   // KiB, run, idle
	maxRound    = 60_000     // bytes on the wire, a healthy deep round without bandwidth; others load no line
)

func TestProgramFits(t *testing.T) {
	if testing.Short() {
		t.Skip("LEFT OUT: cross-builds are slow, and this run is a short one")
	}
	path := build(t, "GOOS=linux", "GOARCH=mipsle", "GOMIPS=softfloat")
	info, err := os.Stat(path)
	must(t, err)
	packed, err := exec.Command(program(t, "xz", "xz-utils"), "-9", "-c", path).Output()
	must(t, err)
	t.Logf("mipsle softfloat: %d bytes, as xz %d", info.Size(), len(packed))
	if len(packed) > maxPacked {
		t.Errorf("%d bytes as xz, over %d", len(packed), maxPacked)
	}
	if info.Size() > maxProgram {
		t.Errorf("%d bytes, over %d", info.Size(), maxProgram)
	}
}

func TestRunFitsInMemory(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	v := newVendor(t)
	url, reports := bus(t)
	v.configure(t, "[box]\n", "[box]\ntenant = \"acme\"\n")
	v.configure(t, "driver = \"none\"", "driver = \"terminal\"\n[central]\nservers = [\""+url+"\"]\n[schedule]\nevery = \"24h\"")
	d := v.run(t)
	for n := 1; n <= 5; n++ {
		until(t, "a round", func() bool { return len(reports()) >= n })
		d.signal(t, syscall.SIGUSR1)
	}
	until(t, "the last round", func() bool { return len(reports()) >= 6 })
	kib := resident(t, d.cmd.Process.Pid)
	t.Logf("resident after six rounds: %d KiB", kib)
	if kib > maxResident {
		t.Errorf("resident %d KiB, over %d", kib, maxResident)
	}
}

func resident(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	var kib int
	_, err = fmt.Sscan(rest, &kib)
	must(t, err)
	return kib
}

// What a healthy round costs on the wire. It is counted on the loopback of this
// network, so it says something only where nobody else uses that.
func TestRoundIsLight(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	v := newVendor(t)
	sprechprobe := build(t)
	least := 0
	for range 5 { // where this machine is late the round asks more, and looks why
		before := loopbackBytes(t)
		r, code := v.check(t, sprechprobe)
		sent := loopbackBytes(t) - before
		expect(t, r, code, 0, agent.Ready)
		t.Logf("healthy round: %d bytes on the wire", sent)
		if least == 0 || sent < least {
			least = sent
		}
		if least <= maxRound {
			return
		}
	}
	t.Errorf("healthy round: %d bytes on the wire, over %d", least, maxRound)
}

// inOwnNetwork reports whether this is a run of the calling test in a network of
// its own, which is a loopback.
func inOwnNetwork(t *testing.T) bool {
	t.Helper()
	program(t, "ip", "iproute2")
	if !lab.Inside(t) {
		return false
	}
	lab.IP(t, "link set lo up")
	return true
}

// loopbackBytes counts what the loopback has received, which on a loopback is
// all that was sent.
func loopbackBytes(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/net/dev")
	must(t, err)
	_, rest, _ := strings.Cut(string(b), "lo:")
	var n int
	_, err = fmt.Sscan(rest, &n)
	must(t, err)
	return n
}
