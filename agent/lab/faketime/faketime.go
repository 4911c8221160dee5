// Package faketime starts programs that see another time of day than this machine,
// whose clock nobody needs to touch. A time namespace cannot do that: it has the
// monotonic clocks only.
//
// A program asks the vDSO, code that the kernel maps into it. Before the program's
// first instruction that code is written over, in its memory alone, with the plain
// system call and an addition. Libraries that make the system call themselves see
// the true time; Go and the C library do not.
package faketime

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

// Run runs cmd to its end with a clock that is ahead, or behind where negative, in
// whole seconds. The test is left out where this machine's code is not known.
func Run(t testing.TB, cmd *exec.Cmd, ahead time.Duration) error {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		lab.LeaveOut(t, "only amd64 code can be written over")
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Ptrace = true
	// The thread that started it is the one that may trace it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := alter(cmd.Process.Pid, ahead); err != nil {
		_ = cmd.Process.Kill()
		_ = syscall.PtraceDetach(cmd.Process.Pid)
		_ = cmd.Wait()
		return fmt.Errorf("give %s another clock: %w", cmd.Path, err)
	}
	return cmd.Wait()
}

// alter waits until the program is about to begin, and lets it go with another clock.
func alter(pid int, ahead time.Duration) error {
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
		return err
	}
	if !status.Stopped() || status.StopSignal() != syscall.SIGTRAP {
		return fmt.Errorf("it did not stop at its beginning: %#x", uint32(status))
	}
	at, err := clockGettime(pid)
	if err != nil {
		return err
	}
	if _, err := syscall.PtracePokeText(pid, at, code(ahead)); err != nil {
		return fmt.Errorf("write to the vDSO: %w", err)
	}
	return syscall.PtraceDetach(pid)
}

// code is a clock_gettime(clock, *timespec) that adds to CLOCK_REALTIME, which is
// number 0.
func code(ahead time.Duration) []byte {
	c := []byte{
		0xb8, 0xe4, 0, 0, 0, // mov eax, 228: clock_gettime
		0x0f, 0x05, //          syscall; keeps rdi and rsi
		0x85, 0xff, //          test edi, edi
		0x75, 13, //            jne to the ret
		0x48, 0xb9, //          movabs rcx, seconds
	}
	c = binary.LittleEndian.AppendUint64(c, uint64(int64(ahead/time.Second)))
	return append(c,
		0x48, 0x01, 0x0e, // add [rsi], rcx
		0xc3, //             ret
	)
}

// clockGettime is where a process has that function.
func clockGettime(pid int) (uintptr, error) {
	base, err := vdso(pid)
	if err != nil {
		return 0, err
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return 0, err
	}
	defer mem.Close()
	var image []byte
	page := make([]byte, os.Getpagesize())
	for len(image) < 16*len(page) {
		if _, err := mem.ReadAt(page, int64(base)+int64(len(image))); err != nil {
			break // behind its end
		}
		image = append(image, page...)
	}
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return 0, fmt.Errorf("read the vDSO: %w", err)
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return 0, fmt.Errorf("read the vDSO: %w", err)
	}
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" {
			return base + uintptr(s.Value), nil
		}
	}
	return 0, errors.New("the vDSO has no clock_gettime")
}

// sysinfoEHDR is AT_SYSINFO_EHDR of linux/auxvec.h.
const sysinfoEHDR = 33

// vdso is where the kernel mapped it, as the auxiliary vector tells.
func vdso(pid int) (uintptr, error) {
	vector, err := os.ReadFile(fmt.Sprintf("/proc/%d/auxv", pid))
	if err != nil {
		return 0, err
	}
	for ; len(vector) >= 16; vector = vector[16:] {
		if binary.LittleEndian.Uint64(vector) == sysinfoEHDR {
			return uintptr(binary.LittleEndian.Uint64(vector[8:])), nil
		}
	}
	return 0, errors.New("it has no vDSO")
}
