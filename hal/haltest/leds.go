package haltest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// LEDs is a file tree like /sys/class/leds. Its files only keep what is
// written; unlike the kernel they do not react.
type LEDs struct {
	Root string
	t    testing.TB
}

// NewLEDs makes an empty tree that goes with the test.
func NewLEDs(t testing.TB) LEDs { return LEDs{Root: t.TempDir(), t: t} }

// Add makes an LED that is as bright as brightness, out of full, and has the
// trigger in brackets in the list, as in "none [timer]".
func (l LEDs) Add(name string, brightness, full int, triggers string) {
	l.t.Helper()
	if err := os.Mkdir(filepath.Join(l.Root, name), 0o777); err != nil {
		l.t.Fatal(err)
	}
	l.Put(name, "brightness", strconv.Itoa(brightness))
	l.Put(name, "max_brightness", strconv.Itoa(full))
	l.Put(name, "trigger", triggers)
}

// AddMulti makes a dark multicolor LED of these colours, such as
// "red green blue".
func (l LEDs) AddMulti(name string, full int, colors string) {
	l.t.Helper()
	l.Add(name, 0, full, "[none] timer")
	l.Put(name, "multi_index", colors)
	l.Put(name, "multi_intensity", strings.TrimSpace(strings.Repeat("0 ", len(strings.Fields(colors)))))
}

// Put writes an attribute.
func (l LEDs) Put(name, attribute, value string) {
	l.t.Helper()
	if err := os.WriteFile(filepath.Join(l.Root, name, attribute), []byte(value+"\n"), 0o666); err != nil {
		l.t.Fatal(err)
	}
}

// Get reads an attribute.
func (l LEDs) Get(name, attribute string) string {
	l.t.Helper()
	b, err := os.ReadFile(filepath.Join(l.Root, name, attribute))
	if err != nil {
		l.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// Remove takes an LED away, as when its device is unplugged.
func (l LEDs) Remove(name string) {
	l.t.Helper()
	if err := os.RemoveAll(filepath.Join(l.Root, name)); err != nil {
		l.t.Fatal(err)
	}
}
