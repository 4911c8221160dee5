//go:build !mips && !mipsle && !mips64 && !mips64le

package line

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/driver/driverreg"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/host/v3/gpioioctl"
)

// Kernel opens the GPIO chips of the machine, once for the program, and returns
// what finds their lines. The library closes file descriptor 0 where two names
// lead to the same chip, as on a Pi 5; it is put back before anything else can
// get that number, if Kernel is called before anything else opens files.
func Kernel() (Find, error) {
	state, err := driverreg.Init()
	if zero := guardZero(); zero != nil {
		return nil, zero
	}
	if err != nil {
		return nil, fmt.Errorf("open gpio chips: %w", err)
	}
	if len(gpioioctl.Chips) == 0 {
		var errs []error
		for _, f := range append(state.Failed, state.Skipped...) {
			errs = append(errs, f.Err)
		}
		return nil, fmt.Errorf("open gpio chips: %w", errors.Join(errs...))
	}
	return findLine, nil
}

// guardZero opens /dev/null as file descriptor 0 if that is closed.
func guardZero() error {
	if _, err := unix.FcntlInt(0, unix.F_GETFD, 0); !errors.Is(err, unix.EBADF) {
		return nil
	}
	fd, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /dev/null for standard input: %w", err)
	}
	if fd != 0 { // somebody was faster; the number is in use again
		_ = unix.Close(fd)
	}
	return nil
}

// findLine looks a line up by its name, or as "label:offset".
func findLine(name string) (gpio.PinIO, error) {
	for _, chip := range gpioioctl.Chips {
		if line := chip.ByName(name); line != nil {
			return line, nil
		}
	}
	i := strings.LastIndexByte(name, ':')
	if i < 0 {
		return nil, fmt.Errorf("no chip has a line of this name")
	}
	offset, err := strconv.Atoi(name[i+1:])
	if err != nil {
		return nil, fmt.Errorf("no chip has a line of this name, and %q is no offset", name[i+1:])
	}
	for _, chip := range gpioioctl.Chips {
		if chip.Label() == name[:i] && offset >= 0 && offset < chip.LineCount() {
			return chip.ByNumber(offset), nil
		}
	}
	return nil, fmt.Errorf("no chip labelled %q with a line %d", name[:i], offset)
}
