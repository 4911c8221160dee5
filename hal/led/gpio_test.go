package led_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpiotest"

	"github.com/sprechprobe/sprechprobe/hal/led"
)

// wired is a line that an LED hangs on. Like the kernel's it must not be used
// after an error until it was closed, and never be read.
type wired struct {
	gpiotest.Pin
	err    error
	broken bool
	outs   int
	closed int
}

func (w *wired) Out(l gpio.Level) error {
	w.outs++
	if w.broken {
		return errors.New("inappropriate ioctl for device")
	}
	if w.err != nil {
		w.broken = true
		return w.err
	}
	return w.Pin.Out(l)
}

func (w *wired) Close() { w.broken = false; w.closed++ }

func (w *wired) String() string   { panic("String turns the line into an input") }
func (w *wired) Function() string { panic("Function turns the line into an input") }

type board map[string]*wired

func (b board) find(name string) (gpio.PinIO, error) {
	if w := b[name]; w != nil {
		return w, nil
	}
	return nil, errors.New("no chip has a line of this name")
}

func (b board) levels(names ...string) string {
	var s strings.Builder
	for _, n := range names {
		fmt.Fprint(&s, map[gpio.Level]int{gpio.High: 1}[b[n].L])
	}
	return s.String()
}

func TestGPIOLine(t *testing.T) {
	for _, activeLow := range []bool{false, true} {
		b := board{"GPIO17": {}}
		l := openOne(t, led.System{Lines: b.find}, led.Spec{Role: "all", Driver: led.GPIO, GPIO: "GPIO17", ActiveLow: activeLow})
		if b["GPIO17"].outs != 0 {
			t.Error("opening alone drove the line")
		}
		want, dark := "1 0 1", "0"
		if activeLow {
			want, dark = "0 1 0", "1"
		}
		if got := show(t, l, "G-R", func() string { return b.levels("GPIO17") }); got != want {
			t.Errorf("active low %v: levels %s, want %s", activeLow, got, want)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if got := b.levels("GPIO17"); got != dark || b["GPIO17"].closed != 1 {
			t.Errorf("active low %v: left at %s, closed %d times; want %s, once", activeLow, got, b["GPIO17"].closed, dark)
		}
	}
}

func TestGPIOThreeLines(t *testing.T) {
	b := board{"r": {}, "g": {}, "b": {}}
	l := openOne(t, led.System{Lines: b.find}, led.Spec{Role: "all", Driver: led.GPIO, Red: "r", Green: "g", Blue: "b"})
	got := show(t, l, "RGYBW-", func() string { return b.levels("r", "g", "b") })
	if want := "100 010 110 001 111 000"; got != want {
		t.Errorf("levels %s, want %s", got, want)
	}
}

func TestGPIOLineIsDroppedAfterAnError(t *testing.T) {
	b := board{"GPIO17": {err: errors.New("device or resource busy")}}
	l := openOne(t, led.System{Lines: b.find}, led.Spec{Role: "all", Driver: led.GPIO, GPIO: "GPIO17"})
	for range 3 {
		if err := l.Set(1); err == nil || !strings.Contains(err.Error(), "gpio line GPIO17: device or resource busy") {
			t.Fatalf("Set on a busy line: err = %v", err)
		}
	}
	b["GPIO17"].err = nil
	if err := l.Set(1); err != nil {
		t.Fatalf("Set on the line when it was free again: %v", err)
	}
	if got := b.levels("GPIO17"); got != "1" {
		t.Errorf("level %s, want 1", got)
	}
}

func TestGPIOLineNotThere(t *testing.T) {
	l := openOne(t, led.System{Lines: board{}.find}, led.Spec{Role: "all", Driver: led.GPIO, GPIO: "GPIO99"})
	if err := l.Set(1); err == nil || !strings.Contains(err.Error(), "gpio line GPIO99: no chip has") {
		t.Errorf("Set: err = %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}
