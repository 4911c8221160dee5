package debian_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

// card is what an installer puts onto the card.
const card = `profiles = ["webprax"]
[box]
name = "Praxis Nord"
[central]
servers = ["tls://fleet.invalid:4222"]
vendor_keys = ["OBQRVYTO46TGVYZXANHPMNUJG3QZZUOEMZ3FUGMPSW5W7ZFYQBFNSIF7"]
`

// TestImage lays out the root of the image for SD cards by the image's own recipe
// (packaging/image/set-up), boots it read-only in a container, takes the power away
// and boots it again. A container has no firmware, no kernel of its own and no watchdog
// of the board's; what it shows is that a box lives on a root that nobody writes to.
func TestImage(t *testing.T) {
	t.Parallel()
	lab.Program(t, "systemd-nspawn", "systemd-container")
	lab.Program(t, "apt-ftparchive", "apt-utils")
	if os.Geteuid() != 0 {
		lab.LeaveOut(t, "a container takes root")
	}
	dir := t.TempDir()
	root, data, boot := filepath.Join(dir, "root"), filepath.Join(dir, "data"), filepath.Join(dir, "boot")
	for _, d := range []string{root, data, boot} {
		must(t, os.Mkdir(d, 0o755))
	}
	run(t, exec.Command("tar", "-x", "-C", root, "-f", guestRoot(t, runtime.GOARCH)))
	run(t, exec.Command("cp", here(t, "sprechprobe", "1.0.0"), filepath.Join(root, "box.deb")))
	run(t, exec.Command("systemd-nspawn", "-q", "--register=no", "--keep-unit", "--private-network", "--pipe", "-D", root, "dpkg", "-i", "/box.deb"))
	run(t, exec.Command("../image/set-up", root))
	wants := filepath.Join(root, "etc/systemd/system/multi-user.target.wants")
	must(t, os.WriteFile(filepath.Join(wants, "../story.service"), []byte("[Service]\nExecStart=/story\nStandardError=journal\n[Unit]\nAfter=multi-user.target\n"), 0o644))
	must(t, os.Symlink("../story.service", filepath.Join(wants, "story.service")))
	run(t, exec.Command("install", "-m", "755", "testdata/image-story.sh", filepath.Join(root, "story")))
	run(t, exec.Command("install", "-m", "644", "testdata/words.sh", filepath.Join(root, "words")))
	must(t, os.WriteFile(filepath.Join(boot, "sprechprobe.toml"), []byte(card), 0o644))

	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "/bin/sh", "testdata/image.sh", root, data, boot).CombinedOutput()
	heard(t, string(out), 20)
	if err != nil {
		t.Error(err)
	}
}
