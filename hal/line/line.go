// Package line finds GPIO lines of the kernel's character devices by name. What
// hangs on them, it does not know. It is the one place that imports the library
// for them, because that opens every chip of the machine and has to be watched
// while it does.
//
// Of the lines that it returns, those used as outputs must only be given Out:
// other methods, String among them, turn an output into an input. After an
// error a line is to be closed, if it has a method Close, and found again: the
// library takes a request that failed for done and talks to file descriptor 0.
package line

import "periph.io/x/conn/v3/gpio"

// Find looks a line up by its name ("GPIO17"), or by the label of its chip and
// its offset there ("pinctrl-bcm2711:17"). Numbers of chips are not stable.
type Find func(name string) (gpio.PinIO, error)
