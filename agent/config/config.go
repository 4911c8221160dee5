// Package config reads the box's configuration, one TOML file, into typed
// values. Every entry is described in reference.toml. The package knows profiles
// by name only, opens no device and no connection, and does not look whether a
// file or light that is named exists: the same file must be checkable on
// another machine.
package config

import (
	_ "embed"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/schedule/quiet"
	"github.com/sprechprobe/sprechprobe/agent/spool"
	"github.com/sprechprobe/sprechprobe/agent/strict"
)

// Config is the configuration of one box. It holds no secret, only the paths of
// files that do.
type Config struct {
	Profiles   []string           // names, at least one
	ProfileDir string             // where drop-ins are; empty: none
	StateDir   string             // what the box keeps: its key, its grant, its assignment
	Without    []agent.Capability // what this practice does not use
	Language   Language
	Box        Box
	Network    Network
	Schedule   Schedule
	Relay      Relay
	Central    Central
	Spool      Spool
	Lights     Lights
	Button     Button
	Panel      Panel
	Console    Console
	Page       Page
	Bandwidth  Bandwidth
}

// Language is what people read on the box.
type Language string

// The languages.
const (
	German  Language = "de"
	English Language = "en"
)

// Box says which box this is.
type Box struct {
	ID     string // empty: to be derived from the machine
	Name   string // free text
	Tenant string // empty: the one that the vendor claims the box for
}

// Network says what the box looks through.
type Network struct {
	Interface string           // empty: the one of the default route
	Resolvers []netip.AddrPort // none: the system's
	Address   netip.Prefix     // its own, for the system to set; not valid: the system's own ways
	Gateway   netip.Addr       // valid exactly with Address
}

// Schedule says when the box looks.
type Schedule struct {
	Every time.Duration // between rounds, 10 s to 24 h
}

// Relay is who the box is to the relays of its profiles. Without it their
// relays are only asked whether they are there.
type Relay struct {
	Username     string // empty: no credentials
	PasswordFile string // path of the password's file; set exactly with Username
	Rehearse     bool   // calls, every 17 hours, with these credentials or those that the vendor gives
}

// Central is where the box reports to.
type Central struct {
	Servers     []string // URLs, all nats and tls or all ws and wss; none: no reporting
	Credentials string   // path of a NATS credentials file; may be empty
	NKeySeed    string   // path of an nkey seed file; may be empty; never beside Credentials
	CA          string   // path of PEM certificates to trust; empty: the system's

	VendorKeys   []string // public keys whose commands, grants and assignments count; none: those of the grant
	Grants       []string // paths where a grant may be put by hand
	AllowPrivate bool     // assigned profiles may name private addresses
	BeaconZone   string   // domain below which the box calls for help; empty: it does not
}

// Spool is where reports wait that could not be sent.
type Spool struct {
	Dir      string // empty: in memory only
	MaxBytes int64  // bound of what lies in Dir
}

// Lights says what shows the state.
type Lights struct {
	Driver Driver
	Lamps  []Lamp // none: what the board is known to have
}

// Driver is the way lights are driven.
type Driver string

// The drivers.
const (
	DriverAuto     Driver = "auto" // by board; lamps name LEDs of the kernel
	DriverNone     Driver = "none"
	DriverTerminal Driver = "terminal" // drawn as text
	DriverSysfs    Driver = "sysfs"    // LEDs of the kernel
	DriverGPIO     Driver = "gpio"     // GPIO lines
)

// Role is what a lamp tells about.
type Role string

// The roles.
const (
	RoleBox     Role = "box"
	RoleNetwork Role = "network"
	RoleVideo   Role = "video"
	RoleAll     Role = "all" // one lamp tells everything
)

// Lamp is one light. It is made of one LED, of one GPIO line, or of at least two
// of red, green and blue, which name LEDs with the drivers auto and sysfs and
// GPIO lines with gpio. With the driver terminal it has none of them.
type Lamp struct {
	Role             Role
	LED              string // as below /sys/class/leds
	GPIO             string // name of the line
	Red, Green, Blue string
	ActiveLow        bool // GPIO only: lit while the line is low
}

// Button is what an installer presses.
type Button struct {
	Event     string // its name, ButtonAuto or ButtonNone; not used with GPIO
	GPIO      string // name of a line; empty: none
	ActiveLow bool   // GPIO only: low while pressed
}

// What Button.Event may be but for names.
const (
	ButtonAuto = "auto" // that of the board
	ButtonNone = "none"
)

// Panel is a serial panel.
type Panel struct {
	Port string // path of the device, or usb:VENDOR:PRODUCT; empty: no panel
	Baud int
}

// Console is a service console on a serial port.
type Console struct {
	Port string // as for a panel; empty: no console
	Baud int
}

// Page is the page that the box shows on its own network.
type Page struct {
	Show   When
	Listen netip.AddrPort // an address of 0.0.0.0 stands for all, of both families
	Name   string         // label of the local name; empty: none
}

// Bandwidth says what the box measures the line against, and when.
type Bandwidth struct {
	Server       string // host:port; empty: nothing is measured
	User         string // of a login; empty: none
	PasswordFile string // path; set exactly with User, and so is KeyFile
	KeyFile      string // path of the server's public RSA key, PEM

	Every    time.Duration // from one measurement to the next, on average; 1 h to a week
	Closed   []string      // hours that belong to the practice, as [quiet.ParseSpan] reads them
	Window   string        // hours outside of which nothing is measured, likewise; empty: none are
	Zone     string        // of the clock on the wall, as [quiet.ParseZone] reads it
	PerDay   int64         // bytes that measurements may move; 0: no limit
	PerMonth int64         // likewise
	Capacity bool          // find out what the line carries at most, which fills it
}

// When says at which time of its life a box does something.
type When string

// The times.
const (
	Never     When = "never"
	Unclaimed When = "unclaimed" // until it belongs to somebody
	Always    When = "always"
)

const (
	defaultState = "/var/lib/sprechprobe"
	// spoolDir is where reports wait below the state directory, unless the
	// configuration names another place.
	spoolDir = "spool"
)

// Default is the configuration of an empty file.
func Default() Config {
	return Config{
		Profiles:   []string{"webprax"},
		ProfileDir: "/etc/sprechprobe/profiles.d",
		StateDir:   defaultState,
		Language:   German,
		Schedule:   Schedule{Every: 5 * time.Minute},
		Relay:      Relay{Rehearse: true},
		Central:    Central{Grants: []string{"/boot/firmware/sprechprobe-grant.pem", "/boot/sprechprobe-grant.pem"}},
		Spool:      Spool{Dir: filepath.Join(defaultState, spoolDir), MaxBytes: spool.DefaultMax},
		Lights:     Lights{Driver: DriverAuto},
		Button:     Button{Event: ButtonAuto},
		Panel:      Panel{Baud: 115200},
		Console:    Console{Baud: 115200},
		Page:       Page{Show: Never, Listen: netip.AddrPortFrom(netip.IPv4Unspecified(), 80), Name: "sprechprobe"},
		Bandwidth: Bandwidth{Every: 6 * time.Hour, Closed: []string{"mon-fri 07:00-20:00"}, Zone: quiet.German,
			PerDay: 50_000_000, PerMonth: 1_000_000_000},
	}
}

// Load reads a configuration file. Where there is none the error is
// [io/fs.ErrNotExist]; [Default] may then do.
func Load(path string) (Config, error) {
	data, err := strict.ReadFile(path)
	if err != nil {
		return Config{}, err
	}
	return Parse(path, data)
}

//go:embed reference.toml
var reference string

// Reference is a file that describes every entry and sets those that have a
// default to it.
func Reference() string { return reference }

// Minimal is the shortest file that is worth editing, for the given profiles. It
// is made when a box is set up, so it states whether the page is to be seen.
func Minimal(profiles []string, page When) string {
	quoted := make([]string, len(profiles))
	for i, p := range profiles {
		quoted[i] = strconv.Quote(p)
	}
	return `# Configuration of a Sprechprobe box. What is left out has its default:
# "sprechprobe config show" prints all entries as they are in effect, and
# "sprechprobe config check" finds mistakes.

profiles = [` + strings.Join(quoted, ", ") + `]

[box]
#name = "Praxis Nord, Empfang"
#tenant = "acme"

[central]
#servers = ["tls://fleet.example:4222"]

# The box's page on its network: never, unclaimed (until it has a tenant), always.
[page]
show = ` + strconv.Quote(string(page)) + `
`
}
