package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/config"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/hal"
	"github.com/sprechprobe/sprechprobe/hal/board"
	"github.com/sprechprobe/sprechprobe/hal/led"
)

const (
	// silence is how long the lamps show what nobody answers for any more.
	silence = 20 * time.Second
	// hold is how long the kernel keeps a lamp lit that nobody sets, where it
	// can; every pattern is dark more often.
	hold = 6 * time.Second
)

// lamps are the lights of the box and what each is for. They outlive a
// configuration that names the same ones.
type lamps struct {
	specs  []led.Spec
	engine *led.Engine
	roles  map[string]light.Role // by the light's name
	lock   *os.File              // nil: none is needed, or to be had
	stop   context.CancelFunc
	ended  chan struct{}
	err    error // why, once ended is closed
}

// system is where the lights are.
func system(out io.Writer) led.System {
	return led.System{Out: out, Hold: hold, Notes: filepath.Join(runtimeDir(), "leds.json")}
}

// follow opens the lights that the configuration names; l, which may be nil, goes
// on if they are the same. A light that cannot work is said and left out: a box
// without lights still probes and reports.
func (l *lamps) follow(c config.Lights, out io.Writer, log *slog.Logger) (*lamps, error) {
	specs := specsOf(c, board.System{}.Detect())
	if l != nil && slices.Equal(l.specs, specs) {
		return l, nil
	}
	l.close()
	next := &lamps{specs: specs, roles: map[string]light.Role{}, ended: make(chan struct{})}
	lights, err := next.open(out)
	if err != nil {
		log.Warn("light left out", "err", err)
	}
	for _, s := range specs {
		var r light.Role
		if err := r.UnmarshalText([]byte(s.Role)); err != nil {
			return nil, err
		}
		next.roles[s.Role] = r
	}
	next.engine = led.NewEngine(lights, func(name string, err error) {
		if err != nil {
			log.Warn("light fails", "light", name, "err", err)
			return
		}
		log.Info("light works again", "light", name)
	})
	fault := light.Show{State: light.Unknown}
	next.engine.Fallback(silence, fault.String(), next.patterns(fault))
	next.start()
	return next, nil
}

// open opens the lights, unless another box of this machine drives them.
func (l *lamps) open(out io.Writer) ([]hal.Light, error) {
	if slices.ContainsFunc(l.specs, func(s led.Spec) bool { return s.Driver != led.Terminal }) {
		held, err := lock()
		if err != nil {
			return nil, err
		}
		l.lock = held
	}
	return system(out).Open(l.specs...)
}

func (l *lamps) start() {
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	go func() {
		defer close(l.ended)
		l.err = supervised(ctx, "engine", l.engine.Run)
	}()
}

// watch ends with the lights, which is an error, or with ctx.
func (l *lamps) watch(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-l.ended:
		return l.err
	}
}

// close gives the lamps back. It may be called on nil.
func (l *lamps) close() {
	if l == nil {
		return
	}
	l.stop()
	<-l.ended
	_ = l.lock.Close() // which may be nil
}

// specsOf turns the configuration into lights.
func specsOf(c config.Lights, b board.Found) []led.Spec {
	var specs []led.Spec
	switch {
	case c.Driver == config.DriverNone:
	case c.Driver == config.DriverAuto && b.Dark: // the owner wants it dark
	case c.Driver == config.DriverAuto && len(c.Lamps) == 0:
		specs = b.Lights
	case c.Driver == config.DriverTerminal && len(c.Lamps) == 0:
		for _, r := range []light.Role{light.Box, light.Network, light.Video} {
			specs = append(specs, led.Spec{Role: r.String(), Driver: led.Terminal})
		}
	default:
		for _, l := range c.Lamps {
			specs = append(specs, led.Spec{Role: string(l.Role), Driver: driverOf(c.Driver), LED: l.LED, GPIO: l.GPIO,
				Red: l.Red, Green: l.Green, Blue: l.Blue, ActiveLow: l.ActiveLow})
		}
	}
	return specs
}

func driverOf(d config.Driver) string {
	switch d {
	case config.DriverGPIO:
		return led.GPIO
	case config.DriverTerminal:
		return led.Terminal
	default:
		return led.Sysfs
	}
}

// show sets every lamp to what it has to say; a lamp of one colour shows any
// colour as on. It never blocks.
func (l *lamps) show(s light.Show) { l.engine.Show(s.String(), l.patterns(s)) }

func (l *lamps) patterns(s light.Show) map[string]hal.Pattern {
	patterns := map[string]hal.Pattern{}
	for name, role := range l.roles {
		patterns[name] = s.Pattern(role, light.Color)
	}
	return patterns
}

// describe says what a light is made of.
func describe(s led.Spec) string {
	switch {
	case s.Driver == led.Terminal:
		return s.Driver
	case s.LED+s.GPIO != "":
		return fmt.Sprintf("%s %s", s.Driver, s.LED+s.GPIO)
	default:
		return fmt.Sprintf("%s red %q, green %q, blue %q", s.Driver, s.Red, s.Green, s.Blue)
	}
}
