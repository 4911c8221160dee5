// Package assignment keeps the settings that the vendor gives to the box over the
// network: it takes only what is signed, newer than what it has and within
// bounds, keeps it over restarts, and can drop it. It opens no connection and
// does not know what the box does with its settings.
package assignment

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/atomicfile"
	"github.com/sprechprobe/sprechprobe/agent/strict"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// The files in the box's directory.
const (
	sealedFile = "assignment"         // as it came, with its signature
	floorFile  = "assignment-dropped" // the version that was dropped
)

// Options say whose settings to take and what they may ask for.
type Options struct {
	Dir     string
	Address fleet.Address
	Keys    []string // the vendor's; none: nothing is taken
	// Local returns the box's own profiles of these names; no names stand for
	// those of its configuration.
	Local func(names []string) ([]agent.Profile, error)
	Every time.Duration // between two rounds, by the box's own configuration
	// Private lets assigned profiles name private addresses.
	Private bool
}

// Settings are what an assignment comes to.
type Settings struct {
	Version  uint64
	Profiles []agent.Profile // all that the box shall check for
	Every    time.Duration   // between two rounds
}

// Store is the box's assignment. It is safe for concurrent use.
type Store struct {
	opts Options

	mu      sync.Mutex
	current *Settings // nil: the box's own
	sealed  []byte    // of current
	floor   uint64    // versions up to this one were dropped
	refused agent.Settings
}

// Open reads what was kept. An assignment that is no good any more is left out
// and put aside; the error says why, and the store works without it.
func Open(o Options) (*Store, error) {
	s := &Store{opts: o}
	floor, err := s.readFloor()
	s.floor = floor
	return s, errors.Join(err, s.readKept())
}

func (s *Store) path(name string) string { return filepath.Join(s.opts.Dir, name) }

// floor is what a file says about a dropped version.
type floor struct {
	Version uint64 `json:"version"`
}

func (s *Store) readFloor() (uint64, error) {
	b, err := strict.ReadFile(s.path(floorFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	var f floor
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", s.path(floorFile), err)
	}
	return f.Version, nil
}

func (s *Store) readKept() error {
	path := s.path(sealedFile)
	sealed, err := strict.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var set Settings
	if err == nil {
		set, err = s.open(sealed)
	}
	if err == nil && set.Version <= s.floor {
		return os.Remove(path) // dropped, and then the power went
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
		if moved := os.Rename(path, path+".bad"); moved == nil {
			err = fmt.Errorf("%w (now %s)", err, path+".bad")
		}
		return err
	}
	s.current, s.sealed = &set, sealed
	return nil
}

// open reads and judges an assignment.
func (s *Store) open(sealed []byte) (Settings, error) {
	a, err := fleet.OpenAssignment(sealed, s.opts.Address, s.opts.Keys)
	if err != nil {
		return Settings{}, err
	}
	set, err := s.opts.settings(a)
	if err != nil {
		return Settings{Version: a.Version}, fmt.Errorf("assignment %d: %w", a.Version, err)
	}
	return set, nil
}

// Current returns the settings that the vendor has assigned, and whether it has.
func (s *Store) Current() (Settings, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		return Settings{}, false
	}
	return *s.current, true
}

// ErrOld says that an assignment is not newer than what the box has seen.
var ErrOld = errors.New("not newer than what the box has")

// Take takes an assignment over and reports whether that changed anything. With
// an error the old one stays. One that is there already is no news; it may come
// any number of times.
func (s *Store) Take(sealed []byte) (changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil && string(s.sealed) == string(sealed) {
		s.refused = agent.Settings{}
		return false, nil
	}
	set, err := s.open(sealed)
	if err == nil {
		err = s.newer(set.Version)
	}
	if err == nil {
		err = atomicfile.Replace(s.path(sealedFile), sealed)
	}
	if err != nil {
		s.refused = agent.Settings{Refused: set.Version, Why: why(err)}
		return false, err
	}
	s.current, s.sealed, s.refused = &set, append([]byte(nil), sealed...), agent.Settings{}
	return true, nil
}

// newer says why a version is not to be taken.
func (s *Store) newer(version uint64) error {
	switch {
	case version <= s.floor:
		return fmt.Errorf("assignment %d: %w: %d was dropped after restarts", version, ErrOld, s.floor)
	case s.current != nil && version <= s.current.Version:
		return fmt.Errorf("assignment %d: %w: %d", version, ErrOld, s.current.Version)
	}
	return nil
}

// why is a refusal as the report tells it.
func why(err error) string {
	const most = 200 // runes
	return agent.Printable(err.Error(), most)
}

// Drop goes back to the box's own settings for good: only a newer assignment will
// be taken.
func (s *Store) Drop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		return nil
	}
	s.floor = s.current.Version
	s.refused = agent.Settings{Refused: s.floor, Why: "dropped after restarts"}
	s.current, s.sealed = nil, nil
	b, err := json.Marshal(floor{s.floor})
	if err == nil {
		err = atomicfile.Replace(s.path(floorFile), b)
	}
	if err == nil {
		err = os.Remove(s.path(sealedFile))
	}
	return err
}

// Forget takes the box what was assigned to it, and all memory of it.
func Forget(dir string) error {
	for _, name := range []string{sealedFile, sealedFile + ".bad", floorFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Word is what the report says about the settings; nil where the vendor has
// assigned none.
func (s *Store) Word() *agent.Settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.refused
	if s.current != nil {
		w.Version = s.current.Version
	}
	if w == (agent.Settings{}) {
		return nil
	}
	return &w
}

// Evidence says what assignment the box would not take, and whether there is one.
func (s *Store) Evidence() (e agent.Evidence, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused.Why == "" {
		return agent.Evidence{}, false
	}
	e = agent.See(agent.ProbeAssignment, agent.Target{}, agent.Answered, agent.NotAccepted).With(agent.Detail, s.refused.Why)
	if s.refused.Refused > 0 {
		e = e.With(agent.Version, float64(s.refused.Refused))
	}
	return e, true
}
