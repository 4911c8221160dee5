package lab

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// insideVar names the test that this process was started for.
const insideVar = "SPRECHPROBE_LAB_INSIDE"

// Inside runs the calling top-level test again, with those of its parts that were
// asked for, in a process with a network of its own (only a loopback that is down),
// its own /sys and an empty /run, without root as root of a user namespace. It
// reports whether this is that process; the other one has then told the outcome as
// its own, and has only to return:
//
//	if !lab.Inside(t) {
//		return
//	}
func Inside(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideVar) == t.Name() {
		furnish(t)
		return true
	}
	out, err := again(t)
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		LeaveOut(t, "this system gives no namespaces: "+err.Error())
	}
	t.Logf("inside:\n%s", out)
	switch {
	case err != nil:
		t.Errorf("inside: %v", err)
	case bytes.Contains(out, []byte("--- SKIP: "+t.Name()+" ")):
		LeaveOut(t, "it was left out inside, see above")
	case !bytes.Contains(out, []byte("--- PASS: "+t.Name()+" ")):
		t.Error("nothing was tested inside")
	}
	return false
}

// again runs this test, and only it, in new namespaces.
func again(t *testing.T) ([]byte, error) {
	args := []string{"-test.v", "-test.run=" + only(t), fmt.Sprintf("-test.short=%v", testing.Short())}
	if end, ok := t.Deadline(); ok {
		// It should say where it hangs while this process can still pass that on.
		args = append(args, "-test.timeout="+(time.Until(end)*9/10).String())
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), insideVar+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	return cmd.CombinedOutput()
}

// only is the pattern for this test, and of its parts those that were asked for.
func only(t *testing.T) string {
	pattern := "^" + t.Name() + "$"
	if _, parts, ok := strings.Cut(flag.Lookup("test.run").Value.String(), "/"); ok {
		pattern += "/" + parts
	}
	return pattern
}

// furnish mounts what must not be the machine's: /sys shows the network of who
// mounted it, and ip keeps the names of networks in /run.
func furnish(t *testing.T) {
	t.Helper()
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if err == nil {
		err = unix.Mount("sysfs", "/sys", "sysfs", 0, "")
	}
	if err == nil {
		err = unix.Mount("tmpfs", "/run", "tmpfs", 0, "")
	}
	if err != nil {
		LeaveOut(t, "this system does not let namespaces mount: "+err.Error())
	}
}
