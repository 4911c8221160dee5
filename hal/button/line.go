//go:build !mips && !mipsle && !mips64 && !mips64le

package button

import (
	"context"
	"fmt"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/sprechprobe/sprechprobe/hal"
	"github.com/sprechprobe/sprechprobe/hal/line"
)

// wait is how long the kernel is waited for in one go: the library knows no
// other way to say "for ever" that all of its lines understand.
const wait = time.Hour

func openLine(find line.Find, spec Spec) (hal.Button, error) {
	if find == nil {
		var err error
		if find, err = line.Kernel(); err != nil {
			return nil, err
		}
	}
	return lineButton{spec, find}, nil
}

// lineButton is a button on a GPIO line.
type lineButton struct {
	spec Spec
	find line.Find
}

func (b lineButton) Run(ctx context.Context, changed func(down bool)) error {
	pin, err := b.find(b.spec.GPIO)
	if err != nil {
		return fmt.Errorf("button on gpio line %s: %w", b.spec.GPIO, err)
	}
	if c, ok := pin.(interface{ Close() }); ok {
		defer c.Close()
	}
	pull := gpio.PullDown
	if b.spec.ActiveLow {
		pull = gpio.PullUp
	}
	if err := pin.In(pull, gpio.BothEdges); err != nil {
		return fmt.Errorf("button on gpio line %s: %w", b.spec.GPIO, err)
	}
	defer interrupt(ctx, pin)()
	for down := false; ; {
		if now := bool(pin.Read()) != b.spec.ActiveLow; now != down {
			down = now
			changed(down)
		}
		began := time.Now()
		if edge := pin.WaitForEdge(wait); ctx.Err() != nil {
			return nil
		} else if !edge && time.Since(began) < wait {
			return fmt.Errorf("button on gpio line %s: the kernel tells no changes", b.spec.GPIO)
		}
	}
}

// interrupt ends a wait for an edge when ctx ends. One that begins at the same
// moment would miss it, so it is said until stop is called.
func interrupt(ctx context.Context, pin gpio.PinIO) (stop func()) {
	stopped := make(chan struct{})
	go func() {
		select {
		case <-stopped:
			return
		case <-ctx.Done():
		}
		for t := time.NewTicker(20 * time.Millisecond); ; {
			_ = pin.Halt()
			select {
			case <-stopped:
				t.Stop()
				return
			case <-t.C:
			}
		}
	}()
	return func() { close(stopped) }
}
