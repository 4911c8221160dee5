package led_test

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sprechprobe/sprechprobe/hal"
	"github.com/sprechprobe/sprechprobe/hal/haltest"
	"github.com/sprechprobe/sprechprobe/hal/led"
)

func terminals(t *testing.T, s led.System, roles ...string) []hal.Light {
	t.Helper()
	var specs []led.Spec
	for _, r := range roles {
		specs = append(specs, led.Spec{Role: r, Driver: led.Terminal})
	}
	lights, err := s.Open(specs...)
	if err != nil {
		t.Fatal(err)
	}
	return lights
}

// The form of these lines is a contract: other programs read them.
func TestTerminalLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		e := led.NewEngine(terminals(t, led.System{Out: &out}, "box", "network", "video"), nil)
		stop := run(t, e)
		g, four := hal.Picture("GGG-"), hal.Picture("R-R-R-R------")
		steps := []struct {
			word string
			p    patterns
		}{
			{"ready", patterns{"box": g, "network": g, "video": g}},
			{"ready", patterns{"box": g, "network": g, "video": g}}, // no change, no line
			{"blocked", patterns{"box": g, "network": g, "video": four}},
			{"blocked+u", patterns{"box": g, "network": g, "video": four}}, // the word alone
			{"starting", patterns{"box": hal.Picture("WW--"), "network": nil, "video": nil}},
		}
		for _, s := range steps {
			e.Show(s.word, s.p)
			time.Sleep(time.Minute)
		}
		before := e.Wakes()
		time.Sleep(time.Hour)
		if n := e.Wakes() - before; n != 0 {
			t.Errorf("%d wake-ups in an hour for lights that are only text", n)
		}
		stop()
		want := strings.Join([]string{
			"lights: box=GGG- network=GGG- video=GGG- (ready)",
			"lights: box=GGG- network=GGG- video=R-R-R-R------ (blocked)",
			"lights: box=GGG- network=GGG- video=R-R-R-R------ (blocked+u)",
			"lights: box=WW-- network=- video=- (starting)",
			"lights: box=- network=- video=- (gone)",
			"",
		}, "\n")
		if got := out.String(); got != want {
			t.Errorf("wrote\n%swant\n%s", got, want)
		}
		line := regexp.MustCompile(`^lights:( [a-z]+=[-GYRBW]+)+ \([-+a-z]*\)$`)
		for l := range strings.Lines(out.String()) {
			if !line.MatchString(strings.TrimSuffix(l, "\n")) {
				t.Errorf("line %q has not the documented form", l)
			}
		}
	})
}

// On a terminal the colours themselves are drawn, on one line.
func TestTerminalLive(t *testing.T) {
	pty := haltest.NewPty(t)
	out := pty.Near()
	lights := terminals(t, led.System{Out: out}, "box", "video")
	e := led.NewEngine(lights, nil)
	stop := run(t, e)
	e.Show("blocked", patterns{"box": hal.Steady(hal.Green), "video": hal.Picture("R-")})

	got := readUntil(t, pty, "video \x1b[91m●\x1b[0m R-  blocked")
	got += readUntil(t, pty, "video ○ R-  blocked")
	if !strings.Contains(got, "box \x1b[92m●\x1b[0m G  ") {
		t.Errorf("drew %q, want a green box light", got)
	}
	if strings.Contains(got, "\n") {
		t.Errorf("drew %q: more than one line", got)
	}
	stop()
	if end := readUntil(t, pty, "\n"); !strings.Contains(end, "box ○ -  video ○ -  gone") {
		t.Errorf("ended with %q, want dark lights and the word gone", end)
	}
}

func readUntil(t *testing.T, pty *haltest.Pty, want string) string {
	t.Helper()
	if err := pty.Master.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	b := make([]byte, 256)
	for !strings.Contains(got.String(), want) {
		n, err := pty.Master.Read(b)
		got.Write(b[:n])
		if err != nil {
			t.Fatalf("read %q, then %v; want %q", got.String(), err, want)
		}
	}
	return got.String()
}

// brokenPipe fails while it is broken.
type brokenPipe struct {
	mu  sync.Mutex
	got bytes.Buffer
	err error
}

func (b *brokenPipe) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	return b.got.Write(p)
}

func (b *brokenPipe) repair() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = nil
}

func TestTerminalWriterFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &brokenPipe{err: errors.New("broken pipe")}
		var told atomic.Int32
		e := led.NewEngine(terminals(t, led.System{Out: out}, "all"), func(string, error) { told.Add(1) })
		stop := run(t, e)
		e.Show("ready", patterns{"all": hal.Picture("G-")})
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := told.Load(); n != 1 {
			t.Errorf("told %d times of a broken pipe, want once", n)
		}
		out.repair()
		time.Sleep(time.Minute)
		synctest.Wait()
		stop()
		if got, want := out.got.String(), "lights: all=G- (ready)\nlights: all=- (gone)\n"; got != want {
			t.Errorf("wrote %q after the repair, want %q", got, want)
		}
	})
}
