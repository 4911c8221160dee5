package config

import (
	"slices"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent/strict"
)

// buttonEvents are the names of buttons, as OpenWrt gives them.
var buttonEvents = []string{
	"wps", "reset", "rfkill", "power",
	"BTN_0", "BTN_1", "BTN_2", "BTN_3", "BTN_4", "BTN_5", "BTN_6", "BTN_7", "BTN_8", "BTN_9",
}

func button(at strict.Place, raw rawButton, otherwise Button) Button {
	b := Button{Event: otherwise.Event, GPIO: raw.GPIO, ActiveLow: raw.ActiveLow}
	if raw.Event != nil {
		b.Event = *raw.Event
		known := append([]string{ButtonAuto, ButtonNone}, buttonEvents...)
		switch {
		case raw.GPIO != "" && b.Event != ButtonAuto:
			at.Key("event").Errorf("beside gpio: want one of the two")
		case !slices.Contains(known, b.Event):
			at.Key("event").Errorf("%.40q: want one of %s", b.Event, strings.Join(known, ", "))
		}
	}
	switch {
	case raw.GPIO == "" && at.Key("gpio").Set():
		at.Key("gpio").Errorf("empty")
	case raw.GPIO != "" && !validName(raw.GPIO, true):
		at.Key("gpio").Errorf("%.70q: want the name of a GPIO line", raw.GPIO)
	case raw.GPIO == "" && raw.ActiveLow:
		at.Key("active_low").Errorf("only for gpio")
	}
	return b
}
