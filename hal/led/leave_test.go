package led_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/hal"
	"github.com/sprechprobe/sprechprobe/hal/haltest"
	"github.com/sprechprobe/sprechprobe/hal/led"
)

// addTransient makes an LED whose trigger transient can be set up. The files do
// not react as the kernel's do; that is tested in a guest with a real kernel.
func addTransient(tree haltest.LEDs, name, triggers string) {
	tree.Add(name, 0, 255, triggers)
	for _, a := range []string{"activate", "duration", "state"} {
		tree.Put(name, a, "0")
	}
}

func TestHold(t *testing.T) {
	tree := haltest.NewLEDs(t)
	addTransient(tree, "green:status", "none timer transient [mmc0]")
	l := openOne(t, led.System{Root: tree.Root, Hold: 6 * time.Second}, led.Spec{Role: "all", Driver: led.Sysfs, LED: "green:status"})
	got := show(t, l, "G-R", func() string {
		var all []string
		for _, a := range []string{"trigger", "duration", "state", "activate", "brightness"} {
			all = append(all, tree.Get("green:status", a))
		}
		return strings.Join(all, ",")
	})
	if want := "transient,6000,1,1,0 transient,6000,1,0,0 transient,6000,1,1,0"; got != want {
		t.Errorf("trigger, duration, state, activate, brightness = %s, want %s", got, want)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := tree.Get("green:status", "trigger"); got != "mmc0" {
		t.Errorf("trigger given back is %q, want mmc0", got)
	}
}

func TestHoldWhereTheKernelCannot(t *testing.T) {
	tree := haltest.NewLEDs(t)
	tree.Add("green:status", 0, 255, "[none] timer")
	tree.Add("green:power", 0, 255, "[none] transient") // in the list, but it does not work
	for _, name := range []string{"green:status", "green:power"} {
		l := openOne(t, led.System{Root: tree.Root, Hold: 6 * time.Second}, led.Spec{Role: "all", Driver: led.Sysfs, LED: name})
		if got := show(t, l, "G-", func() string { return tree.Get(name, "brightness") }); got != "255 0" {
			t.Errorf("%s: brightness %s, want 255 0", name, got)
		}
		if got := tree.Get(name, "trigger"); got != "none" {
			t.Errorf("%s: trigger %q, want none", name, got)
		}
	}
}

// A program that was killed took its LEDs over; the next one gives them back as
// they were before both.
func TestNotesSurviveAKill(t *testing.T) {
	tree := haltest.NewLEDs(t)
	tree.Add("green:wan", 1, 1, "none timer [netdev]")
	tree.Put("green:wan", "device_name", "wan")
	tree.Add("green:power", 77, 255, "[none] timer")
	file := filepath.Join(t.TempDir(), "run", "leds.json")
	sys := led.System{Root: tree.Root, Notes: file}
	wan := led.Spec{Role: "network", Driver: led.Sysfs, LED: "green:wan"}
	power := led.Spec{Role: "box", Driver: led.Sysfs, LED: "green:power"}

	killed, err := sys.Open(wan, power)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range killed {
		if err := l.Set(hal.Off); err != nil {
			t.Fatal(err)
		}
	}
	tree.Put("green:wan", "device_name", "")

	next := openOne(t, sys, wan)
	if err := next.Set(hal.Green); err != nil {
		t.Fatal(err)
	}
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
	got := []string{tree.Get("green:wan", "trigger"), tree.Get("green:wan", "device_name")}
	if diff := cmp.Diff([]string{"netdev", "wan"}, got); diff != "" {
		t.Errorf("given back by the next program (-want +got):\n%s", diff)
	}

	left, err := sys.GiveBack()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"green:power"}, left); diff != "" {
		t.Errorf("left behind (-want +got):\n%s", diff)
	}
	if got := tree.Get("green:power", "brightness"); got != "77" {
		t.Errorf("brightness given back is %s, want 77", got)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("notes are kept although nothing is taken over: %v", err)
	}
}

// Somebody has set a trigger since the program was killed: that is what counts.
func TestOldNotesYieldToNewerTriggers(t *testing.T) {
	tree := haltest.NewLEDs(t)
	tree.Add("green:power", 0, 1, "none [heartbeat]")
	file := filepath.Join(t.TempDir(), "leds.json")
	if err := os.WriteFile(file, []byte(`{"green:power":{"trigger":"netdev","brightness":"1"}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	l := openOne(t, led.System{Root: tree.Root, Notes: file}, led.Spec{Role: "all", Driver: led.Sysfs, LED: "green:power"})
	if err := l.Set(hal.Green); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := tree.Get("green:power", "trigger"); got != "heartbeat" {
		t.Errorf("trigger given back is %q, want heartbeat", got)
	}
}

func TestNotesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"empty": "", "null": "null", "text": "hello", "list": "[1]", "path": `{"../x":{"trigger":"none","brightness":"1"}}`} {
		t.Run(name, func(t *testing.T) {
			tree := haltest.NewLEDs(t)
			tree.Add("green:power", 0, 1, "none [timer]")
			file := filepath.Join(dir, name)
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			sys := led.System{Root: tree.Root, Notes: file}
			l := openOne(t, sys, led.Spec{Role: "all", Driver: led.Sysfs, LED: "green:power"})
			if err := l.Set(hal.Green); err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if got := tree.Get("green:power", "trigger"); got != "timer" {
				t.Errorf("trigger given back is %q, want timer", got)
			}
			if _, err := sys.GiveBack(); name == "path" && err == nil {
				t.Error("a note led out of the LED class")
			}
		})
	}
}

func TestDiscoverTheBoardsOwn(t *testing.T) {
	tree := haltest.NewLEDs(t)
	for _, n := range []string{"green:status", "tp-link:green:sys", "tp-link:red:sys", "input4::scrolllock", "input4::capslock"} {
		tree.Add(n, 0, 1, "[none]")
	}
	s := led.System{Root: tree.Root}
	want := []led.Spec{{Role: "all", Driver: led.Sysfs, Red: "tp-link:red:sys", Green: "tp-link:green:sys"}}
	if diff := cmp.Diff(want, s.Discover("tp-link:green:sys")); diff != "" {
		t.Errorf("Discover (-want +got):\n%s", diff)
	}
	want = []led.Spec{{Role: "all", Driver: led.Sysfs, LED: "input4::scrolllock"}}
	if diff := cmp.Diff(want, s.Keyboard()); diff != "" {
		t.Errorf("Keyboard (-want +got):\n%s", diff)
	}
	if got := (led.System{Root: t.TempDir()}).Keyboard(); got != nil {
		t.Errorf("Keyboard without one = %v", got)
	}
}
