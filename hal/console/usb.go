package console

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// usbPrefix begins the name of a port that is found by what is plugged in:
// usb:VENDOR:PRODUCT. Its device's number changes when it is plugged in again,
// and not every system gives it a name that stays.
const usbPrefix = "usb:"

// device is the path of a port's device. Class is where the kernel lists
// terminals.
func device(port, class string) (string, error) {
	id, ok := strings.CutPrefix(port, usbPrefix)
	if !ok {
		return port, nil
	}
	vendor, product, _ := strings.Cut(strings.ToLower(id), ":")
	entries, err := os.ReadDir(class)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		v, p := usbIDs(filepath.Join(class, e.Name(), "device"))
		if v != "" && v == vendor && p == product {
			return filepath.Join("/dev", e.Name()), nil
		}
	}
	return "", fmt.Errorf("no serial port %s is plugged in: %w", port, fs.ErrNotExist)
}

// usbIDs are the vendor and product of the USB device that a terminal belongs
// to: its interface, or a port of that, lies below the device. The path leads
// over a link, so it must not be shortened.
func usbIDs(dir string) (vendor, product string) {
	for range 3 {
		dir += "/.."
		v, errV := os.ReadFile(dir + "/idVendor")
		p, errP := os.ReadFile(dir + "/idProduct")
		if errV == nil && errP == nil {
			return strings.TrimSpace(string(v)), strings.TrimSpace(string(p))
		}
	}
	return "", ""
}
