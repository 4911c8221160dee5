package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// runtimeDir is where run keeps what other commands look at: the service's
// runtime directory, which lies in memory.
func runtimeDir() string {
	if dir := os.Getenv("RUNTIME_DIRECTORY"); dir != "" {
		return dir
	}
	return "/var/run/sprechprobe" // on OpenWrt /run may be flash; elsewhere it is the same
}

func lockFile() string { return filepath.Join(runtimeDir(), "lights.lock") }

// errDriven says that a running box drives the lights.
var errDriven = errors.New("a running box drives the lights")

// passing stands in the lock behind the number of a process that gives way to
// whoever wants the lights: one that only shows a state, as while a package is
// changed. It looks there again and again.
const (
	passing   = " passing"
	lookAside = time.Second
)

// lock makes this the one process that drives the lights, until the file is closed
// or it dies. Where there is no directory for it, nobody is kept away, and there is
// no file.
func lock() (*os.File, error) {
	if os.MkdirAll(runtimeDir(), 0o755) != nil {
		return nil, nil
	}
	f, err := os.OpenFile(lockFile(), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, nil
	}
	take := func() bool { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil }
	taken := take()
	if !taken && strings.HasSuffix(holder(f), passing) {
		note(f, "")
		for n := 0; !taken && n < 30; n++ {
			time.Sleep(lookAside / 10)
			taken = take()
		}
	}
	if !taken {
		_ = f.Close()
		return nil, errDriven
	}
	note(f, "")
	return f, nil
}

// note says in the lock who drives the lights, or wants to.
func note(f *os.File, how string) {
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(mark(how)), 0)
	}
}

func mark(how string) string { return strconv.Itoa(os.Getpid()) + how }

// holder is what note has said.
func holder(f *os.File) string {
	b := make([]byte, 40)
	n, _ := f.ReadAt(b, 0)
	return strings.TrimSpace(string(b[:n]))
}

// driver is the box that drives the lights; ok is false if none does. pid is 0
// where it cannot be told: in a jail a process has another number.
func driver() (pid int, ok bool) {
	f, err := os.Open(lockFile())
	if err != nil {
		return 0, false
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		return 0, false
	}
	pid, err = strconv.Atoi(holder(f))
	if err != nil {
		return 0, false
	}
	if pid <= 1 {
		pid = 0
	}
	return pid, true
}

func runFile() string { return filepath.Join(runtimeDir(), "run.lock") }

// alive says to others, until end is called or the process dies, that the daemon
// runs and takes signals.
func alive() (end func()) {
	if os.MkdirAll(runtimeDir(), 0o755) != nil {
		return func() {}
	}
	f, err := os.OpenFile(runFile(), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return func() {}
	}
	_ = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) // who looks at this very moment errs
	return func() { _ = f.Close() }
}

// Running reports whether the daemon runs on this machine.
func Running() bool {
	f, err := os.Open(runFile())
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
}
