// Package board finds out which board this is, which of its lamps tell the
// state of the box, and which button an installer may press. Boards stand in a
// table; for others the names that the firmware gives to its LEDs decide. The
// package drives nothing and knows no verdict.
package board

import (
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/sprechprobe/sprechprobe/hal"
	"github.com/sprechprobe/sprechprobe/hal/led"
)

// System is where to look. The zero value is this machine.
type System struct {
	Root string // of the file system; empty: "/"
}

// Found is a board and what it has for an installer.
type Found struct {
	hal.Board
	Lights []led.Spec // none: a box that speaks by panel and page only
	Button string     // name of the button's event, such as "wps"; empty: none
	// Dark says that the owner has switched off all lamps of the board
	// (OpenWrt's system.leds_off).
	Dark bool
}

// PC is the board of a machine that is none of its own: a PC, a virtual machine.
const PC = "pc"

// Detect looks at the board.
func (s System) Detect() Found {
	f := Found{Board: s.board(), Button: anyButton, Dark: s.ledsOff()}
	r, known := find(f.ID)
	if known {
		f.Button = r.button
	}
	leds := led.System{Root: s.path("sys/class/leds")}
	if f.Lights = r.lights(leds.LEDs()); f.Lights == nil {
		f.Lights = leds.Discover(s.running())
	}
	if f.Lights == nil && f.ID == PC {
		f.Lights = leds.Keyboard()
	}
	return f
}

func (s System) path(elem ...string) string {
	root := s.Root
	if root == "" {
		root = "/"
	}
	return filepath.Join(append([]string{root}, elem...)...)
}

const tree = "proc/device-tree"

// board names the machine: as OpenWrt does, by the device tree, or by what a
// PC's firmware says.
func (s System) board() hal.Board {
	b := hal.Board{ID: identifier(s.read("tmp/sysinfo/board_name")), Name: s.label("tmp/sysinfo/model")}
	if id := identifier(s.read(tree, "compatible")); id != "" {
		b.ID = id
	}
	if name := s.label(tree, "model"); b.Name == "" {
		b.Name = name
	}
	const dmi = "sys/class/dmi/id"
	if b.ID == "" && s.read(dmi, "product_name") != "" {
		b.ID = PC
	}
	if b.Name == "" {
		b.Name = strings.TrimSpace(s.label(dmi, "sys_vendor") + " " + s.label(dmi, "product_name"))
	}
	return b
}

// maxText bounds what is read of a file, bytes.
const maxText = 256

// read is the first text in a file, up to a zero byte; empty if there is none.
func (s System) read(elem ...string) string {
	f, err := os.Open(s.path(elem...))
	if err != nil {
		return ""
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, maxText))
	text, _, _ := strings.Cut(string(b), "\x00")
	return strings.TrimSpace(text)
}

// label is a name for people: what prints of it, at most 80 characters.
func (s System) label(elem ...string) string {
	r := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, s.read(elem...)))
	return string(r[:min(len(r), 80)])
}

// identifier is s if it has the form of a board's name, and else empty.
func identifier(s string) string {
	bad := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(",._+-", r)
	}
	if len(s) > 63 || strings.IndexFunc(s, bad) >= 0 {
		return ""
	}
	return s
}

// colors are the names of LED colours by their number in a device tree
// (include/dt-bindings/leds/common.h).
var colors = []string{
	"white", "red", "green", "blue", "amber", "violet", "yellow", "ir", "multi", "rgb", "purple", "orange", "pink", "cyan", "lime",
}

// running is the name of the LED with which the firmware itself says that it
// runs, or empty: OpenWrt names it in the device tree.
func (s System) running() string {
	node := filepath.Join("/", s.read(tree, "aliases/led-running"))
	if node == "/" {
		return ""
	}
	if label := s.read(tree, node, "label"); label != "" {
		return label
	}
	n, err := os.ReadFile(s.path(tree, node, "color"))
	function := s.read(tree, node, "function")
	if err != nil || len(n) != 4 || function == "" {
		return ""
	}
	if i := binary.BigEndian.Uint32(n); i < uint32(len(colors)) {
		return colors[i] + ":" + function
	}
	return ""
}

// ledsOff reads OpenWrt's option for dark boards.
func (s System) ledsOff() bool {
	f, err := os.Open(s.path("etc/config/system"))
	if err != nil {
		return false
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, 64<<10))
	off, system := false, false
	for _, line := range strings.Split(string(b), "\n") {
		w := strings.Fields(strings.NewReplacer("'", "", `"`, "").Replace(line))
		switch {
		case len(w) >= 2 && w[0] == "config":
			system = w[1] == "system"
		case system && len(w) >= 3 && w[0] == "option" && w[1] == "leds_off":
			off = w[2] == "1" || w[2] == "on" || w[2] == "true" || w[2] == "yes" || w[2] == "enabled"
		}
	}
	return off
}
