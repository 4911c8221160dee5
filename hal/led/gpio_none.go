//go:build mips || mipsle || mips64 || mips64le

package led

import (
	"fmt"
	"runtime"

	"periph.io/x/conn/v3/gpio"
)

// kernelLines refuses: the library numbers its ioctls for other machines than
// MIPS, so each of them would fail there.
func kernelLines() (func(string) (gpio.PinOut, error), error) {
	return nil, fmt.Errorf("gpio lines cannot be driven on %s: use the kernel's LED class (driver %s)", runtime.GOARCH, Sysfs)
}
