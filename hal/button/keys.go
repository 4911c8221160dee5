package button

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unsafe"
)

// keys is a key of the first input device that has it.
type keys struct {
	class, dev string // directories of devices: what they can do, and to read from
	code       uint16
}

// again is how long it takes until a device that was lost is looked for.
const again = 30 * time.Second

// run follows the key. A device that went away may come back under another
// number; where there was none at the start, none is waited for.
func (k keys) run(ctx context.Context, changed func(down bool)) error {
	for found := false; ; {
		if path := k.find(); path != "" {
			found = true
			k.follow(ctx, path, changed)
		}
		if !found {
			<-ctx.Done()
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(again):
		}
	}
}

// find is the path of the device, empty if there is none.
func (k keys) find() string {
	entries, err := os.ReadDir(k.class)
	if err != nil {
		return ""
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(k.class, e.Name(), "device", "capabilities", "key"))
		if err == nil && strings.HasPrefix(e.Name(), "event") && has(string(b), k.code) {
			return filepath.Join(k.dev, e.Name())
		}
	}
	return ""
}

// word is the size of the kernel's words as this program sees them, bytes.
const word = unsafe.Sizeof(uintptr(0))

// has reports whether a bit is set in a bitmap as the kernel writes it: words in
// hexadecimal digits, the highest first.
func has(bitmap string, bit uint16) bool {
	words := strings.Fields(bitmap)
	i := len(words) - 1 - int(bit/uint16(8*word))
	if i < 0 {
		return false
	}
	n, err := strconv.ParseUint(words[i], 16, 64)
	return err == nil && n>>(bit%uint16(8*word))&1 == 1
}

// An event is its time, two words, and then type, code and value
// (struct input_event).
const (
	eventSize = 2*word + 8
	typeKey   = 1
)

// follow reads events until the device is lost or ctx ends.
func (k keys) follow(ctx context.Context, path string, changed func(down bool)) {
	f, err := os.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return
	}
	defer f.Close()
	defer context.AfterFunc(ctx, func() { _ = f.Close() })()
	b := make([]byte, 64*eventSize)
	for {
		n, err := f.Read(b)
		if err != nil || n == 0 {
			return
		}
		k.events(b[:n], changed)
	}
}

// events finds the key's changes among whole events. Repeats while it is down
// (value 2) are none.
func (k keys) events(b []byte, changed func(down bool)) {
	for ; len(b) >= int(eventSize); b = b[eventSize:] {
		e := b[2*word:]
		kind, code, value := binary.NativeEndian.Uint16(e), binary.NativeEndian.Uint16(e[2:]), binary.NativeEndian.Uint32(e[4:])
		if kind == typeKey && code == k.code && value <= 1 {
			changed(value == 1)
		}
	}
}
