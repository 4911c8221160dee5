package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent/config"
	"github.com/sprechprobe/sprechprobe/agent/profile"
	"github.com/sprechprobe/sprechprobe/agent/provision"
	"github.com/sprechprobe/sprechprobe/agent/strict"
	"github.com/sprechprobe/sprechprobe/agent/uci"
)

// configure checks, shows or makes a configuration.
func configure(_ context.Context, e env, args []string) (int, error) {
	if len(args) == 0 {
		return exitUsage, fmt.Errorf("want check, show, init, sheet, adopt or from-uci")
	}
	if args[0] == "from-uci" {
		return fromUCI(e, args[1:])
	}
	var src source
	f := flags("config")
	f.StringVar(&src.path, "config", "", "")
	f.StringVar(&src.profiles, "profile", "", "")
	f.StringVar(&src.lang, "lang", "", "")
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
	case "sheet":
		s, lang, err := src.speaking()
		if err != nil {
			return exitUsage, err
		}
		fmt.Fprint(e.out, s.Sheet().Text(lang))
	case "adopt":
		said, err := provision.Adopt(provision.Here, func(c config.Config) error {
			_, err := profile.Load(c.ProfileDir, c.Profiles)
			return err
		})
		if err != nil {
			return exitFailed, fmt.Errorf("the file on the boot partition is not taken over: %w", err)
		}
		fmt.Fprintln(e.out, "sprechprobe:", said)
	default:
		return exitUsage, fmt.Errorf("no %q: want check, show, init, sheet, adopt or from-uci", args[0])
	}
	return 0, nil
}

// uciFile is where OpenWrt keeps the settings of a box.
const uciFile = "/etc/config/sprechprobe"

// fromUCI prints the configuration that OpenWrt's settings ask for.
func fromUCI(e env, args []string) (int, error) {
	path := uciFile
	if len(args) > 0 {
		path, args = args[0], args[1:]
	}
	if len(args) > 0 || strings.HasPrefix(path, "-") {
		return exitUsage, fmt.Errorf("from-uci wants nothing but the file, else it is %s", uciFile)
	}
	data, err := strict.ReadFile(path)
	if err != nil {
		return exitUsage, err
	}
	f, err := uci.Render(path, data)
	if err != nil {
		return exitUsage, err
	}
	if _, err := config.Parse(path, f.Text); err != nil {
		return exitUsage, f.Blame(err)
	}
	_, err = e.out.Write(f.Text)
	return 0, err
}
