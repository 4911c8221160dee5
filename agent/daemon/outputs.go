package daemon

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/link"
	"github.com/sprechprobe/sprechprobe/agent/strict"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// ReportFile is where run keeps its newest report for other commands.
func ReportFile() string { return filepath.Join(runtimeDir(), "report.json") }

// ReadReport reads a report that run has kept, or that check has written. Where
// there is none, the error is [io/fs.ErrNotExist].
func ReadReport(path string) (agent.Report, error) {
	b, err := strict.ReadFile(path)
	if err != nil {
		return agent.Report{}, err
	}
	r, err := fleet.Decode(b)
	if err != nil {
		return agent.Report{}, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// Age is how old a report is that run has kept. It lies where a restart of the
// machine leaves nothing, so the time since that start tells, which nobody sets.
func Age(r agent.Report) time.Duration {
	now := link.Stamp(link.System{})
	return time.Duration((now.UptimeS - r.Stamp.UptimeS) * float64(time.Second))
}

// keep writes the newest report, so that a reader never sees half of one. One
// that is too long to be read back is cut as it is for the wire.
func keep(path string, r agent.Report) error {
	b, err := json.Marshal(r)
	if len(b) > fleet.MaxReport {
		b, err = fleet.Encode(r)
	}
	if err != nil {
		return err
	}
	return keepFile(path, b)
}

// keepFile writes a file beside its place and moves it there.
func keepFile(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
