package guest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A box with a mistake in it is the product's program with another look at the
// link. mistake says in the environment where the mistake is.
const (
	mistaken   = "mistaken"
	mistakeVar = "MISTAKE"
	inProbe    = "probe" // it panics
	besideAll  = "crash" // a goroutine that nobody watches over panics
)

const mistakenLink = `
func mistakenLink(here link.System) agent.Probe {
	return func(ctx context.Context, t agent.Target) agent.Evidence {
		switch os.Getenv("` + mistakeVar + `") {
		case "` + inProbe + `":
			panic("a mistake in a probe")
		case "` + besideAll + `":
			time.AfterFunc(4*time.Second, func() { panic("a mistake beside all") })
		}
		return link.Probe(here)(ctx, t)
	}
}
`

// mistakenSource is an overlay for the compiler with that look.
func mistakenSource(t *testing.T, dir string) string {
	t.Helper()
	path, err := filepath.Abs("../../agent/daemon/probes.go")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	source := strings.NewReplacer("link.Probe(here)", "mistakenLink(here)", "\t\"net\"\n", "\t\"net\"\n\t\"os\"\n").Replace(string(b))
	if !strings.Contains(source, "mistakenLink") || !strings.Contains(source, `"os"`) {
		t.Fatalf("%s looks at the link otherwise now", path)
	}
	other, overlay := filepath.Join(dir, "probes.go"), filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{path: other}})
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{other: source + mistakenLink, overlay: string(text)} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return overlay
}

const (
	blue  = "RED=0 GREEN=0 BLUE=0" // its line is low when it is lit
	red   = "RED=1 GREEN=0 BLUE=1"
	white = "RED=1 GREEN=1 BLUE=0"
	none  = "RED=0 GREEN=0 BLUE=1"
)

// group waits for flashes in one colour and the pause after them. How many there
// were it leaves open: an emulated processor that is late drops some.
func group(t *testing.T, log fmt.Stringer, lit string, limit time.Duration) {
	t.Helper()
	n, was, since := 0, "", time.Now()
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		now := levels(t, "RED", "GREEN", "BLUE")
		if now != was {
			was, since = now, time.Now()
			if now == lit {
				n++
			}
		}
		if n > 0 && now == none && time.Since(since) > time.Second {
			t.Logf("%d flashes and a pause", n)
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %v no group of flashes in %s, but %s\n%s", limit, lit, now, log)
		}
	}
}

// listen is a service manager's end of sd_notify that counts how often the
// watchdog is fed.
func listen(t *testing.T, path string) *atomic.Int32 {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	var fed atomic.Int32
	go func() {
		for b := make([]byte, 4096); ; {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			if strings.Contains(string(b[:n]), "WATCHDOG=1") {
				fed.Add(1)
			}
		}
	}()
	return &fed
}

// The loop that owns the truth hangs in a file system that never answers. Within
// half a minute the lamps say that nothing is known, and nobody feeds the watchdog;
// when it comes back, so does the truth.
func TestGuestDeadlockedLoop(t *testing.T) {
	onlyInside(t)
	need(t, "ledtrig-transient")
	configure(t, "[schedule]\nevery = \"24h\"\n")
	dir := t.TempDir()
	pipe := filepath.Join(dir, "report.json.new")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	fed := listen(t, "/run/notify-hung")
	b := start(t, "RUNTIME_DIRECTORY="+dir, "NOTIFY_SOCKET=/run/notify-hung", "WATCHDOG_USEC=1500000")
	flashes(t, 2) // it has shown its first report, and hangs in keeping that
	before := fed.Load()
	began := time.Now()
	group(t, b.log, blue, truth) // nothing is known
	t.Logf("hung: the lamps have said so after %v", time.Since(began))
	if n := fed.Load() - before; n > 1 { // one may have been on its way
		t.Errorf("a hung box fed the watchdog %d times", n)
	}
	f, err := os.OpenFile(pipe, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	flashes(t, 1)
	b.signal(t, syscall.SIGTERM)
	if err := b.cmd.Wait(); err != nil {
		t.Errorf("ended with %v\n%s", err, b.log)
	}
}

// A mistake in a probe is a fault of the box, and said to be. One that brings the
// whole program down leaves its lamps dark.
func TestGuestMistakes(t *testing.T) {
	onlyInside(t)
	configure(t, "[schedule]\nevery = \"24h\"\n")
	b := startAs(t, mistaken, mistakeVar+"="+inProbe)
	group(t, b.log, blue, patience) // nothing is known
	b.signal(t, syscall.SIGTERM)
	if err := b.cmd.Wait(); err != nil {
		t.Errorf("ended with %v\n%s", err, b.log)
	}

	need(t, "ledtrig-transient")
	b = startAs(t, mistaken, mistakeVar+"="+besideAll)
	flashes(t, 1)
	var exit *exec.ExitError
	if err := b.cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(b.log.String(), "a mistake beside all") {
		t.Errorf("ended with %v\n%s", err, b.log)
	}
	t.Logf("crashed: dark after %v", dark(t, truth))
	steady(t, 2*time.Second)
	hook(t)
	steady(t, time.Second)
}
