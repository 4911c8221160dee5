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

// A network can be entered from any goroutine, and what is opened there stays.
func TestNetwork(t *testing.T) {
	lab.Program(t, "ip", "iproute2")
	if !lab.Inside(t) {
		return
	}
	lab.Batch(t, "", "netns add far")
	lab.Batch(t, "far", "link set lo up\naddress add 192.0.2.7/32 dev lo")
	far := lab.Open(t, "far")
	if far.Name() != "far" {
		t.Errorf("its name is %q", far.Name())
	}
	heard := make(chan string, 2)
	l, err := far.Listen("tcp", "192.0.2.7:7")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b, _ := io.ReadAll(c)
		heard <- string(b)
	}()
	p, err := far.ListenPacket("udp", "192.0.2.7:7")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, network := range []string{"tcp", "udp"} {
		go func() {
			c, err := far.Dial(t.Context(), network, "192.0.2.7:7")
			if err != nil {
				heard <- err.Error()
				return
			}
			defer c.Close()
			_, _ = io.WriteString(c, "hello by "+network)
		}()
		if network == "udp" {
			b := make([]byte, 100)
			n, _, err := p.ReadFrom(b)
			if err != nil {
				t.Fatal(err)
			}
			heard <- string(b[:n])
		}
		if got := <-heard; got != "hello by "+network {
			t.Errorf("heard %q", got)
		}
	}
	if c, err := net.Dial("tcp", "192.0.2.7:7"); err == nil {
		t.Errorf("the far network is here: %v", c.RemoteAddr())
	}
	reset := "chain c { type filter hook input priority 0; tcp dport 7 reject with tcp reset; }"
	for _, rules := range []string{reset, ""} {
		lab.In(t, "far", func() { lab.Table(t, "mine", rules) })
		c, err := far.Dial(t.Context(), "tcp", "192.0.2.7:7")
		if (err == nil) == (rules != "") {
			t.Errorf("with the table %q: %v", rules, err)
		}
		if err == nil {
			c.Close()
		}
	}
	if got := endOf(t, func(t testing.TB) { lab.Open(t, "nowhere") }); !strings.Contains(got, "nowhere") {
		t.Errorf("a network that is not there: %q", got)
	}
}

// Of a test inside only those parts run that were asked for.
func TestParts(t *testing.T) {
	const asked = "SPRECHPROBE_LAB_PARTS"
	if os.Getenv(asked) == "" {
		lab.Program(t, "ip", "iproute2")
		cmd := exec.Command("/proc/self/exe", "-test.v", "-test.run=^TestParts$/^two$")
		cmd.Env = append(os.Environ(), asked+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Contains(string(out), "TestParts/one") || !strings.Contains(string(out), "--- PASS: TestParts/two ") {
			t.Errorf("%v:\n%s", err, out)
		}
		return
	}
	if !lab.Inside(t) {
		return
	}
	for _, part := range []string{"one", "two"} {
		t.Run(part, func(*testing.T) {})
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
