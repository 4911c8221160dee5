package uci_test

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent/config"
	"github.com/sprechprobe/sprechprobe/agent/strict"
	"github.com/sprechprobe/sprechprobe/agent/uci"
)

// everything sets each option once, in each way of quoting.
const everything = `
# comment
package sprechprobe

config sprechprobe 'main'
	option enabled '1'
	list profiles webprax
	list profiles "zpp-hd"   # the second
	option profile_dir '/srv/profiles'
	option state_dir '/srv/state'
	list without 'group'
	list without 'hd'
	option language en

config box
	option id 'praxis-nord-1'
	option name 'Praxis Dr. O'\''Neill "Nord" \ Süd'
	option tenant "acme"

config network
	option interface 'br-lan'
	list resolvers '192.168.1.1'
	list resolvers '[fd00::1]:53'

config schedule
	option every '90s'

config relay
	option username "a \"b\" \\ c"
	option password_file '/etc/sprechprobe/pw'

config central
	list servers 'tls://fleet.example:4222'
	option credentials '/c'
	option ca '/ca'
	list vendor_keys 'OBQRVYTO46TGVYZXANHPMNUJG3QZZUOEMZ3FUGMPSW5W7ZFYQBFNSIF7'
	list grants '/g'
	option allow_private 'yes'
	option beacon_zone 'help.fleet.example'

config spool
	option dir none
	option max_bytes '262144'

config lights
	option driver 'gpio'

config lamp 'one'
	option role 'box'
	option gpio 'GPIO17'
	option active_low '1'

config lamp
	option role 'network'
	option red 'R'
	option green 'G'

config button
	option gpio 'GPIO3'
	option active_low 'true'

config panel
	option port '/dev/ttyUSB0'
	option baud '9600'

config console
	option port 'usb:2e8a:000a'
	option baud 9600

config page
	option show 'always'
	option listen '192.168.1.2:8081'
	option name 'none'
`

const everythingTOML = `profiles = ["webprax", "zpp-hd"]
profile_dir = "/srv/profiles"
state_dir = "/srv/state"
without = ["group", "hd"]
language = "en"
[box]
id = "praxis-nord-1"
name = "Praxis Dr. O'Neill \"Nord\" \\ Süd"
tenant = "acme"
[network]
interface = "br-lan"
resolvers = ["192.168.1.1", "[fd00::1]:53"]
[schedule]
every = "90s"
[relay]
username = "a \"b\" \\ c"
password_file = "/etc/sprechprobe/pw"
[central]
servers = ["tls://fleet.example:4222"]
credentials = "/c"
ca = "/ca"
vendor_keys = ["OBQRVYTO46TGVYZXANHPMNUJG3QZZUOEMZ3FUGMPSW5W7ZFYQBFNSIF7"]
grants = ["/g"]
allow_private = true
beacon_zone = "help.fleet.example"
[spool]
dir = ""
max_bytes = 262144
[lights]
driver = "gpio"
[[lights.lamp]]
role = "box"
gpio = "GPIO17"
active_low = true
[[lights.lamp]]
role = "network"
red = "R"
green = "G"
[button]
gpio = "GPIO3"
active_low = true
[panel]
port = "/dev/ttyUSB0"
baud = 9600
[console]
port = "usb:2e8a:000a"
baud = 9600
[page]
show = "always"
listen = "192.168.1.2:8081"
name = ""
`

// openwrt is what a box on OpenWrt has where nothing is set.
const openwrt = `state_dir = "/etc/sprechprobe/state"
[central]
grants = ["/etc/sprechprobe/grant.pem", "/boot/sprechprobe-grant.pem"]
[spool]
max_bytes = 524288
[page]
listen = "0.0.0.0:8080"
`

func TestRender(t *testing.T) {
	tests := []struct {
		name, in, want string
	}{
		{"nothing", "", openwrt},
		{"everything", everything, everythingTOML},
		{"an empty value is none, as for uci itself", "config sprechprobe\n\toption state_dir ''\n\toption language\n\tlist profiles ''", openwrt},
		{"lines of DOS", "config sprechprobe\r\n\toption language 'en'\r\n", "language = \"en\"\n" + openwrt},
		{"a line that goes on", "config sprechprobe\n\toption lang\\\nuage \\e\"n\"", "language = \"en\"\n" + openwrt},
		{"not enabled is still a configuration", "config sprechprobe\n\toption enabled 'off'", openwrt},
		{"entries of the top level stand first", "config box\n\toption tenant 'a'\nconfig sprechprobe\n\toption language 'en'",
			"language = \"en\"\n" + openwrt + "[box]\ntenant = \"a\"\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := uci.Render("f", []byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			got, want := parsed(t, string(f.Text)), parsed(t, tt.want)
			if diff := cmp.Diff(want.Show(), got.Show()); diff != "" {
				t.Errorf("wanted the configuration of %s\ngot %s\n%s", tt.want, f.Text, diff)
			}
		})
	}
}

func parsed(t *testing.T, toml string) config.Config {
	t.Helper()
	c, err := config.Parse("toml", []byte(toml))
	if err != nil {
		t.Fatalf("%v in\n%s", err, toml)
	}
	return c
}

// Each mistake is told with its line and its name, and all at once.
func TestMistakes(t *testing.T) {
	tests := []struct {
		name, in string
		want     []string
	}{
		{"section", "config sprechprob 'main'\n\toption x 'y'", []string{"f:1: unknown section sprechprob (known: sprechprobe, box,"}},
		{"option", "config schedule\n\toption evry '5m'", []string{"f:2: schedule.evry: unknown option (known here: every)"}},
		{"command", "confg schedule", []string{"f:1: confg: want config, option or list"}},
		{"hostile command", "\x1b[2J\n", []string{`f:1: "\x1b[2J": want`}},
		{"hostile option", "config box\n\toption 'a\nb' 'c'", []string{`f:2: option "a\nb": want a name`}},
		{"no section", "option every '5m'", []string{"f:1: option before the first config"}},
		{"no name", "config", []string{"f:1: config without a name"}},
		{"twice", "config box\n option id 'a'\n option id 'b'", []string{"f:3: box.id: stands here twice (line 2)"}},
		{"two sections", "config box\nconfig box", []string{"f:2: box: a second section"}},
		{"option for list", "config sprechprobe\n option profiles 'webprax'", []string{`f:2: sprechprobe.profiles: is set by "option", want "list"`}},
		{"list for option", "config box\n list id 'a'", []string{`f:2: box.id: is set by "list", want "option"`}},
		{"two words", "config box\n option name Praxis Nord", []string{"f:2: option name: more than one value (quotes"}},
		{"bare semicolon", "config box; option id 'a'", []string{"f:1: a bare ;"}},
		{"open quote", "config box\n option id 'a\n option name 'b'\n", []string{"f:2: no closing '"}},
		{"open quote in one line", "config box\n option id \"a\nconfig page\n option shw 'x'", []string{"f:2: no closing \""}},
		{"not UTF-8", "config box\n option name '\xff'", []string{"f:2: not UTF-8"}},
		{"NUL", "config box\n option name 'a\x00'", []string{"f:2: NUL byte"}},
		{"flag", "config central\n option allow_private '2'", []string{"f:2: central.allow_private: want 0 or 1"}},
		{"number", "config panel\n option baud '0x9'", []string{"f:2: panel.baud: want a whole number"}},
		{"large number", "config panel\n option baud '9999999999999999999999'", []string{"f:2: panel.baud: want a whole number"}},
		{"several", "config box\n option x 'a'\nconfig page\n option y 'a'", []string{"f:2: box.x: unknown", "f:4: page.y: unknown"}},
		{"endless list", "config sprechprobe\n" + strings.Repeat(" list profiles 'a'\n", 65), []string{"f:66: sprechprobe.profiles: more than 64"}},
		{"large", strings.Repeat("#\n", 40000), []string{"f: file of more than"}},
		// What package config says of the values.
		{"value", "config page\n\toption show 'sometimes'", []string{`f:2: page.show: "sometimes": want one of`}},
		{"value of a list", "config box\n option tenant 'a'\nconfig network\n list resolvers '1.2.3.4'\n list resolvers 'x'", []string{`f:4: network.resolvers 2: "x"`}},
		{"lines in a value", "config box\n option name 'a\nb'", []string{`f:2: box.name: "a\nb": '\n' is not printable`}},
		{"quotes in a value", "config schedule\n option every '5m\"\n[central]\nservers=[\"tls://evil\"]'", []string{`f:2: schedule.every: "5m\"\n[central]`}},
		{"lamps", "config lamp\nconfig lamp 'b'\n option role 'all'", []string{"f:1: lights.lamp 1, role: missing", "f:2: lights.lamp 2: made of nothing"}},
		{"what is missing", "config relay\n option username 'x'", []string{"f:2: relay.username: password_file is missing"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := uci.Render("f", []byte(tt.in))
			if err == nil {
				_, err = config.Parse("toml", f.Text)
				err = f.Blame(err)
			}
			if err == nil {
				t.Fatalf("no error; rendered\n%s", f.Text)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			if strings.ContainsAny(err.Error(), "\x1b\x00") {
				t.Errorf("error %q repeats what a terminal obeys", err)
			}
		})
	}
}

// The options are the entries of the one TOML file, all of them, and "enabled".
func TestOptionsAreEntries(t *testing.T) {
	header := regexp.MustCompile(`^#?\[+(?:lights\.)?(\w+)\]+$`)
	entry := regexp.MustCompile(`^#?(\w+) = (\[?)`)
	table := "sprechprobe"
	want := []string{"sprechprobe.enabled"}
	elsewhere := []string{"network.address", "network.gateway"} // in /etc/config/network
	for line := range strings.Lines(config.Reference()) {
		line = strings.TrimSuffix(line, "\n")
		if m := header.FindStringSubmatch(line); m != nil {
			table = m[1]
		} else if m := entry.FindStringSubmatch(line); m != nil {
			name := table + "." + m[1]
			if m[2] != "" {
				name += "[]"
			}
			if !slices.Contains(elsewhere, name) {
				want = append(want, name)
			}
		}
	}
	got := uci.Options()
	slices.Sort(want)
	want = slices.Compact(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("options of UCI (+) beside the entries of reference.toml (-):\n%s", diff)
	}
}

// write is the file that says what sections say, as uci writes it.
func write(value string) string { return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'" }

type name struct {
	Box struct {
		Name string `toml:"name"`
	} `toml:"box"`
	State   string `toml:"state_dir"`
	Central struct {
		Grants []string `toml:"grants"`
	} `toml:"central"`
	Spool struct {
		Dir string `toml:"dir"`
		Max int    `toml:"max_bytes"`
	} `toml:"spool"`
	Page struct {
		Listen string `toml:"listen"`
	} `toml:"page"`
}

// Any text, written as uci writes it, arrives as that text, and nothing else
// does.
func FuzzValue(f *testing.F) {
	for _, s := range []string{"a", "O'Neill", `"`, `\`, "a\nb", "a\"\n[central]\nservers = [\"x\"]", "\u007f\u0001", "#", ";", "'''", "é", "$(reboot)", "`"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := uci.Render("f", []byte("config box 'box'\n\toption name "+write(s)+"\n"))
		if err != nil {
			return // not UTF-8, NUL or too large: said so
		}
		var got name
		if _, err := strict.Decode("toml", r.Text, &got); err != nil {
			if len(r.Text) > strict.MaxSize {
				return
			}
			t.Fatalf("%q became %s: %v", s, r.Text, err)
		}
		if got.Box.Name != s || got.Page.Listen != "0.0.0.0:8080" {
			t.Errorf("%q became %+v", s, got)
		}
	})
}

// A file of whatever bytes gives a file of TOML or errors with lines of that
// file, and never a panic.
func FuzzRender(f *testing.F) {
	f.Add([]byte(everything))
	f.Add([]byte("config box\n\toption 'name\nx' \"a\\\"b\\\nc\" # d"))
	f.Add([]byte("config lamp\nconfig lamp x\n\tlist led 'x'"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := uci.Render("f", data)
		lines := strings.Count(string(data), "\n") + 1
		if err == nil {
			if _, err = config.Parse("toml", r.Text); err == nil {
				return
			}
			err = r.Blame(err)
		}
		all := strict.Errors(err)
		if len(all) == 0 {
			t.Fatalf("an error without a place: %v", err)
		}
		for _, e := range all {
			if e.File != "f" || e.Line < 0 || e.Line > lines {
				t.Errorf("an error at %s of %d lines: %v", e.File+":"+strconv.Itoa(e.Line), lines, e)
			}
		}
	})
}
