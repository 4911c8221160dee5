package self_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/probetest"
	"github.com/sprechprobe/sprechprobe/agent/probe/self"
)

// board is a machine with sensors, "name" or "name alarm" each.
func board(t *testing.T, sensors ...string) string {
	t.Helper()
	root := t.TempDir()
	for i, s := range sensors {
		name, alarm, found := strings.Cut(s, " ")
		sensor := "sys/class/hwmon/hwmon" + string(rune('0'+i))
		write(t, root, sensor+"/name", name+"\n")
		if found {
			write(t, root, sensor+"/in0_lcrit_alarm", alarm+"\n")
		}
	}
	return root
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func summary(e agent.Evidence) string {
	return strings.TrimSpace(e.Outcome.String() + " " + string(e.Reason))
}

func TestVoltage(t *testing.T) {
	tests := []struct {
		name    string
		sensors []string
		want    string
		values  agent.Values
	}{
		{"none", nil, "not-looked unsupported", nil},
		{"others", []string{"cpu_thermal", "w1_slave 1"}, "not-looked unsupported", nil},
		{"good", []string{"cpu_thermal", "rpi_volt 0"}, "answered", agent.Values{agent.Undervoltage: false}},
		{"low", []string{"rpi_volt 1"}, "answered", agent.Values{agent.Undervoltage: true}},
		{"no alarm", []string{"rpi_volt"}, "not-looked unsupported", nil},
		{"senseless", []string{"rpi_volt " + strings.Repeat("1", 100)}, "not-looked unsupported", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := self.Probe(self.System{Root: board(t, tt.sensors...)})(t.Context(), agent.Target{})
			if got := summary(e); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if d := cmp.Diff(tt.values, e.Values); d != "" {
				t.Errorf("values (-want +got):\n%s", d)
			}
		})
	}
}

// The alarm goes out by itself; that it was there does not.
func TestLowVoltageIsRemembered(t *testing.T) {
	root := board(t, "rpi_volt 0")
	probe := self.Probe(self.System{Root: root})
	for _, step := range []struct {
		alarm string
		want  bool
	}{{"0", false}, {"1", true}, {"0", true}} {
		write(t, root, "sys/class/hwmon/hwmon0/in0_lcrit_alarm", step.alarm+"\n")
		if got, _ := probe(t.Context(), agent.Target{}).Values.Flag(agent.Undervoltage); got != step.want {
			t.Errorf("with alarm %s: %v, want %v", step.alarm, got, step.want)
		}
	}
}

// TestState looks at real file systems that are small, full or read-only.
func TestState(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	dir := t.TempDir()
	look := func(state string) agent.Values {
		return self.Probe(self.System{Root: t.TempDir(), State: state})(t.Context(), agent.Target{}).Values
	}
	expect := func(t *testing.T, state string, writable, free bool) {
		t.Helper()
		v := look(state)
		if got, known := v.Flag(agent.StateWritable); got != writable || !known {
			t.Errorf("state_writable = %v, %v; want %v", got, known, writable)
		}
		if got, _ := v.Num(agent.StateFree); got > 0 != free {
			t.Errorf("state_free_bytes = %v, want some: %v", got, free)
		}
	}
	mount := func(t *testing.T, options string, flags uintptr) {
		t.Helper()
		if err := unix.Mount("tmpfs", dir, "tmpfs", flags, options); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(dir, 0) })
	}
	t.Run("empty", func(t *testing.T) {
		mount(t, "size=64k", 0)
		expect(t, dir, true, true)
	})
	t.Run("full", func(t *testing.T) {
		mount(t, "size=64k", 0)
		if err := os.WriteFile(filepath.Join(dir, "x"), make([]byte, 65536), 0o600); err != nil {
			t.Fatal(err)
		}
		expect(t, dir, false, false)
	})
	t.Run("no more files", func(t *testing.T) {
		mount(t, "size=64k,nr_inodes=2", 0)
		write(t, dir, "x", "")
		expect(t, dir, false, true)
	})
	t.Run("read-only", func(t *testing.T) {
		mount(t, "size=64k", unix.MS_RDONLY)
		expect(t, dir, false, true)
	})
	t.Run("gone", func(t *testing.T) { expect(t, filepath.Join(dir, "gone"), false, false) })
}

func TestConform(t *testing.T) {
	probetest.Conform(t, self.Probe(self.System{Root: board(t, "rpi_volt 0"), State: t.TempDir()}), agent.Target{}, agent.Target{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := summary(self.Probe(self.System{})(ctx, agent.Target{})); got != "not-looked cancelled" {
		t.Errorf("%s, want cancelled", got)
	}
}
