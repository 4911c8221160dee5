package led

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// allRole is the name of a light that tells everything.
const allRole = "all"

// functions that may tell the state of the whole box, best first. Lamps of a
// network port, a disk or Wi-Fi are somebody else's, and so are those without
// a colour in their name, such as a laptop's or a Pi's ACT and PWR: they are
// driven only where they are named.
var functions = []string{"status", "indicator", "system", "power"}

// LEDs lists the names in the LED class, sorted; none where there is no class.
func (s System) LEDs() []string {
	entries, err := os.ReadDir(s.root())
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Discover finds a light for the role "all" among the LEDs of the machine: by
// their names colour:function, the best function first, and within it a
// multicolor LED, then one of several colours, then one alone. It returns
// none where nothing suits. Best of all is the function of the LED that is
// named as the board's own, if any.
func (s System) Discover(own string) []Spec {
	functions := functions
	if _, function, ok := splitName(own); ok {
		functions = append([]string{function}, functions...)
	}
	found := map[string]map[string]string{} // function > colour > LED
	for _, name := range s.LEDs() {
		color, function, ok := splitName(name)
		if !ok || !slices.Contains(functions, function) {
			continue
		}
		if found[function] == nil {
			found[function] = map[string]string{}
		}
		if found[function][color] == "" {
			found[function][color] = name
		}
	}
	for _, f := range functions {
		if spec, ok := s.choose(found[f]); ok {
			return []Spec{spec}
		}
	}
	return nil
}

// choose makes a light of the LEDs of one function.
func (s System) choose(leds map[string]string) (Spec, bool) {
	spec := Spec{Role: allRole, Driver: Sysfs}
	for _, color := range []string{"rgb", "multicolor"} {
		if led := leds[color]; led != "" && s.has(led, "multi_index") {
			spec.LED = led
			return spec, true
		}
	}
	if leds["red"] != "" && leds["green"] != "" {
		spec.Red, spec.Green, spec.Blue = leds["red"], leds["green"], leds["blue"]
		return spec, true
	}
	for _, color := range []string{"green", "white", "blue", "amber", "yellow", "orange", "red"} {
		if led := leds[color]; led != "" {
			spec.LED = led
			return spec, true
		}
	}
	return Spec{}, false
}

func (s System) has(led, attribute string) bool {
	_, err := os.Stat(filepath.Join(s.root(), led, attribute))
	return err == nil
}

// splitName reads colour:function or device:colour:function.
func splitName(name string) (color, function string, ok bool) {
	parts := strings.Split(name, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return "", "", false
	}
	color, function = parts[len(parts)-2], parts[len(parts)-1]
	return color, function, color != "" && function != ""
}

// Keyboard is the light Scroll Lock of a keyboard: hardly anybody needs it for
// what it is. It returns none where there is no keyboard with one.
func (s System) Keyboard() []Spec {
	for _, name := range s.LEDs() {
		if strings.HasPrefix(name, "input") && strings.HasSuffix(name, "::scrolllock") {
			return []Spec{{Role: allRole, Driver: Sysfs, LED: name}}
		}
	}
	return nil
}
