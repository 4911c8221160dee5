package daemon

import (
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/config"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/hal"
	"github.com/sprechprobe/sprechprobe/hal/led"
)

// lamps are the lights of the box and what each is for.
type lamps struct {
	engine *led.Engine
	roles  map[string]lamp
}

type lamp struct {
	role light.Role
	kind light.Kind
}

// openLamps opens the lights that the configuration names. A light that cannot
// work is said and left out: a box without lights still probes and reports.
func openLamps(c config.Lights, out io.Writer, log *slog.Logger) (*lamps, error) {
	sys := led.System{Out: out}
	specs, kinds := specsOf(c, sys)
	lights, err := sys.Open(specs...)
	if err != nil {
		log.Warn("light left out", "err", err)
	}
	l := &lamps{roles: map[string]lamp{}}
	for i, s := range specs {
		var r light.Role
		if err := r.UnmarshalText([]byte(s.Role)); err != nil {
			return nil, err
		}
		l.roles[s.Role] = lamp{r, kinds[i]}
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

// specsOf turns the configuration into lights and the kind of each.
func specsOf(c config.Lights, sys led.System) ([]led.Spec, []light.Kind) {
	var specs []led.Spec
	var kinds []light.Kind
	add := func(s led.Spec, k light.Kind) { specs, kinds = append(specs, s), append(kinds, k) }
	switch c.Driver {
	case config.DriverNone:
	case config.DriverTerminal:
		for _, r := range []light.Role{light.Box, light.Network, light.Video} {
			add(led.Spec{Role: r.String(), Driver: led.Terminal}, light.Color)
		}
	case config.DriverAuto:
		if len(c.Lamps) == 0 {
			for _, s := range sys.Discover() {
				add(s, kindOf(s))
			}
			break
		}
		fallthrough
	default:
		for _, l := range c.Lamps {
			s := led.Spec{Role: string(l.Role), Driver: led.Sysfs, LED: l.LED, GPIO: l.GPIO,
				Red: l.Red, Green: l.Green, Blue: l.Blue, ActiveLow: l.ActiveLow}
			if c.Driver == config.DriverGPIO || l.GPIO != "" {
				s.Driver = led.GPIO
			}
			add(s, kindOf(s))
		}
	}
	return specs, kinds
}

// kindOf says whether a light has more than one colour. A single LED is taken
// as one of one colour: its rhythm says everything.
func kindOf(s led.Spec) light.Kind {
	if s.Red != "" || s.Green != "" || s.Blue != "" {
		return light.Color
	}
	return light.Mono
}

// show sets every lamp to what it has to say. It never blocks.
func (l *lamps) show(s light.Show) {
	patterns := map[string]hal.Pattern{}
	for name, lamp := range l.roles {
		patterns[name] = s.Pattern(lamp.role, lamp.kind)
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

// keep writes the newest report beside its place and moves it there, so that a
// reader never sees half of one.
func keep(path string, r agent.Report) error {
	b, err := json.Marshal(r)
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
