package guest_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/hal"
	"github.com/sprechprobe/sprechprobe/hal/led"
)

const class = "/sys/class/leds"

func read(t *testing.T, led, attribute string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(class, led, attribute))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func write(t *testing.T, led, attribute, value string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(class, led, attribute), []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

// trigger is the active one.
func trigger(t *testing.T, led string) string {
	t.Helper()
	_, rest, _ := strings.Cut(read(t, led, "trigger"), "[")
	name, _, _ := strings.Cut(rest, "]")
	return name
}

// rgb is a lamp of the three LEDs.
var rgb = led.Spec{Role: "all", Driver: led.Sysfs, Red: "red:status", Green: "green:status", Blue: "blue:status"}

func open(t *testing.T, s led.System, spec led.Spec) hal.Light {
	t.Helper()
	lights, err := s.Open(spec)
	if err != nil {
		t.Fatal(err)
	}
	return lights[0]
}

func set(t *testing.T, l hal.Light, c hal.Color) {
	t.Helper()
	if err := l.Set(c); err != nil {
		t.Fatalf("Set(%v): %v", c, err)
	}
}

// Colours reach the lines, also through the kernel's polarity, and the triggers
// come back with what they were set to. Without the module, the kernel knows no
// trigger transient.
func TestGuestLEDClass(t *testing.T) {
	onlyInside(t)
	write(t, "red:status", "trigger", "timer")
	write(t, "red:status", "delay_on", "123")
	write(t, "red:status", "delay_off", "456")
	l := open(t, led.System{Hold: time.Second}, rgb)
	for c, want := range map[hal.Color]string{
		hal.Red: "RED=1 GREEN=0 BLUE=1", hal.Green: "RED=0 GREEN=1 BLUE=1", hal.Yellow: "RED=1 GREEN=1 BLUE=1",
		hal.Blue: "RED=0 GREEN=0 BLUE=0", hal.White: "RED=1 GREEN=1 BLUE=0", hal.Off: "RED=0 GREEN=0 BLUE=1",
	} {
		set(t, l, c)
		if got := levels(t, "RED", "GREEN", "BLUE"); got != want {
			t.Errorf("%v: lines are %s, want %s (blue is active low)", c, got, want)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got := strings.Join([]string{
		trigger(t, "red:status"), read(t, "red:status", "delay_on"), read(t, "red:status", "delay_off"),
		trigger(t, "green:status"), trigger(t, "blue:status"),
	}, " ")
	if want := "timer 123 456 default-on none"; got != want {
		t.Errorf("given back: %s, want %s", got, want)
	}
	write(t, "red:status", "trigger", "none")
}

// truth is how long a lamp may lie.
const truth = 30 * time.Second

// dark waits until all three lamps are out, and returns how long that took.
func dark(t *testing.T, limit time.Duration) time.Duration {
	t.Helper()
	start := time.Now()
	for levels(t, "RED", "GREEN", "BLUE") != "RED=0 GREEN=0 BLUE=1" {
		if time.Since(start) > limit {
			t.Fatalf("after %v a lamp is still lit: %s", limit, levels(t, "RED", "GREEN", "BLUE"))
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(start)
}

// A lit lamp needs somebody who keeps it lit: what a live engine does, and a dead
// one cannot.
func TestGuestHold(t *testing.T) {
	onlyInside(t)
	need(t, "ledtrig-transient")
	const hold = 3 * time.Second
	l := open(t, led.System{Hold: hold}, rgb)
	set(t, l, hal.Yellow)
	time.Sleep(hold / 2)
	set(t, l, hal.Green) // one part goes on being lit: its time begins anew
	if took := dark(t, truth); took < hold/2 {
		t.Errorf("a lamp that was set went out after %v, want about %v", took, hold)
	}
	set(t, l, hal.Red)
	set(t, l, hal.Off)
	if got := levels(t, "RED"); got != "RED=0" {
		t.Errorf("a lamp that was put out: %s", got)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := trigger(t, "green:status"); got != "default-on" {
		t.Errorf("trigger given back is %s, want default-on", got)
	}

	live := led.NewEngine([]hal.Light{open(t, led.System{Hold: hold}, rgb)}, func(_ string, err error) { t.Errorf("light: %v", err) })
	live.Show("ready", map[string]hal.Pattern{"all": hal.Picture("GGGGGGG-")})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- live.Run(ctx) }()
	lit, looks := 0, 0
	for began := time.Now(); time.Since(began) < 3*hold; looks++ {
		if strings.Contains(levels(t, "GREEN"), "1") {
			lit++
		}
		time.Sleep(20 * time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if ratio := float64(lit) / float64(looks); ratio < 0.6 || lit == looks {
		t.Errorf("a live engine that lights 7 of 8 beats was lit in %.0f %% of looks", 100*ratio)
	}
}

// Lines of a chip, one of which an LED has taken already.
func TestGuestGPIO(t *testing.T) {
	onlyInside(t)
	l := open(t, led.System{}, led.Spec{Role: "video", Driver: led.GPIO, Red: "LAMP4", Green: "LAMP5"})
	low := open(t, led.System{}, led.Spec{Role: "box", Driver: led.GPIO, GPIO: "LAMP6", ActiveLow: true})
	set(t, l, hal.Red)
	set(t, low, hal.Green)
	if got, want := levels(t, "LAMP4", "LAMP5", "LAMP6"), "LAMP4=1 LAMP5=0 LAMP6=0"; got != want {
		t.Errorf("lines are %s, want %s", got, want)
	}
	set(t, l, hal.Off)
	set(t, low, hal.Off)
	if got, want := levels(t, "LAMP4", "LAMP5", "LAMP6"), "LAMP4=0 LAMP5=0 LAMP6=1"; got != want {
		t.Errorf("lines are %s, want %s", got, want)
	}
	taken := open(t, led.System{}, led.Spec{Role: "network", Driver: led.GPIO, GPIO: "GREEN"})
	for range 2 {
		if err := taken.Set(hal.Green); err == nil || !strings.Contains(err.Error(), "busy") {
			t.Errorf("a line that an LED has taken: err = %v, want that it is busy", err)
		}
	}
	for _, light := range []hal.Light{l, low, taken} {
		if err := light.Close(); err != nil {
			t.Error(err)
		}
	}
}
