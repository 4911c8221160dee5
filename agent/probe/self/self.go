// Package self looks at the box's own condition: whether its supply holds its
// voltage, and whether it can still write down what must outlive it. It knows
// only Raspberry Pi boards by their voltage, and of the clock nothing: that is
// with package link.
package self

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent"
)

// System is the machine that is looked at. The zero value is this one.
type System struct {
	Root  string // where sys lies; empty: "/"
	State string // directory of what must outlive the program; empty: there is none
}

// Probe returns the probe of the box's own condition, which ignores its target.
// It is Answered with what can be seen here, NotLooked and unsupported where
// that is nothing.
//
// undervoltage stays true once it was: the kernel's alarm tells only of the last
// two seconds. state_writable says that the file system is there, takes changes,
// and has space and entries for another file; state_free_bytes is the space.
func Probe(s System) agent.Probe {
	var was atomic.Bool
	return func(ctx context.Context, t agent.Target) agent.Evidence {
		if ctx.Err() != nil {
			return agent.See(agent.ProbeSelf, t, agent.NotLooked, agent.Cancelled)
		}
		v := agent.Values{}
		if low, known := s.undervoltage(); known {
			was.CompareAndSwap(false, low)
			v[agent.Undervoltage] = was.Load()
		}
		if s.State != "" {
			state(s.State, v)
		}
		if len(v) == 0 {
			return agent.See(agent.ProbeSelf, t, agent.NotLooked, agent.Unsupported)
		}
		e := agent.See(agent.ProbeSelf, t, agent.Answered, "")
		e.Values = v
		return e
	}
}

const (
	sensors    = "sys/class/hwmon"
	maxSensors = 64
	// voltage is the name of the sensor by which the kernel tells what the
	// firmware of a Raspberry Pi thinks of its supply (raspberrypi-hwmon).
	voltage = "rpi_volt"
)

// undervoltage reads the alarm of the board's supply.
func (s System) undervoltage() (low, known bool) {
	dir := filepath.Join("/", s.Root, sensors)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, false
	}
	for _, e := range entries[:min(len(entries), maxSensors)] {
		if attribute(dir, e.Name(), "name") != voltage {
			continue
		}
		switch attribute(dir, e.Name(), "in0_lcrit_alarm") {
		case "0":
			return false, true
		case "1":
			return true, true
		}
	}
	return false, false
}

// attribute is the start of a file of a sensor.
func attribute(dir, sensor, name string) string {
	f, err := os.Open(filepath.Join(dir, sensor, name))
	if err != nil {
		return ""
	}
	defer f.Close()
	var b [64]byte
	n, _ := f.Read(b[:])
	return strings.TrimSpace(string(b[:n]))
}

// state writes into v what can be kept in a directory. Nothing is written there:
// flash wears out.
func state(dir string, v agent.Values) {
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) != nil {
		v[agent.StateWritable] = false
		return
	}
	free := uint64(fs.Bavail) * uint64(fs.Bsize)
	v[agent.StateFree] = float64(free)
	entries := fs.Files == 0 || fs.Ffree > 0 // some file systems do not count theirs
	v[agent.StateWritable] = free > 0 && entries && fs.Flags&unix.ST_RDONLY == 0
}
