package hub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// least is how much of the disk must be free, bytes, lest the bus soon stops: it
// does not go on by itself when there is room again.
const least = 64 << 20

// ErrDisk says that the bus has no room, or soon none.
var ErrDisk = errors.New("the disk of the bus is full")

// ErrStopped says that an embedded bus could not write for want of room: it takes no
// reports until it is started again. It is an [ErrDisk], too.
var ErrStopped = fmt.Errorf("%w: make room and start this program again", ErrDisk)

// Check looks whether the bus can take reports, and keep those that nobody has
// written to the history yet.
func (h *Hub) Check(ctx context.Context) error {
	ctx, done := context.WithTimeout(ctx, 5*time.Second)
	defer done()
	if h.server != nil {
		if err := h.checkDisk(); err != nil {
			return err
		}
	}
	s, err := h.js.Stream(ctx, fleet.Stream)
	if err != nil {
		return fmt.Errorf("stream of reports: %w", err)
	}
	state, limit := s.CachedInfo().State, s.CachedInfo().Config.MaxBytes
	if limit <= 0 || state.Bytes < uint64(limit)/10*8 {
		return nil
	}
	if n, err := h.Backlog(ctx); err == nil && n > state.Msgs/2 {
		return fmt.Errorf("%w: %d of %d bytes are taken, and %d reports wait for the history: the oldest will be dropped", ErrDisk, state.Bytes, limit, n)
	}
	return nil
}

func (h *Hub) checkDisk() error {
	switch s := h.server.Healthz(&server.HealthzOptions{}); {
	case strings.Contains(s.Error, unix.ENOSPC.Error()):
		return fmt.Errorf("%w (%s)", ErrStopped, s.Error)
	case s.Status != "ok":
		return fmt.Errorf("bus: %s", s.Error)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(h.server.StoreDir(), &fs); err != nil {
		return fmt.Errorf("disk of the bus: %w", err)
	}
	if free := fs.Bavail * uint64(fs.Bsize); free < least {
		return fmt.Errorf("%w, nearly: %d bytes are free", ErrDisk, free)
	}
	return nil
}

// Watch says in the log when the bus has trouble and when it is over, and hands the
// trouble on, nil when there is none, until ctx ends.
func (h *Hub) Watch(ctx context.Context, tell func(error)) {
	var had error
	for {
		err := h.Check(ctx)
		if ctx.Err() != nil {
			return
		}
		tell(err)
		switch worse := errors.Is(err, ErrStopped) && !errors.Is(had, ErrStopped); {
		case err != nil && (had == nil || worse):
			h.conf.Log.Error("bus in trouble", "err", err)
		case err == nil && had != nil:
			h.conf.Log.Info("bus in order again")
		}
		had = err
		if !pause(ctx, 10*time.Second) {
			return
		}
	}
}
