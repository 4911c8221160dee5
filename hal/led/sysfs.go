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
	"time"

	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/hal"
)

const classRoot = "/sys/class/leds"

func (s System) root() string {
	if s.Root == "" {
		return classRoot
	}
	return s.Root
}

func (s System) openSysfs(spec Spec, found *notes) (hal.Light, error) {
	names, err := spec.parts(spec.LED)
	if err != nil {
		return nil, err
	}
	var leds []*classLED
	for _, n := range names {
		if strings.ContainsRune(n, '/') || n == "." || n == ".." {
			return nil, fmt.Errorf("led %q: want a name in %s", n, s.root())
		}
		leds = append(leds, &classLED{name: n, dir: filepath.Join(s.root(), n), hold: s.Hold, notes: found})
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
	name, dir string
	hold      time.Duration
	notes     *notes

	taken bool
	lit   bool     // as far as we know, once taken
	armed bool     // lit by the trigger transient, which puts it out again
	full  string   // max_brightness
	order []string // colours of multi_intensity; nil: an LED of one colour
	saved bool
	found note
}

// Names of triggers.
const (
	noTriggers = "" // a kernel that was built without triggers
	none       = "none"
	// transient lights an LED for a time and then puts it out, whatever became
	// of the program that asked for it.
	transient = "transient"
)

// triggerAttributes are those that the kernel forgets when a trigger is
// changed.
var triggerAttributes = map[string][]string{
	"timer":  {"delay_on", "delay_off"},
	"netdev": {"device_name", "link", "tx", "rx", "interval"},
}

func (l *classLED) set(on bool) error {
	if l.taken && l.lit == on && !(on && l.armed) {
		return nil
	}
	return l.do(on, func() error {
		if on {
			return l.light()
		}
		return l.douse()
	})
}

// light makes the LED as bright as it gets. Where the kernel puts it out again,
// that time begins anew, even if it is lit already.
func (l *classLED) light() error {
	if !l.armed {
		return l.write("brightness", l.full)
	}
	return errors.Join(l.write("activate", "0"), l.write("activate", "1"))
}

func (l *classLED) douse() error {
	if l.armed {
		return l.write("activate", "0")
	}
	return l.write("brightness", "0")
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
	return l.light()
}

// do takes the LED over if need be, lights it or puts it out, and gives it up for
// taken on an error.
func (l *classLED) do(on bool, f func() error) error {
	if !l.taken {
		if err := l.take(); err != nil {
			return err
		}
	}
	err := f()
	l.taken, l.lit = err == nil, on
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
	list, err := l.read("trigger")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	now := noTriggers
	if err == nil {
		now = active(list)
	}
	if err := l.save(now); err != nil || now == noTriggers {
		return err
	}
	l.armed = l.hold > 0 && offers(list, transient) && l.arm(now) == nil
	if l.armed {
		return nil
	}
	return l.write("trigger", none)
}

// arm sets the trigger transient up. Its attributes are new files then, root's
// at first where a rule of udev gives them to the box, one after the other.
func (l *classLED) arm(now string) error {
	if now != transient {
		if err := l.write("trigger", transient); err != nil {
			return err
		}
	}
	err := l.setUp()
	for range 100 { // 5 s, for the rule may have to wait for its turn while a system starts
		if !errors.Is(err, fs.ErrPermission) {
			break
		}
		time.Sleep(50 * time.Millisecond)
		err = l.setUp()
	}
	return err
}

// setUp gives the trigger transient its values; the lamp stays dark.
func (l *classLED) setUp() error {
	return errors.Join(l.write("duration", strconv.FormatInt(l.hold.Milliseconds(), 10)), l.write("state", "1"), l.write("activate", "0"))
}

// save notes how the LED was found, the first time only. What a program before
// this one has noted holds while the LED is as it would have left it.
func (l *classLED) save(now string) error {
	if l.saved {
		return nil
	}
	if found, ok := l.notes.leds[l.name]; ok && (now == none || now == transient) {
		l.found, l.saved = found, true
		return nil
	}
	l.found = note{Trigger: now}
	for _, name := range triggerAttributes[now] {
		if v, err := l.read(name); err == nil {
			l.found.Attributes = append(l.found.Attributes, attribute{name, v})
		}
	}
	var err error
	if l.order != nil {
		if l.found.Intensity, err = l.read("multi_intensity"); err != nil {
			return err
		}
	}
	if l.found.Brightness, err = l.read("brightness"); err != nil {
		return err
	}
	l.saved = true
	l.notes.put(l.name, l.found)
	return nil
}

// release gives the LED back as it was found.
func (l *classLED) release() error {
	if !l.saved {
		return nil
	}
	l.taken = false
	err := l.restore()
	l.notes.drop(l.name)
	return err
}

// restore writes what was found. What a trigger's attributes were is best
// effort: the kernel makes them anew, for root.
func (l *classLED) restore() error {
	if l.order != nil && l.found.Intensity != "" {
		if err := l.write("multi_intensity", l.found.Intensity); err != nil {
			return err
		}
	}
	switch l.found.Trigger {
	case noTriggers:
		return l.write("brightness", l.found.Brightness)
	case none:
		return errors.Join(l.write("trigger", none), l.write("brightness", l.found.Brightness))
	}
	err := errors.Join(l.write("brightness", "0"), l.write("trigger", l.found.Trigger))
	for _, a := range l.found.Attributes {
		if slices.Contains(triggerAttributes[l.found.Trigger], a.Name) {
			_ = l.write(a.Name, a.Value)
		}
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
	return none
}

// offers reports whether a trigger is in the list.
func offers(list, trigger string) bool {
	return slices.ContainsFunc(strings.Fields(list), func(f string) bool { return strings.Trim(f, "[]") == trigger })
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

// write never makes a file: an LED that is gone must stay gone. It asks the
// kernel directly, because a blinking lamp does this all day long, and a file of
// the standard library would also be watched for events.
func (l *classLED) write(name, value string) error {
	path := filepath.Join(l.dir, name)
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_TRUNC|unix.O_CLOEXEC, 0)
	if err == nil {
		_, err = unix.Write(fd, []byte(value))
		_ = unix.Close(fd)
	}
	if err != nil {
		return &fs.PathError{Op: "write", Path: path, Err: err}
	}
	return nil
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
	return l.led.do(true, func() error {
		if !l.hasColors() {
			return l.led.light()
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
