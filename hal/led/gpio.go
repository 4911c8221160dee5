package led

import (
	"fmt"

	"periph.io/x/conn/v3/gpio"

	"github.com/sprechprobe/sprechprobe/hal"
	"github.com/sprechprobe/sprechprobe/hal/line"
)

func (s System) openGPIO(spec Spec) (hal.Light, error) {
	names, err := spec.parts(spec.GPIO)
	if err != nil {
		return nil, err
	}
	lines := s.Lines
	if lines == nil {
		if lines, err = line.Kernel(); err != nil {
			return nil, err
		}
	}
	l := &lamp{name: spec.Role, parts: make([]emitter, len(names))}
	for i, n := range names {
		if n != "" {
			l.parts[i] = &gpioLine{name: n, find: lines, activeLow: spec.ActiveLow}
		}
	}
	return l, nil
}

// gpioLine is a lamp on a GPIO line. It only ever calls Out: other methods of
// the kernel's lines, String among them, turn an output into an input.
type gpioLine struct {
	name      string
	find      line.Find
	activeLow bool
	pin       gpio.PinOut // nil: to be looked up
}

// set drops the line on an error. After a request that failed, the library
// takes the line for requested and talks to file descriptor 0 instead.
func (l *gpioLine) set(on bool) error {
	if l.pin == nil {
		pin, err := l.find(l.name)
		if err != nil {
			return fmt.Errorf("gpio line %s: %w", l.name, err)
		}
		l.pin = pin
	}
	if err := l.pin.Out(gpio.Level(on != l.activeLow)); err != nil {
		l.drop()
		return fmt.Errorf("gpio line %s: %w", l.name, err)
	}
	return nil
}

// release puts the lamp out; a line has no earlier driver to go back to.
func (l *gpioLine) release() error {
	if l.pin == nil {
		return nil
	}
	err := l.set(false)
	l.drop()
	return err
}

func (l *gpioLine) drop() {
	if c, ok := l.pin.(interface{ Close() }); ok {
		c.Close()
	}
	l.pin = nil
}
