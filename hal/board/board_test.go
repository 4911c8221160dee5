package board_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/hal"
	"github.com/sprechprobe/sprechprobe/hal/board"
	"github.com/sprechprobe/sprechprobe/hal/haltest"
	"github.com/sprechprobe/sprechprobe/hal/led"
)

// tree is a board's file system, with dark LEDs of these names.
func tree(t *testing.T, files map[string]string, leds ...string) board.System {
	t.Helper()
	all := map[string]string{}
	for name, text := range files {
		all[name] = text
	}
	for _, l := range leds {
		all["sys/class/leds/"+l+"/brightness"] = "0\n"
	}
	return board.System{Root: haltest.Files(t, all)}
}

func one(name string) []led.Spec { return []led.Spec{{Role: "all", Driver: led.Sysfs, LED: name}} }

// openwrt is how OpenWrt 24 presents a board of the device tree.
func openwrt(id, model, running string) map[string]string {
	return map[string]string{
		"tmp/sysinfo/board_name":                id + "\n",
		"tmp/sysinfo/model":                     model + "\n",
		"proc/device-tree/compatible":           id + "\x00some,soc\x00",
		"proc/device-tree/model":                model + "\x00",
		"proc/device-tree/aliases/led-running":  "/leds/running\x00",
		"proc/device-tree/leds/running/label":   running + "\x00",
		"etc/config/system":                     "\nconfig system\n\toption hostname 'OpenWrt'\n",
		"sys/class/leds/phy0/brightness":        "0",
		"sys/class/leds/blue:wlan/brightness":   "0",
		"sys/class/leds/green:lan-1/brightness": "0",
	}
}

func pi(id, model string) map[string]string {
	return map[string]string{
		"proc/device-tree/compatible": id + "\x00brcm,soc\x00",
		"proc/device-tree/model":      model + "\x00",
	}
}

// The LEDs are those of the boards' device trees in Linux, in Raspberry Pi's
// kernel and in OpenWrt; names before OpenWrt 21 begin with the device.
func TestBoards(t *testing.T) {
	piLEDs := []string{"ACT", "PWR", "default-on", "mmc0"}
	tests := []struct {
		files  map[string]string
		leds   []string
		id     string
		lights []led.Spec
		button string
	}{
		{files: pi("raspberrypi,3-model-b-plus", "Raspberry Pi 3 Model B Plus Rev 1.3"), leds: piLEDs, id: "raspberrypi,3-model-b-plus", lights: one("ACT")},
		{files: pi("raspberrypi,4-model-b", "Raspberry Pi 4 Model B Rev 1.4"), leds: piLEDs, id: "raspberrypi,4-model-b", lights: one("ACT")},
		{files: pi("raspberrypi,4-model-b", "Raspberry Pi 4 Model B Rev 1.1"), leds: []string{"led0", "led1"}, id: "raspberrypi,4-model-b", lights: one("led0")},
		{
			files: pi("raspberrypi,5-model-b", "Raspberry Pi 5 Model B Rev 1.0"), leds: piLEDs, id: "raspberrypi,5-model-b",
			lights: []led.Spec{{Role: "all", Driver: led.Sysfs, Red: "PWR", Green: "ACT"}},
		},
		{files: pi("raspberrypi,model-zero-2-w", "Raspberry Pi Zero 2 W Rev 1.0"), leds: []string{"ACT"}, id: "raspberrypi,model-zero-2-w", lights: one("ACT")},
		{files: pi("raspberrypi,4-model-b", "Raspberry Pi 4 Model B"), id: "raspberrypi,4-model-b"}, // in a container
		{
			files: openwrt("friendlyarm,nanopi-r2s", "FriendlyElec NanoPi R2S", "red:sys"),
			leds:  []string{"green:lan", "green:wan", "red:sys"}, id: "friendlyarm,nanopi-r2s", lights: one("red:sys"),
		},
		{
			files: pi("friendlyarm,nanopi-r2s", "FriendlyElec NanoPi R2S"),
			leds:  []string{"nanopi-r2s:green:lan", "nanopi-r2s:red:sys"}, id: "friendlyarm,nanopi-r2s", lights: one("nanopi-r2s:red:sys"),
		},
		{
			files: openwrt("glinet,gl-mt300n-v2", "GL-MT300N-V2", "green:power"),
			leds:  []string{"green:power", "green:wan", "red:wlan"}, id: "glinet,gl-mt300n-v2", lights: one("green:power"),
		},
		{
			files: openwrt("glinet,gl-mt300n-v2", "GL-MT300N-V2", "gl-mt300n-v2:green:power"),
			leds:  []string{"gl-mt300n-v2:green:power", "gl-mt300n-v2:green:wan"}, id: "glinet,gl-mt300n-v2", lights: one("gl-mt300n-v2:green:power"),
		},
		{
			files: openwrt("glinet,gl-ar750", "GL.iNet GL-AR750", "white:power"),
			leds:  []string{"white:power", "white:wlan2g", "white:wlan5g"}, id: "glinet,gl-ar750", lights: one("white:power"),
		},
		{
			files: openwrt("tplink,archer-c7-v5", "TP-Link Archer C7 v5", "tp-link:green:system"),
			leds:  []string{"tp-link:green:system", "tp-link:green:wps", "tp-link:orange:wan"},
			id:    "tplink,archer-c7-v5", lights: one("tp-link:green:system"), button: "wps",
		},
		{
			files: openwrt("tplink,archer-c7-v2", "TP-Link Archer C7 v2", "green:system"),
			leds:  []string{"green:system", "green:qss"}, id: "tplink,archer-c7-v2", lights: one("green:system"),
		},
		{
			files: openwrt("avm,fritzbox-4040", "AVM FRITZ!Box 4040", "green:power"),
			leds:  []string{"green:power", "red:info", "amber:info", "green:wan"}, id: "avm,fritzbox-4040", lights: one("green:power"), button: "wps",
		},
	}
	for _, tt := range tests {
		t.Run(tt.files["proc/device-tree/model"]+strings.Join(tt.leds, " "), func(t *testing.T) {
			got := tree(t, tt.files, tt.leds...).Detect()
			want := board.Found{Board: hal.Board{ID: tt.id, Name: strings.TrimRight(tt.files["proc/device-tree/model"], "\x00")}, Lights: tt.lights, Button: tt.button}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnknownBoards(t *testing.T) {
	generic := openwrt("acme,router-9", "Acme Router 9", "amber:act")
	byFunction := openwrt("acme,router-9", "Acme Router 9", "")
	byFunction["proc/device-tree/leds/running/color"] = "\x00\x00\x00\x04"
	byFunction["proc/device-tree/leds/running/function"] = "act\x00"
	dmi := map[string]string{"sys/class/dmi/id/sys_vendor": "PC Engines\n", "sys/class/dmi/id/product_name": "apu2\n"}
	tests := []struct {
		name  string
		files map[string]string
		leds  []string
		want  board.Found
	}{
		{"the LED that the firmware names", generic, []string{"amber:act", "green:status"},
			board.Found{Board: hal.Board{ID: "acme,router-9", Name: "Acme Router 9"}, Lights: one("amber:act"), Button: "wps"}},
		{"the same by colour and function", byFunction, []string{"amber:act", "green:status"},
			board.Found{Board: hal.Board{ID: "acme,router-9", Name: "Acme Router 9"}, Lights: one("amber:act"), Button: "wps"}},
		{"no LED that suits", generic, []string{"green:wan"},
			board.Found{Board: hal.Board{ID: "acme,router-9", Name: "Acme Router 9"}, Button: "wps"}},
		{"a PC with a keyboard", dmi, []string{"input3::capslock", "input3::scrolllock"},
			board.Found{Board: hal.Board{ID: "pc", Name: "PC Engines apu2"}, Lights: one("input3::scrolllock"), Button: "wps"}},
		{"a PC without", dmi, nil, board.Found{Board: hal.Board{ID: "pc", Name: "PC Engines apu2"}, Button: "wps"}},
		{"a PC with LEDs of its own", dmi, []string{"apu2:green:power", "input3::scrolllock"},
			board.Found{Board: hal.Board{ID: "pc", Name: "PC Engines apu2"}, Lights: one("apu2:green:power"), Button: "wps"}},
		{"nothing at all", nil, nil, board.Found{Button: "wps"}},
		{"hostile names", map[string]string{
			"proc/device-tree/compatible": "raspberrypi,4\x1b[31m\x00",
			"proc/device-tree/model":      "\x1b[2JEvil\r\n" + strings.Repeat("x", 5000),
		}, []string{"ACT"}, board.Found{Board: hal.Board{Name: "[2JEvil" + strings.Repeat("x", 73)}, Button: "wps"}},
		{"an alias that leads out of the tree", map[string]string{
			"proc/device-tree/aliases/led-running": "/../../etc\x00", "etc/label": "green:evil",
		}, []string{"green:evil"}, board.Found{Button: "wps"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tree(t, tt.files, tt.leds...).Detect()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestLEDsOff(t *testing.T) {
	tests := []struct {
		name, file string
		want       bool
	}{
		{"none", "", false},
		{"on", "config system\n\toption leds_off '1'\n", true},
		{"named section, double quotes", "config system \"main\"\n  option leds_off \"1\"\n", true},
		{"without quotes", "config system\noption leds_off 1", true},
		{"zero", "config system\n\toption leds_off '0'\n", false},
		{"of another section", "config system\n\toption hostname 'x'\nconfig led 'led_wan'\n\toption leds_off '1'\n", false},
		{"cut short", "config system\n\toption leds_off", false},
		{"noise", "\x00\xff config\noption\n'''\nconfig system option", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tree(t, map[string]string{"etc/config/system": tt.file}).Detect().Dark; got != tt.want {
				t.Errorf("Dark = %v, want %v", got, tt.want)
			}
		})
	}
}
