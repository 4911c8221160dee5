package guest_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/hal"
	"github.com/sprechprobe/sprechprobe/hal/led"
)

// The multicolor class has no driver for GPIO lines in this kernel. But there is one
// of a game pad with a light bar, and pads can be played by a program: uhid
// (Documentation/hid/uhid.rst), as include/uapi/linux/uhid.h has it.
const (
	uhidOutput         = 6
	uhidGetReport      = 9
	uhidGetReportReply = 10
	uhidCreate2        = 11
	uhidSetReport      = 13
	uhidSetReportReply = 14

	uhidEvent = 4 + 128 + 64 + 64 + 2*2 + 4*4 + 4096 // bytes; create2 is the longest
)

// pad is a DualSense on USB, as far as the driver hid-playstation asks for one.
type pad struct {
	f   *os.File
	bar chan [3]byte // what its light bar is told: red, green, blue
}

// descriptor is the least that the HID core takes: one vendor's report.
var descriptor = []byte{0x06, 0x00, 0xff, 0x09, 0x01, 0xa1, 0x01, 0x75, 0x08, 0x95, 0x3f, 0x09, 0x02, 0x81, 0x02, 0x09, 0x03, 0x91, 0x02, 0xc0}

func plug(t *testing.T) *pad {
	t.Helper()
	f, err := os.OpenFile("/dev/uhid", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &pad{f, make(chan [3]byte, 100)}
	go p.answer()
	b := make([]byte, uhidEvent)
	binary.NativeEndian.PutUint32(b, uhidCreate2)
	copy(b[4:], "pad")
	at := 4 + 128 + 64 + 64
	for _, v := range []uint16{uint16(len(descriptor)), 0x03} { // BUS_USB
		binary.NativeEndian.PutUint16(b[at:], v)
		at += 2
	}
	for _, v := range []uint32{0x054c, 0x0ce6, 0x0100, 0} { // vendor, product, version, country
		binary.NativeEndian.PutUint32(b[at:], v)
		at += 4
	}
	copy(b[at:], descriptor)
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	return p
}

// answer plays the pad until it is pulled out.
func (p *pad) answer() {
	for b := make([]byte, uhidEvent); ; {
		n, err := p.f.Read(b)
		if err != nil {
			return
		}
		switch event := b[4:n]; binary.NativeEndian.Uint32(b) {
		case uhidGetReport:
			p.reply(uhidGetReportReply, binary.NativeEndian.Uint32(event), feature(event[4]))
		case uhidSetReport:
			p.reply(uhidSetReportReply, binary.NativeEndian.Uint32(event), nil)
		case uhidOutput:
			const colors, barFlag = 45, 0x04 // in report 2, behind its number
			if event[0] == 2 && event[2]&barFlag != 0 {
				p.bar <- [3]byte(event[colors : colors+3])
			}
		}
	}
}

// feature is a report about the pad itself: its address, what its sensors count, or
// its firmware.
func feature(number byte) []byte {
	b := make([]byte, map[byte]int{0x05: 41, 0x09: 20, 0x20: 64}[number])
	for i := range b {
		b[i] = byte(i) // nothing in it may be zero
	}
	if len(b) > 0 {
		b[0] = number
	}
	return b
}

func (p *pad) reply(kind, id uint32, report []byte) {
	b := make([]byte, uhidEvent)
	binary.NativeEndian.PutUint32(b, kind)
	binary.NativeEndian.PutUint32(b[4:], id)
	if kind == uhidGetReportReply {
		if len(report) == 0 {
			binary.NativeEndian.PutUint16(b[8:], uint16(unix.EIO))
		}
		binary.NativeEndian.PutUint16(b[10:], uint16(len(report)))
		copy(b[12:], report)
	}
	_, _ = p.f.Write(b)
}

// shows waits until the bar is told a colour.
func (p *pad) shows(t *testing.T, want [3]byte) {
	t.Helper()
	var got [3]byte
	for limit := time.After(patience); got != want; {
		select {
		case got = <-p.bar:
		case <-limit:
			t.Fatalf("the bar shows %v, want %v", got, want)
		}
	}
}

// An LED of the multicolor class shows every colour by its intensities, and is
// given back with those it had.
func TestGuestMulticolor(t *testing.T) {
	onlyInside(t)
	for _, m := range multicolor {
		need(t, m)
	}
	p := plug(t)
	defer p.f.Close()
	var name string
	for end := time.Now().Add(patience); name == ""; time.Sleep(50 * time.Millisecond) {
		if found, _ := filepath.Glob(filepath.Join(class, "*:rgb:indicator")); len(found) > 0 {
			name = filepath.Base(found[0])
		}
		if time.Now().After(end) {
			t.Fatal("the kernel makes no LED of the pad")
		}
	}
	if got := read(t, name, "multi_index"); got != "red green blue" {
		t.Fatalf("multi_index is %q", got)
	}
	write(t, name, "multi_intensity", "1 2 3")
	write(t, name, "brightness", "255")
	p.shows(t, [3]byte{1, 2, 3})
	l := open(t, led.System{}, led.Spec{Role: "all", Driver: led.Sysfs, LED: name})
	for _, tt := range []struct {
		color hal.Color
		want  [3]byte
	}{
		{hal.Red, [3]byte{255, 0, 0}}, {hal.Green, [3]byte{0, 255, 0}}, {hal.Yellow, [3]byte{255, 255, 0}},
		{hal.Blue, [3]byte{0, 0, 255}}, {hal.White, [3]byte{255, 255, 255}}, {hal.Off, [3]byte{}},
	} {
		set(t, l, tt.color)
		p.shows(t, tt.want)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	p.shows(t, [3]byte{1, 2, 3})
	if got := strings.Join([]string{read(t, name, "multi_intensity"), read(t, name, "brightness")}, ", "); got != "1 2 3, 255" {
		t.Errorf("given back: %s", got)
	}
}
