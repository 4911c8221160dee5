package daemon

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/config"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/agent/strict"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/hal"
	"github.com/sprechprobe/sprechprobe/hal/led"
)

// lamps are the lights of the box and what each is for.
type lamps struct {
	engine *led.Engine
	roles  map[string]light.Role // by the light's name
}

// openLamps opens the lights that the configuration names. A light that cannot
// work is said and left out: a box without lights still probes and reports.
func openLamps(c config.Lights, out io.Writer, log *slog.Logger) (*lamps, error) {
	sys := led.System{Out: out}
	specs := specsOf(c, sys)
	lights, err := sys.Open(specs...)
	if err != nil {
		log.Warn("light left out", "err", err)
	}
	l := &lamps{roles: map[string]light.Role{}}
	for _, s := range specs {
		var r light.Role
		if err := r.UnmarshalText([]byte(s.Role)); err != nil {
			return nil, err
		}
		l.roles[s.Role] = r
	}
	l.engine = led.NewEngine(lights, func(name string, err error) {
		if err != nil {
			log.Warn("light fails", "light", name, "err", err)
			return
		}
		log.Info("light works again", "light", name)
	})
	return l, nil
}

// specsOf turns the configuration into lights.
func specsOf(c config.Lights, sys led.System) []led.Spec {
	var specs []led.Spec
	switch {
	case c.Driver == config.DriverNone:
	case c.Driver == config.DriverAuto && len(c.Lamps) == 0:
		specs = sys.Discover("")
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
func (l *lamps) show(s light.Show) {
	patterns := map[string]hal.Pattern{}
	for name, role := range l.roles {
		patterns[name] = s.Pattern(role, light.Color)
	}
	l.engine.Show(s.String(), patterns)
}

// ReportFile is where run keeps its newest report for other commands: under the
// service's runtime directory, which lies in memory.
func ReportFile() string {
	dir := os.Getenv("RUNTIME_DIRECTORY")
	if dir == "" {
		dir = "/run/sprechprobe"
	}
	return filepath.Join(dir, "report.json")
}

// ReadReport reads a report that run has kept, or that check has written. Where
// there is none, the error is [io/fs.ErrNotExist].
func ReadReport(path string) (agent.Report, error) {
	b, err := strict.ReadFile(path)
	if err != nil {
		return agent.Report{}, err
	}
	r, err := fleet.Decode(b)
	if err != nil {
		return agent.Report{}, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// keep writes the newest report beside its place and moves it there, so that a
// reader never sees half of one. One that is too long to be read back is cut as
// it is for the wire.
func keep(path string, r agent.Report) error {
	b, err := json.Marshal(r)
	if len(b) > fleet.MaxReport {
		b, err = fleet.Encode(r)
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
