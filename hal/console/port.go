package console

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// OpenPort opens a serial port, 8N1 without flow control: by the path of its
// device, or by usb:VENDOR:PRODUCT, the first port of such a USB device. It
// refuses a port that carries the kernel's console: what the box says there
// would be taken for a login, and what the kernel says there for the panel's.
func OpenPort(name string, baud int) (io.ReadWriteCloser, error) {
	name, err := device(name, "/sys/class/tty")
	if err != nil {
		return nil, err
	}
	if err := checkConsole(name, "/proc/consoles"); err != nil {
		return nil, err
	}
	port, err := serial.Open(name, &serial.Mode{BaudRate: baud, DataBits: 8})
	if err != nil {
		return nil, err
	}
	// Some adapters pass nothing on without these lines, and some have none.
	_ = port.SetDTR(true)
	_ = port.SetRTS(true)
	return port, nil
}

// checkConsole says whether a port is in the kernel's list of consoles. Its
// device number decides, for /dev has many names for one port.
func checkConsole(port, list string) error {
	var st unix.Stat_t
	if err := unix.Stat(port, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: port, Err: err}
	}
	number := fmt.Appendf(nil, "%d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)))
	refused := fmt.Errorf("%s is a console of the system", port)
	if string(number) == "5:1" { // /dev/console, whichever that is
		return refused
	}
	consoles, err := os.ReadFile(list)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	name := []byte(filepath.Base(port))
	for line := range bytes.Lines(consoles) {
		f := bytes.Fields(line)
		if len(f) > 0 && (bytes.Equal(f[0], name) || bytes.Equal(f[len(f)-1], number)) {
			return refused
		}
	}
	return nil
}
