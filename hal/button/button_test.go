package button_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpiotest"

	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/hal"
	"github.com/sprechprobe/sprechprobe/hal/button"
	"github.com/sprechprobe/sprechprobe/hal/haltest"
)

// patience is far more than anything here takes.
const patience = 60 * time.Second

// press runs a button until the test ends. The function it returns waits for the
// next change.
func press(t *testing.T, b hal.Button) (next func() string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	changes, done := make(chan string, 100), make(chan error, 1)
	go func() { done <- b.Run(ctx, func(down bool) { changes <- fmt.Sprint(down) }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, errLost) {
			t.Errorf("Run = %v", err)
		}
	})
	return func() string {
		select {
		case c := <-changes:
			return c
		case err := <-done:
			done <- errLost
			return fmt.Sprint(err)
		case <-time.After(patience):
			t.Fatalf("no change in %v", patience)
			return ""
		}
	}
}

var errLost = errors.New("lost")

// event is a struct input_event as the kernel gives it to this machine.
func event(kind, code uint16, value int32) []byte {
	b := make([]byte, 2*unsafe.Sizeof(uintptr(0)), 24)
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, code)
	return binary.NativeEndian.AppendUint32(b, uint32(value))
}

// bits is a bitmap with one bit set, as the kernel writes it.
func bits(bit int) string {
	size := int(8 * unsafe.Sizeof(uintptr(0)))
	return fmt.Sprintf("%x", uint64(1)<<(bit%size)) + strings.Repeat(" 0", bit/size) + "\n"
}

func TestKeys(t *testing.T) {
	root := haltest.Files(t, map[string]string{
		"sys/class/input/event0/device/capabilities/key": bits(116), // a power button
		"sys/class/input/event1/device/capabilities/key": bits(0x211),
		"sys/class/input/mouse0/device/capabilities/key": bits(0x211),
		"dev/input/event0": "",
	})
	fifo := filepath.Join(root, "dev/input/event1")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	far, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	b, err := button.System{Root: root}.Open(button.Spec{Event: "wps"})
	if err != nil {
		t.Fatal(err)
	}
	next := press(t, b)
	var events []byte
	for _, e := range [][]byte{
		event(1, 0x210, 1), event(0, 0, 0), // another key
		event(1, 0x211, 1), event(0, 0, 0),
		event(1, 0x211, 2), event(4, 4, 0x211), // repeats, and its scan code
		event(1, 0x211, 0), event(0, 0, 0),
		event(1, 0x211, 1)[:7], // cut short
	} {
		events = append(events, e...)
	}
	if _, err := far.Write(events); err != nil {
		t.Fatal(err)
	}
	if got := next() + " " + next(); got != "true false" {
		t.Errorf("changes are %s, want true false", got)
	}
}

func TestUnknownEvent(t *testing.T) {
	if _, err := (button.System{}).Open(button.Spec{Event: "bell"}); err == nil || !strings.Contains(err.Error(), `button "bell": want one of ["wps"`) {
		t.Errorf("err = %v", err)
	}
}

// The kernel's messages, as OpenWrt's gpio-button-hotplug broadcasts them. In
// this network nobody else does.
func TestBroadcasts(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	b, err := button.System{Root: t.TempDir()}.Open(button.Spec{Event: "wps"})
	if err != nil {
		t.Fatal(err)
	}
	next := press(t, b)
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	say := func(fields ...string) error {
		return unix.Sendto(fd, []byte(strings.Join(fields, "\x00")+"\x00"), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1})
	}
	pressed := func(name, action string, more ...string) error {
		return say(append([]string{action + "@", "HOME=/", "SUBSYSTEM=button", "ACTION=" + action, "BUTTON=" + name, "SEEN=1"}, more...)...)
	}
	for start := time.Now(); !listens(t); { // the kernel itself takes what nobody hears
		if time.Since(start) > patience {
			t.Fatal("nobody listens")
		}
	}
	if err := say("add@/devices/x", "SUBSYSTEM=net"); err != nil {
		lab.LeaveOut(t, "this system lets nobody broadcast: "+err.Error())
	}
	for _, err := range []error{
		say(""), say("\xff\xfe"), say("pressed@", "BUTTON=wps", "ACTION=pressed"), // no button of ours
		pressed("reset", "pressed"),
		pressed("wps", "pressed", "TYPE=switch"),
		pressed("wps", "pressed"),
		pressed("wps", "held"),
		pressed("wps", "released"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := next() + " " + next(); got != "true false" {
		t.Errorf("changes are %s, want true false", got)
	}
}

// listens reports whether somebody in this network listens to the kernel.
func listens(t *testing.T) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/self/net/netlink")
	if err != nil {
		lab.LeaveOut(t, "this system does not tell who listens: "+err.Error())
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 3 && f[1] == fmt.Sprint(unix.NETLINK_KOBJECT_UEVENT) && f[3] == "00000001" {
			return true
		}
	}
	return false
}

// wire is a line that a test moves. Like the kernel's it is waited for with an
// end, and must be closed.
type wire struct {
	gpiotest.Pin
	edges  chan gpio.Level
	halts  chan struct{}
	pull   gpio.Pull
	closed bool
}

func (w *wire) In(p gpio.Pull, e gpio.Edge) error {
	if w.pull = p; e != gpio.BothEdges {
		return errors.New("want both edges")
	}
	return nil
}

func (w *wire) WaitForEdge(time.Duration) bool {
	select {
	case l, ok := <-w.edges:
		w.L = l
		return ok
	case <-w.halts:
		return false
	}
}

func (w *wire) Halt() error {
	select {
	case w.halts <- struct{}{}:
	default:
	}
	return nil
}

func (w *wire) Close() { w.closed = true }

func TestLine(t *testing.T) {
	for _, activeLow := range []bool{false, true} {
		idle, pull := gpio.Level(activeLow), map[bool]gpio.Pull{false: gpio.PullDown, true: gpio.PullUp}[activeLow]
		w := &wire{edges: make(chan gpio.Level), halts: make(chan struct{})}
		w.L = idle
		sys := button.System{Lines: func(name string) (gpio.PinIO, error) {
			if name != "GPIO3" {
				return nil, errors.New("no such line")
			}
			return w, nil
		}}
		b, err := sys.Open(button.Spec{GPIO: "GPIO3", ActiveLow: activeLow})
		if err != nil {
			t.Fatal(err)
		}
		t.Run(fmt.Sprint(activeLow), func(t *testing.T) {
			next := press(t, b)
			w.edges <- idle // it was over before anybody looked
			w.edges <- !idle
			w.edges <- idle
			if got := next() + " " + next(); got != "true false" {
				t.Errorf("changes are %s, want true false", got)
			}
		})
		if !w.closed || w.pull != pull {
			t.Errorf("active low %v: closed %v, pull %v", activeLow, w.closed, w.pull)
		}
	}
}

func TestLineIsLost(t *testing.T) {
	w := &wire{edges: make(chan gpio.Level), halts: make(chan struct{})}
	sys := button.System{Lines: func(name string) (gpio.PinIO, error) {
		if name != "GPIO3" {
			return nil, errors.New("no such line")
		}
		return w, nil
	}}
	for name, want := range map[string]string{"GPIO3": "tells no changes", "GPIO4": "no such line"} {
		b, err := sys.Open(button.Spec{GPIO: name})
		if err != nil {
			t.Fatal(err)
		}
		if name == "GPIO3" {
			close(w.edges)
		}
		if err := b.Run(t.Context(), func(bool) {}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: err = %v, want %q", name, err, want)
		}
	}
}
