package main_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// quickly is when a refusal of a file has to be there, on a busy machine too.
const quickly = 20 * time.Second

// odd makes something at path that is no file as it should be.
type odd struct {
	name string
	make func(t *testing.T, path string)
}

func written(s string) func(*testing.T, string) {
	return func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte(s), 0o644)) }
}

func link(to string) func(*testing.T, string) {
	return func(t *testing.T, path string) { must(t, os.Symlink(to, path)) }
}

func noise(n int) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		b := make([]byte, n)
		_, _ = rand.Read(b)
		must(t, os.WriteFile(path, b, 0o644))
	}
}

// notFiles are what stands in the place of a file and is none.
var notFiles = []odd{
	{"directory", func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o755)) }},
	{"pipe", func(t *testing.T, path string) { must(t, unix.Mkfifo(path, 0o644)) }},
	{"socket", func(t *testing.T, path string) {
		l, err := net.Listen("unix", path)
		must(t, err)
		t.Cleanup(func() { l.Close() })
	}},
	{"zeros", link("/dev/zero")},
	{"noise without end", link("/dev/urandom")},
	{"full device", link("/dev/full")},
	{"link to itself", func(t *testing.T, path string) { must(t, os.Symlink(path, path)) }},
}

// badTexts are files that are no TOML, or too much of it.
var badTexts = []odd{
	{"10 MB of comments", written(strings.Repeat("# all is well\n", 10<<20/14))},
	{"10 MB of brackets", written("a = " + strings.Repeat("[", 10<<20))},
	{"10 MB of noise", noise(10 << 20)},
	{"noise", noise(4096)},
	{"zero bytes", written(strings.Repeat("\x00", 4096))},
	{"64 KB of brackets", written("a = " + strings.Repeat("[", 60_000))},
	{"64 KB of dots", written("a" + strings.Repeat(".a", 30_000) + " = 1")},
	{"escapes of a terminal", written("\x1b[2J\x1b]0;all is well\a = 1\n")},
	{"another encoding", written("\xff\xfep\x00r\x00o\x00f\x00")},
}

// A configuration that is none is refused at once, in one line that names it.
func TestHostileConfigurations(t *testing.T) {
	t.Parallel()
	sprechprobe := build(t)
	v := &vendor{dir: t.TempDir()}
	for i, o := range append(append([]odd{}, notFiles...), badTexts...) {
		t.Run(o.name, func(t *testing.T) {
			path := filepath.Join(v.dir, fmt.Sprintf("%d.toml", i))
			o.make(t, path)
			for _, args := range [][]string{{"check"}, {"run"}, {"config", "check"}, {"request"}} {
				v.refuses(t, sprechprobe, path, 64, append(args, "--config", path)...)
			}
		})
	}
}

// So are profiles. Those that nobody asked for are read too, for one of them
// may be the one that was meant.
func TestHostileProfiles(t *testing.T) {
	t.Parallel()
	target := func(i int) string {
		return fmt.Sprintf("[[target]]\nservice=\"stun\"\nhost=\"h%d.%s\"\nport=3478\ntransports=[\"udp\"]\nfeeds=[\"direct\"]\n", i, domain)
	}
	about := "name=\"many\"\ntitle=\"M\"\nversion=\"1\"\nsource=\"https://" + domain + "/\"\ndate=\"2026-11-22\"\n"
	many := func(n int) func(*testing.T, string) {
		var b bytes.Buffer
		b.WriteString(about)
		for i := range n {
			b.WriteString(target(i))
		}
		return written(b.String())
	}
	odds := append(append([]odd{
		{"10000 targets", many(10_000)},
		{"500 targets", many(500)},
		{"65 targets", many(65)},
		{"4000 empty targets", written(about + strings.Repeat("[[target]]\n", 4000))},
	}, notFiles...), badTexts...)
	sprechprobe := build(t)
	v := &vendor{dir: t.TempDir()}
	for i, o := range odds {
		t.Run(o.name, func(t *testing.T) {
			dir := filepath.Join(v.dir, fmt.Sprintf("%d.d", i))
			must(t, os.Mkdir(dir, 0o755))
			o.make(t, filepath.Join(dir, "odd.toml"))
			config := v.write(t, fmt.Sprintf("%d.toml", i), fmt.Appendf(nil, "profile_dir = %q\n", dir))
			v.refuses(t, sprechprobe, filepath.Join(dir, "odd.toml"), 64, "check", "--config", config)
		})
	}
	for i, o := range notFiles[1:] {
		t.Run("directory is a "+o.name, func(t *testing.T) {
			dir := filepath.Join(v.dir, fmt.Sprintf("%d.not", i))
			o.make(t, dir)
			config := v.write(t, fmt.Sprintf("not%d.toml", i), fmt.Appendf(nil, "profile_dir = %q\n", dir))
			v.refuses(t, sprechprobe, dir, 64, "check", "--config", config)
		})
	}
}

// Files that a configuration names are refused as well, before anything is asked.
func TestHostileNamedFiles(t *testing.T) {
	t.Parallel()
	sprechprobe := build(t)
	v := &vendor{dir: t.TempDir()}
	entries := map[string]string{
		"credentials":   "[box]\nid = \"b\"\ntenant = \"acme\"\n[central]\nservers = [\"nats://127.0.0.1:1\"]\ncredentials = %q\n",
		"nkey_seed":     "[box]\nid = \"b\"\ntenant = \"acme\"\n[central]\nservers = [\"nats://127.0.0.1:1\"]\nnkey_seed = %q\n",
		"ca":            "[box]\nid = \"b\"\ntenant = \"acme\"\n[central]\nservers = [\"tls://127.0.0.1:1\"]\nca = %q\n",
		"password_file": "[relay]\nusername = \"u\"\npassword_file = %q\n",
	}
	for entry, config := range entries {
		for i, o := range notFiles {
			t.Run(entry+" is a "+o.name, func(t *testing.T) {
				path := filepath.Join(v.dir, fmt.Sprintf("%s%d", entry, i))
				o.make(t, path)
				file := v.write(t, fmt.Sprintf("%s%d.toml", entry, i), fmt.Appendf(nil, "state_dir = %q\n"+config+"[lights]\ndriver = \"none\"\n", filepath.Join(v.dir, "state"), path))
				want := 64
				if entry != "password_file" {
					want = 1
				}
				v.refuses(t, sprechprobe, path, want, "run", "--config", file)
			})
		}
	}
}

// A report is read back only if it is one.
func TestHostileReports(t *testing.T) {
	t.Parallel()
	sprechprobe := build(t)
	v := &vendor{dir: t.TempDir()}
	odds := append(append([]odd{
		{"deep", written(strings.Repeat(`{"box":`, 4000))},
		{"evidence that is not there", written(`{"schema":"sprechprobe.report/1","findings":[{"code":"link-down","evidence":[7]}]}`)},
	}, notFiles...), badTexts...)
	for i, o := range odds {
		t.Run(o.name, func(t *testing.T) {
			path := filepath.Join(v.dir, fmt.Sprintf("%d.json", i))
			o.make(t, path)
			v.refuses(t, sprechprobe, path, 1, "request", "--report", path, "--profile", "webprax")
		})
	}
}

// refuses runs the program and wants it to say why not, in a line for each
// mistake that names the file; strict tells at most 32 of them, and how many more.
func (v *vendor) refuses(t *testing.T, program, file string, code int, args ...string) {
	t.Helper()
	r := v.measured(t, quickly, program, nil, args...)
	if strings.Contains(r.errOut, "panic") || strings.Contains(r.errOut, "goroutine") {
		t.Errorf("%v: a panic: %s", args, r.errOut)
	}
	if r.code != code || r.out != "" {
		t.Errorf("%v: exit %d with %q, want %d and nothing", args, r.code, r.out, code)
	}
	lines := strings.Split(strings.TrimSuffix(r.errOut, "\n"), "\n")
	if len(lines) > 33 {
		t.Errorf("%v: %d lines", args, len(lines))
	}
	for _, line := range lines {
		if !strings.Contains(line, file) || !isWords(line) || len(line) > 1000 {
			t.Errorf("%v: %.1000q, want a line that names %s", args, line, file)
		}
	}
	if r.peakKB > mostKB {
		t.Errorf("%v: took %d KiB", args, r.peakKB)
	}
}
