package demo

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// child is the box's program while it runs.
type child struct {
	cmd     *exec.Cmd
	gone    chan struct{} // closed when it ended
	changed chan struct{} // one value after the lights changed
	err     error         // how it ended; read it after gone

	mu      sync.Mutex
	lights  lights
	last    []string // of what it wrote to its standard error
	stopped bool
}

const keepLines = 8

// startChild runs a program. It ends with us, even if we are killed.
func startChild(program string, args, env []string) (*child, error) {
	c := &child{cmd: exec.Command(program, args...), gone: make(chan struct{}), changed: make(chan struct{}, 1)}
	c.cmd.Env = env
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	errs, err := c.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	started := make(chan error, 1)
	go func() {
		// The signal at our death is sent when the thread that started the
		// child ends, so that this thread must last as long as the child.
		runtime.LockOSThread()
		err := c.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		var readers sync.WaitGroup
		readers.Go(func() { eachLine(out, c.tell) })
		readers.Go(func() { eachLine(errs, c.note) })
		readers.Wait()
		c.err = c.cmd.Wait()
		close(c.gone)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start the box: %w", err)
	}
	return c, nil
}

// eachLine hands on lines until the stream ends; over-long ones are cut.
func eachLine(r io.Reader, take func(string)) {
	b := bufio.NewReaderSize(r, 4096)
	for {
		line, more, err := b.ReadLine()
		if err != nil {
			return
		}
		take(string(line))
		for more && err == nil {
			_, more, err = b.ReadLine()
		}
	}
}

// tell takes a line of the child's standard output.
func (c *child) tell(line string) {
	l, ok := parseLights(line)
	if !ok {
		return
	}
	c.mu.Lock()
	c.lights = l
	c.mu.Unlock()
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// note keeps the end of what the child has to say about itself.
func (c *child) note(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = append(c.last, line)
	if len(c.last) > keepLines {
		c.last = c.last[1:]
	}
}

// now is what the lights show.
func (c *child) now() lights {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lights
}

// check asks the box to look at once. Before its first report it looks anyway,
// and would not yet understand.
func (c *child) check() { _ = c.cmd.Process.Signal(syscall.SIGUSR1) }

// stop ends the child and waits for it.
func (c *child) stop() {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.gone:
	case <-time.After(20 * time.Second):
		_ = c.cmd.Process.Kill()
		<-c.gone
	}
}

// death says how the child ended by itself.
func (c *child) death() error {
	<-c.gone
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil
	}
	how := "without an error"
	if c.err != nil {
		how = c.err.Error()
	}
	return fmt.Errorf("the box's program ended by itself, %s; it said:\n  %s", how, strings.Join(c.last, "\n  "))
}
