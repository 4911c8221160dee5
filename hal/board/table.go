package board

import (
	"strings"

	"github.com/sprechprobe/sprechprobe/hal/led"
)

// anyButton is the one that boards which are not in the table may have, and that
// the firmware itself has no use for while Wi-Fi is off.
const anyButton = "wps"

// row is what is known of a board, or of all whose name begins so. LEDs are
// named by their end, for kernels put the name of a device before it or not.
//
// The buttons called reset are left alone: OpenWrt restarts the box when they
// are pressed, and forgets everything when they are held. So are switches that
// slide, and a Pi's power button.
type row struct {
	id     string
	leds   []string // of one colour, the first that is there
	red    string   // or one lamp of two colours
	green  string
	button string
}

// table has the more particular first. The names are those of the device trees
// of Linux and OpenWrt.
var table = []row{
	{id: "raspberrypi,5-model-b", red: "PWR", green: "ACT"},
	{id: "raspberrypi,", leds: []string{"ACT", "led0"}}, // 3, 4, Zero 2 W; PWR stays what it says
	{id: "friendlyarm,nanopi-r2s", leds: []string{"red:sys", "red:status"}},
	{id: "glinet,gl-mt300n-v2", leds: []string{"green:power"}},
	{id: "glinet,gl-ar750", leds: []string{"white:power"}},
	{id: "tplink,archer-c7-v2", leds: []string{"green:system"}},
	{id: "tplink,archer-c7-", leds: []string{"green:system"}, button: "wps"}, // v4, v5
	{id: "avm,fritzbox-4040", leds: []string{"green:power"}, button: "wps"},
}

func find(id string) (row, bool) {
	for _, r := range table {
		if strings.HasPrefix(id, r.id) {
			return r, true
		}
	}
	return row{}, false
}

// lights are the row's lamps among these LEDs, none if they are not there.
func (r row) lights(leds []string) []led.Spec {
	spec := led.Spec{Role: "all", Driver: led.Sysfs}
	if spec.Red, spec.Green = ending(leds, r.red), ending(leds, r.green); spec.Red != "" && spec.Green != "" {
		return []led.Spec{spec}
	}
	spec.Red, spec.Green = "", ""
	for _, end := range r.leds {
		if spec.LED = ending(leds, end); spec.LED != "" {
			return []led.Spec{spec}
		}
	}
	return nil
}

// ending is the first of the LEDs that has this name, or has it behind that of a
// device.
func ending(leds []string, name string) string {
	for _, l := range leds {
		if name != "" && (l == name || strings.HasSuffix(l, ":"+name)) {
			return l
		}
	}
	return ""
}
