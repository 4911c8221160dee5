package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/sprechprobe/sprechprobe/cmd/internal/buildinfo"
)

// flags makes an empty set of flags that leaves all talking to us.
func flags(name string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	return f
}

// parse reads flags and takes no other arguments.
func parse(f *flag.FlagSet, args []string) error {
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil:
		return errUsage{err}
	case f.NArg() > 0:
		return errUsage{fmt.Errorf("unexpected argument %q", f.Arg(0))}
	}
	return nil
}

// given says which flags stood on the command line.
func given(f *flag.FlagSet) map[string]bool {
	set := map[string]bool{}
	f.Visit(func(f *flag.Flag) { set[f.Name] = true })
	return set
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

// logHandler writes text; systemd's journal has its own time stamps.
func logHandler(w io.Writer) slog.Handler {
	var o slog.HandlerOptions
	if os.Getenv("JOURNAL_STREAM") != "" {
		o.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey && len(groups) == 0 {
				return slog.Attr{}
			}
			return a
		}
	}
	return slog.NewTextHandler(w, &o)
}

func version(_ context.Context, e env, args []string) error {
	if err := parse(flags("version"), args); err != nil {
		return err
	}
	fmt.Fprintf(e.out, "sprechprobe-fleet %s %s\n", buildinfo.Version(), buildinfo.Platform())
	return nil
}
