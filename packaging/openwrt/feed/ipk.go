package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// ipk is what one package says of itself.
type ipk struct {
	control   string
	conffiles []string
	files     map[string][32]byte // SHA-256 by absolute path
}

// readIPK reads a package: a gzipped tar of two more and of a version.
func readIPK(name string) (ipk, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return ipk{}, err
	}
	p := ipk{files: map[string][32]byte{}}
	err = each(bytes.NewReader(data), func(member string, body io.Reader) error {
		switch member {
		case "/control.tar.gz":
			return each(body, p.takeControl)
		case "/data.tar.gz":
			return each(body, p.takeFile)
		}
		return nil
	})
	if err == nil && p.control == "" {
		err = errors.New("no control file")
	}
	if err != nil {
		return ipk{}, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

func (p *ipk) takeControl(name string, body io.Reader) error {
	b, err := io.ReadAll(body)
	switch name {
	case "/control":
		p.control = strings.TrimRight(string(b), "\n") + "\n"
	case "/conffiles":
		p.conffiles = strings.Fields(string(b))
	}
	return err
}

func (p *ipk) takeFile(name string, body io.Reader) error {
	b, err := io.ReadAll(body)
	p.files[name] = sha256.Sum256(b)
	return err
}

// each calls do for each plain file of a gzipped tar.
func each(r io.Reader, do func(name string, body io.Reader) error) error {
	z, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := do(path.Clean("/"+h.Name), t); err != nil {
			return err
		}
	}
}

// index writes the list of the packages in a directory, and signs it.
func index(key, dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*.ipk"))
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fmt.Errorf("no packages in %s", dir)
	}
	slices.Sort(names)
	var b bytes.Buffer
	for _, name := range names {
		entry, err := entryOf(name)
		if err != nil {
			return err
		}
		b.WriteString(entry)
	}
	var z bytes.Buffer
	w, _ := gzip.NewWriterLevel(&z, gzip.BestCompression)
	if _, err := w.Write(b.Bytes()); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	out := map[string][]byte{"Packages": b.Bytes(), "Packages.gz": z.Bytes()}
	if key != "" {
		sig, err := sign(key, b.Bytes())
		if err != nil {
			return err
		}
		out["Packages.sig"] = sig
	} else if err := os.Remove(filepath.Join(dir, "Packages.sig")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err // one of an older list would only be wrong
	}
	for name, data := range out {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// entryOf is what the list says of a package: its control file with what opkg
// needs to fetch it, before the description as OpenWrt has it.
func entryOf(name string) (string, error) {
	p, err := readIPK(name)
	if err != nil {
		return "", err
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	fetch := fmt.Sprintf("Filename: %s\nSize: %d\nSHA256sum: %x\n", filepath.Base(name), len(data), sha256.Sum256(data))
	before, after, found := strings.Cut(p.control, "\nDescription:")
	if !found {
		return p.control + fetch + "\n", nil
	}
	return before + "\n" + fetch + "Description:" + after + "\n", nil
}

// list writes what OpenWrt's buildroot puts into an apk for its own scripts: all
// files, the configuration files, and their sums.
func list(name, dir, pkg string) error {
	p, err := readIPK(name)
	if err != nil {
		return err
	}
	var all []string
	for f := range p.files {
		all = append(all, f)
	}
	slices.Sort(all)
	var sums strings.Builder
	for _, f := range p.conffiles {
		sum, ok := p.files[f]
		if !ok {
			return fmt.Errorf("%s: configuration file %s is not in it", name, f)
		}
		fmt.Fprintf(&sums, "%s %x\n", f, sum)
	}
	out := map[string]string{pkg + ".list": lines(all)}
	if len(p.conffiles) > 0 {
		out[pkg+".conffiles"], out[pkg+".conffiles_static"] = lines(p.conffiles), sums.String()
	}
	for f, text := range out {
		if err := os.WriteFile(filepath.Join(dir, f), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func lines(all []string) string { return strings.Join(all, "\n") + "\n" }
