package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// runtimeDir is where run keeps what other commands look at: the service's
// runtime directory, which lies in memory.
func runtimeDir() string {
	if dir := os.Getenv("RUNTIME_DIRECTORY"); dir != "" {
		return dir
	}
	return "/run/sprechprobe"
}

func lockFile() string { return filepath.Join(runtimeDir(), "lights.lock") }

// errDriven says that a running box drives the lights.
var errDriven = errors.New("a running box drives the lights")

// lock makes this the one process that drives the lights, until unlock is called
// or it dies. Where there is no directory for it, nobody is kept away.
func lock() (unlock func(), err error) {
	if os.MkdirAll(runtimeDir(), 0o755) != nil {
		return func() {}, nil
	}
	f, err := os.OpenFile(lockFile(), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return func() {}, nil
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, errDriven
	}
	if f.Truncate(0) == nil {
		_, _ = fmt.Fprintln(f, os.Getpid())
	}
	return func() { _ = f.Close() }, nil
}

// driver is the process that drives the lights; ok is false if none does.
func driver() (pid int, ok bool) {
	f, err := os.Open(lockFile())
	if err != nil {
		return 0, false
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		return 0, false
	}
	b := make([]byte, 20)
	n, _ := f.Read(b)
	pid, err = strconv.Atoi(strings.TrimSpace(string(b[:n])))
	return pid, err == nil && pid > 1
}
