// Package provision takes over the file with which an installer sets up a box:
// sprechprobe.toml on the boot partition, which every PC can write to. It reads
// files and writes files, and runs as root before the box does; it knows neither
// lamps nor the vendor, and never writes to the boot partition.
package provision

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent/atomicfile"
	"github.com/sprechprobe/sprechprobe/agent/config"
	"github.com/sprechprobe/sprechprobe/agent/strict"
)

// Place is where everything lies. [Here] is that of an installed box.
type Place struct {
	Boot    []string // where the installer's file may be; the first that is there counts
	Config  string   // the box's own configuration
	Network string   // directory of systemd-networkd's files that do not outlive the boot
	Refused string   // says what was wrong, for the box to show
}

// Here is this machine. Raspberry Pi OS has its boot partition at /boot/firmware,
// older ones at /boot.
var Here = Place{
	Boot:    []string{"/boot/firmware/sprechprobe.toml", "/boot/sprechprobe.toml"},
	Config:  "/etc/sprechprobe/sprechprobe.toml",
	Network: "/run/systemd/network",
	Refused: "/run/sprechprobe-provision/refused",
}

// Names of files beside others.
const (
	adopted     = "adopted" // sum of the file that was taken over last
	before      = ".before" // end of the name of the configuration that was there before
	networkFile = "10-sprechprobe.network"
)

// Adopt takes over the installer's file if there is a new one and it is good, and
// sets the fixed address of the configuration that then holds. It says what it did,
// in English, for the journal and the console. check looks at what a configuration
// names, such as its profiles.
//
// A file that is no good changes nothing, and is written to p.Refused. A file that
// was taken over once is left alone from then on, so that what is changed on the
// box afterwards stays.
func Adopt(p Place, check func(config.Config) error) (string, error) {
	done, err := p.adopt(check)
	if err == nil {
		err = p.address()
	}
	if err == nil {
		if err := os.Remove(p.Refused); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return done, err
		}
		return done, nil
	}
	return "", errors.Join(err, p.refuse(err))
}

func (p Place) adopt(check func(config.Config) error) (string, error) {
	path, text, err := p.find()
	if err != nil {
		return "", err
	}
	if path == "" {
		return "no " + filepath.Base(p.Config) + " on the boot partition", nil
	}
	sum := sha256.Sum256(text)
	note := filepath.Join(filepath.Dir(p.Config), adopted)
	if was, err := strict.ReadFile(note); err == nil && strings.TrimSpace(string(was)) == hex.EncodeToString(sum[:]) {
		return path + " was taken over before", nil
	}
	c, err := config.Parse(path, text)
	if err == nil {
		err = check(c)
	}
	if err != nil {
		return "", err
	}
	if old, err := strict.ReadFile(p.Config); err == nil {
		if err := replace(p.Config+before, old); err != nil {
			return "", err
		}
	}
	if err := replace(p.Config, text); err != nil {
		return "", err
	}
	// Last: until it is there, the file is taken over once more.
	return path + " taken over", replace(note, []byte(hex.EncodeToString(sum[:])+"\n"))
}

// find reads the installer's file; the path is empty where there is none.
func (p Place) find() (string, []byte, error) {
	for _, path := range p.Boot {
		text, err := strict.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return path, text, err
	}
	return "", nil, nil
}

// address writes the fixed address for systemd-networkd, or takes it away.
func (p Place) address() error {
	path := filepath.Join(p.Network, networkFile)
	c, err := config.Load(p.Config)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c = config.Default()
	case err != nil:
		return err
	}
	if !c.Network.Address.IsValid() {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return replace(path, []byte(networkText(c.Network)))
}

// networkText is a file of systemd.network(5). What is in it has been parsed, so
// nothing needs to be quoted.
func networkText(n config.Network) string {
	match := "Type=ether"
	if n.Interface != "" {
		match = "Name=" + n.Interface
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# From network.address of sprechprobe.toml.\n[Match]\n%s\n\n[Network]\nDHCP=no\nAddress=%s\nGateway=%s\n", match, n.Address, n.Gateway)
	for _, r := range n.Resolvers {
		fmt.Fprintf(&b, "DNS=%s\n", r.Addr())
	}
	return b.String()
}

// refuse leaves word of what was wrong.
func (p Place) refuse(why error) error {
	return replace(p.Refused, []byte(why.Error()+"\n"))
}

// replace writes a file that everybody may read.
func replace(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := atomicfile.Replace(path, text); err != nil {
		return err
	}
	return os.Chmod(path, 0o644)
}

// Refused is what was wrong with the installer's file at the last start, one line a
// mistake; empty if nothing was.
func Refused(p Place) string {
	text, err := strict.ReadFile(p.Refused)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
