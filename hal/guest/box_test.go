package guest_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// box is the product's program, running.
type box struct {
	cmd *exec.Cmd
	log *bytes.Buffer
}

const config = "/etc/box.toml"

// patience is far more than a program takes to start, also where the emulated
// processor gets little of the real one.
const patience = 3 * time.Minute

func configure(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T, env ...string) *box {
	t.Helper()
	return startAs(t, "sprechprobe", env...)
}

func startAs(t *testing.T, program string, env ...string) *box {
	t.Helper()
	b := &box{exec.Command("/"+program, "run", "--config", config), &bytes.Buffer{}}
	b.cmd.Env = append(os.Environ(), env...)
	b.cmd.Stdout, b.cmd.Stderr = b.log, b.log
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.cmd.Process.Kill() })
	return b
}

func (b *box) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := b.cmd.Process.Signal(s); err != nil {
		t.Fatalf("%v\n%s", err, b.log)
	}
}

// hook does what a service manager does after the box has ended badly.
func hook(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("/sprechprobe", "lights", "show", "stopped", "--config", config).CombinedOutput(); err != nil {
		t.Errorf("lights show stopped: %v\n%s", err, out)
	}
}

// flashes waits until the red lamp has gone on and off as often, as it does with
// no cable in the socket.
func flashes(t *testing.T, n int) {
	t.Helper()
	for end, was := time.Now().Add(patience), ""; n > 0; {
		now := levels(t, "RED", "GREEN", "BLUE")
		if was == "RED=1 GREEN=0 BLUE=1" && now == "RED=0 GREEN=0 BLUE=1" {
			n--
		}
		was = now
		if time.Now().After(end) {
			t.Fatalf("the red lamp does not flash: %s", now)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// steady fails if a lamp is lit at the end of a while.
func steady(t *testing.T, d time.Duration) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if got := levels(t, "RED", "GREEN", "BLUE"); got != "RED=0 GREEN=0 BLUE=1" {
			t.Fatalf("a lamp was lit by nobody: %s", got)
		}
	}
}

// lit waits until the red lamp is on.
func lit(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(patience); levels(t, "RED") != "RED=1"; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the red lamp is never lit")
		}
	}
}

// Where the kernel puts lamps out by itself, a box that was killed or stopped
// while one was lit leaves it dark, with no help of anybody.
func TestGuestDeadBoxIsDark(t *testing.T) {
	onlyInside(t)
	need(t, "ledtrig-transient")
	configure(t, "[schedule]\nevery = \"24h\"\n")
	for _, s := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
		b := start(t)
		flashes(t, 1)
		lit(t)
		b.signal(t, s)
		t.Logf("%v: dark after %v", s, dark(t, truth))
		steady(t, 2*time.Second)
		b.signal(t, syscall.SIGCONT)
		if s == syscall.SIGSTOP {
			flashes(t, 1) // it goes on as if nothing had been
			b.signal(t, syscall.SIGTERM)
		}
		_ = b.cmd.Wait()
	}
	if got := trigger(t, "green:status"); got != "default-on" {
		t.Errorf("after a kill and a good end the trigger is %s, want the firmware's: default-on", got)
	}
}

// The guest has no network but its loopback, which is down. Its lamps are found
// by their names. However the box ends, the service manager's hook leaves them
// dark, and in the end the firmware has them back as they were.
func TestGuestHookPutsLampsOut(t *testing.T) {
	onlyInside(t)
	configure(t, "[schedule]\nevery = \"24h\"\n")
	var exit *exec.ExitError

	b := start(t)
	flashes(t, 1)
	lit(t)
	b.signal(t, syscall.SIGKILL)
	_ = b.cmd.Wait()
	time.Sleep(time.Second)
	if got := levels(t, "RED"); got != "RED=1" {
		t.Errorf("this kernel has put a lamp out by itself: %s", got) // then nothing is shown here
	}
	hook(t)
	steady(t, time.Second)

	b = start(t)
	flashes(t, 1)
	lit(t)
	b.signal(t, syscall.SIGQUIT) // as the runtime does with a deadlock: every goroutine on stderr, exit 2
	if err := b.cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Errorf("after SIGQUIT: %v", err)
	}
	hook(t)
	steady(t, time.Second)

	b = start(t)
	flashes(t, 1)
	b.signal(t, syscall.SIGTERM)
	if err := b.cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, b.log)
	}
	if got := trigger(t, "green:status") + " " + trigger(t, "red:status") + " " + levels(t, "GREEN"); got != "default-on none GREEN=1" {
		t.Errorf("the firmware has its lamps back as %s", got)
	}

	configure(t, "[schedul]\n")
	b = start(t)
	if err := b.cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 64 {
		t.Errorf("with a bad configuration: %v, want exit 64\n%s", err, b.log)
	}
	hook(t) // with the same bad configuration
	steady(t, time.Second)
	if out, err := exec.Command("/sprechprobe", "lights", "release").CombinedOutput(); err != nil || !strings.Contains(string(out), "green:status") {
		t.Errorf("lights release: %v\n%s", err, out)
	}
	if got := trigger(t, "green:status"); got != "default-on" {
		t.Errorf("trigger given back is %s, want default-on", got)
	}
}

// A service manager that hears nothing in time kills and starts again; here it
// is this test.
func TestGuestWatchdog(t *testing.T) {
	onlyInside(t)
	configure(t, "[schedule]\nevery = \"24h\"\n")
	fed := listen(t, "/run/notify")
	b := start(t, "NOTIFY_SOCKET=/run/notify", "WATCHDOG_USEC=1500000")
	for end := time.Now().Add(patience); fed.Load() < 3; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the watchdog is not fed\n%s", b.log)
		}
	}
	b.signal(t, syscall.SIGSTOP)
	time.Sleep(500 * time.Millisecond)
	before := fed.Load()
	time.Sleep(3 * time.Second)
	if n := fed.Load() - before; n > 0 {
		t.Errorf("a stopped box fed the watchdog %d times", n)
	}
	b.signal(t, syscall.SIGKILL)
	_ = b.cmd.Wait()
	hook(t)
	steady(t, time.Second)
}

// A lamp that is asked for shows what it should, and a running box is not
// disturbed but asked.
func TestGuestLightsCommand(t *testing.T) {
	onlyInside(t)
	need(t, "ledtrig-transient")
	out, err := exec.Command("/sprechprobe", "lights", "list", "--lang", "en").CombinedOutput()
	for _, want := range []string{"acme,guest Acme Guest", `all: sysfs red "red:status", green "green:status", blue "blue:status"`, "button  wps", "4 flashes, pause, red"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("lights list: %v, no %q in\n%s", err, want, out)
		}
	}
	configure(t, "[schedule]\nevery = \"24h\"\n")
	b := start(t)
	flashes(t, 1)
	if out, err := exec.Command("/sprechprobe", "lights", "show", "ready").CombinedOutput(); err == nil || !strings.Contains(string(out), "a running box drives the lights") {
		t.Errorf("lights show beside a running box: %v\n%s", err, out)
	}
	if out, err := exec.Command("/sprechprobe", "lights", "identify").CombinedOutput(); err != nil {
		t.Errorf("lights identify: %v\n%s", err, out)
	}
	for end := time.Now().Add(20 * time.Second); levels(t, "RED", "GREEN", "BLUE") != "RED=0 GREEN=0 BLUE=0"; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the box does not show itself in blue\n%s", b.log)
		}
	}
	b.signal(t, syscall.SIGTERM)
	_ = b.cmd.Wait()

	show := exec.Command("/sprechprobe", "lights", "show", "ready")
	if err := show.Start(); err != nil {
		t.Fatal(err)
	}
	for end, was := time.Now().Add(30*time.Second), false; ; time.Sleep(10 * time.Millisecond) {
		got := levels(t, "RED", "GREEN", "BLUE")
		if was = was || got == "RED=0 GREEN=1 BLUE=1"; was && got == "RED=0 GREEN=0 BLUE=1" {
			break // it has winked
		}
		if time.Now().After(end) {
			t.Fatal("ready does not wink in green")
		}
	}
	if err := show.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = show.Wait()
	dark(t, truth)
	if out, err := exec.Command("/sprechprobe", "lights", "release").CombinedOutput(); err != nil {
		t.Errorf("lights release: %v\n%s", err, out)
	}
}

// What only shows a state gives the lamps up to a box that starts.
func TestGuestUpdating(t *testing.T) {
	onlyInside(t)
	need(t, "ledtrig-transient")
	configure(t, "[schedule]\nevery = \"24h\"\n")
	show := exec.Command("/sprechprobe", "lights", "show", "updating", "--config", config)
	if err := show.Start(); err != nil {
		t.Fatal(err)
	}
	group(t, &bytes.Buffer{}, white, patience)
	b := start(t)
	flashes(t, 2)
	if err := show.Wait(); err != nil {
		t.Errorf("lights show updating ended with %v", err)
	}
	if strings.Contains(b.log.String(), "left out") {
		t.Errorf("the box did not get its lamps:\n%s", b.log)
	}
	b.signal(t, syscall.SIGTERM)
	_ = b.cmd.Wait()
	if got := trigger(t, "green:status"); got != "default-on" {
		t.Errorf("trigger given back is %s, want default-on", got)
	}
}

// The button of the board asks the box to look at once.
func TestGuestButtonAsksTheBox(t *testing.T) {
	onlyInside(t)
	need(t, "gpio_keys")
	configure(t, "[schedule]\nevery = \"24h\"\n")
	b := start(t)
	flashes(t, 1)
	fmt.Printf("\n%s\n", pressMark)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if levels(t, "RED", "GREEN", "BLUE") == "RED=1 GREEN=1 BLUE=0" { // white: checking
			break
		}
		if time.Now().After(end) {
			t.Fatalf("pressing the button shows nothing\n%s", b.log)
		}
	}
	b.signal(t, syscall.SIGTERM)
	_ = b.cmd.Wait()
	if !strings.Contains(b.log.String(), "asks=check") {
		t.Errorf("the log does not tell of the button:\n%s", b.log)
	}
}

// hold presses the button by way of the kernel's input system, as long as no finger
// of the host's could.
func hold(t *testing.T, code uint16) (letGo func()) {
	t.Helper()
	all, err := filepath.Glob("/dev/input/event*")
	if err != nil || len(all) == 0 {
		t.Fatalf("no input devices: %v", err)
	}
	send := func(down uint32) {
		t.Helper()
		var b []byte
		for _, e := range [][3]uint32{{1, uint32(code), down}, {}} { // a key, and the end of the report
			b = append(b, make([]byte, 2*unsafe.Sizeof(uintptr(0)))...) // the time is the kernel's
			b = binary.NativeEndian.AppendUint16(b, uint16(e[0]))
			b = binary.NativeEndian.AppendUint16(b, uint16(e[1]))
			b = binary.NativeEndian.AppendUint32(b, e[2])
		}
		for _, dev := range all {
			if err := os.WriteFile(dev, b, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	send(1)
	return func() { t.Helper(); send(0) }
}

// who is the box's key and claim code.
func who(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("/sprechprobe", "identity", "--format", "json", "--config", config).CombinedOutput()
	if err != nil {
		t.Fatalf("identity: %v\n%s", err, out)
	}
	return string(out)
}

// Held for 5 seconds the button shows which box this is, for 15 seconds it warns;
// then the box has forgotten who it was, and confirms that.
func TestGuestButtonForgets(t *testing.T) {
	onlyInside(t)
	need(t, "ledtrig-transient")
	need(t, "gpio_keys")
	configure(t, "state_dir = \""+t.TempDir()+"\"\n[box]\nid = \"guest\"\n[schedule]\nevery = \"24h\"\n[central]\nservers = [\"tls://192.0.2.1:4222\"]\n")
	b := start(t)
	flashes(t, 1)
	before := who(t)
	shows := func(what, want string, within time.Duration) {
		t.Helper()
		for end := time.Now().Add(within); levels(t, "RED", "GREEN", "BLUE") != want; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the lamps do not show %s\n%s", what, b.log)
			}
		}
	}
	letGo := hold(t, 0x211)
	shows("which box this is", blue, 12*time.Second)
	shows("what letting go will do", red, 20*time.Second)
	letGo()
	shows("that it has forgotten", blue, 9*time.Second)
	flashes(t, 1) // and then, that there is no cable
	if after := who(t); after == before || !strings.Contains(after, "unclaimed") {
		t.Errorf("the box was %s and is %s", before, after)
	}
	b.signal(t, syscall.SIGTERM)
	_ = b.cmd.Wait()
}
