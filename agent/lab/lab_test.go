package lab_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

// ending is a test that notes how it is ended, and ends only itself.
type ending struct {
	testing.TB
	how string
}

func (e *ending) Skip(why ...any)  { e.end("skip", why...) }
func (e *ending) Fatal(why ...any) { e.end("fatal", why...) }
func (e *ending) Fatalf(format string, args ...any) {
	e.end("fatal", fmt.Sprintf(format, args...))
}

func (e *ending) end(how string, why ...any) {
	e.how = how + ": " + fmt.Sprint(why...)
	runtime.Goexit()
}

// endOf is how do ends its test; empty if it returns.
func endOf(t *testing.T, do func(t testing.TB)) string {
	e, done := &ending{TB: t}, make(chan struct{})
	go func() { defer close(done); do(e) }()
	<-done
	return e.how
}

func TestLeaveOut(t *testing.T) {
	for must, want := range map[string]string{"": "skip: LEFT OUT: no cable", "must": "fatal: LAB=must, but no cable"} {
		t.Setenv("LAB", must)
		if got := endOf(t, func(t testing.TB) { lab.LeaveOut(t, "no cable") }); got != want {
			t.Errorf("LAB=%s: %q, want %q", must, got, want)
		}
	}
}

func TestProgram(t *testing.T) {
	dir := t.TempDir()
	mine := filepath.Join(dir, "mine")
	if err := os.WriteFile(mine, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	t.Setenv("LAB", "must")
	if got := lab.Program(t, "mine", "x"); got != mine {
		t.Errorf("mine is %q, want %q", got, mine)
	}
	if got := lab.Program(t, "chroot", "coreutils"); filepath.Base(filepath.Dir(got)) != "sbin" {
		t.Errorf("chroot is %q, want one in an sbin", got)
	}
	want := "fatal: LAB=must, but there is no program nobody (Debian package no-body)"
	if got := endOf(t, func(t testing.TB) { lab.Program(t, "nobody", "no-body") }); got != want {
		t.Errorf("a program that is not there: %q, want %q", got, want)
	}
}

func TestNetworks(t *testing.T) {
	lab.Program(t, "ip", "iproute2")
	lab.Program(t, "nft", "nftables")
	if !lab.Inside(t) {
		return
	}
	names := func() string {
		links, err := os.ReadDir("/sys/class/net") // of the network of who mounted it
		if err != nil {
			t.Fatal(err)
		}
		ifs, err := net.Interfaces()
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(len(links), len(ifs))
	}
	if got := names(); got != "1 1" {
		t.Errorf("%s links at first, want only the loopback", got)
	}
	lab.IP(t, `
		netns add far
		link add near0 type veth peer name far0 netns far
		address add 192.0.2.1/24 dev near0
		link set near0 up
		-n far address add 192.0.2.2/24 dev far0
		-n far link set far0 up`)
	if got := names(); got != "2 2" {
		t.Errorf("%s links, want the loopback and the cable", got)
	}
	var l net.Listener
	lab.In(t, "far", func() {
		var err error
		if l, err = net.Listen("tcp4", "192.0.2.2:7"); err != nil {
			t.Fatal(err)
		}
		lab.Set(t, "ipv4/ip_default_ttl 33")
	})
	defer l.Close()
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_default_ttl"); err != nil || string(b) == "33\n" {
		t.Errorf("own TTL %q, %v; want the far one only to change", b, err)
	}
	if _, err := net.Listen("tcp4", "192.0.2.2:8"); err == nil {
		t.Error("still in the far network")
	}
	if !lab.Listens("192.0.2.2:7")(nil) {
		t.Error("the far network is out of reach")
	}
	reject := "table ip t { chain c { type filter hook input priority 0; reject with tcp reset; }; }"
	for _, rules := range []string{reject, ""} {
		lab.In(t, "far", func() { lab.NFT(t, rules) })
		if got := lab.Listens("192.0.2.2:7")(nil); got == (rules != "") {
			t.Errorf("with the far firewall %q, reached: %v", rules, got)
		}
	}
	want := "fatal: "
	if got := endOf(t, func(t testing.TB) { lab.IP(t, "link set nowhere0 up") }); !strings.HasPrefix(got, want) || !strings.Contains(got, "nowhere0") {
		t.Errorf("a mistaken ip: %q, want %q and its words", got, want)
	}
}

func TestStart(t *testing.T) {
	cat := exec.Command(lab.Program(t, "sh", "dash"), "-c", "echo hello; cat; echo gone")
	in, err := cat.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := lab.Start(t, cat, func(p *lab.Process) bool { return p.Said() == "hello\n" })
	if _, err := io.WriteString(in, "there\n"); err != nil {
		t.Fatal(err)
	}
	p.Await(t, "it has said it again", func() bool { return strings.HasSuffix(p.Said(), "there\n") })
	in.Close()
	want := "ended before it says never"
	got := endOf(t, func(t testing.TB) { p.Await(t, "it says never", func() bool { return false }) })
	if !strings.HasSuffix(got, want) || !strings.HasSuffix(p.Said(), "gone\n") {
		t.Errorf("%q, said %q; want %q", got, p.Said(), want)
	}
	p.Kill() // has nothing more to do
}

// A counterpart ends with its test.
func TestStartEnds(t *testing.T) {
	var p *lab.Process
	t.Run("user", func(t *testing.T) {
		p = lab.Start(t, exec.Command(lab.Program(t, "sleep", "coreutils"), "1000"), nil)
	})
	if got := endOf(t, func(t testing.TB) { p.Await(t, "it wakes", func() bool { return false }) }); !strings.Contains(got, "ended before") {
		t.Errorf("after its test: %q", got)
	}
}
