package daemon

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/assess"
	"github.com/sprechprobe/sprechprobe/agent/assignment"
	"github.com/sprechprobe/sprechprobe/agent/config"
	"github.com/sprechprobe/sprechprobe/agent/identity"
	"github.com/sprechprobe/sprechprobe/agent/probe/link"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
	"github.com/sprechprobe/sprechprobe/agent/profile"
	"github.com/sprechprobe/sprechprobe/agent/provision"
	"github.com/sprechprobe/sprechprobe/agent/strict"
	"github.com/sprechprobe/sprechprobe/agent/wire/iperf3"
	"github.com/sprechprobe/sprechprobe/hal/board"
)

// Build says what program this is.
type Build struct {
	Version  string
	Platform string
	Time     time.Time // of the source; zero if not known
}

// Setup is a configuration with everything it names loaded.
type Setup struct {
	Config   config.Config
	Profiles []agent.Profile
	Build    Build
	board    string // its name in reports
	relay    webrtc.Credentials
	login    *iperf3.Login      // at the server that the bandwidth is measured against; nil: none
	own      bool               // the box proves who it is by a key of its own
	named    config.Box         // by the configuration, before the vendor named it
	id       *identity.Identity // its key; nil: none, or none yet
	refused  string             // what is wrong with the installer's file; empty: nothing
	clock    *clock             // the vendor's time; nil: he tells none
}

// Load completes a configuration: its profiles are read, and the box gets a name.
func Load(c config.Config, b Build) (Setup, error) {
	ps, err := profile.Load(c.ProfileDir, c.Profiles)
	if err != nil {
		return Setup{}, err
	}
	if c.Box.ID == "" {
		if c.Box.ID, err = derivedID("/etc/machine-id"); err != nil && len(c.Central.Servers) > 0 {
			return Setup{}, fmt.Errorf("box.id is not set, and this machine has no id to derive one from: %w", err)
		}
	}
	relay, err := credentials(c.Relay)
	if err != nil {
		return Setup{}, err
	}
	login, err := loginOf(c.Bandwidth)
	if err != nil {
		return Setup{}, err
	}
	s := Setup{Config: c, Profiles: ps, Build: b, board: board.System{}.Detect().ID, relay: relay, login: login, named: c.Box, refused: provision.Refused(provision.Here)}
	s.own = len(c.Central.Servers) > 0 && c.Box.Tenant == "" && c.Central.Credentials == "" && c.Central.NKeySeed == ""
	if s.own {
		// Whoever may not read the box's key can still look.
		if id, err := identity.Read(c.StateDir, c.Central.VendorKeys); err == nil {
			s = s.claimed(id)
		}
	}
	return s, nil
}

// maxPassword is more than any relay takes, bytes.
const maxPassword = 1 << 10

// credentials reads the password for the relays from its file.
func credentials(c config.Relay) (webrtc.Credentials, error) {
	if c.Username == "" {
		return webrtc.Credentials{}, nil
	}
	password, err := readPassword("relay.password_file", c.PasswordFile)
	return webrtc.Credentials{Username: c.Username, Password: password}, err
}

// readPassword reads a password from the file that an entry names.
func readPassword(entry, path string) (string, error) {
	b, err := strict.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", entry, err)
	}
	password := strings.TrimRight(string(b), "\r\n")
	if password == "" || len(b) > maxPassword {
		return "", fmt.Errorf("%s %s: want one line of 1 to %d bytes", entry, path, maxPassword)
	}
	return password, nil
}

// loginOf reads what a login at the measuring server takes, nil without one.
func loginOf(c config.Bandwidth) (*iperf3.Login, error) {
	if c.User == "" {
		return nil, nil
	}
	password, err := readPassword("bandwidth.password_file", c.PasswordFile)
	if err != nil {
		return nil, err
	}
	text, err := strict.ReadFile(c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("bandwidth.key_file: %w", err)
	}
	key, err := iperf3.ParsePublicKey(text)
	if err != nil {
		return nil, fmt.Errorf("bandwidth.key_file %s: %w", c.KeyFile, err)
	}
	return &iperf3.Login{User: c.User, Password: password, Key: key}, nil
}

// derivedID is a stable name for a box that was given none. The machine's own id
// must not leave it, so it is hashed.
func derivedID(path string) (string, error) {
	id, err := os.ReadFile(path)
	if err != nil {
		return "box", err
	}
	sum := sha256.Sum256([]byte("sprechprobe box " + strings.TrimSpace(string(id))))
	return "box-" + hex.EncodeToString(sum[:6]), nil
}

// here is the machine as the link probe sees it.
func (s Setup) here() link.System {
	return link.System{Interface: s.Config.Network.Interface, Build: s.Build.Time}
}

func (s Setup) box() agent.Box {
	return agent.Box{ID: s.Config.Box.ID, Name: s.Config.Box.Name, Version: s.Build.Version, VersionAt: s.Build.Time, Board: s.board, Platform: s.Build.Platform}
}

// examiner makes an examiner for the setup.
func (s Setup) examiner() *examiner {
	x := &examiner{boot: rand.Text()}
	x.adopt(s)
	return x
}

// adopt changes what an examiner looks at, and keeps what it knows: what a new
// configuration still asks for need not be proven again.
func (x *examiner) adopt(s Setup) {
	x.box, x.tenant, x.profiles = s.box(), s.Config.Box.Tenant, s.Profiles
	x.policy = assess.Policy{Profiles: s.Profiles, Without: s.Config.Without}
	x.probes = probes(s.here(), s.Config.Network.Resolvers, s.relay, s.state())
	x.stamp = s.stamp
}

// state is the directory of what must outlive a restart; empty where nothing has
// to, or where no daemon has run yet that would have made it.
func (s Setup) state() string {
	if len(s.Config.Central.Servers) == 0 {
		return ""
	}
	if _, err := os.Stat(s.Config.StateDir); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return s.Config.StateDir
}

// floor is the clock by which certificates of the vendor's server are judged: a
// box without a clock chip starts somewhere in the past, but never before its
// program was written.
func (b Build) floor() time.Time {
	if now := time.Now(); now.After(b.Time) {
		return now
	}
	return b.Time
}

// Sheet is what the setup comes down to for those who have to know what is in
// their network.
func (s Setup) Sheet() advice.Sheet {
	c := s.Config
	out := advice.Sheet{
		Box: s.box(), Profiles: s.Profiles, Every: c.Schedule.Every, Daily: assignment.Daily(s.Profiles, c.Schedule.Every),
		Servers: c.Central.Servers, Beacon: c.Central.BeaconZone,
	}
	if c.Network.Address.IsValid() {
		out.Address = c.Network.Address.String()
	}
	for _, r := range c.Network.Resolvers {
		out.Resolvers = append(out.Resolvers, r.String())
	}
	if c.Page.Show != config.Never {
		out.Page, out.Unclaimed = c.Page.Listen.String(), c.Page.Show == config.Unclaimed
	}
	return out
}
