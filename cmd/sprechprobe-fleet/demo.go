package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"golang.org/x/term"

	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/demo"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/farends"
)

const demoArgs = `[flags]
  --box FILE     the box's program (default: beside this one, or bin/sprechprobe)
  --listen ADDR  where the dashboard listens (default 127.0.0.1:8080, or the next free port)
  --lang LANG    de or en (default de)
  --once         break one thing, heal it, say what was seen, and end; the default
                 without a terminal
  --fault KEYS   what to break with --once, one after another: keys or names
                 separated by commas, or all (default u, UDP)`

// runDemo plays on a terminal, and breaks and heals one thing without.
func runDemo(ctx context.Context, e env, args []string) error {
	c := demo.Config{In: e.in, Out: e.out}
	var lang, fault string
	var once bool
	f := flags("demo")
	f.StringVar(&c.Box, "box", "", "")
	f.StringVar(&c.Listen, "listen", "127.0.0.1:8080", "")
	f.StringVar(&lang, "lang", "de", "")
	f.BoolVar(&once, "once", false, "")
	f.StringVar(&fault, "fault", "u", "")
	if err := parse(f, args); err != nil {
		return err
	}
	var err error
	if c.Lang, err = advice.ParseLang(lang); err != nil {
		return errUsage{err}
	}
	faults, err := faultsOf(fault)
	if err != nil {
		return errUsage{err}
	}
	if once || !term.IsTerminal(int(e.in.Fd())) {
		c.Log = slog.New(logHandler(e.err))
		return demo.Once(ctx, c, faults...)
	}
	if given(f)["fault"] {
		return errUsage{errors.New("--fault is for --once: on a terminal, type its key")}
	}
	c.Log = slog.New(slog.DiscardHandler) // notes would run through the picture
	return demo.Play(ctx, c)
}

// faultsOf reads a list of faults.
func faultsOf(list string) ([]string, error) {
	var out []string
	if list == "all" {
		for _, f := range farends.Faults() {
			out = append(out, f.Name)
		}
		return out, nil
	}
	for name := range strings.SplitSeq(list, ",") {
		f, err := farends.FaultOf(strings.TrimSpace(name))
		if err != nil {
			return nil, err
		}
		out = append(out, f.Name)
	}
	return out, nil
}
