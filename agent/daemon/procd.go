package daemon

import (
	"context"
	"os"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/procd"
)

// procdPatience is after how long without a sign of life procd starts the program
// again. With the 5 s that it gives a program to end, a lamp that the kernel
// keeps lit is wrong for less than 30.
const procdPatience = 20 * time.Second

// procdWatchdog is the watchdog of OpenWrt's service manager, where that started
// the program.
func procdWatchdog() (*procd.Watchdog, bool) {
	service, instance, ok := procd.Named(os.Getenv("PROCD_SERVICE"))
	return &procd.Watchdog{Service: service, Instance: instance, Timeout: procdPatience, Sockets: procd.Sockets}, ok
}

// feed passes each sign of life of the loop on to procd. What is not fed was
// never armed: a box without its bus runs on unwatched, and says so once.
func (l *loop) feed(ctx context.Context, w interface{ Feed() error }) error {
	wrong := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.lives:
		}
		err := w.Feed()
		if err != nil && !wrong {
			l.opts.Log.Warn("procd's watchdog is not fed", "err", err)
		}
		wrong = err != nil
	}
}
