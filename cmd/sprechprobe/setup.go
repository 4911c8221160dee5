package main

import (
	"errors"
	"flag"
	"io/fs"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/config"
	"github.com/sprechprobe/sprechprobe/agent/daemon"
	"github.com/sprechprobe/sprechprobe/cmd/internal/buildinfo"
)

// defaultConfig is where an installed box has its configuration.
const defaultConfig = "/etc/sprechprobe/sprechprobe.toml"

// source says which configuration to use.
type source struct {
	path     string // empty: the default, or none where there is none
	profiles string // names, separated by commas, in place of the configured ones
	lang     string
}

// load reads the configuration. Without a file the built-in defaults serve, so
// that check works on any machine.
func (s source) load() (config.Config, error) {
	path := s.path
	if path == "" {
		path = defaultConfig
	}
	c, err := config.Load(path)
	if errors.Is(err, fs.ErrNotExist) && s.path == "" {
		c, err = config.Default(), nil
	}
	if err != nil {
		return config.Config{}, err
	}
	if s.profiles != "" {
		c.Profiles = strings.Split(s.profiles, ",")
	}
	return c, nil
}

// setup loads the configuration and everything that it names.
func (s source) setup() (daemon.Setup, error) {
	c, err := s.load()
	if err != nil {
		return daemon.Setup{}, err
	}
	return daemon.Load(c, daemon.Build{Version: buildinfo.Version(), Platform: buildinfo.Platform(), Time: buildinfo.Time()})
}

// sourceFlags are the flags of commands that look and speak.
func sourceFlags(f *flag.FlagSet) *source {
	var s source
	f.StringVar(&s.path, "config", "", "")
	f.StringVar(&s.profiles, "profile", "", "")
	f.StringVar(&s.lang, "lang", "", "")
	return &s
}

// speaking is the setup and the language to speak about it.
func (s source) speaking() (daemon.Setup, advice.Lang, error) {
	setup, err := s.setup()
	if err != nil {
		return daemon.Setup{}, "", err
	}
	lang, err := s.language(setup.Config)
	return setup, lang, err
}

// language is what the flag says, or else the configuration.
func (s source) language(c config.Config) (advice.Lang, error) {
	if s.lang != "" {
		return advice.ParseLang(s.lang)
	}
	return advice.ParseLang(string(c.Language))
}
