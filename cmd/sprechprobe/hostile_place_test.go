package main_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// placeVar says that this run of the tests is the one in a network of its own.
const placeVar = "SPRECHPROBE_HOSTILE_PLACE"

// inPlace runs the calling test again in a network of its own, whose way out
// leads nowhere, and reports whether this is that run. What the program sends
// to anybody can be seen there, and reaches nobody.
func inPlace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(placeVar) != "" {
		return true
	}
	t.Parallel() // it mostly waits
	program(t, "ip", "iproute2")
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.v", "-test.parallel=32", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), placeVar+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		why := "LEFT OUT: no new network namespace: " + err.Error()
		if os.Getenv("LAB") == "must" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	if err != nil {
		t.Errorf("in the namespace: %v\n%s", err, out)
	} else {
		t.Logf("in the namespace:\n%s", out)
	}
	return false
}

// villages are where villains live: the second looks like the internet, which
// laboratories use 198.18.0.0/15 for.
var villages = []netip.Prefix{netip.MustParsePrefix("127.0.60.0/24"), netip.MustParsePrefix("198.18.60.0/24")}

// nudge is where the box knocks to see whether its gateway is there.
var nudge = netip.MustParseAddrPort("192.168.178.1:9")

// place is the network, and who talked to whom outside the villages.
type place struct {
	mu     sync.Mutex
	strays []string
}

// newPlace makes a practice whose router swallows everything but what goes to
// the villages, and watches until the test ends.
func newPlace(t *testing.T) *place {
	t.Helper()
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(t, unix.Mount("none", "/sys", "sysfs", 0, "")) // the one of this network
	ip := program(t, "ip", "iproute2")
	for _, args := range []string{
		"link set lo up",
		"route add local " + villages[1].String() + " dev lo",
		"link add eth0 type veth peer name hole",
		"address add 192.168.178.20/24 dev eth0",
		"link set eth0 up",
		"link set hole up",
		"neigh add " + nudge.Addr().String() + " lladdr 02:00:00:00:00:01 dev eth0 nud permanent",
		"route add default via " + nudge.Addr().String() + " dev eth0",
	} {
		if out, err := exec.Command(ip, strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v %s", args, err, out)
		}
	}
	p := &place{}
	f := watchStrays(t)
	done := make(chan struct{})
	t.Cleanup(func() { f.Close(); <-done })
	go func() {
		defer close(done)
		b := make([]byte, 128)
		for {
			n, err := f.Read(b)
			if err != nil {
				return
			}
			p.saw(b[:n])
		}
	}()
	return p
}

// watchStrays is a socket that gets a copy of each packet of which neither end
// is in a village.
func watchStrays(t *testing.T) *os.File {
	t.Helper()
	var filter []bpf.Instruction
	for _, offset := range []uint32{12, 16} { // source and destination of IPv4
		filter = append(filter, bpf.LoadAbsolute{Off: offset, Size: 4}, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xffffff00})
		for _, v := range villages {
			net4 := v.Addr().As4()
			filter = append(filter, bpf.JumpIf{Cond: bpf.JumpNotEqual, SkipTrue: 1,
				Val: uint32(net4[0])<<24 | uint32(net4[1])<<16 | uint32(net4[2])<<8}, bpf.RetConstant{})
		}
	}
	raw, err := bpf.Assemble(append(filter, bpf.RetConstant{Val: 128}))
	must(t, err)
	ops := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		ops[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8 // in the order of the network
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	must(t, unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(ops)), Filter: &ops[0]}))
	must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all}))
	return os.NewFile(uintptr(fd), "strays")
}

// saw notes a packet.
func (p *place) saw(b []byte) {
	text := fmt.Sprintf("%x", b[:min(len(b), 40)])
	switch {
	case len(b) >= 24 && b[0]>>4 == 4:
		dst := netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[16:])), binary.BigEndian.Uint16(b[22:]))
		text = fmt.Sprintf("protocol %d to %s", b[9], dst)
		if dst == nudge {
			return
		}
	case len(b) >= 40 && b[0]>>4 == 6 && b[24] == 0xff: // the kernel, as links come up
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.strays) < 1000 && !slices.Contains(p.strays, text) {
		p.strays = append(p.strays, text)
	}
}

func (p *place) seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.strays)
}

// quiet fails the test if the program has talked to anybody outside the
// villages. To trust that, it first does so itself and waits until that is seen.
func (p *place) quiet(t *testing.T) {
	t.Helper()
	const mark = "192.0.2.99"
	until(t, "the watch sees a packet", func() bool {
		c, err := net.Dial("udp4", mark+":9")
		must(t, err)
		defer c.Close()
		_, err = c.Write([]byte("seen?"))
		must(t, err)
		return slices.ContainsFunc(p.seen(), func(s string) bool { return strings.Contains(s, mark) })
	})
	for _, s := range p.seen() {
		if !strings.Contains(s, mark) {
			t.Errorf("the program talked to a stranger: %s", s)
		}
	}
}

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
