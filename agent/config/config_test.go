package config_test

import (
	"bytes"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pelletier/go-toml/v2"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/config"
	"github.com/sprechprobe/sprechprobe/agent/strict"
	"github.com/sprechprobe/sprechprobe/hal/button"
)

var comparable = cmpopts.EquateComparable(netip.AddrPort{}, netip.Prefix{}, netip.Addr{})

const full = `profiles = ["webprax", "zpp-hd"]
profile_dir = "/srv/profiles"
state_dir = "/srv/state"
without = ["group", "hd"]
language = "en"
[box]
id = "praxis-nord-1"
name = "Praxis \"Nord\", Empfang \\ Süd"
tenant = "acme"
[network]
interface = "br-lan.7"
resolvers = ["192.168.1.1", "192.168.1.2:5353", "[fd00::1]:53", "fe80::1%eth0", "127.0.0.53"]
address = "192.168.1.50/24"
gateway = "192.168.1.1"
[schedule]
every = "1h30m"
[central]
servers = ["tls://fleet.example:4222", "nats://127.0.0.1", "tls://[fd00::2]:443"]
credentials = "/etc/sprechprobe/box.creds"
ca = "/etc/sprechprobe/ca.pem"
vendor_keys = ["OBQRVYTO46TGVYZXANHPMNUJG3QZZUOEMZ3FUGMPSW5W7ZFYQBFNSIF7"]
grants = []
allow_private = true
beacon_zone = "help.fleet.example"
[spool]
dir = "/srv/spool"
max_bytes = 1_048_576
[lights]
driver = "gpio"
[[lights.lamp]]
role = "box"
gpio = "GPIO17"
active_low = true
[[lights.lamp]]
role = "network"
red = "7J1 Header Pin5"
green = "GPIO23"
[[lights.lamp]]
role = "video"
red = "R"
green = "G"
blue = "B"
[button]
gpio = "GPIO3"
active_low = true
[panel]
port = "/dev/ttyUSB0"
baud = 9600
[console]
port = "usb:2e8a:000A"
baud = 9600
[page]
show = "always"
listen = "[fd00::7]:8080"
name = "praxis-nord"
[bandwidth]
server = "[fd00::5]:5202"
user = "nord"
password_file = "/etc/sprechprobe/bandwidth.password"
key_file = "/etc/sprechprobe/bandwidth.pem"
every = "36h"
closed = ["mon-fri 08:00-18:00", "sat 08:00-12:00"]
window = "20:00-06:00"
zone = "UTC0"
max_bytes_per_day = 0
max_bytes_per_month = 20_000_000
full_capacity = true
`

func fullConfig() config.Config {
	addr := netip.MustParseAddrPort
	return config.Config{
		Profiles:   []string{"webprax", "zpp-hd"},
		ProfileDir: "/srv/profiles",
		StateDir:   "/srv/state",
		Without:    []agent.Capability{agent.Group, agent.HD},
		Language:   config.English,
		Box:        config.Box{ID: "praxis-nord-1", Name: `Praxis "Nord", Empfang \ Süd`, Tenant: "acme"},
		Network: config.Network{Interface: "br-lan.7", Resolvers: []netip.AddrPort{
			addr("192.168.1.1:53"), addr("192.168.1.2:5353"), addr("[fd00::1]:53"), addr("[fe80::1%eth0]:53"), addr("127.0.0.53:53"),
		}, Address: netip.MustParsePrefix("192.168.1.50/24"), Gateway: netip.MustParseAddr("192.168.1.1")},
		Schedule: config.Schedule{Every: 90 * time.Minute},
		Relay:    config.Relay{Rehearse: true},
		Central: config.Central{
			Servers:     []string{"tls://fleet.example:4222", "nats://127.0.0.1", "tls://[fd00::2]:443"},
			Credentials: "/etc/sprechprobe/box.creds", CA: "/etc/sprechprobe/ca.pem",
			VendorKeys: []string{"OBQRVYTO46TGVYZXANHPMNUJG3QZZUOEMZ3FUGMPSW5W7ZFYQBFNSIF7"}, Grants: []string{},
			AllowPrivate: true, BeaconZone: "help.fleet.example",
		},
		Spool: config.Spool{Dir: "/srv/spool", MaxBytes: 1 << 20},
		Lights: config.Lights{Driver: config.DriverGPIO, Lamps: []config.Lamp{
			{Role: config.RoleBox, GPIO: "GPIO17", ActiveLow: true},
			{Role: config.RoleNetwork, Red: "7J1 Header Pin5", Green: "GPIO23"},
			{Role: config.RoleVideo, Red: "R", Green: "G", Blue: "B"},
		}},
		Button:  config.Button{Event: config.ButtonAuto, GPIO: "GPIO3", ActiveLow: true},
		Panel:   config.Panel{Port: "/dev/ttyUSB0", Baud: 9600},
		Console: config.Console{Port: "usb:2e8a:000A", Baud: 9600},
		Page:    config.Page{Show: config.Always, Listen: addr("[fd00::7]:8080"), Name: "praxis-nord"},
		Bandwidth: config.Bandwidth{
			Server: "[fd00::5]:5202", User: "nord", PasswordFile: "/etc/sprechprobe/bandwidth.password", KeyFile: "/etc/sprechprobe/bandwidth.pem",
			Every: 36 * time.Hour, Closed: []string{"mon-fri 08:00-18:00", "sat 08:00-12:00"}, Window: "20:00-06:00", Zone: "UTC0",
			PerMonth: 20_000_000, Capacity: true,
		},
	}
}

func TestParse(t *testing.T) {
	def := config.Default
	with := func(change func(*config.Config)) config.Config {
		c := def()
		change(&c)
		return c
	}
	lamps := func(d config.Driver, l ...config.Lamp) config.Config {
		return with(func(c *config.Config) { c.Lights = config.Lights{Driver: d, Lamps: l} })
	}
	tests := []struct {
		name, in string
		want     config.Config
	}{
		{"empty", "", def()},
		{"full", full, fullConfig()},
		{"empty lists", "without = []\n[network]\nresolvers = []\n[central]\nservers = []", def()},
		{"no drop-ins", `profile_dir = ""`, with(func(c *config.Config) { c.ProfileDir = "" })},
		{"shortest time", "[schedule]\nevery = \"10s\"", with(func(c *config.Config) { c.Schedule.Every = 10 * time.Second })},
		{"longest time", "[schedule]\nevery = \"24h\"", with(func(c *config.Config) { c.Schedule.Every = 24 * time.Hour })},
		{"over WebSocket", "[box]\ntenant='a'\n[central]\nservers = [\"wss://a.example\", \"ws://127.0.0.1:8080\"]\nnkey_seed = \"/k\"",
			with(func(c *config.Config) {
				c.Box.Tenant = "a"
				c.Central.Servers, c.Central.NKeySeed = []string{"wss://a.example", "ws://127.0.0.1:8080"}, "/k"
			})},
		{"with its own key", "[central]\nservers = [\"tls://a.example\"]\ngrants = []",
			with(func(c *config.Config) { c.Central.Servers, c.Central.Grants = []string{"tls://a.example"}, []string{} })},
		{"over both", "[box]\ntenant='a'\n[central]\nservers = [\"wss://a.example\", \"tls://a.example\"]", with(func(c *config.Config) {
			c.Box.Tenant = "a"
			c.Central.Servers = []string{"wss://a.example", "tls://a.example"}
		})},
		{"one directory for all", "state_dir = \"/mnt/data\"", with(func(c *config.Config) { c.StateDir, c.Spool.Dir = "/mnt/data", "/mnt/data/spool" })},
		{"reports in memory only", "[spool]\ndir = \"\"", with(func(c *config.Config) { c.Spool.Dir = "" })},
		{"one LED of the board", "[[lights.lamp]]\nrole = \"all\"\nled = \"green:status\"", lamps(config.DriverAuto, config.Lamp{Role: config.RoleAll, LED: "green:status"})},
		{"colours of LEDs", "[lights]\ndriver = \"sysfs\"\n[[lights.lamp]]\nrole = \"video\"\nred = \"r\"\nblue = \"b\"", lamps(config.DriverSysfs, config.Lamp{Role: config.RoleVideo, Red: "r", Blue: "b"})},
		{"drawn", "[lights]\ndriver = \"terminal\"\n[[lights.lamp]]\nrole = \"video\"", lamps(config.DriverTerminal, config.Lamp{Role: config.RoleVideo})},
		{"no name", "[page]\nname = \"\"\nshow = \"unclaimed\"", with(func(c *config.Config) { c.Page.Show, c.Page.Name = config.Unclaimed, "" })},
		{"measures against", "[bandwidth]\nserver = \"reflect.example\"", with(func(c *config.Config) { c.Bandwidth.Server = "reflect.example:5201" })},
		{"measures at any hour", "[bandwidth]\nserver = \"192.0.2.1:5300\"\nclosed = []", with(func(c *config.Config) {
			c.Bandwidth.Server, c.Bandwidth.Closed = "192.0.2.1:5300", []string{}
		})},
		{"dark", "[lights]\ndriver = \"none\"", lamps(config.DriverNone)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := config.Parse("c.toml", []byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, comparable); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestShow(t *testing.T) {
	for name, c := range map[string]config.Config{"default": config.Default(), "full": fullConfig()} {
		got, err := config.Parse("show.toml", []byte(c.Show()))
		if err != nil {
			t.Fatalf("%s: %v in\n%s", name, err, c.Show())
		}
		if diff := cmp.Diff(c, got, comparable); diff != "" {
			t.Errorf("%s (-want +got):\n%s\nin\n%s", name, diff, c.Show())
		}
	}
	want := `profiles = ["webprax"]
profile_dir = "/etc/sprechprobe/profiles.d"
state_dir = "/var/lib/sprechprobe"
language = "de"

[schedule]
every = "5m"

[central]
grants = ["/boot/firmware/sprechprobe-grant.pem", "/boot/sprechprobe-grant.pem"]

[spool]
dir = "/var/lib/sprechprobe/spool"
max_bytes = 4194304

[lights]
driver = "auto"

[button]
event = "auto"

[panel]
baud = 115200

[console]
baud = 115200

[page]
show = "never"
listen = "0.0.0.0:80"
name = "sprechprobe"

[bandwidth]
every = "6h"
closed = ["mon-fri 07:00-20:00"]
zone = "CET-1CEST,M3.5.0,M10.5.0/3"
max_bytes_per_day = 50000000
max_bytes_per_month = 1000000000
full_capacity = false
`
	if diff := cmp.Diff(want, config.Default().Show()); diff != "" {
		t.Errorf("default (-want +got):\n%s", diff)
	}
}

// The names of buttons that the configuration takes are those that there are.
func TestButtonEvents(t *testing.T) {
	for _, name := range button.Events() {
		c, err := config.Parse("c.toml", []byte("[button]\nevent = \""+name+"\"\n"))
		if err != nil || c.Button.Event != name {
			t.Errorf("%s: %v, %v", name, c.Button, err)
		}
	}
	for _, name := range []string{"", "x", "wps reset", " ", "BTN_10"} {
		if _, err := config.Parse("c.toml", []byte("[button]\nevent = \""+name+"\"\n")); err == nil {
			t.Errorf("%q is taken for a button", name)
		}
	}
}

func TestMinimal(t *testing.T) {
	text := config.Minimal([]string{"zpp-hd", "webprax"}, config.Unclaimed)
	want := config.Default()
	want.Profiles = []string{"zpp-hd", "webprax"}
	want.Page.Show = config.Unclaimed
	got, err := config.Parse("config.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, comparable); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got, err = config.Parse("config.toml", []byte(uncomment(text)))
	if err != nil || got.Box.Tenant == "" || len(got.Central.Servers) == 0 {
		t.Errorf("with its examples: %+v, %v", got, err)
	}
}

// uncomment turns the examples of a file into entries. Explanations have a blank
// after the #.
func uncomment(text string) string {
	return regexp.MustCompile(`(?m)^#([a-z\[])`).ReplaceAllString(text, "$1")
}

func TestReferenceHoldsTheDefaults(t *testing.T) {
	got, err := config.Parse("reference.toml", []byte(config.Reference()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(config.Default(), got, comparable); diff != "" {
		t.Errorf("(-default +reference):\n%s", diff)
	}
	// An entry with a default stands there as it is, not as an example.
	for _, key := range setKeys(t, config.Default().Show()) {
		if !contains(setKeys(t, config.Reference()), key) {
			t.Errorf("%s has a default, but is only an example", key)
		}
	}
}

func TestReferenceDescribesEveryEntry(t *testing.T) {
	have := setKeys(t, uncomment(config.Reference()))
	for _, key := range rawKeys(reflect.TypeOf(config.NewRaw()).Elem(), "") {
		if !contains(have, key) {
			t.Errorf("%s is not described", key)
		}
	}
	if _, err := strict.Decode("reference.toml", []byte(uncomment(config.Reference())), config.NewRaw()); err != nil {
		t.Errorf("examples: %v", err)
	}
}

// Some examples exclude each other, so they are tried in two files.
func TestReferenceExamplesAreValid(t *testing.T) {
	for name, edit := range map[string]*regexp.Regexp{
		"leds":  regexp.MustCompile(`(?m)^(gpio|active_low|nkey_seed) .*$`),
		"lines": regexp.MustCompile(`(?m)^(led|credentials) .*$`),
	} {
		text := edit.ReplaceAllString(uncomment(config.Reference()), "")
		if name == "lines" {
			text = strings.Replace(text, `driver = "auto"`, `driver = "gpio"`, 1)
		}
		c, err := config.Parse(name, []byte(text))
		if err != nil || len(c.Lights.Lamps) != 2 || len(c.Central.Servers) != 2 {
			t.Errorf("%s: got %+v, %v", name, c, err)
		}
	}
}

// rawKeys are all entries that a file can have, with dots.
func rawKeys(typ reflect.Type, prefix string) []string {
	var all []string
	for i := range typ.NumField() {
		name, field := prefix+typ.Field(i).Tag.Get("toml"), typ.Field(i).Type
		if field.Kind() == reflect.Slice {
			field = field.Elem()
		}
		if field.Kind() == reflect.Struct {
			all = append(all, rawKeys(field, name+".")...)
		} else {
			all = append(all, name)
		}
	}
	return all
}

// setKeys are the entries that a file sets, with dots.
func setKeys(t *testing.T, text string) []string {
	t.Helper()
	var m map[string]any
	if err := toml.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	var walk func(prefix string, v any) []string
	walk = func(prefix string, v any) []string {
		var all []string
		switch v := v.(type) {
		case map[string]any:
			for k, item := range v {
				all = append(all, walk(prefix+"."+k, item)...)
			}
			return all
		case []any:
			for _, item := range v {
				if _, ok := item.(map[string]any); ok {
					all = append(all, walk(prefix, item)...)
				}
			}
		}
		if all == nil {
			all = []string{strings.TrimPrefix(prefix, ".")}
		}
		return all
	}
	return walk("", m)
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}

// Each file breaks one rule and says in its first line what the error has to
// say.
func TestBadFiles(t *testing.T) {
	paths, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no bad files: %v", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(string(data), "\n")
			want, ok := strings.CutPrefix(first, "# want: ")
			if !ok || want == "" {
				t.Fatalf("first line %q, want # want: ...", first)
			}
			_, err = config.Parse(filepath.Base(path), data)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v\nwant %s", err, want)
			}
			if n := len(strict.Errors(err)); n != 1 {
				t.Errorf("%d errors, want it to fail for one reason:\n%v", n, err)
			}
		})
	}
}

// People paste secrets where a path or an address belongs; errors go to logs.
func TestErrorsKeepSecrets(t *testing.T) {
	const secret = "SUAKBNT3QZ5OWRYX6SECRETSECRETSECRETSECRETSECRETSECRETSECRE"
	for _, in := range []string{
		"[central]\nnkey_seed = \"" + secret + "\"",
		"[central]\ncredentials = \"" + secret + "\"",
		"[central]\ncredentials = \"\"\"\n-----BEGIN NATS USER JWT-----\n" + secret + "\n\"\"\"",
		"[central]\nservers = [\"nats://box:" + secret + "@fleet.example\"]",
		"[central]\nservers = [\"nats://box:" + secret + "@fleet.example\", \"nats://box:" + secret + "@fleet.example\"]",
		"[central]\nservers = [\"box:" + secret + "@fleet.example\"]",
		"[central]\nservers = [\"nats://box:" + secret + "@fleet .example\"]",
		"[central]\nservers = [\"nats://fleet.example/?token=" + secret + "\"]",
		"[central]\npassword = \"" + secret + "\"",
		"[central]\npassword = " + secret,
		"[central]\nvendor_keys = [\"" + secret + "\"]",
	} {
		_, err := config.Parse("c.toml", []byte(in))
		if err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%q: got %v", in, err)
		}
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	if _, err := config.Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
	if err := os.WriteFile(path, []byte(full), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fullConfig(), got, comparable); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := os.WriteFile(path, []byte("\nport = 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = config.Load(path)
	if want := path + ":2: port: unknown entry"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// What is accepted, Show writes so that it reads back to the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte(config.Reference()))
	f.Add([]byte(uncomment(config.Reference())))
	paths, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		c, err := config.Parse("f.toml", in)
		if err != nil {
			if len(strict.Errors(err)) == 0 || bytes.ContainsAny([]byte(err.Error()), "\x00\x1b\x7f") {
				t.Errorf("got %q", err)
			}
			return
		}
		got, err := config.Parse("show.toml", []byte(c.Show()))
		if err != nil {
			t.Fatalf("%v in\n%s", err, c.Show())
		}
		if diff := cmp.Diff(c, got, comparable); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
