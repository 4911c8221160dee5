package guest_test

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

const debianVar = "SPRECHPROBE_DEBIAN_GUEST"

// TestDebianGuest boots Debian with systemd, installs the box's package and goes
// through what testdata/lamps.sh says: which of its hardware an unprivileged service
// reaches out of its sandbox, and that its lamps never lie, however it ends. It takes
// minutes, so "make lab" runs it; packaging/debian has what needs no hardware.
func TestDebianGuest(t *testing.T) {
	if os.Getenv(debianVar) == "" {
		t.Skip("LEFT OUT: Debian with lamps, which takes minutes; make lab or " + debianVar + "=1 runs it")
	}
	if testing.Short() {
		t.Skip("boots a machine")
	}
	qemu := lab.Program(t, "qemu-system-aarch64", "qemu-system-arm")
	dtc := lab.Program(t, "dtc", "device-tree-compiler")
	lab.Program(t, "apt-ftparchive", "apt-utils")
	kernel := kernelFiles(t)
	root := filepath.Join(kernel, "root-arm64.tar")
	if _, err := os.Stat(root); err != nil {
		lab.LeaveOut(t, "there is no Debian to boot; make guest lays one out: "+err.Error())
	}
	dir := t.TempDir()
	initramfs := filepath.Join(dir, "initramfs")
	var b archive
	unpack(t, &b, root)
	for _, version := range []string{"1.0.0", "1.0.1"} {
		b.file(t, version+".deb", 0o644, debianPackage(t, dir, version))
	}
	b.entry("modules", 0o040755, 0, 0, nil)
	for _, name := range moduleFiles() {
		b.file(t, "modules/"+name, 0o644, filepath.Join(kernel, name))
	}
	b.file(t, "words", 0o644, "../../packaging/debian/testdata/words.sh")
	b.file(t, "story", 0o755, "testdata/lamps.sh")
	b.entry("etc/machine-id", 0o100444, 0, 0, []byte("0123456789abcdef0123456789abcdef\n"))
	b.entry("etc/systemd/system/serial-getty@.service", 0o120777, 0, 0, []byte("/dev/null"))
	b.entry("etc/systemd/system/story.service", 0o100644, 0, 0, []byte(storyUnit))
	b.entry("etc/systemd/system/multi-user.target.wants", 0o040755, 0, 0, nil)
	b.entry("etc/systemd/system/multi-user.target.wants/story.service", 0o120777, 0, 0, []byte("../story.service"))
	b.save(t, initramfs)

	ctx, cancel := context.WithTimeout(t.Context(), debianLimit)
	defer cancel()
	qmp, port := filepath.Join(dir, "qmp"), filepath.Join(dir, "port")
	cmd := exec.CommandContext(ctx, qemu, append(machine,
		"-m", "1024", "-display", "none", "-nic", "none", "-no-reboot", "-serial", "stdio", "-qmp", "unix:"+qmp+",server=on,wait=off",
		"-chardev", "file,id=port,path="+port, "-device", "pci-serial,chardev=port",
		"-kernel", filepath.Join(kernel, "vmlinuz"), "-initrd", initramfs, "-dtb", tree(t, qemu, dtc, dir),
		"-append", "console=ttyAMA0 quiet panic=-1 rdinit=/sbin/init systemd.show_status=0 systemd.mask="+strings.Join(unneeded, " systemd.mask="))...)
	said := run(t, cmd, qmp)
	if !strings.Contains(said, "@end") {
		t.Error("the guest did not come to its end")
	}
	for line := range strings.Lines(said) {
		if what, bad := strings.CutPrefix(line, "@bad "); bad {
			t.Error(strings.TrimSpace(what))
		}
	}
	if n := strings.Count(said, "@ok "); n < 20 {
		t.Errorf("only %d things were seen to be good", n)
	}
	if told, err := os.ReadFile(port); err != nil || !strings.Contains(string(told), ">STATE no-") {
		t.Errorf("the panel on the serial port was told %q (%v)", told, err)
	}
}

// debianLimit is for a machine that has much else to do; alone it takes a minute or
// two.
const debianLimit = 20 * time.Minute

// unneeded is what a Debian does at its first start and the story has no use for. It
// took most of the time.
var unneeded = []string{
	"ldconfig.service", "systemd-hwdb-update.service", "systemd-journal-catalog-update.service", "systemd-logind.service", "systemd-timesyncd.service",
	"apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer", "e2scrub_all.timer", "getty.target", "getty-static.service",
	"systemd-udev-trigger.service", "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service", "systemd-user-sessions.service",
	"systemd-modules-load.service", "systemd-random-seed.service", "modprobe@configfs.service", "modprobe@dm_mod.service", "modprobe@loop.service",
	"modprobe@fuse.service", "dev-hugepages.mount", "dev-mqueue.mount", "sys-kernel-tracing.mount", "sys-fs-fuse-connections.mount",
}

const storyUnit = `[Unit]
After=multi-user.target
[Service]
ExecStart=/story
StandardOutput=tty
StandardError=journal
TTYPath=/dev/ttyAMA0
`

// unpack puts a tree's files into the guest.
func unpack(t *testing.T, b *archive, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		name := strings.TrimSuffix(strings.TrimPrefix(h.Name, "./"), "/")
		switch mode := int(h.Mode & 0o7777); h.Typeflag {
		case tar.TypeDir:
			if name != "" && name != "." {
				b.entry(name, 0o040000|mode, 0, 0, nil)
			}
		case tar.TypeSymlink:
			b.entry(name, 0o120777, 0, 0, []byte(h.Linkname))
		case tar.TypeLink:
			b.entry(name, 0o120777, 0, 0, []byte("/"+strings.TrimPrefix(h.Linkname, "./")))
		case tar.TypeReg:
			body, err := io.ReadAll(tr)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			b.entry(name, 0o100000|mode, 0, 0, body)
		}
	}
}

// debianPackage makes the box's package for the guest.
func debianPackage(t *testing.T, dir, version string) string {
	t.Helper()
	out := filepath.Join(dir, version)
	cmd := exec.CommandContext(t.Context(), "make", "-s", "-C", "../..", "debs", "VERSION="+version, "DEBS=arm64", "DEBPROGRAMS=sprechprobe", "DIST="+out)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, text)
	}
	return filepath.Join(out, "apt/pool/main/s/sprechprobe/sprechprobe_"+version+"_arm64.deb")
}
