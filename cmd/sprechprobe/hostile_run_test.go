package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// ran is a result with what it cost.
type ran struct {
	result
	took   time.Duration
	peakKB int64
}

// mostData ends a run that takes all memory before it harms the machine, bytes.
const mostData = 512 << 20

// measured runs the program to its end while drive, if there is one, does
// something to it, and measures its memory. After limit it counts as hung.
func (v *vendor) measured(t *testing.T, limit time.Duration, program string, drive func(*os.Process), args ...string) ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+v.caFile, "RUNTIME_DIRECTORY="+v.dir, "GOTRACEBACK=all")
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	began := time.Now()
	must(t, cmd.Start())
	_ = unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_DATA, &unix.Rlimit{Cur: mostData, Max: mostData}, nil) // it may have ended
	ended, peak := make(chan struct{}), make(chan int64)
	go func() { peak <- watchMemory(cmd.Process.Pid, ended) }()
	driven := make(chan struct{})
	go func() {
		defer close(driven)
		if drive != nil {
			drive(cmd.Process)
		}
	}()
	err := cmd.Wait()
	close(ended)
	<-driven
	r := ran{result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}, time.Since(began), <-peak}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s %v: %v", program, args, err)
	}
	if ctx.Err() != nil {
		t.Fatalf("%s %v: did not end within %v: %.500s", program, args, limit, r.errOut)
	}
	// The kernel counts into a child's peak what its parent had at the fork, so
	// it tells something only where it is above that.
	if kb := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss; kb > highWater(os.Getpid()) {
		r.peakKB = max(r.peakKB, kb)
	}
	return r
}

// watchMemory follows the peak of a process until it has ended.
func watchMemory(pid int, ended <-chan struct{}) (peak int64) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		peak = max(peak, highWater(pid))
		select {
		case <-tick.C:
		case <-ended:
			return peak
		}
	}
}

// highWater is the most memory that a process has had since it was started, in
// KiB; 0 where it is gone.
func highWater(pid int) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, after, _ := strings.Cut(string(b), "VmHWM:")
	if words := strings.Fields(after); len(words) > 0 {
		kb, _ := strconv.ParseInt(words[0], 10, 64)
		return kb
	}
	return 0
}

// sound checks what holds for every run.
func (r ran) sound(t *testing.T) {
	t.Helper()
	if strings.Contains(r.errOut, "panic") || strings.Contains(r.errOut, "goroutine") || strings.Contains(r.out, `"panic"`) {
		t.Errorf("a panic: %s%s", r.errOut, r.out)
	}
	if r.peakKB > mostKB {
		t.Errorf("%d KiB of memory, over %d", r.peakKB, mostKB)
	}
	if r.peakKB == 0 {
		t.Error("the memory was not measured")
	}
}

// The daemon stands the same, round after round, and ends when it is told to,
// in the middle of one.
func TestHostileFarEndsAndRun(t *testing.T) {
	t.Parallel()
	if !lab.Inside(t) {
		return
	}
	sprechprobe := build(t)
	v := &vendor{dir: t.TempDir()}
	cert := v.certificates(t, "*."+domain)
	p := newPlace(t)
	h := hostile{pinned: true, central: "nats", manners: manners{udp: flood(records),
		tcp: secured(starting(info, stream1GiB)), central: starting(info, stream1GiB)}}
	w, v := h.settle(t, 0, v.caFile, cert)
	var told time.Time
	r := v.measured(t, 2*deadline, sprechprobe, func(box *os.Process) {
		for n := uint64(1); n <= 2; n++ {
			until(t, "another report", func() bool { return v.kept(t) >= n })
			must(t, box.Signal(syscall.SIGUSR1))
		}
		asked := w.asked.Load()
		until(t, "a round under way", func() bool { return w.asked.Load() > asked+5 })
		told = time.Now()
		must(t, box.Signal(syscall.SIGTERM))
	}, "run", "--config", v.config)
	r.sound(t)
	ending := time.Since(told)
	t.Logf("took %v, ended within %v, %d KiB, exit %d", r.took, ending, r.peakKB, r.code)
	if r.code != 0 || ending > 10*time.Second {
		t.Errorf("exit %d after %v: %s", r.code, ending, r.errOut)
	}
	p.quiet(t)
}

// kept is the number of the newest report that run has kept; 0: none.
func (v *vendor) kept(t *testing.T) uint64 {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(v.dir, "report.json"))
	if err != nil {
		return 0
	}
	r, err := fleet.Decode(b)
	must(t, err)
	return r.Seq
}

// The report of a profile as large as one may be is still one that other
// commands can read.
func TestLargestReport(t *testing.T) {
	t.Parallel()
	if !lab.Inside(t) {
		return
	}
	sprechprobe := build(t)
	newPlace(t)
	v := &vendor{dir: t.TempDir()}
	var b bytes.Buffer
	fmt.Fprintf(&b, "name = \"large\"\ntitle = \"Large\"\nversion = \"1\"\nsource = \"https://%s/\"\ndate = \"2026-11-22\"\n", domain)
	for i := range 64 { // of three addresses each, on which nobody listens
		fmt.Fprintf(&b, "[[target]]\nservice = \"nats\"\nhost = \"a-host-with-a-long-name-%d.%s\"\nport = 8443\ntransports = [\"tcp\"]\nfeeds = [\"group\"]\n", i, domain)
		fmt.Fprintf(&b, "pins = [\"127.0.60.%d\", \"127.0.60.%d\", \"127.0.60.%d\"]\n", 3*i, 3*i+1, 3*i+2)
	}
	must(t, os.Mkdir(filepath.Join(v.dir, "profiles.d"), 0o755))
	v.write(t, "profiles.d/large.toml", b.Bytes())
	v.config = v.write(t, "sprechprobe.toml", fmt.Appendf(nil, "profiles = [\"large\"]\nprofile_dir = %q\n[network]\nresolvers = [\"127.0.60.1:53\"]\n"+
		"[lights]\ndriver = \"none\"\n", filepath.Join(v.dir, "profiles.d")))
	r := v.measured(t, deadline, sprechprobe, func(box *os.Process) {
		until(t, "a report", func() bool { return v.kept(t) > 0 })
		if r := v.box(t, []string{sprechprobe}, "request", "--config", v.config); r.code != 0 || r.errOut != "" {
			t.Errorf("request: exit %d: %s", r.code, r.errOut)
		}
		must(t, box.Signal(syscall.SIGTERM))
	}, "run", "--config", v.config)
	r.sound(t)
	t.Logf("took %v, %d KiB", r.took, r.peakKB)
}
