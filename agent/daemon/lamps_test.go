package daemon

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent/config"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/hal/board"
	"github.com/sprechprobe/sprechprobe/hal/button"
	"github.com/sprechprobe/sprechprobe/hal/led"
)

func TestSpecsOf(t *testing.T) {
	own := []led.Spec{{Role: "all", Driver: led.Sysfs, LED: "green:power"}}
	named := config.Lights{Driver: config.DriverAuto, Lamps: []config.Lamp{{Role: config.RoleVideo, LED: "green:wan"}}}
	tests := []struct {
		name  string
		c     config.Lights
		board board.Found
		want  []led.Spec
	}{
		{"the board's", config.Lights{Driver: config.DriverAuto}, board.Found{Lights: own}, own},
		{"the owner wants it dark", config.Lights{Driver: config.DriverAuto}, board.Found{Lights: own, Dark: true}, nil},
		{"dark, though lamps are named", named, board.Found{Lights: own, Dark: true}, nil},
		{"named", named, board.Found{Lights: own}, []led.Spec{{Role: "video", Driver: led.Sysfs, LED: "green:wan"}}},
		{"none", config.Lights{Driver: config.DriverNone}, board.Found{Lights: own}, nil},
		{
			"lines, which the owner cannot mean", config.Lights{Driver: config.DriverGPIO, Lamps: []config.Lamp{{Role: config.RoleAll, GPIO: "GPIO17", ActiveLow: true}}},
			board.Found{Dark: true}, []led.Spec{{Role: "all", Driver: led.GPIO, GPIO: "GPIO17", ActiveLow: true}},
		},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, specsOf(tt.c, tt.board)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestButtonOf(t *testing.T) {
	tests := []struct {
		c     config.Button
		board string
		want  button.Spec
		ok    bool
	}{
		{config.Button{Event: "auto"}, "wps", button.Spec{Event: "wps"}, true},
		{config.Button{Event: "auto"}, "", button.Spec{}, false},
		{config.Button{Event: "none"}, "wps", button.Spec{}, false},
		{config.Button{Event: "reset"}, "wps", button.Spec{Event: "reset"}, true},
		{config.Button{Event: "auto", GPIO: "GPIO3", ActiveLow: true}, "wps", button.Spec{GPIO: "GPIO3", ActiveLow: true}, true},
	}
	for _, tt := range tests {
		if got, ok := buttonOf(tt.c, board.Found{Button: tt.board}); got != tt.want || ok != tt.ok {
			t.Errorf("%+v on a board with %q: %+v, %v; want %+v, %v", tt.c, tt.board, got, ok, tt.want, tt.ok)
		}
	}
}

// screen is where lights are drawn.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.b.String(), text)
}

// The same lights go on under a new configuration; others take their place.
func TestLampsFollowTheConfiguration(t *testing.T) {
	var out screen
	log := slog.New(slog.DiscardHandler)
	first, err := (*lamps)(nil).follow(config.Lights{Driver: config.DriverTerminal}, &out, log)
	if err != nil {
		t.Fatal(err)
	}
	first.show(light.Show{State: light.Ready})
	same, err := first.follow(config.Lights{Driver: config.DriverTerminal}, &out, log)
	if err != nil || same != first || out.has("(gone)") {
		t.Errorf("the same lights: %v, others %v, given up %v", err, same != first, out.has("(gone)"))
	}
	other, err := same.follow(config.Lights{Driver: config.DriverTerminal, Lamps: []config.Lamp{{Role: config.RoleAll}}}, &out, log)
	if err != nil || other == first || !out.has("(gone)") {
		t.Errorf("other lights: %v, the same %v, given up %v", err, other == first, out.has("(gone)"))
	}
	other.close()
	other.close() // as when a configuration fails later
}

// Others can tell whether the daemon runs, and a dead one is not taken for it.
func TestAlive(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	if Running() {
		t.Error("it runs before it was started")
	}
	end := alive()
	for range 2 { // a look must not change what the next one finds
		if !Running() {
			t.Error("it runs, and is not found")
		}
	}
	end()
	if Running() {
		t.Error("it runs after its end")
	}
}

// In a jail the driver has a number that means another process outside.
func TestDriverInAJail(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	held, err := lock()
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := os.WriteFile(lockFile(), []byte("1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if pid, ok := driver(); pid != 0 || !ok {
		t.Errorf("driver is %d, %v; want that there is one, of no known number", pid, ok)
	}
	if err := IdentifyLights(t.Context(), config.Lights{}, io.Discard, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("asked a process that is not the box")
	}
}

// Two boxes on one machine must not drive the same lamps.
func TestLock(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	if pid, ok := driver(); ok {
		t.Errorf("process %d drives the lights before anybody does", pid)
	}
	held, err := lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(); err == nil {
		t.Error("a second box may drive the lights too")
	}
	if pid, ok := driver(); !ok || pid <= 1 {
		t.Errorf("driver is %d, %v", pid, ok)
	}
	held.Close()
	if _, ok := driver(); ok {
		t.Error("the lights are driven after the end")
	}
	again, err := lock()
	if err != nil {
		t.Errorf("after the end: %v", err)
	}
	again.Close()
}

// Whoever only shows a state gives the lights up to a box that starts, and is not
// taken for one.
func TestLockOfWhoIsPassing(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	held, err := lock()
	if err != nil {
		t.Fatal(err)
	}
	note(held, passing)
	if pid, ok := driver(); ok {
		t.Errorf("a command that shows a state is taken for a box: %d", pid)
	}
	go func() {
		for holder(held) == mark(passing) {
			runtime.Gosched()
		}
		held.Close()
	}()
	box, err := lock()
	if err != nil {
		t.Fatalf("a box does not get the lights: %v", err)
	}
	defer box.Close()
	if _, ok := driver(); !ok {
		t.Error("the box does not count as one")
	}
}

// An update that breaks off must not blink for ever.
func TestUpdateThatNeverEnds(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		var out screen
		began := time.Now()
		err := ShowLights(t.Context(), config.Lights{Driver: config.DriverTerminal}, &out, slog.New(slog.DiscardHandler), light.Updating)
		if took := time.Since(began); err != nil || took != updateFor {
			t.Errorf("ended after %v with %v, want %v", took, err, updateFor)
		}
		if !out.has("box=WWWW-WWWW------") || !out.has("(updating)") || !out.has("(gone)") {
			t.Errorf("the lamps did not say that something is being changed, or say so still:\n%s", out.b.String())
		}
	})
}
