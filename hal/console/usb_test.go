package console_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sprechprobe/sprechprobe/hal/console"
	"github.com/sprechprobe/sprechprobe/hal/haltest"
)

// The links and files are those of the kernel for an adapter (driver ftdi_sio),
// whose terminal belongs to a port of the interface, and for a board that is a
// modem (cdc_acm), whose terminal belongs to the interface.
func TestDevice(t *testing.T) {
	root := haltest.Files(t, map[string]string{
		"devices/usb1/1-1/idVendor":                "0403\n",
		"devices/usb1/1-1/idProduct":               "6001\n",
		"devices/usb1/1-1/1-1:1.0/ttyUSB0/port":    "0",
		"devices/usb1/1-2/idVendor":                "2e8a\n",
		"devices/usb1/1-2/idProduct":               "000a\n",
		"devices/usb1/1-2/1-2:1.0/interface":       "Board CDC",
		"devices/platform/serial8250/ttyS0/iobase": "0x3f8",
	})
	class := filepath.Join(root, "class")
	for tty, dev := range map[string]string{
		"ttyUSB0": "devices/usb1/1-1/1-1:1.0/ttyUSB0", "ttyACM3": "devices/usb1/1-2/1-2:1.0",
		"ttyS0": "devices/platform/serial8250", "tty1": "",
	} {
		if err := os.MkdirAll(filepath.Join(class, tty), 0o777); err != nil {
			t.Fatal(err)
		}
		if dev == "" {
			continue
		}
		if err := os.Symlink(filepath.Join(root, dev), filepath.Join(class, tty, "device")); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct{ port, want, wantErr string }{
		{"/dev/ttyS0", "/dev/ttyS0", ""},
		{"usb:0403:6001", "/dev/ttyUSB0", ""},
		{"usb:2e8a:000A", "/dev/ttyACM3", ""},
		{"usb:2e8a:0001", "", "no serial port usb:2e8a:0001 is plugged in"},
		{"usb:", "", "no serial port"},
	}
	for _, tt := range tests {
		got, err := console.Device(tt.port, class)
		if got != tt.want || !matches(err, tt.wantErr) {
			t.Errorf("%s is %q, err %v; want %q, %q", tt.port, got, err, tt.want, tt.wantErr)
		}
	}
	if _, err := console.Device("usb:0403:6001", filepath.Join(root, "none")); err == nil {
		t.Error("a system that lists no terminals gave no error")
	}
}
