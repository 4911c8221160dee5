package config

import (
	"slices"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent/strict"
)

// buttonEvents are what a button may be named by, as OpenWrt does.
const buttonEvents = "auto none wps reset rfkill power BTN_0 BTN_1 BTN_2 BTN_3 BTN_4 BTN_5 BTN_6 BTN_7 BTN_8 BTN_9"

func button(at strict.Place, raw rawButton, otherwise Button) Button {
	b := Button{Event: otherwise.Event, GPIO: raw.GPIO, ActiveLow: raw.ActiveLow}
	if raw.Event != nil {
		b.Event = *raw.Event
		if !slices.Contains(strings.Fields(buttonEvents), b.Event) {
			at.Key("event").Errorf("%.40q: want one of %s", b.Event, buttonEvents)
		}
	}
	switch {
	case raw.GPIO == "" && at.Key("gpio").Set():
		at.Key("gpio").Errorf("empty")
	case raw.GPIO == "" && raw.ActiveLow:
		at.Key("active_low").Errorf("only for gpio")
	case raw.GPIO == "":
	case b.Event != ButtonAuto:
		at.Key("event").Errorf("beside gpio: want one of the two")
	case !validName(raw.GPIO, true):
		at.Key("gpio").Errorf("%.70q: want the name of a GPIO line", raw.GPIO)
	}
	return b
}
