package openwrt_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What OpenWrt's build system is to the feed's Makefile, as little as it takes: where
// things are, and what becomes of what the package defines
// (include/package-pack.mk, lang/golang/golang-package.mk).
var buildSystem = map[string]string{
	"rules.mk": `
INCLUDE_DIR:=$(TOPDIR)/include
PKG_BUILD_DIR:=$(SOURCES)
INSTALL_DIR:=install -d -m0755
INSTALL_BIN:=install -m0755
INSTALL_DATA:=install -m0644
INSTALL_CONF:=install -m0600
`,
	"include/package.mk": `
define BuildPackage
$(if $(Build/Compile),$(file >$(TOPDIR)/compile,$(Build/Compile)))
$(foreach v,conffiles preinst postinst prerm postrm,$(if $(Package/$(1)/$(v)),$(file >$(TOPDIR)/$(v),$(Package/$(1)/$(v)))))
all:
$(call Package/$(1)/install,$(TOPDIR)/root)
endef
`,
	"feeds/packages/lang/golang/golang-package.mk": `
GO_PKG_BUILD_BIN_DIR:=$(TOPDIR)/bin
GoBinPackage=
GoPackage/Build/Compile=go install $(1)
`,
	"bin/sprechprobe": "the program",
}

// feed is what the feed's Makefile makes of the sources: files, and scripts by the
// names they have there.
type feed struct{ top string }

// makeFeed runs the Makefile for opkg or for apk, on a processor.
func makeFeed(t *testing.T, apk, arch string) feed {
	t.Helper()
	top := t.TempDir()
	for name, text := range buildSystem {
		file := filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sources, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("make", "-C", "sprechprobe", "TOPDIR="+top, "SOURCES="+sources, "CONFIG_USE_APK="+apk, "ARCH="+arch, "all")
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "MAKE") }), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "warning") {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return feed{top}
}

func (f feed) read(name string) string {
	b, _ := os.ReadFile(filepath.Join(f.top, name))
	return string(b)
}

// installed is what the feed's package puts onto a router.
func (f feed) installed(t *testing.T) map[string]fs.FileMode {
	t.Helper()
	all := map[string]fs.FileMode{}
	root := filepath.Join(f.top, "root")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		all[strings.TrimPrefix(path, root)] = info.Mode()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for kept := range strings.FieldsSeq(f.read("conffiles")) {
		if strings.HasSuffix(kept, "/") { // the build system lists it for sysupgrade
			all["/lib/upgrade/keep.d/sprechprobe"] = 0o644
		} else if _, ok := all[kept]; !ok {
			t.Errorf("%s is kept over an upgrade, and not installed", kept)
		}
	}
	return all
}

// called runs a package's script on a router that runs the box, or into an image
// that is being built, and returns what it asks the init script for.
func called(t *testing.T, script, root string, env ...string) string {
	t.Helper()
	dir := t.TempDir()
	log, init := filepath.Join(dir, "log"), filepath.Join(dir, "init")
	if err := os.WriteFile(init, []byte("#!/bin/sh\necho \"$*\" >>"+log+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("busybox", "sh", "-c", strings.ReplaceAll(script, "/etc/init.d/sprechprobe", init))
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "IPKG_INSTROOT=" + root}, env...)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v, it says %q\n%s", err, out, script)
	}
	b, _ := os.ReadFile(log)
	return strings.ReplaceAll(strings.TrimSpace(string(b)), "\n", ", ")
}

// upgrade is the pre-upgrade script that the build system makes of a preinst.
func upgrade(preinst string) string {
	return "#!/bin/sh\nexport PKG_UPGRADE=1\n" + strings.TrimPrefix(preinst, "#!/bin/sh\n")
}

// An upgrade must end with the new program running, by either package manager: opkg
// asks the old package, and stops what it brought; apk asks the new one, and starts
// again nothing that runs already.
func TestFeedUpgrade(t *testing.T) {
	newRouter(t) // leaves out what needs busybox
	opkg, apk := makeFeed(t, "", "mipsel"), makeFeed(t, "y", "mipsel")
	if got := opkg.read("preinst"); got != "" {
		t.Errorf("opkg gets a preinst, and would have the lamps asked twice: %s", got)
	}
	tests := []struct {
		what, script, root string
		env                []string
		want               string
	}{
		{"opkg upgrades", opkg.read("prerm"), "", []string{"PKG_UPGRADE=1"}, "updating"},
		{"opkg removes", opkg.read("prerm"), "", nil, ""},
		{"opkg upgrades in an image", opkg.read("prerm"), "/image", []string{"PKG_UPGRADE=1"}, ""},
		{"apk upgrades", upgrade(apk.read("preinst")), "", nil, "updating, stop"},
		{"apk installs", apk.read("preinst"), "", nil, ""},
		{"apk removes", apk.read("prerm"), "", nil, ""},
		{"apk upgrades in an image", upgrade(apk.read("preinst")), "/image", nil, ""},
	}
	for _, tt := range tests {
		if got := called(t, tt.script, tt.root, tt.env...); got != tt.want {
			t.Errorf("%s: the box is asked for %q, want %q", tt.what, got, tt.want)
		}
	}
}

// The SDK compiles with the flags that make dist compiles with.
func TestFeedFlags(t *testing.T) {
	b, err := os.ReadFile("../packaging/mips.flags")
	if err != nil {
		t.Fatal(err)
	}
	for _, arch := range []string{"mips", "mipsel", "arm", "aarch64", "x86_64"} {
		want := ""
		if strings.HasPrefix(arch, "mips") {
			want = "go install " + strings.TrimSpace(string(b))
		}
		f := makeFeed(t, "y", arch)
		if got := strings.TrimSpace(f.read("compile")); got != want {
			t.Errorf("%s: compiled by %q, want %q", arch, got, want)
		}
	}
}
