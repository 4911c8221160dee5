package debian_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

const storyUnit = `[Unit]
After=multi-user.target
[Service]
ExecStart=/bin/sh -c '/story >/story.log 2>&1'
`

// far is a profile with a target behind the router, which knows no way there, and one
// that is the router's own: it carries the looks at the line.
const far = `name = "far"
title = "Far"
version = "1"
source = "https://far.invalid"
date = "2026-01"
[[target]]
service = "https"
host = "198.51.100.7"
port = 443
transports = ["tcp"]
feeds = ["direct"]
[[target]]
service = "stun"
host = "192.0.2.1"
port = 3478
transports = ["udp"]
feeds = ["direct"]
`

// build leaves paths in the programs, which spares compiling anew for them all that
// other tests have compiled.
const build = `BUILD=$(GO) build -buildvcs=false -ldflags="-s -w -X $(INFO).version=$(VERSION) -X $(INFO).commit=$(COMMIT)"`

// here is a package for this machine's architecture.
func here(t *testing.T, program, version string) string {
	t.Helper()
	must(t, native())
	out := t.TempDir()
	must(t, debs("../..", nil, "VERSION="+version, "DEBS="+runtime.GOARCH, "DEBPROGRAMS="+program, "DIST="+out, "DEBZIP=gzip", build))
	return filepath.Join(out, "apt/pool/main/s", program, program+"_"+version+"_"+runtime.GOARCH+".deb")
}

// TestService boots a Debian of this machine's architecture in a container and goes
// through what testdata/service.sh says: box and fleet as services, all that takes no
// hardware. hal/guest tells the rest.
func TestService(t *testing.T) {
	t.Parallel() // it mostly waits
	lab.Program(t, "systemd-nspawn", "systemd-container")
	lab.Program(t, "ip", "iproute2")
	lab.Program(t, "turnserver", "coturn")
	lab.Program(t, "apt-ftparchive", "apt-utils")
	if os.Geteuid() != 0 {
		lab.LeaveOut(t, "a container takes root")
	}
	base := guestRoot(t, runtime.GOARCH)
	root := filepath.Join(t.TempDir(), "root")
	must(t, os.Mkdir(root, 0o755))
	run(t, exec.Command("tar", "-x", "-C", root, "-f", base))
	for name, p := range map[string]struct{ program, version string }{
		"1.0.0": {"sprechprobe", "1.0.0"}, "1.0.1": {"sprechprobe", "1.0.1"}, "fleet": {"sprechprobe-fleet", "1.0.0"},
	} {
		one := here(t, p.program, p.version)
		if p.version == "1.0.0" {
			judge(t, one)
		}
		run(t, exec.Command("cp", one, filepath.Join(root, name+".deb")))
	}
	wants := filepath.Join(root, "etc/systemd/system/multi-user.target.wants")
	must(t, os.MkdirAll(wants, 0o755))
	must(t, os.WriteFile(filepath.Join(wants, "../story.service"), []byte(storyUnit), 0o644))
	must(t, os.Symlink("../story.service", filepath.Join(wants, "story.service")))
	run(t, exec.Command("install", "-m", "755", "testdata/service.sh", filepath.Join(root, "story")))
	run(t, exec.Command("install", "-m", "644", "testdata/words.sh", filepath.Join(root, "words")))
	must(t, os.WriteFile(filepath.Join(root, "far.toml"), []byte(far), 0o644))

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "testdata/container.sh", root)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	said, _ := os.ReadFile(filepath.Join(root, "story.log"))
	heard(t, string(said), 50)
	if t.Failed() {
		t.Logf("%v\n%s", err, out)
	}
}

// heard passes on what a story said, of which so much at least must be good.
func heard(t *testing.T, said string, least int) {
	t.Helper()
	t.Logf("%s", said)
	if !strings.Contains(said, "@end") {
		t.Error("the story did not come to its end")
	}
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "@bad") {
			t.Error(strings.TrimSpace(line))
		}
	}
	if n := strings.Count(said, "@ok "); n < least {
		t.Errorf("only %d things were seen to be good", n)
	}
}
