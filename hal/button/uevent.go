package button

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// broadcasts listens to the kernel's own messages. OpenWrt's driver for buttons
// tells their changes there and nowhere else; on other systems none come. A
// system that does not let us listen has no such button.
func broadcasts(ctx context.Context, name string, changed func(down bool)) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err == nil {
		if err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
			_ = unix.Close(fd)
		}
	}
	if err != nil {
		<-ctx.Done()
		return nil
	}
	f := os.NewFile(uintptr(fd), "uevents")
	defer f.Close()
	defer context.AfterFunc(ctx, func() { _ = f.Close() })()
	b := make([]byte, 8<<10) // the kernel's own bound is 2 KiB and a path
	for {
		n, err := f.Read(b)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS): // too many at once; some are lost
			continue
		case err != nil:
			return fmt.Errorf("listen to the kernel: %w", err)
		}
		if down, ok := parse(b[:n], name); ok {
			changed(down)
		}
	}
}

// parse reads a message: "action@path", then KEY=value, each ended by a zero
// byte. It reports whether it is a change of the button.
func parse(b []byte, name string) (down, ok bool) {
	has := func(field string) bool { return bytes.Contains(b, []byte("\x00"+field+"\x00")) }
	if !has("SUBSYSTEM=button") || !has("BUTTON="+name) || has("TYPE=switch") {
		return false, false
	}
	down = has("ACTION=pressed")
	return down, down || has("ACTION=released")
}
