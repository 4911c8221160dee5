// Package profile reads what a video service needs from TOML, and holds the
// profiles of the services it was made for. It does not know whether anything
// can be reached, which profiles a practice uses, or what follows from a target
// that fails.
//
// # The file
//
//	name = "webprax"              # a-z, 0-9 and -
//	title = "webPRAX"             # as people call the service
//	version = "1"
//	source = "https://..."        # the vendor's page
//	date = "2026-02-18"           # of that page; "2026-02" where it gives no day
//	contact = "..."               # who answers questions; may be left out
//
//	[[target]]                    # as often as needed
//	service = "turn"              # https, stun, turn, nats or range
//	host = "coturn.webprax.de"    # DNS name or address
//	pins = ["192.0.2.1"]          # addresses that the vendor has published
//	port = 5349
//	ports = "10000-20000"         # in place of port, for service range
//	alt_ports = [3478]            # ports that serve as well as port
//	transports = ["udp"]          # udp, tcp; each makes a target of its own
//	variants = ["plain", "dtls"]  # in which order to try; left out: all there are
//	required = true               # false: reported, but never harms; left out: true
//	feeds = ["relay", "group"]    # direct, relay, group, hd
//	path = "/socket"              # for a WebSocket upgrade, where it is known
//
//	[thresholds]                  # only those that the service names
//	min_down_bits_per_s = 1_000_000
//
//	[bandwidth]
//	full_capacity = true          # find out what the line carries at most, which fills
//	                              # it, within the box's hours and data budget; left
//	                              # out: prove the thresholds and no more
//
// # What feeds means
//
// A target feeds a capability that cannot work without it. Package assess takes
// a capability down when a required target that feeds it fails; targets that
// stand in for each other (the same service over UDP and TCP, the servers of a
// cluster) are named one by one and combined there. Failure is proof: silence
// of a port range, where no protocol is known, is none.
package profile

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/strict"
)

//go:embed webprax.toml
var webprax string

//go:embed zpp-hd.toml
var zppHD string

// Builtin returns the profiles that are part of the program, by name.
func Builtin() []agent.Profile {
	var all []agent.Profile
	for _, f := range []struct{ name, text string }{
		{"webprax.toml", webprax},
		{"zpp-hd.toml", zppHD},
	} {
		p, err := Parse(f.name, []byte(f.text))
		if err != nil {
			panic("profile: built in: " + err.Error())
		}
		all = append(all, p)
	}
	return all
}

// maxDropIns bounds what a directory can cost.
const maxDropIns = 64

// Load returns the named profiles, in that order. A file *.toml in dir replaces
// the built-in profile of the same name or adds one; a dir that is empty or
// does not exist adds none. Any file that cannot be read is an error, for it
// may hold the profile that was asked for.
func Load(dir string, names []string) ([]agent.Profile, error) {
	dropIns, err := readDir(dir)
	if err != nil {
		return nil, err
	}
	known := map[string]agent.Profile{}
	for _, p := range append(Builtin(), dropIns...) {
		known[p.Name] = p
	}
	var found []agent.Profile
	for i, name := range names {
		p, ok := known[name]
		if !ok {
			return nil, fmt.Errorf("no profile %.70q (there are %s)", name, list(known))
		}
		if slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("profile %q is named twice", name)
		}
		found = append(found, p)
	}
	return found, nil
}

func list(known map[string]agent.Profile) string {
	var names []string
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// readDir reads the drop-ins of a directory by file name. Hidden files are
// those of editors.
func readDir(dir string) ([]agent.Profile, error) {
	if dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []agent.Profile
	var errs []error
	from := map[string]string{}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".toml" || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if len(all) == maxDropIns {
			return nil, fmt.Errorf("%s: more than %d profiles", dir, maxDropIns)
		}
		p, err := load(path)
		if err == nil && from[p.Name] != "" {
			err = &strict.Error{File: path, Entry: "name", Text: fmt.Sprintf("%q is also that of %s", p.Name, from[p.Name])}
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		from[p.Name] = path
		all = append(all, p)
	}
	return all, errors.Join(errs...)
}

func load(path string) (agent.Profile, error) {
	data, err := strict.ReadFile(path)
	if err != nil {
		return agent.Profile{}, err
	}
	return Parse(path, data)
}
