package uci

import "strings"

// kind is the form of an option's value.
type kind uint8

const (
	text   kind = iota
	orNone      // text; the word none stands for "", which UCI cannot hold
	list        // several texts
	flag        // 0 or 1, and the other words that OpenWrt takes for them
	number      // a whole number
)

const none = "none"

// word is the keyword that sets an option of the kind.
func (k kind) word() string {
	if k == list {
		return "list"
	}
	return "option"
}

// check says what is wrong with a value, empty if nothing.
func (k kind) check(v string) string {
	switch k {
	case flag:
		if !truth(v) && !strings.Contains(" 0 no off false disabled ", " "+v+" ") {
			return "want 0 or 1"
		}
	case number:
		if len(v) > 15 || strings.Trim(v, "0123456789") != "" || v[0] == '0' && v != "0" {
			return "want a whole number"
		}
	}
	return ""
}

// truth reads a flag as config_get_bool of OpenWrt does.
func truth(v string) bool { return strings.Contains(" 1 yes on true enabled ", " "+v+" ") }

type option struct {
	name string
	kind kind
	// fallback is what the option is on OpenWrt where it is not set, as TOML;
	// empty: what it is everywhere.
	fallback string
	local    bool // for the service's script alone
}

type sectionType struct {
	name    string
	header  string // of the table; empty: the top level
	many    bool
	options []option
}

// types are all sections, in the order of the rendered file.
var types = []*sectionType{
	{name: "sprechprobe", options: []option{
		{name: "enabled", kind: flag, local: true},
		{name: "profiles", kind: list},
		{name: "profile_dir", kind: orNone},
		// /var is gone with each start, and what a vendor has claimed must not be.
		{name: "state_dir", fallback: `"/etc/sprechprobe/state"`},
		{name: "without", kind: list},
		{name: "language"},
	}},
	{name: "box", header: "[box]", options: []option{{name: "id"}, {name: "name"}, {name: "tenant"}}},
	// Its addresses are netifd's affair.
	{name: "network", header: "[network]", options: []option{{name: "interface"}, {name: "resolvers", kind: list}}},
	{name: "schedule", header: "[schedule]", options: []option{{name: "every"}}},
	{name: "relay", header: "[relay]", options: []option{{name: "username"}, {name: "password_file"}, {name: "rehearse", kind: flag}}},
	{name: "bandwidth", header: "[bandwidth]", options: []option{
		{name: "server"}, {name: "user"}, {name: "password_file"}, {name: "key_file"}, {name: "every"},
		{name: "closed", kind: list}, {name: "window"}, {name: "zone"},
		{name: "max_bytes_per_day", kind: number}, {name: "max_bytes_per_month", kind: number}, {name: "full_capacity", kind: flag},
	}},
	{name: "central", header: "[central]", options: []option{
		{name: "servers", kind: list}, {name: "credentials"}, {name: "nkey_seed"}, {name: "ca"},
		{name: "vendor_keys", kind: list},
		{name: "grants", kind: list, fallback: `["/etc/sprechprobe/grant.pem", "/boot/sprechprobe-grant.pem"]`},
		{name: "allow_private", kind: flag}, {name: "beacon_zone"},
	}},
	// The flash that is free on a router is a few megabytes, and not the box's alone.
	{name: "spool", header: "[spool]", options: []option{
		{name: "dir", kind: orNone},
		{name: "max_bytes", kind: number, fallback: "524288"},
	}},
	{name: "lights", header: "[lights]", options: []option{{name: "driver"}}},
	{name: "lamp", header: "[[lights.lamp]]", many: true, options: []option{
		{name: "role"}, {name: "led"}, {name: "gpio"}, {name: "red"}, {name: "green"}, {name: "blue"}, {name: "active_low", kind: flag},
	}},
	{name: "button", header: "[button]", options: []option{{name: "event"}, {name: "gpio"}, {name: "active_low", kind: flag}}},
	{name: "panel", header: "[panel]", options: []option{{name: "port"}, {name: "baud", kind: number}}},
	{name: "console", header: "[console]", options: []option{{name: "port"}, {name: "baud", kind: number}}},
	// A router's own page has port 80.
	{name: "page", header: "[page]", options: []option{
		{name: "show"}, {name: "listen", fallback: `"0.0.0.0:8080"`}, {name: "name", kind: orNone},
	}},
}

func typeOf(name string) *sectionType {
	for _, t := range types {
		if t.name == name {
			return t
		}
	}
	return nil
}

func (t *sectionType) option(name string) *option {
	for i := range t.options {
		if t.options[i].name == name {
			return &t.options[i]
		}
	}
	return nil
}

func typeNames() string {
	var all []string
	for _, t := range types {
		all = append(all, t.name)
	}
	return strings.Join(all, ", ")
}

func (t *sectionType) optionNames() string {
	var all []string
	for _, o := range t.options {
		all = append(all, o.name)
	}
	return strings.Join(all, ", ")
}

// Options are all options as "section.option", for forms to be checked against.
// Those that are lists end in "[]".
func Options() []string {
	var all []string
	for _, t := range types {
		for _, o := range t.options {
			name := t.name + "." + o.name
			if o.kind == list {
				name += "[]"
			}
			all = append(all, name)
		}
	}
	return all
}
