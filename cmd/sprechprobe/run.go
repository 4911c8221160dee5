package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"

	"github.com/sprechprobe/sprechprobe/agent/daemon"
)

// run is the daemon. SIGHUP reads the configuration again, SIGUSR1 makes a round
// at once, SIGUSR2 lets the lights show which box this is.
func run(ctx context.Context, e env, args []string) (int, error) {
	var src source
	f := flags("run")
	f.StringVar(&src.path, "config", "", "")
	if err := parse(f, args); err != nil {
		return exitUsage, err
	}
	s, err := src.setup()
	if err != nil {
		return exitUsage, err
	}
	reloads, stopReloads := on(syscall.SIGHUP)
	defer stopReloads()
	checks, stopChecks := on(syscall.SIGUSR1)
	defer stopChecks()
	shows, stopShows := on(syscall.SIGUSR2)
	defer stopShows()
	door, err := door()
	if err != nil {
		return exitFailed, err
	}
	err = daemon.Run(ctx, daemon.Options{
		Setup: s, Reload: src.setup, Log: slog.New(logHandler(e.err)), Out: e.out, Door: door,
		Checks: checks, Reloads: reloads, Identify: shows,
	})
	if err != nil {
		return exitFailed, err
	}
	return 0, nil
}

// door is the socket that systemd holds open for the page, nil without one. It
// goes on being ours through all configurations.
func door() (net.Listener, error) {
	all, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("sockets of the service manager: %w", err)
	}
	for _, ln := range all {
		if ln != nil && ln.Addr().Network() == "tcp" {
			return ln, nil
		}
	}
	return nil, nil
}

// on turns a signal into a channel without values.
func on(sig os.Signal) (<-chan struct{}, func()) {
	in, out := make(chan os.Signal, 1), make(chan struct{}, 1)
	signal.Notify(in, sig)
	go func() {
		for range in {
			select {
			case out <- struct{}{}:
			default:
			}
		}
	}()
	return out, func() { signal.Stop(in); close(in) }
}
