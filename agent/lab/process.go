package lab

import (
	"bytes"
	"net"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a counterpart may take on a busy machine.
const patience = 60 * time.Second

// Process is a program that runs until its test ends, at the latest. It is safe
// for use by several goroutines.
type Process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	mu    sync.Mutex
	said  bytes.Buffer
}

// Start starts cmd, whose output it takes, and returns once ready holds; nil is
// ready at once. What it said is logged where the test fails.
func Start(t testing.TB, cmd *exec.Cmd, ready func(p *Process) bool) *Process {
	t.Helper()
	p := &Process{cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = (*output)(p), (*output)(p)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %q: %v", cmd.Args, err)
	}
	go func() { defer close(p.ended); _ = cmd.Wait() }()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%q said:\n%s", cmd.Args, p.Said())
		}
	})
	if ready != nil {
		p.Await(t, "it is ready", func() bool { return ready(p) })
	}
	return p
}

// Await asks ok until it says yes. The test fails if the program ends before, or
// if it takes too long.
func (p *Process) Await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); !ok(); {
		select {
		case <-tick.C:
		case <-p.ended:
			t.Fatalf("%s: ended before %s", p.cmd.Path, what)
		case <-end:
			t.Fatalf("%s: waited in vain until %s", p.cmd.Path, what)
		}
	}
}

// Said is what the program has written so far.
func (p *Process) Said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// Kill ends the program, and returns when it has ended.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// output is the end of a Process that its program writes to.
type output Process

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.said.Write(b)
}

// Listens tells whether a server takes TCP connections at addr, "host:port".
func Listens(addr string) func(*Process) bool {
	return func(*Process) bool {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		_ = c.Close()
		return true
	}
}
