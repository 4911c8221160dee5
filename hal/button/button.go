// Package button listens to one button: a line of a GPIO chip, a key of the
// kernel's input devices, or a button whose changes the kernel broadcasts, as on
// OpenWrt. It tells what is down and up, never what that means.
package button

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/sprechprobe/sprechprobe/hal"
	"github.com/sprechprobe/sprechprobe/hal/line"
)

// Spec says which button.
type Spec struct {
	// Event is the button's name on OpenWrt, see Events.
	Event string
	// GPIO is a line, as for a light, in place of Event. It is pulled up or
	// down where the chip can.
	GPIO      string
	ActiveLow bool // the line is low while the button is pressed
}

// System is where buttons are looked for. The zero value is this machine.
type System struct {
	// Root is the root of the file system; empty: "/".
	Root string
	// Lines finds a GPIO line; nil: the kernel's character devices.
	Lines line.Find
}

// codes are the kernel's numbers of keys (input-event-codes.h).
var codes = [...]uint16{0x211, 0x198, 247, 116, 0x100, 0x101, 0x102, 0x103, 0x104, 0x105, 0x106, 0x107, 0x108, 0x109}

// Events lists the names that Spec.Event may have, in the order of codes.
func Events() []string {
	return strings.Fields("wps reset rfkill power BTN_0 BTN_1 BTN_2 BTN_3 BTN_4 BTN_5 BTN_6 BTN_7 BTN_8 BTN_9")
}

// Open returns the button. One that is not there is no error: it is never
// pressed.
func (s System) Open(spec Spec) (hal.Button, error) {
	if spec.GPIO != "" {
		return openLine(s.Lines, spec)
	}
	i := slices.Index(Events(), spec.Event)
	if i < 0 {
		return nil, fmt.Errorf("button %q: want one of %q", spec.Event, Events())
	}
	return events{spec.Event, keys{s.path("sys/class/input"), s.path("dev/input"), codes[i]}}, nil
}

func (s System) path(rest string) string {
	if s.Root == "" {
		return filepath.Join("/", rest)
	}
	return filepath.Join(s.Root, rest)
}

// events is a button that is a key, or is broadcast, whichever the system has.
type events struct {
	name string
	keys keys
}

func (e events) Run(ctx context.Context, changed func(down bool)) error {
	var mu sync.Mutex
	one := func(down bool) {
		mu.Lock()
		defer mu.Unlock()
		changed(down)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return e.keys.run(ctx, one) })
	g.Go(func() error { return broadcasts(ctx, e.name, one) })
	return g.Wait()
}
