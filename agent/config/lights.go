package config

import (
	"slices"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent/strict"
)

func lights(at strict.Place, raw rawLights, otherwise Lights) Lights {
	drivers := []Driver{DriverAuto, DriverNone, DriverTerminal, DriverSysfs, DriverGPIO}
	l := Lights{Driver: optional(at.Key("driver"), raw.Driver, otherwise.Driver, drivers...)}
	at = at.Key("lamp")
	if l.Driver == DriverNone && len(raw.Lamps) > 0 {
		at.Item(0).Errorf("driver \"none\" drives no lamp")
		return l
	}
	if !slices.Contains(drivers, l.Driver) {
		return l // what the lamps may be depends on it
	}
	used := map[string]int{}
	for i, r := range raw.Lamps {
		lamp := Lamp{LED: r.LED, GPIO: r.GPIO, Red: r.Red, Green: r.Green, Blue: r.Blue, ActiveLow: r.ActiveLow}
		lamp.Role = role(at.Item(i), r.Role, l.Lamps)
		made(at.Item(i), lamp, l.Driver)
		names(at.Item(i), lamp, l.Driver, used)
		l.Lamps = append(l.Lamps, lamp)
	}
	return l
}

// role checks what a lamp tells: each thing once, and everything alone.
func role(at strict.Place, raw string, before []Lamp) Role {
	at = at.Key("role")
	if raw == "" {
		at.Errorf("missing")
		return ""
	}
	r := word(at, raw, RoleBox, RoleNetwork, RoleVideo, RoleAll)
	for _, b := range before {
		switch {
		case b.Role == r:
			at.Errorf("%q has a lamp already", r)
		case b.Role == RoleAll || r == RoleAll:
			at.Errorf("%q beside %q: one lamp tells everything, or several tell a part each", r, b.Role)
		default:
			continue
		}
		return r
	}
	return r
}

// made checks that a lamp is made of one thing, and of one that its driver has.
func made(at strict.Place, l Lamp, d Driver) {
	colours := 0
	for _, s := range []string{l.Red, l.Green, l.Blue} {
		if s != "" {
			colours++
		}
	}
	gpio := d == DriverGPIO
	switch {
	case d == DriverTerminal:
		if l != (Lamp{Role: l.Role}) {
			at.Errorf("driver \"terminal\" draws lamps: want a role and nothing else")
		}
	case l.LED != "" && gpio:
		at.Key("led").Errorf("driver \"gpio\" has no LEDs: want gpio, or red, green and blue")
	case l.GPIO != "" && !gpio:
		at.Key("gpio").Errorf("want driver = \"gpio\" for GPIO lines")
	case l.ActiveLow && !gpio:
		at.Key("active_low").Errorf("only for driver \"gpio\"")
	case l.LED+l.GPIO != "" && colours > 0:
		at.Errorf("want one light, or red, green and blue, not both")
	case l.LED+l.GPIO == "" && colours == 0:
		at.Errorf("made of nothing: want %s, or red, green and blue", single(gpio))
	case colours == 1:
		at.Errorf("one colour only: want at least two of red, green and blue, or %s", single(gpio))
	}
}

func single(gpio bool) string {
	if gpio {
		return "gpio"
	}
	return "led"
}

// names checks the names of LEDs and lines, and that no two share one.
func names(at strict.Place, l Lamp, d Driver, used map[string]int) {
	for _, n := range []struct{ key, name string }{
		{"led", l.LED}, {"gpio", l.GPIO}, {"red", l.Red}, {"green", l.Green}, {"blue", l.Blue},
	} {
		at := at.Key(n.key)
		if n.name == "" {
			if at.Set() {
				at.Errorf("empty")
			}
			continue
		}
		if !validName(n.name, d == DriverGPIO) {
			at.Errorf("%.70q: want the name of an LED or GPIO line", n.name)
		}
		if line, ok := used[n.name]; ok {
			at.Errorf("%q is in use in line %d", n.name, line)
		}
		used[n.name] = at.Line()
	}
}

// validName accepts what the kernel gives as names: LEDs become file names,
// lines may hold anything that prints, blanks included.
func validName(s string, gpio bool) bool {
	if len(s) > 63 || strings.TrimSpace(s) != s || s == "." || s == ".." {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == '/' && !gpio }) < 0
}
