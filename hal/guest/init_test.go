package guest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// inside reports whether this is the guest, where the test is the first process.
var inside = os.Getpid() == 1

func TestMain(m *testing.M) {
	if !inside {
		os.Exit(m.Run())
	}
	code := 1
	if err := furnish(); err != nil {
		fmt.Println("furnish:", err)
	} else {
		os.Args = []string{"guest", "-test.v", "-test.run=^TestGuest", "-test.timeout=11m"}
		code = m.Run()
	}
	fmt.Printf("\n%s%d\n", endMark, code)
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// furnish mounts what a system has and loads modules.
func furnish() error {
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/run"}, {"tmpfs", "/tmp"}, {"debugfs", "/sys/kernel/debug"}} {
		if err := unix.Mount(m[0], m[1], m[0], 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m[1], err)
		}
	}
	for _, name := range modules {
		if err := load(name); err != nil {
			return err
		}
	}
	return nil
}

// need loads a module for the time of a test.
func need(t *testing.T, name string) {
	t.Helper()
	if err := load(name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.DeleteModule(strings.ReplaceAll(name, "-", "_"), 0); err != nil {
			t.Errorf("unload %s: %v", name, err)
		}
	})
}

// load loads a module.
func load(name string) error {
	f, err := os.Open(filepath.Join("/modules", name+".ko"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil {
		return fmt.Errorf("load %s: %w", name, err)
	}
	return nil
}

// onlyInside leaves a test to the guest.
func onlyInside(t *testing.T) {
	t.Helper()
	if !inside {
		t.Skip("runs in the guest, see TestOnARealKernel")
	}
}

// levels are those of the GPIO lines as the chip has them, "RED=1 ...": what a
// lamp really is told, below all that a program could believe.
func levels(t *testing.T, names ...string) string {
	t.Helper()
	b, err := os.ReadFile("/sys/kernel/debug/gpio")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, n := range names {
		level := "?"
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(strings.NewReplacer("(", " ", "|", " ", ")", " ").Replace(line)); len(f) > 1 && f[1] == n {
				switch {
				case strings.Contains(line, " hi"):
					level = "1"
				case strings.Contains(line, " lo"):
					level = "0"
				}
				if strings.Contains(line, ") in ") {
					level = "in"
				}
			}
		}
		out = append(out, n+"="+level)
	}
	return strings.Join(out, " ")
}
