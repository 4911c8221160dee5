// Package statefile keeps what a box should know after a restart: one small value
// in one file. It knows nothing of what the values mean.
package statefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/sprechprobe/sprechprobe/agent/atomicfile"
	"github.com/sprechprobe/sprechprobe/agent/strict"
)

// Read reads a value. Where there is no file yet, value stays as it is. A file
// that cannot be read is an error that names it; value may be half filled then.
func Read(path string, value any) error {
	b, err := strict.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(b, value)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Write replaces the file; see [atomicfile.Replace]. With no path nothing is kept.
func Write(path string, value any) error {
	if path == "" {
		return nil
	}
	b, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return atomicfile.Replace(path, b)
}
