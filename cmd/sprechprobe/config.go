package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent/config"
)

// configure checks, shows or makes a configuration.
func configure(_ context.Context, e env, args []string) (int, error) {
	if len(args) == 0 {
		return exitUsage, fmt.Errorf("want check, show or init")
	}
	var src source
	f := flags("config")
	f.StringVar(&src.path, "config", "", "")
	f.StringVar(&src.profiles, "profile", "", "")
	page := f.String("page", string(config.Unclaimed), "")
	if err := parse(f, args[1:]); err != nil {
		return exitUsage, err
	}
	switch args[0] {
	case "check":
		s, err := src.setup()
		if err != nil {
			return exitUsage, err
		}
		fmt.Fprintf(e.out, "good: box %s, profiles %s\n", s.Config.Box.ID, strings.Join(s.Config.Profiles, ", "))
	case "show":
		c, err := src.load()
		if err != nil {
			return exitUsage, err
		}
		fmt.Fprint(e.out, c.Show())
	case "init":
		names := config.Default().Profiles
		if src.profiles != "" {
			names = strings.Split(src.profiles, ",")
		}
		text := config.Minimal(names, config.When(*page))
		if _, err := config.Parse("config init", []byte(text)); err != nil {
			return exitUsage, err
		}
		fmt.Fprint(e.out, text)
	default:
		return exitUsage, fmt.Errorf("no %q: want check, show or init", args[0])
	}
	return 0, nil
}
