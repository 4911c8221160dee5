package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const ourModule = "github.com/sprechprobe/sprechprobe"

// apache is the text of that licence, which every Debian system has.
var apache = regexp.MustCompile(`(?s)[ \t]*Apache License\s+Version 2\.0, January 2004.*?END OF TERMS AND CONDITIONS`)

// writeCopyright writes Debian's file of licences. A text that several parts share
// stands there once.
func writeCopyright(w io.Writer, program string, parts []part) error {
	var b strings.Builder
	fmt.Fprintf(&b, `%s: https://%s

Copyright the Sprechprobe authors.

Licensed under the Apache License, Version 2.0; on Debian systems its text is in
/usr/share/common-licenses/Apache-2.0.

The program is linked with the following, each under its own licence:

`, path.Base(program), ourModule)
	for _, p := range parts {
		fmt.Fprintf(&b, "  %s %s (%s)\n", p.Path, p.Version, p.Licence)
	}
	type shared struct {
		owners []string
		body   string
	}
	var all []*shared
	for _, p := range parts {
		for _, t := range p.Texts {
			body := apache.ReplaceAllString(t.body, "Apache License, Version 2.0: see /usr/share/common-licenses/Apache-2.0")
			i := slices.IndexFunc(all, func(s *shared) bool { return s.body == body })
			if i < 0 {
				i, all = len(all), append(all, &shared{body: body})
			}
			if owner := p.Path + " (" + t.name + ")"; !slices.Contains(all[i].owners, owner) {
				all[i].owners = append(all[i].owners, owner)
			}
		}
	}
	for _, s := range all {
		fmt.Fprintf(&b, "\n%s\n\n%s\n\n%s\n", strings.Repeat("-", 79), strings.Join(s.owners, "\n"), s.body)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// The parts of CycloneDX 1.5 that we fill.
type (
	bom struct {
		Format     string      `json:"bomFormat"`
		Spec       string      `json:"specVersion"`
		Version    int         `json:"version"`
		Metadata   metadata    `json:"metadata"`
		Components []component `json:"components"`
	}
	metadata struct {
		Component component `json:"component"`
	}
	component struct {
		Type       string     `json:"type"`
		Name       string     `json:"name"`
		Version    string     `json:"version"`
		PURL       string     `json:"purl,omitempty"`
		Hashes     []hash     `json:"hashes,omitempty"`
		Licences   []licence  `json:"licenses"`
		Properties []property `json:"properties,omitempty"`
	}
	hash struct {
		Alg     string `json:"alg"`
		Content string `json:"content"`
	}
	licence struct {
		Expression string `json:"expression"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
)

// writeSBOM writes a list in CycloneDX's format. It has neither a time nor a number
// of its own, so that the same program always gives the same list.
func writeSBOM(w io.Writer, file string, info *buildinfo.BuildInfo, parts []part) error {
	body, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	out := bom{Format: "CycloneDX", Spec: "1.5", Version: 1}
	out.Metadata.Component = component{
		Type: "application", Name: filepath.Base(file), Version: os.Getenv("VERSION"),
		Hashes:   []hash{{"SHA-256", hex.EncodeToString(sum[:])}},
		Licences: []licence{{"Apache-2.0"}},
	}
	for _, s := range info.Settings {
		if strings.HasPrefix(s.Key, "GO") && s.Key != "GOEXPERIMENT" {
			out.Metadata.Component.Properties = append(out.Metadata.Component.Properties, property{s.Key, s.Value})
		}
	}
	for _, p := range parts {
		out.Components = append(out.Components, component{
			Type: "library", Name: p.Path, Version: p.Version,
			PURL: "pkg:golang/" + p.Path + "@" + strings.ReplaceAll(p.Version, "+", "%2B"), Licences: []licence{{p.Licence}},
		})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(out)
}
