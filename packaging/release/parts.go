package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// part is a module in a program, or Go's own library.
type part struct {
	Path, Version string
	Licence       string // SPDX identifier
	Texts         []text
}

// text is a file that has to go with a part.
type text struct{ name, body string }

// partsOf lists what is in a program beside our own module. A part without a
// licence that we know is an error: nobody may give that away.
func partsOf(info *buildinfo.BuildInfo) ([]part, error) {
	dirs, err := moduleDirs()
	if err != nil {
		return nil, err
	}
	root, err := goRoot()
	if err != nil {
		return nil, err
	}
	parts := []part{{Path: "std", Version: strings.TrimPrefix(info.GoVersion, "go")}}
	if parts[0].Texts, err = texts(root); err != nil {
		return nil, err
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		p := part{Path: m.Path, Version: m.Version}
		if p.Texts, err = texts(dirs[m.Path+"@"+m.Version]); err != nil {
			return nil, fmt.Errorf("%s: %w", m.Path, err)
		}
		parts = append(parts, p)
	}
	for i := range parts {
		if parts[i].Licence = identify(parts[i].Texts); parts[i].Licence == "" {
			return nil, fmt.Errorf("%s %s: no licence that is known", parts[i].Path, parts[i].Version)
		}
	}
	return parts, nil
}

func goRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	return strings.TrimSpace(string(out)), err
}

// moduleDirs says where the modules of this repository lie, by path@version.
func moduleDirs() (map[string]string, error) {
	out, err := exec.Command("go", "list", "-m", "-json", "all").Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	dirs := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var m struct{ Path, Version, Dir string }
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			return dirs, nil
		} else if err != nil {
			return nil, err
		}
		dirs[m.Path+"@"+m.Version] = m.Dir
	}
}

var legal = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([-._].*)?$`)

// texts are the legal files at the top of a directory, by name.
func texts(dir string) ([]text, error) {
	if dir == "" {
		return nil, errors.New("its source is not here")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []text
	for _, e := range entries {
		if !e.Type().IsRegular() || !legal.MatchString(e.Name()) || strings.HasSuffix(e.Name(), ".go") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		all = append(all, text{e.Name(), strings.ReplaceAll(strings.TrimSpace(string(b)), "\r\n", "\n")})
	}
	return all, nil
}

// marks are sentences by which licences are known, the more particular first.
var marks = []struct{ id, mark string }{
	{"Apache-2.0", "Apache License Version 2.0"},
	{"MPL-2.0", "Mozilla Public License Version 2.0"},
	{"MPL-2.0", "Mozilla Public License, version 2.0"},
	{"BSD-3-Clause", "may be used to endorse or promote products"},
	{"BSD-2-Clause", "Redistributions in binary form must reproduce"},
	{"MIT", "Permission is hereby granted, free of charge"},
	{"ISC", "Permission to use, copy, modify, and/or distribute this software for any purpose"},
	{"ISC", "Permission to use, copy, modify, and distribute this software for any purpose"},
}

// identify names the licences in texts, several joined as SPDX does; empty if none
// is known.
func identify(texts []text) string {
	var ids []string
	for _, t := range texts {
		body := strings.Join(strings.Fields(t.body), " ")
		for _, m := range marks {
			if strings.Contains(body, m.mark) {
				if !slices.Contains(ids, m.id) {
					ids = append(ids, m.id)
				}
				break
			}
		}
	}
	return strings.Join(ids, " AND ")
}
