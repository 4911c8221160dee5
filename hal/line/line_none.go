//go:build mips || mipsle || mips64 || mips64le

package line

import (
	"fmt"
	"runtime"
)

// Kernel refuses: the library numbers its ioctls for other machines than
// MIPS, so each of them would fail there.
func Kernel() (Find, error) {
	return nil, fmt.Errorf("gpio lines cannot be used on %s: use the kernel's LED class and its own buttons", runtime.GOARCH)
}
