// Package led drives lights: LEDs of the kernel's LED class, GPIO lines, and
// lights drawn in a terminal. An [Engine] plays patterns on all of them with
// one goroutine. The package knows colours and rhythms, never what they mean.
package led

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/hal"
	"github.com/sprechprobe/sprechprobe/hal/line"
)

// The drivers.
const (
	Sysfs    = "sysfs"    // the kernel's LED class
	GPIO     = "gpio"     // lines of a GPIO chip
	Terminal = "terminal" // text
)

// Spec describes one light.
type Spec struct {
	Role   string // the light's name
	Driver string // Sysfs, GPIO or Terminal

	// LED is a directory of the LED class: one LED, or a multicolor one.
	LED string
	// GPIO is one line, by name ("GPIO17") or by its chip's label and its
	// offset there ("pinctrl-bcm2711:17"). Numbers of chips are not stable.
	GPIO string
	// Red, Green and Blue make a light of several LEDs or lines. One of them
	// may be empty.
	Red, Green, Blue string
	// ActiveLow says that a GPIO line lights its lamp when it is low. The LED
	// class knows that by itself.
	ActiveLow bool
}

// System is where lights are looked for. The zero value is this machine.
type System struct {
	// Root is the LED class; empty: /sys/class/leds.
	Root string
	// Out is where lights are drawn; nil: os.Stdout.
	Out io.Writer
	// Hold is how long a lit LED of the class stays lit when nobody sets it
	// again, where the kernel can see to that (trigger transient): a program
	// that was killed or stopped leaves the lamp dark. It must be longer than
	// any step of a pattern. 0: for ever.
	Hold time.Duration
	// Notes is a file that says how LEDs of the class were found, for as long as
	// they are taken over: after a crash the next program gives them back as
	// they were before both. Empty: none.
	Notes string
	// Lines finds a GPIO line; nil: the kernel's character devices. A line
	// that failed is closed if it can be, and looked up again.
	Lines line.Find
}

// Open returns the lights in the order of specs. A light that is not there yet
// is no error, it fails when it is set; an error is a spec that can never
// work, and the other lights are returned all the same.
//
// GPIO lines make it open every chip of the machine, by a library that may
// close standard input over it (see package line): call Open before anything
// else opens files.
func (s System) Open(specs ...Spec) ([]hal.Light, error) {
	var lights []hal.Light
	var errs []error
	var text *Drawing
	found := readNotes(s.Notes)
	for _, spec := range specs {
		if spec.Driver == Terminal && text == nil {
			text = s.drawing()
		}
		l, err := s.open(spec, text, found)
		if err != nil {
			errs = append(errs, fmt.Errorf("light %s: %w", spec.Role, err))
			continue
		}
		lights = append(lights, l)
	}
	return lights, errors.Join(errs...)
}

func (s System) drawing() *Drawing {
	if s.Out == nil {
		return Draw(os.Stdout)
	}
	return Draw(s.Out)
}

func (s System) open(spec Spec, text *Drawing, found *notes) (hal.Light, error) {
	switch spec.Driver {
	case Terminal:
		return text.Light(spec.Role), nil
	case Sysfs:
		return s.openSysfs(spec, found)
	case GPIO:
		return s.openGPIO(spec)
	default:
		return nil, fmt.Errorf("unknown driver %q (want %s, %s or %s)", spec.Driver, Sysfs, GPIO, Terminal)
	}
}

// parts says which lamps a spec is made of: one, or red, green and blue with
// at most one of them empty.
func (s Spec) parts(one string) (names []string, err error) {
	rgb := []string{s.Red, s.Green, s.Blue}
	missing := 0
	for _, n := range rgb {
		if n == "" {
			missing++
		}
	}
	switch {
	case one != "" && missing == 3:
		return []string{one}, nil
	case one == "" && missing <= 1:
		return rgb, nil
	default:
		return nil, fmt.Errorf("want either one lamp or at least two of red, green and blue, have %q and %q", one, strings.Join(rgb, ","))
	}
}
