package main

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/hub"
)

// Parts of a server that may be in trouble while it goes on.
const (
	partBus     = "bus"
	partWriting = "writing the history"
	partHistory = "history"
)

// health is which parts of a server are in trouble. Its zero value is well, but for
// the log that it needs; it is safe for concurrent use.
type health struct {
	log *slog.Logger
	mu  sync.Mutex
	bad map[string]error
}

// note enters how a part does, and says in the log when that changes. The bus says so
// by itself.
func (h *health) note(part string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.bad[part]
	if h.bad == nil {
		h.bad = map[string]error{}
	}
	if h.bad[part] = err; err == nil {
		delete(h.bad, part)
	}
	switch {
	case part == partBus || (was == nil) == (err == nil):
	case err != nil:
		h.log.Error("in trouble", "part", part, "err", err)
	default:
		h.log.Info("in order again", "part", part)
	}
}

func (h *health) of(part string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.bad[part]
}

// troubles says what is the matter, for whoever asks: which is everybody, so that the
// errors themselves are for the log.
func (h *health) troubles() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for _, part := range slices.Sorted(maps.Keys(h.bad)) {
		switch err := h.bad[part]; {
		case errors.Is(err, hub.ErrStopped):
			part += ": the disk was full, and it has stopped; make room and start this program again"
		case errors.Is(err, hub.ErrDisk):
			part += ": the disk is full, or nearly"
		}
		out = append(out, part)
	}
	return out
}
