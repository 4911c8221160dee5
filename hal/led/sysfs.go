package led

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sprechprobe/sprechprobe/hal"
)

const classRoot = "/sys/class/leds"

func (s System) root() string {
	if s.Root == "" {
		return classRoot
	}
	return s.Root
}

func (s System) openSysfs(spec Spec) (hal.Light, error) {
	names, err := spec.parts(spec.LED)
	if err != nil {
		return nil, err
	}
	var leds []*classLED
	for _, n := range names {
		if strings.ContainsRune(n, '/') || n == "." || n == ".." {
			return nil, fmt.Errorf("led %q: want a name in %s", n, s.root())
		}
		leds = append(leds, &classLED{dir: filepath.Join(s.root(), n)})
	}
	if len(leds) == 1 {
		return &classLight{name: spec.Role, led: leds[0]}, nil
	}
	l := &lamp{name: spec.Role, parts: make([]emitter, len(leds))}
	for i, n := range names {
		if n != "" {
			l.parts[i] = leds[i]
		}
	}
	return l, nil
}

// classLED is one LED of the kernel's class. It is taken over when it is first
// set, so it may appear late, and again after an error, for an LED that went
// away comes back with its own trigger.
type classLED struct {
	dir   string
	taken bool
	full  string   // max_brightness
	order []string // colours of multi_intensity; nil: an LED of one colour

	saved      bool
	trigger    string
	attributes []attribute // of the trigger, in the order to be written
	brightness string
	intensity  string
}

// noTriggers stands for a kernel that was built without triggers.
const noTriggers = ""

type attribute struct{ name, value string }

// triggerAttributes are those that the kernel forgets when a trigger is
// changed.
var triggerAttributes = map[string][]string{
	"timer":  {"delay_on", "delay_off"},
	"netdev": {"device_name", "link", "tx", "rx", "interval"},
}

func (l *classLED) set(on bool) error {
	return l.do(func() error {
		if on {
			return l.write("brightness", l.full)
		}
		return l.write("brightness", "0")
	})
}

// mix lights a multicolor LED. The intensities come first: a lamp that is
// dark takes them over when its brightness rises.
func (l *classLED) mix(red, green, blue bool) error {
	on := map[string]bool{"red": red, "green": green, "blue": blue}
	values := make([]string, len(l.order))
	for i, color := range l.order {
		values[i] = "0"
		if on[color] {
			values[i] = l.full
		}
	}
	if err := l.write("multi_intensity", strings.Join(values, " ")); err != nil {
		return err
	}
	return l.write("brightness", l.full)
}

// do takes the LED over if need be, and gives it up for taken on an error.
func (l *classLED) do(f func() error) error {
	if !l.taken {
		if err := l.take(); err != nil {
			return err
		}
		l.taken = true
	}
	err := f()
	if err != nil {
		l.taken = false
	}
	return err
}

func (l *classLED) take() error {
	full, err := l.read("max_brightness")
	if err != nil {
		return err
	}
	if n, err := strconv.Atoi(full); err != nil || n < 1 {
		return fmt.Errorf("%s: max_brightness %.20q, want at least 1", l.dir, full)
	}
	l.full = full
	if index, err := l.read("multi_index"); err == nil {
		l.order = strings.Fields(index)
	}
	if err := l.save(); err != nil || l.trigger == noTriggers {
		return err
	}
	return l.write("trigger", "none")
}

// save notes how the LED was found, the first time only.
func (l *classLED) save() (err error) {
	if l.saved {
		return nil
	}
	list, err := l.read("trigger")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.trigger = noTriggers
	case err != nil:
		return err
	default:
		l.trigger = active(list)
	}
	for _, name := range triggerAttributes[l.trigger] {
		if v, err := l.read(name); err == nil {
			l.attributes = append(l.attributes, attribute{name, v})
		}
	}
	if l.order != nil {
		if l.intensity, err = l.read("multi_intensity"); err != nil {
			return err
		}
	}
	l.brightness, err = l.read("brightness")
	l.saved = err == nil
	return err
}

// release gives the LED back as it was found. What a trigger's attributes
// were is best effort: the kernel makes them anew, for root.
func (l *classLED) release() error {
	if !l.saved {
		return nil
	}
	l.taken = false
	if l.order != nil {
		if err := l.write("multi_intensity", l.intensity); err != nil {
			return err
		}
	}
	if l.trigger == "none" || l.trigger == noTriggers {
		return l.write("brightness", l.brightness)
	}
	err := errors.Join(l.write("brightness", "0"), l.write("trigger", l.trigger))
	for _, a := range l.attributes {
		_ = l.write(a.name, a.value)
	}
	return err
}

// active finds the trigger in brackets, as in "none [timer] heartbeat".
func active(list string) string {
	for _, f := range strings.Fields(list) {
		if t, ok := strings.CutPrefix(f, "["); ok {
			return strings.TrimSuffix(t, "]")
		}
	}
	return "none"
}

// maxAttribute bounds what is read of a file; the longest is the list of
// triggers, which the kernel itself keeps within a page or a few.
const maxAttribute = 16 << 10

func (l *classLED) read(name string) (string, error) {
	f, err := os.Open(filepath.Join(l.dir, name))
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxAttribute))
	return strings.TrimSpace(string(b)), err
}

// write never makes a file: an LED that is gone must stay gone.
func (l *classLED) write(name, value string) error {
	f, err := os.OpenFile(filepath.Join(l.dir, name), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// classLight is a light of one LED, multicolor or not.
type classLight struct {
	name string
	led  *classLED
}

func (l *classLight) Name() string { return l.name }

func (l *classLight) Set(c hal.Color) error {
	if c == hal.Off {
		return l.led.set(false)
	}
	return l.led.do(func() error {
		if !l.hasColors() {
			return l.led.write("brightness", l.led.full)
		}
		on := rgb(c)
		return l.led.mix(on[0], on[1], on[2])
	})
}

// hasColors reports whether the LED can show all colours; another mixture,
// such as white and amber, is used as a lamp of one colour.
func (l *classLight) hasColors() bool {
	for _, c := range []string{"red", "green", "blue"} {
		if !slices.Contains(l.led.order, c) {
			return false
		}
	}
	return true
}

func (l *classLight) Close() error { return l.led.release() }
