package openwrt_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

const version = "1.2.3"

// flash is what the program may take in a router's compressed root, bytes of an
// ipk: its gzip is what a router downloads, and flash packs tighter.
const flash = 4_100_000

// processor is one that packages are made and tried for here. The others differ
// by nothing but the program.
type processor struct {
	arch, target string
	env          []string
	qemu         string
}

var processors = []processor{
	{"mipsel_24kc", "mipsle", []string{"GOARCH=mipsle", "GOMIPS=softfloat"}, "qemu-mipsel-static"},
	{"arm_cortex-a7_neon-vfpv4", "armv7", []string{"GOARCH=arm", "GOARM=7"}, "qemu-arm-static"},
}

// feeds are two directories made from the same programs, one after the other and
// with other rights for new files.
type feeds struct{ first, second, pub string }

func makeFeeds(t *testing.T) feeds {
	t.Helper()
	if testing.Short() {
		t.Skip("LEFT OUT: cross-builds are slow, and this run is a short one")
	}
	dir := t.TempDir()
	tools := map[string]string{"NFPM": "-modfile=packaging/tools.mod github.com/goreleaser/nfpm/v2/cmd/nfpm", "FEED": "./packaging/openwrt/feed"}
	for name, what := range tools {
		tools[name] = filepath.Join(dir, name)
		args := append([]string{"build", "-o", tools[name]}, strings.Fields(what)...)
		inRepository(t, []string{"CGO_ENABLED=0"}, "go", args...)
	}
	inRepository(t, nil, tools["FEED"], "key", filepath.Join(dir, "key"))
	small, err := os.ReadFile("../packaging/mips.flags")
	if err != nil {
		t.Fatal(err)
	}
	f := feeds{filepath.Join(dir, "first"), filepath.Join(dir, "second"), filepath.Join(dir, "key.pub")}
	var archs []string
	for _, p := range processors {
		args := []string{"build", "-trimpath", "-ldflags=-s -w"}
		if strings.HasPrefix(p.target, "mips") {
			args = append(args, strings.Fields(string(small))...)
		}
		inRepository(t, append([]string{"GOOS=linux", "CGO_ENABLED=0"}, p.env...), "go",
			append(args, "-o", filepath.Join(f.first, "sprechprobe-linux-"+p.target), "./cmd/sprechprobe")...)
		archs = append(archs, p.arch+":"+p.target)
	}
	if err := os.CopyFS(f.second, os.DirFS(f.first)); err != nil {
		t.Fatal(err)
	}
	for dir, umask := range map[string]string{f.first: "022", f.second: "077"} {
		inRepository(t, []string{"ARCHS=" + strings.Join(archs, " "), "NFPM=" + tools["NFPM"], "OPKG_KEY=" + filepath.Join(filepath.Dir(dir), "key.sec")},
			"sh", "-c", "umask "+umask+" && packaging/openwrt/pack "+dir+" "+version+" 1700000000")
	}
	return f
}

// inRepository runs a program at the top of the sources.
func inRepository(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = "..", append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// TestPackages makes the packages and looks at them as a router's package
// manager, and then as the router itself.
func TestPackages(t *testing.T) {
	f := makeFeeds(t)
	t.Run("two builds are the same", f.same)
	for _, p := range processors {
		t.Run(p.arch, func(t *testing.T) {
			t.Run("ipk", func(t *testing.T) { f.ipk(t, p) })
			t.Run("apk", func(t *testing.T) { f.apk(t, p) })
			t.Run("list", func(t *testing.T) { f.list(t, p) })
			t.Run("run", func(t *testing.T) { f.run(t, p) })
		})
	}
}

func (f feeds) same(t *testing.T) {
	n := 0
	err := filepath.WalkDir(f.first, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		first, err1 := os.ReadFile(path)
		second, err2 := os.ReadFile(f.second + strings.TrimPrefix(path, f.first))
		if err1 != nil || err2 != nil || !bytes.Equal(first, second) {
			t.Errorf("%s is another (%v, %v)", path, err1, err2)
		}
		return nil
	})
	if want := len(processors) * (1 + 4 + 3); err != nil || n < want {
		t.Errorf("%d files, want at least %d (%v)", n, want, err)
	}
}

func (f feeds) file(kind, arch, name string) string {
	return filepath.Join(f.first, "openwrt", kind, arch, name)
}

// member is a file of a package.
type member struct {
	mode fs.FileMode
	data []byte
}

// unpack reads gzipped tars, one after the other as in an apk, but for
// directories. Everything must be root's.
func unpack(t *testing.T, r io.Reader) map[string]member {
	t.Helper()
	all := map[string]member{}
	z, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	for a := tar.NewReader(z); ; {
		h, err := a.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" && h.Uname != "root" || strings.Contains(h.Name, "..") {
			t.Errorf("%s belongs to %d:%d %s", h.Name, h.Uid, h.Gid, h.Uname)
		}
		data, err := io.ReadAll(a)
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			all[path.Clean("/"+h.Name)] = member{fs.FileMode(h.Mode & 0o7777), data}
		} else if h.Typeflag != tar.TypeDir {
			t.Errorf("%s is neither a file nor a directory", h.Name)
		}
	}
}

func (f feeds) readIPK(t *testing.T, arch string, name string) (control, data map[string]member) {
	t.Helper()
	b, err := os.ReadFile(f.file("ipk", arch, name))
	if err != nil {
		t.Fatal(err)
	}
	outer := unpack(t, bytes.NewReader(b))
	if string(outer["/debian-binary"].data) != "2.0\n" {
		t.Errorf("debian-binary is %q", outer["/debian-binary"].data)
	}
	return unpack(t, bytes.NewReader(outer["/control.tar.gz"].data)), unpack(t, bytes.NewReader(outer["/data.tar.gz"].data))
}

// sizes are those of docs/openwrt.md for a processor: program, as xz, ipk, apk, in MB.
func sizes(t *testing.T, arch string) []float64 {
	t.Helper()
	page, err := os.ReadFile("../docs/openwrt.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(arch) + ` \|((?: [0-9.]+ MB \|){4})$`).FindSubmatch(page)
	if m == nil {
		t.Fatalf("docs/openwrt.md has no sizes of %s", arch)
	}
	var all []float64
	for _, n := range regexp.MustCompile(`[0-9.]+`).FindAllString(string(m[1]), -1) {
		f, err := strconv.ParseFloat(n, 64)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	return all
}

func (f feeds) ipk(t *testing.T, p processor) {
	name := "sprechprobe_" + version + "-r1_" + p.arch + ".ipk"
	control, data := f.readIPK(t, p.arch, name)
	got := map[string]fs.FileMode{}
	for name, m := range data {
		got[name] = m.mode
	}
	if diff := cmp.Diff(makeFeed(t, "", p.arch).installed(t), got); diff != "" {
		t.Errorf("other files than the feed's package has (-feed +ipk):\n%s", diff)
	}
	for _, want := range []string{"Package: sprechprobe\n", "Version: " + version + "-r1\n", "Architecture: " + p.arch + "\n", "License: Apache-2.0\n"} {
		if !strings.Contains(string(control["/control"].data), want) {
			t.Errorf("control lacks %q:\n%s", want, control["/control"].data)
		}
	}
	if got := string(control["/conffiles"].data); got != "/etc/config/sprechprobe\n" {
		t.Errorf("configuration files %q", got)
	}
	for script, call := range map[string]string{"/postinst": `default_postinst "$0" "$@"`, "/prerm": `default_prerm "$0" "$@"`} {
		if m := control[script]; m.mode != 0o755 || !strings.Contains(string(m.data), call) {
			t.Errorf("%s is %v %q", script, m.mode, m.data)
		}
	}
	if got := string(control["/prerm"].data); !strings.Contains(got, "/etc/init.d/sprechprobe updating\n") {
		t.Errorf("no lamp says that the box is being changed: %s", got)
	}
	if got := string(data["/lib/upgrade/keep.d/sprechprobe"].data); got != "/etc/sprechprobe/\n" {
		t.Errorf("an upgrade keeps %q", got)
	}
	info, err := os.Stat(f.file("ipk", p.arch, name))
	if err != nil {
		t.Fatal(err)
	}
	apk, err := os.Stat(f.file("apk", p.arch, "sprechprobe-"+version+"-r1.apk"))
	if err != nil {
		t.Fatal(err)
	}
	program := len(data["/usr/bin/sprechprobe"].data)
	t.Logf("installed: %d bytes; ipk: %d; apk: %d", program, info.Size(), apk.Size())
	said := sizes(t, p.arch)
	for i, got := range map[int]int{0: program, 2: int(info.Size()), 3: int(apk.Size())} {
		if d := float64(got)/1e6/said[i] - 1; d < -0.03 || d > 0.03 {
			t.Errorf("%d bytes, and docs/openwrt.md says %.2f MB; make dist sizes writes it anew", got, said[i])
		}
	}
	if strings.HasPrefix(p.target, "mips") && info.Size() > flash {
		t.Errorf("the package has %d bytes, over %d", info.Size(), flash)
	}
}

// apk holds the same files as the ipk, and what OpenWrt's scripts look for.
func (f feeds) apk(t *testing.T, p processor) {
	_, same := f.readIPK(t, p.arch, "sprechprobe_"+version+"-r1_"+p.arch+".ipk")
	b, err := os.ReadFile(f.file("apk", p.arch, "sprechprobe-"+version+"-r1.apk"))
	if err != nil {
		t.Fatal(err)
	}
	got := unpack(t, bytes.NewReader(b))
	for name, m := range same {
		if g := got[name]; g.mode != m.mode || !bytes.Equal(g.data, m.data) {
			t.Errorf("%s is another than in the ipk", name)
		}
	}
	const lists = "/lib/apk/packages/sprechprobe"
	sum := sha256.Sum256(same["/etc/config/sprechprobe"].data)
	for name, want := range map[string]string{
		lists + ".list":             strings.Join(slices.Sorted(maps.Keys(same)), "\n") + "\n",
		lists + ".conffiles":        "/etc/config/sprechprobe\n",
		lists + ".conffiles_static": fmt.Sprintf("/etc/config/sprechprobe %x\n", sum),
	} {
		if string(got[name].data) != want {
			t.Errorf("%s is %q, want %q", name, got[name].data, want)
		}
	}
	for script, calls := range map[string][]string{
		"/.post-install":  {`pkgname="sprechprobe"`, "add_group_and_user\ndefault_postinst\n"},
		"/.post-upgrade":  {"export PKG_UPGRADE=1\n", `pkgname="sprechprobe"`, "default_postinst\n"},
		"/.pre-upgrade":   {"export PKG_UPGRADE=1\n", "/etc/init.d/sprechprobe updating\n", "/etc/init.d/sprechprobe stop\n"},
		"/.pre-deinstall": {`pkgname="sprechprobe"`, "default_prerm\n"},
	} {
		for _, call := range calls {
			if text := string(got[script].data); !strings.HasPrefix(text, "#!/bin/sh\n") || !strings.Contains(text, call) {
				t.Errorf("%s lacks %q: %s", script, call, text)
			}
		}
	}
	if got := called(t, string(got["/.pre-upgrade"].data), ""); got != "updating, stop" {
		t.Errorf("an upgrade asks the box for %q", got)
	}
	for _, want := range []string{"pkgname = sprechprobe\n", "pkgver = " + version + "-r1\n", "arch = " + p.arch + "\n"} {
		if !strings.Contains(string(got["/.PKGINFO"].data), want) {
			t.Errorf("PKGINFO lacks %q:\n%s", want, got["/.PKGINFO"].data)
		}
	}
}

// list checks what opkg reads before it fetches anything: names, sizes, sums and
// the signature, by the key that a router has.
func (f feeds) list(t *testing.T, p processor) {
	dir := f.file("ipk", p.arch, "")
	text, err := os.ReadFile(filepath.Join(dir, "Packages"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(text), "\n\n"), "\n\n") {
		n++
		field := func(name string) string {
			m := regexp.MustCompile(`(?m)^` + name + `: (.*)$`).FindStringSubmatch(entry)
			if m == nil {
				t.Fatalf("no %s in %s", name, entry)
			}
			return m[1]
		}
		b, err := os.ReadFile(filepath.Join(dir, field("Filename")))
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(len(b)) != field("Size") || fmt.Sprintf("%x", sha256.Sum256(b)) != field("SHA256sum") {
			t.Errorf("size or sum are not those of the file: %s", entry)
		}
	}
	if n != 2 {
		t.Errorf("%d packages in the list, want the box and its pages", n)
	}
	z, err := os.Open(filepath.Join(dir, "Packages.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	r, err := gzip.NewReader(z)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := io.ReadAll(r); err != nil || !bytes.Equal(plain, text) {
		t.Errorf("Packages.gz is another list (%v)", err)
	}
	pub, sig := armoured(t, f.pub, 2+8+32), armoured(t, filepath.Join(dir, "Packages.sig"), 2+8+64)
	if !bytes.Equal(pub[:10], sig[:10]) || !ed25519.Verify(pub[10:], text, sig[10:]) {
		t.Error("the signature is not that of the key")
	}
	if ed25519.Verify(pub[10:], append(text, '\n'), sig[10:]) {
		t.Error("the signature holds for another list")
	}
}

// armoured reads a key or a signature of usign.
func armoured(t *testing.T, file string, size int) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	comment, body, _ := strings.Cut(string(b), "\n")
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(body, "\n"))
	if err != nil || len(raw) != size || !strings.HasPrefix(comment, "untrusted comment: ") || string(raw[:2]) != "Ed" {
		t.Fatalf("%s: %v, %d bytes, %q", file, err, len(raw), comment)
	}
	return raw
}

// run installs the package into a root of its own and uses it there as a router
// would: by its own paths, on its own processor.
func (f feeds) run(t *testing.T, p processor) {
	qemu := lab.Program(t, p.qemu, "qemu-user-static")
	root := t.TempDir()
	_, data := f.readIPK(t, p.arch, "sprechprobe_"+version+"-r1_"+p.arch+".ipk")
	for name, m := range data {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, m.data, m.mode); err != nil {
			t.Fatal(err)
		}
	}
	emulator, err := os.ReadFile(qemu)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "qemu"), emulator, 0o755); err != nil {
		t.Fatal(err)
	}
	box := func(code int, args ...string) string {
		t.Helper()
		args = append([]string{"-rn", "chroot", root, "/qemu", "/usr/bin/sprechprobe"}, args...)
		cmd := exec.Command("unshare", args...)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); cmd.ProcessState.ExitCode() != code {
			if strings.Contains(errs.String(), "unshare") {
				lab.LeaveOut(t, "this machine lets nobody have a root of his own: "+errs.String())
			}
			t.Fatalf("%v: %v, want exit %d; %s", args, err, code, errs.String())
		}
		return out.String() + errs.String()
	}
	if got := box(0, "version"); !strings.HasPrefix(got, "sprechprobe dev linux/"+strings.TrimPrefix(p.env[0], "GOARCH=")) {
		t.Errorf("version says %q", got)
	}
	toml := box(0, "config", "from-uci")
	if err := os.WriteFile(filepath.Join(root, "etc/sprechprobe.toml"), []byte(toml), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := box(0, "config", "check", "--config", "/etc/sprechprobe.toml"); !strings.Contains(got, "good: ") || !strings.Contains(got, "webprax") {
		t.Errorf("the settings as they come: %s\n%s", got, toml)
	}
	hostile := "config box\n\toption name 'a\"\nservers = [\"tls://evil.example\"]'\nconfig schedule\n\toption every '1s'\n"
	if err := os.WriteFile(filepath.Join(root, "etc/config/sprechprobe"), []byte(hostile), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := box(64, "config", "from-uci"); !strings.Contains(got, "/etc/config/sprechprobe:2: box.name") || !strings.Contains(got, "/etc/config/sprechprobe:5: schedule.every") {
		t.Errorf("hostile settings: %s", got)
	}
	if got := box(3, "status", "--lang", "en"); !strings.Contains(got, "stopped: ") {
		t.Errorf("a box that does not run says %q", got)
	}
}
