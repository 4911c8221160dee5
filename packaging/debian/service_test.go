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

// far is a profile whose one target lies behind the router, which knows no way there.
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
`

// build leaves paths in the programs, which spares compiling anew for them all that
// other tests have compiled.
const build = `BUILD=$(GO) build -buildvcs=false -ldflags="-s -w -X $(INFO).version=$(VERSION) -X $(INFO).commit=$(COMMIT)"`

// TestService boots a Debian of this machine's architecture in a container and goes
// through what testdata/service.sh says: box and fleet as services, all that takes no
// hardware. hal/guest tells the rest.
func TestService(t *testing.T) {
	lab.Program(t, "systemd-nspawn", "systemd-container")
	lab.Program(t, "ip", "iproute2")
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
		out := filepath.Join(t.TempDir(), name)
		run(t, exec.Command("make", "-s", "-C", "../..", "debs", "VERSION="+p.version, "DEBS="+runtime.GOARCH, "DEBPROGRAMS="+p.program, "DIST="+out, build))
		pool := filepath.Join(out, "apt/pool/main/s", p.program, p.program+"_"+p.version+"_"+runtime.GOARCH+".deb")
		if p.version == "1.0.0" {
			judge(t, pool)
		}
		run(t, exec.Command("cp", pool, filepath.Join(root, name+".deb")))
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
	t.Logf("%s", said)
	if !strings.Contains(string(said), "@end") {
		t.Errorf("the story did not come to its end: %v\n%s", err, out)
	}
	for line := range strings.Lines(string(said)) {
		if strings.HasPrefix(line, "@bad") {
			t.Error(strings.TrimSpace(line))
		}
	}
	if n := strings.Count(string(said), "@ok "); n < 50 {
		t.Errorf("only %d things were seen to be good", n)
	}
}
