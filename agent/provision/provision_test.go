package provision_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/config"
	"github.com/sprechprobe/sprechprobe/agent/provision"
)

const good = "profiles = [\"webprax\"]\n[box]\nname = \"Praxis\"\n"

func here(t *testing.T) provision.Place {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"firmware", "boot", "etc"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return provision.Place{
		Boot:    []string{filepath.Join(dir, "firmware/sprechprobe.toml"), filepath.Join(dir, "boot/sprechprobe.toml")},
		Config:  filepath.Join(dir, "etc/sprechprobe.toml"),
		Network: filepath.Join(dir, "network"),
		Refused: filepath.Join(dir, "run/refused"),
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(path string) string {
	b, _ := os.ReadFile(path)
	return string(b)
}

func anything(config.Config) error { return nil }

func adopt(t *testing.T, p provision.Place, want string) {
	t.Helper()
	said, err := provision.Adopt(p, anything)
	if err != nil || !strings.Contains(said, want) {
		t.Errorf("%q, %v; want %q", said, err, want)
	}
}

// A site's file is taken over once; what is changed on the box afterwards stays,
// until the installer brings another file.
func TestAdopt(t *testing.T) {
	p := here(t)
	adopt(t, p, "no sprechprobe.toml on the boot partition")
	write(t, p.Config, "# before\n")
	write(t, p.Boot[1], good)
	adopt(t, p, "taken over")
	if got := read(p.Config); got != good {
		t.Errorf("configuration %q", got)
	}
	if got := read(p.Config + ".before"); got != "# before\n" {
		t.Errorf("the configuration before: %q", got)
	}
	write(t, p.Config, good+"# changed on the box\n")
	adopt(t, p, "was taken over before")
	if got := read(p.Config); !strings.Contains(got, "changed on the box") {
		t.Errorf("configuration %q", got)
	}
	write(t, p.Boot[0], "language = \"en\"\n") // and that of /boot/firmware counts
	adopt(t, p, "firmware/sprechprobe.toml taken over")
	if got := read(p.Config); got != "language = \"en\"\n" {
		t.Errorf("configuration %q", got)
	}
	if info, err := os.Stat(p.Config); err != nil || info.Mode() != 0o644 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestAddress(t *testing.T) {
	p := here(t)
	write(t, p.Boot[0], "[network]\naddress = \"192.168.178.50/24\"\ngateway = \"192.168.178.1\"\nresolvers = [\"192.168.178.1\", \"[2001:db8::1]:53\"]\n")
	adopt(t, p, "taken over")
	file := filepath.Join(p.Network, "10-sprechprobe.network")
	want := "# From network.address of sprechprobe.toml.\n[Match]\nType=ether\n\n[Network]\nDHCP=no\nAddress=192.168.178.50/24\nGateway=192.168.178.1\nDNS=192.168.178.1\nDNS=2001:db8::1\n"
	if got := read(file); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	write(t, p.Boot[0], good)
	adopt(t, p, "taken over")
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the fixed address stays: %v", err)
	}
}

// What is wrong changes nothing, is said with its place, and holds until a good
// file comes.
func TestRefused(t *testing.T) {
	tests := []struct {
		name string
		put  func(t *testing.T, path string)
		want string
	}{
		{"entry", func(t *testing.T, path string) { write(t, path, "\nprofile = \"x\"\n") }, "sprechprobe.toml:2: profile"},
		{"no toml", func(t *testing.T, path string) { write(t, path, "<html>") }, "sprechprobe.toml:1"},
		{"Word document", func(t *testing.T, path string) { write(t, path, "PK\x03\x04\x00\xff") }, "sprechprobe.toml:1: NUL byte"},
		{"UTF-16", func(t *testing.T, path string) { write(t, path, "\xff\xfep\x00") }, "sprechprobe.toml:1"},
		{"endless", func(t *testing.T, path string) { write(t, path, strings.Repeat("#", 1<<20)) }, "more than 65536 bytes"},
		{"directory", func(t *testing.T, path string) { _ = os.Mkdir(path, 0o755) }, "not a regular file"},
		{"pipe", func(t *testing.T, path string) { _ = syscall.Mkfifo(path, 0o644) }, "not a regular file"},
		{"device", func(t *testing.T, path string) { _ = os.Symlink("/dev/zero", path) }, "not a regular file"},
		{"address", func(t *testing.T, path string) { write(t, path, "[network]\naddress = \"1.2.3.4\"\n") }, "sprechprobe.toml:2: network.address"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := here(t)
			write(t, p.Config, "# mine\n")
			tt.put(t, p.Boot[0])
			said, err := provision.Adopt(p, anything)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("%q, %v; want %q", said, err, tt.want)
			}
			if got := provision.Refused(p); !strings.Contains(got, tt.want) {
				t.Errorf("left for the box: %q", got)
			}
			if got := read(p.Config); got != "# mine\n" {
				t.Errorf("configuration %q", got)
			}
			if err := os.Remove(p.Boot[0]); err != nil {
				t.Fatal(err)
			}
			adopt(t, p, "no sprechprobe.toml")
			if got := provision.Refused(p); got != "" {
				t.Errorf("still refused: %q", got)
			}
		})
	}
}

// A profile that is not there is a mistake of the file's.
func TestCheckCounts(t *testing.T) {
	p := here(t)
	write(t, p.Boot[0], good)
	if said, err := provision.Adopt(p, func(config.Config) error { return errors.New("no such profile") }); err == nil || read(p.Config) != "" {
		t.Errorf("%q, %v; configuration %q", said, err, read(p.Config))
	}
}

// A configuration that is there and wrong is refused as well: its address cannot
// be known.
func TestOwnConfigurationWrong(t *testing.T) {
	p := here(t)
	write(t, p.Config, "nonsense")
	if _, err := provision.Adopt(p, anything); err == nil || provision.Refused(p) == "" {
		t.Errorf("%v, %q", err, provision.Refused(p))
	}
}

// Where nothing can be written, nothing is lost and the reason is told.
func TestReadOnly(t *testing.T) {
	p := here(t)
	p.Config = "/proc/none/sprechprobe.toml"
	write(t, p.Boot[0], good)
	if _, err := provision.Adopt(p, anything); err == nil || provision.Refused(p) == "" {
		t.Errorf("%v, %q", err, provision.Refused(p))
	}
}
