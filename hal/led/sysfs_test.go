package led_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/hal"
	"github.com/sprechprobe/sprechprobe/hal/haltest"
	"github.com/sprechprobe/sprechprobe/hal/led"
)

func openOne(t *testing.T, s led.System, spec led.Spec) hal.Light {
	t.Helper()
	lights, err := s.Open(spec)
	if err != nil {
		t.Fatal(err)
	}
	if len(lights) != 1 || lights[0].Name() != spec.Role {
		t.Fatalf("Open(%+v) = %v", spec, lights)
	}
	return lights[0]
}

// show sets each colour of a picture and notes what the attribute became.
func show(t *testing.T, l hal.Light, picture string, look func() string) string {
	t.Helper()
	var seen []string
	for _, s := range hal.Picture(picture) {
		if err := l.Set(s.Color); err != nil {
			t.Fatalf("Set(%v): %v", s.Color, err)
		}
		seen = append(seen, look())
	}
	return strings.Join(seen, " ")
}

func TestSingleLED(t *testing.T) {
	for _, full := range []int{1, 255} {
		tree := haltest.NewLEDs(t)
		tree.Add("green:status", full, full, "none timer [default-on] heartbeat")
		tree.Add("green:lan", 0, full, "none [netdev]")
		l := openOne(t, led.System{Root: tree.Root}, led.Spec{Role: "all", Driver: led.Sysfs, LED: "green:status"})
		if got := tree.Get("green:status", "trigger"); got != "none timer [default-on] heartbeat" {
			t.Errorf("opening alone changed the trigger to %q", got)
		}
		on := tree.Get("green:status", "max_brightness")
		got := show(t, l, "G-RW-", func() string { return tree.Get("green:status", "brightness") })
		if want := strings.Join([]string{on, "0", on, on, "0"}, " "); got != want {
			t.Errorf("brightness %s, want %s", got, want)
		}
		if got := tree.Get("green:status", "trigger"); got != "none" {
			t.Errorf("trigger %q, want none", got)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if got := tree.Get("green:status", "trigger"); got != "default-on" {
			t.Errorf("trigger given back is %q, want default-on", got)
		}
		if got := tree.Get("green:lan", "trigger"); got != "none [netdev]" {
			t.Errorf("an LED that was not named was changed: %q", got)
		}
	}
}

func TestGivesBackBrightness(t *testing.T) {
	tree := haltest.NewLEDs(t)
	tree.Add("white:status", 77, 255, "[none] timer")
	l := openOne(t, led.System{Root: tree.Root}, led.Spec{Role: "all", Driver: led.Sysfs, LED: "white:status"})
	show(t, l, "R-", func() string { return "" })
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := tree.Get("white:status", "brightness"); got != "77" {
		t.Errorf("brightness given back is %s, want 77", got)
	}
}

func TestGivesBackTriggersAttributes(t *testing.T) {
	tree := haltest.NewLEDs(t)
	tree.Add("green:wan", 1, 1, "none timer [netdev]")
	tree.Put("green:wan", "device_name", "wan")
	tree.Put("green:wan", "link", "1")
	l := openOne(t, led.System{Root: tree.Root}, led.Spec{Role: "network", Driver: led.Sysfs, LED: "green:wan"})
	show(t, l, "G", func() string { return "" })
	tree.Put("green:wan", "device_name", "") // as the kernel does with a new trigger
	tree.Put("green:wan", "link", "0")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got := []string{tree.Get("green:wan", "trigger"), tree.Get("green:wan", "device_name"), tree.Get("green:wan", "link")}
	if diff := cmp.Diff([]string{"netdev", "wan", "1"}, got); diff != "" {
		t.Errorf("given back (-want +got):\n%s", diff)
	}
}

func TestThreeLEDs(t *testing.T) {
	tree := haltest.NewLEDs(t)
	for _, n := range []string{"red:status", "green:status", "blue:status"} {
		tree.Add(n, 0, 1, "[none] timer")
	}
	l := openOne(t, led.System{Root: tree.Root}, led.Spec{
		Role: "all", Driver: led.Sysfs, Red: "red:status", Green: "green:status", Blue: "blue:status",
	})
	got := show(t, l, "RGYBW-", func() string {
		return tree.Get("red:status", "brightness") + tree.Get("green:status", "brightness") + tree.Get("blue:status", "brightness")
	})
	if want := "100 010 110 001 111 000"; got != want {
		t.Errorf("red green blue = %s, want %s", got, want)
	}
}

// Many routers have a red and a green LED only. Blue has to be lit somehow.
func TestTwoLEDs(t *testing.T) {
	tree := haltest.NewLEDs(t)
	tree.Add("red:status", 0, 255, "[none]")
	tree.Add("green:status", 0, 255, "[none]")
	l := openOne(t, led.System{Root: tree.Root}, led.Spec{Role: "all", Driver: led.Sysfs, Red: "red:status", Green: "green:status"})
	got := show(t, l, "RGYBW-", func() string {
		return tree.Get("red:status", "brightness") + "/" + tree.Get("green:status", "brightness")
	})
	if want := "255/0 0/255 255/255 255/255 255/255 0/0"; got != want {
		t.Errorf("red/green = %s, want %s", got, want)
	}
}

func TestMulticolorLED(t *testing.T) {
	tree := haltest.NewLEDs(t)
	tree.AddMulti("rgb:status", 255, "green red blue") // the order is the kernel's
	l := openOne(t, led.System{Root: tree.Root}, led.Spec{Role: "all", Driver: led.Sysfs, LED: "rgb:status"})
	got := show(t, l, "R-GYBW-", func() string {
		return strings.ReplaceAll(tree.Get("rgb:status", "multi_intensity"), " ", ",") + "@" + tree.Get("rgb:status", "brightness")
	})
	want := "0,255,0@255 0,255,0@0 255,0,0@255 255,255,0@255 0,0,255@255 255,255,255@255 255,255,255@0"
	if got != want {
		t.Errorf("green,red,blue@brightness =\n%s, want\n%s", got, want)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := tree.Get("rgb:status", "multi_intensity"); got != "0 0 0" {
		t.Errorf("intensities given back are %s, want 0 0 0", got)
	}
}

// White and amber in one LED cannot show colours, but can be on and off.
func TestMulticolorWithoutColours(t *testing.T) {
	tree := haltest.NewLEDs(t)
	tree.AddMulti("multi:status", 9, "white amber")
	tree.Put("multi:status", "multi_intensity", "9 0")
	l := openOne(t, led.System{Root: tree.Root}, led.Spec{Role: "all", Driver: led.Sysfs, LED: "multi:status"})
	got := show(t, l, "R-", func() string {
		return strings.ReplaceAll(tree.Get("multi:status", "multi_intensity"), " ", ",") + "@" + tree.Get("multi:status", "brightness")
	})
	if want := "9,0@9 9,0@0"; got != want {
		t.Errorf("white,amber@brightness = %s, want %s", got, want)
	}
}

// An LED on a USB adapter may be plugged in late, out and in again.
func TestLEDComesAndGoes(t *testing.T) {
	tree := haltest.NewLEDs(t)
	l := openOne(t, led.System{Root: tree.Root}, led.Spec{Role: "all", Driver: led.Sysfs, LED: "usb:green:status"})
	if err := l.Set(hal.Green); err == nil {
		t.Fatal("an LED that is not there was lit")
	}
	tree.Add("usb:green:status", 0, 255, "none [heartbeat]")
	if err := l.Set(hal.Green); err != nil {
		t.Fatal(err)
	}
	tree.Remove("usb:green:status")
	if err := l.Set(hal.Off); err == nil {
		t.Fatal("an LED that is gone was put out")
	}
	if entries, err := os.ReadDir(tree.Root); err != nil || len(entries) != 0 {
		t.Fatalf("writing to an LED that is gone made %v, err %v", entries, err)
	}
	tree.Add("usb:green:status", 0, 255, "none [heartbeat]")
	if err := l.Set(hal.Green); err != nil {
		t.Fatal(err)
	}
	if got := tree.Get("usb:green:status", "trigger"); got != "none" {
		t.Errorf("after its return the LED's trigger is %q, want none", got)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := tree.Get("usb:green:status", "trigger"); got != "heartbeat" {
		t.Errorf("trigger given back is %q, want heartbeat", got)
	}
}

func TestLEDWithoutTriggers(t *testing.T) {
	tree := haltest.NewLEDs(t)
	tree.Add("green:status", 3, 5, "")
	if err := os.Remove(tree.Root + "/green:status/trigger"); err != nil {
		t.Fatal(err)
	}
	l := openOne(t, led.System{Root: tree.Root}, led.Spec{Role: "all", Driver: led.Sysfs, LED: "green:status"})
	if got := show(t, l, "G-", func() string { return tree.Get("green:status", "brightness") }); got != "5 0" {
		t.Errorf("brightness %s, want 5 0", got)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := tree.Get("green:status", "brightness"); got != "3" {
		t.Errorf("brightness given back is %s, want 3", got)
	}
}

func TestLEDThatIsNone(t *testing.T) {
	tree := haltest.NewLEDs(t)
	tree.Add("green:status", 0, 0, "[none]")
	tree.Add("red:status", 0, 1, "[none]")
	tree.Put("red:status", "max_brightness", strings.Repeat("9", 100_000))
	for _, n := range []string{"green:status", "red:status"} {
		l := openOne(t, led.System{Root: tree.Root}, led.Spec{Role: "all", Driver: led.Sysfs, LED: n})
		if err := l.Set(hal.Green); err == nil || !strings.Contains(err.Error(), "max_brightness") {
			t.Errorf("%s: err = %.200v, want one about max_brightness", n, err)
		}
		if got := tree.Get(n, "trigger"); got != "[none]" {
			t.Errorf("%s: trigger was changed to %q", n, got)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	tests := []struct {
		spec    led.Spec
		wantErr string
	}{
		{led.Spec{Driver: led.Sysfs, LED: "../gpio"}, `led "../gpio"`},
		{led.Spec{Driver: led.Sysfs, LED: ".."}, `led ".."`},
		{led.Spec{Driver: led.Sysfs, Red: "a/b", Green: "g"}, `led "a/b"`},
		{led.Spec{Driver: led.Sysfs}, "want either one lamp"},
		{led.Spec{Driver: led.Sysfs, LED: "a", Red: "b"}, "want either one lamp"},
		{led.Spec{Driver: led.Sysfs, Red: "b"}, "want either one lamp"},
		{led.Spec{Driver: led.GPIO, LED: "a"}, "want either one lamp"},
		{led.Spec{Driver: "auto"}, `unknown driver "auto"`},
	}
	for _, tt := range tests {
		t.Run(tt.wantErr, func(t *testing.T) {
			tt.spec.Role = "video"
			good := led.Spec{Role: "box", Driver: led.Sysfs, LED: "x"}
			lights, err := led.System{Root: t.TempDir()}.Open(tt.spec, good)
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) || !strings.Contains(err.Error(), "light video") {
				t.Errorf("Open(%+v): err = %v, want %q", tt.spec, err, tt.wantErr)
			}
			if len(lights) != 1 || lights[0].Name() != "box" {
				t.Errorf("Open(%+v) = %v, want the good light all the same", tt.spec, lights)
			}
		})
	}
}

func TestDiscover(t *testing.T) {
	one := func(n string) []led.Spec { return []led.Spec{{Role: "all", Driver: "sysfs", LED: n}} }
	tests := []struct {
		name  string
		leds  []string
		multi string
		want  []led.Spec
	}{
		{name: "no LED", want: nil},
		{name: "raspberry pi", leds: []string{"ACT", "PWR", "default-on", "mmc0"}, want: nil},
		{name: "laptop", leds: []string{"tpacpi::power", "input3::capslock", "platform::micmute"}, want: nil},
		{name: "router", leds: []string{"green:wan", "green:lan", "green:wlan2g", "green:power"}, want: one("green:power")},
		{name: "status before power", leds: []string{"blue:power", "green:status", "green:wan"}, want: one("green:status")},
		{name: "multicolor before others", leds: []string{"green:status", "red:status"}, multi: "rgb:status", want: one("rgb:status")},
		{
			name: "red and green", leds: []string{"green:status", "red:status"},
			want: []led.Spec{{Role: "all", Driver: "sysfs", Red: "red:status", Green: "green:status"}},
		},
		{
			name: "three", leds: []string{"blue:status", "green:status", "red:status"},
			want: []led.Spec{{Role: "all", Driver: "sysfs", Red: "red:status", Green: "green:status", Blue: "blue:status"}},
		},
		{name: "with device", leds: []string{"tp-link:blue:power"}, want: one("tp-link:blue:power")},
		{name: "unknown colour", leds: []string{"pink:status"}, want: nil},
		{name: "rgb that is no multicolor LED", leds: []string{"rgb:status"}, want: nil},
		{name: "only a network port", leds: []string{"amber:lan", "amber:wan-1"}, want: nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree := haltest.NewLEDs(t)
			for _, n := range tt.leds {
				tree.Add(n, 0, 1, "[none]")
			}
			if tt.multi != "" {
				tree.AddMulti(tt.multi, 255, "red green blue")
			}
			s := led.System{Root: tree.Root}
			if diff := cmp.Diff(tt.want, s.Discover("")); diff != "" {
				t.Errorf("Discover (-want +got):\n%s", diff)
			}
			for _, n := range tt.leds {
				if !slices.Contains(s.LEDs(), n) {
					t.Errorf("LEDs = %v, want %s among them", s.LEDs(), n)
				}
			}
		})
	}
	if got := (led.System{Root: "/does/not/exist"}).Discover(""); got != nil {
		t.Errorf("Discover without an LED class = %v, want none", got)
	}
}
