package debian_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

const storyUnit = `[Unit]
After=multi-user.target
[Service]
ExecStart=/bin/sh -c '/story >/story.log 2>&1'
`

// TestService boots a Debian of this machine's architecture in a container and goes
// through what testdata/service.sh says: everything of hal/guest's story that needs
// no lamps.
func TestService(t *testing.T) {
	nspawn := lab.Program(t, "systemd-nspawn", "systemd-container")
	lab.Program(t, "apt-ftparchive", "apt-utils")
	if os.Geteuid() != 0 {
		lab.LeaveOut(t, "a container takes root")
	}
	base := guestRoot(t, runtime.GOARCH)
	root := filepath.Join(t.TempDir(), "root")
	must(t, os.Mkdir(root, 0o755))
	run(t, exec.Command("tar", "-x", "-C", root, "-f", base))
	for _, v := range []string{"1.0.0", "1.0.1"} {
		out := filepath.Join(t.TempDir(), v)
		run(t, exec.Command("make", "-s", "-C", "../..", "debs", "VERSION="+v, "DEBS="+runtime.GOARCH, "DEBPROGRAMS=sprechprobe", "DIST="+out))
		run(t, exec.Command("cp", filepath.Join(out, "apt/pool/main/s/sprechprobe/sprechprobe_"+v+"_"+runtime.GOARCH+".deb"), filepath.Join(root, v+".deb")))
	}
	wants := filepath.Join(root, "etc/systemd/system/multi-user.target.wants")
	must(t, os.MkdirAll(wants, 0o755))
	must(t, os.WriteFile(filepath.Join(wants, "../story.service"), []byte(storyUnit), 0o644))
	must(t, os.Symlink("../story.service", filepath.Join(wants, "story.service")))
	run(t, exec.Command("install", "-m", "755", "testdata/service.sh", filepath.Join(root, "story")))

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, nspawn, "-q", "--register=no", "--keep-unit", "--private-network", "--console=pipe", "-D", root, "-b").CombinedOutput()
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
	if n := strings.Count(string(said), "@ok "); n < 25 {
		t.Errorf("only %d things were seen to be good", n)
	}
}
