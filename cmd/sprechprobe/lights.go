package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent/config"
	"github.com/sprechprobe/sprechprobe/agent/daemon"
	"github.com/sprechprobe/sprechprobe/agent/light"
)

// lights finds and drives the lights of this board.
func lights(ctx context.Context, e env, args []string) (int, error) {
	what, state := "list", light.Starting
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		what, args = args[0], args[1:]
	}
	if what == "show" {
		if len(args) == 0 || strings.HasPrefix(args[0], "-") {
			return exitUsage, errors.New("show what? Want the word of a state, see list")
		}
		if err := state.UnmarshalText([]byte(args[0])); err != nil {
			return exitUsage, err
		}
		args = args[1:]
	}
	var src source
	f := flags("lights")
	f.StringVar(&src.path, "config", "", "")
	f.StringVar(&src.lang, "lang", "", "")
	if err := parse(f, args); err != nil {
		return exitUsage, err
	}
	c, err := src.load()
	if err != nil {
		if state != light.Stopped {
			return exitUsage, err
		}
		// What stops a box must not stop its lamps from saying so.
		fmt.Fprintf(e.err, "sprechprobe lights: %v; taking the lamps of the board\n", err)
		c = config.Default()
	}
	return lightsDo(ctx, e, what, state, c, src)
}

func lightsDo(ctx context.Context, e env, what string, state light.State, c config.Config, src source) (int, error) {
	lang, err := src.language(c)
	if err != nil {
		return exitUsage, err
	}
	log := slog.New(logHandler(e.err))
	switch what {
	case "list":
		_, err = fmt.Fprint(e.out, daemon.ListLights(c, lang))
	case "show":
		err = daemon.ShowLights(ctx, c.Lights, e.out, log, state)
	case "identify":
		err = daemon.IdentifyLights(ctx, c.Lights, e.out, log)
	case "release":
		var names []string
		if names, err = daemon.GiveBackLights(); err == nil {
			fmt.Fprintf(e.out, "given back: %s\n", strings.Join(names, " "))
		}
	default:
		return exitUsage, fmt.Errorf("no %q: want list, show, identify or release", what)
	}
	if err != nil {
		return exitFailed, err
	}
	return 0, nil
}
