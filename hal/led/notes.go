package led

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/sprechprobe/sprechprobe/hal"
)

// note is how an LED was found before it was taken over.
type note struct {
	Trigger    string      `json:"trigger"`
	Attributes []attribute `json:"attributes,omitempty"` // of the trigger, in the order to be written
	Brightness string      `json:"brightness"`
	Intensity  string      `json:"intensity,omitempty"`
}

// attribute is a file of an LED and what it holds.
type attribute struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// notes are kept in a file as long as LEDs are taken over, so that a program
// which was killed does not take to its grave how they were. They are a help,
// not a promise: one that cannot be written or read is done without.
type notes struct {
	path string // empty: nothing is kept
	leds map[string]note
}

// maxNotes bounds what is read of the file, bytes.
const maxNotes = 64 << 10

func readNotes(path string) *notes {
	n := &notes{path: path, leds: map[string]note{}}
	if st, err := os.Stat(path); err != nil || st.Size() > maxNotes {
		return n
	}
	if b, err := os.ReadFile(path); err == nil && json.Unmarshal(b, &n.leds) != nil || n.leds == nil {
		n.leds = map[string]note{}
	}
	return n
}

func (n *notes) put(led string, found note) {
	n.leds[led] = found
	n.write()
}

func (n *notes) drop(led string) {
	if _, ok := n.leds[led]; ok {
		delete(n.leds, led)
		n.write()
	}
}

func (n *notes) write() {
	if n.path == "" {
		return
	}
	if len(n.leds) == 0 {
		_ = os.Remove(n.path)
		return
	}
	b, err := json.Marshal(n.leds)
	if err != nil || os.MkdirAll(filepath.Dir(n.path), 0o755) != nil {
		return
	}
	if os.WriteFile(n.path+".new", b, 0o644) == nil {
		_ = os.Rename(n.path+".new", n.path)
	}
}

// GiveBack gives back every LED that a program before this one took over and
// left behind, as noted in s.Notes. It returns their names.
func (s System) GiveBack() ([]string, error) {
	left := slices.Sorted(maps.Keys(readNotes(s.Notes).leds))
	var specs []Spec
	for _, name := range left {
		specs = append(specs, Spec{Role: name, Driver: Sysfs, LED: name})
	}
	lights, err := s.Open(specs...)
	if err != nil {
		return nil, err
	}
	for _, l := range lights {
		if err := takeAndClose(l); err != nil {
			return nil, err
		}
	}
	return left, nil
}

func takeAndClose(l hal.Light) error {
	if err := l.Set(hal.Off); err != nil {
		return err
	}
	return l.Close()
}
