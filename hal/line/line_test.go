//go:build !mips && !mipsle && !mips64 && !mips64le

package line_test

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/hal/line"
)

// The library closes standard input on some boards; the next file or socket to
// be opened would take its place and be closed with it later.
func TestGuardZero(t *testing.T) {
	saved, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(saved)
	defer unix.Dup3(saved, 0, 0)
	if err := unix.Close(0); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"closed", "open"} {
		if err := line.GuardZero(); err != nil {
			t.Fatal(err)
		}
		var null, zero unix.Stat_t
		if err := unix.Stat("/dev/null", &null); err != nil {
			t.Fatal(err)
		}
		if err := unix.Fstat(0, &zero); err != nil || zero.Rdev != null.Rdev {
			t.Errorf("%s: file descriptor 0 is device %x, err %v; want /dev/null, %x", when, zero.Rdev, err, null.Rdev)
		}
	}
}

func TestKernel(t *testing.T) {
	chips, err := filepath.Glob("/dev/gpiochip*")
	if err != nil {
		t.Fatal(err)
	}
	find, err := line.Kernel()
	if len(chips) == 0 {
		if err == nil || !strings.Contains(err.Error(), "no GPIO chips found") {
			t.Errorf("Kernel on a machine without chips: err = %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := find("no-such-line"); err == nil || !strings.Contains(err.Error(), "no chip has a line of this name") {
		t.Errorf("find: err = %v", err)
	}
}
