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
		fmt.Fprint(e.out, config.Minimal(names))
	default:
		return exitUsage, fmt.Errorf("no %q: want check, show or init", args[0])
	}
	return 0, nil
}
