package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
)

// logHandler writes to the journal with fields where systemd started us, and
// plain lines elsewhere: without times under procd, whose log has its own.
func logHandler(w io.Writer) slog.Handler {
	if ours, err := journal.StderrIsJournalStream(); err == nil && ours {
		return &journalHandler{}
	}
	return slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey && len(groups) == 0 {
			return slog.Attr{}
		}
		return a
	}})
}

// journalHandler gives each attribute its own field, so that
// "journalctl SPRECHPROBE_CODE=turn-udp-block" finds what it says.
type journalHandler struct {
	attrs []slog.Attr
}

func (h *journalHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

func (h *journalHandler) WithAttrs(as []slog.Attr) slog.Handler {
	return &journalHandler{append(append([]slog.Attr{}, h.attrs...), as...)}
}

// WithGroup is not used by this program; names stay flat.
func (h *journalHandler) WithGroup(string) slog.Handler { return h }

func (h *journalHandler) Handle(_ context.Context, r slog.Record) error {
	fields := map[string]string{}
	var text strings.Builder
	text.WriteString(r.Message)
	add := func(a slog.Attr) bool {
		v := a.Value.Resolve().String()
		if v == "" {
			return true
		}
		fields["SPRECHPROBE_"+field(a.Key)] = v
		text.WriteString(" " + a.Key + "=" + v)
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	err := journal.Send(text.String(), priority(r.Level), fields)
	if err != nil { // the journal went away; stderr is all that is left
		_, err = os.Stderr.WriteString(text.String() + "\n")
	}
	return err
}

// field is a key as the journal wants it: capitals, digits and underscores.
func field(key string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r - 'a' + 'A'
		}
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, key)
}

func priority(l slog.Level) journal.Priority {
	switch {
	case l >= slog.LevelError:
		return journal.PriErr
	case l >= slog.LevelWarn:
		return journal.PriWarning
	default:
		return journal.PriInfo
	}
}
