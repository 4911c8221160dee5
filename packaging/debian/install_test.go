package debian_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

const version = "1.2.3"

// dist is what "make debs" has made of the box for armhf, once for all tests.
func dist(t *testing.T) string {
	t.Helper()
	lab.Program(t, "apt-ftparchive", "apt-utils")
	if err := built(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "dist")
}

var (
	dir string // to be removed in the end: dist, the sources in src, and native

	// native are programs of this machine, compiled where other tests compile.
	native = sync.OnceValue(func() error {
		cmd := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(dir, "native")+"/",
			"./cmd/sprechprobe", "./cmd/sprechprobe-fleet", "./packaging/release")
		cmd.Dir, cmd.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", cmd, err, out)
		}
		return nil
	})
	built = sync.OnceValue(func() error {
		if err := native(); err != nil {
			return err
		}
		if err := copySources(filepath.Join(dir, "src")); err != nil {
			return err
		}
		return makeDebs(dir)
	})
)

// copySources copies what is in the repository, so that whoever works on it does
// not change what two builds compare.
func copySources(to string) error {
	const top = "../.."
	list, err := exec.Command("git", "-C", top, "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return fmt.Errorf("git ls-files: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		from, to := filepath.Join(top, name), filepath.Join(to, name)
		info, err := os.Stat(from)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed, but not from the index
		}
		if err != nil {
			return err
		}
		body, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, body, info.Mode().Perm()); err != nil {
			return err
		}
	}
	return nil
}

func TestMain(m *testing.M) {
	var err error
	if dir, err = os.MkdirTemp("", "sprechprobe-dist"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// makeDebs makes to/dist from to/src.
func makeDebs(to string, env ...string) error {
	return debs(filepath.Join(to, "src"), env, "VERSION="+version, "COMMIT=1767225600", "SOURCE_DATE_EPOCH=1767225600",
		"DEBS=armhf", "DEBPROGRAMS=sprechprobe", "DIST="+filepath.Join(to, "dist"))
}

// debs runs "make debs" on sources, which takes what it makes the manuals with from
// native. A mask for new files is among habits that must not matter.
func debs(sources string, env []string, args ...string) error {
	cmd := exec.Command("/bin/sh", append([]string{"-c", `umask "${MASK:-022}"; exec make "$@"`, "make", "-s", "-C", sources, "debs",
		"NATIVE=" + filepath.Join(dir, "native")}, args...)...)
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd, err, out)
	}
	return nil
}

func deb(dir string) string {
	return filepath.Join(dir, "apt/pool/main/s/sprechprobe/sprechprobe_"+version+"_armhf.deb")
}

// The page for installers says how large the package is, within 3 %.
func TestSize(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/install.md")
	must(t, err)
	info, err := os.Stat(deb(dist(t)))
	must(t, err)
	m := regexp.MustCompile(`(?m)^\| armhf \| ([0-9.]+) MB \| ([0-9.]+) MB \|`).FindSubmatch(page)
	if m == nil {
		t.Fatal("docs/install.md has no sizes of armhf")
	}
	installed, err := exec.Command("dpkg-deb", "-f", deb(dist(t)), "Installed-Size").Output()
	must(t, err)
	kib, err := strconv.Atoi(strings.TrimSpace(string(installed)))
	must(t, err)
	for i, got := range []int64{info.Size(), int64(kib) * 1024} {
		said, err := strconv.ParseFloat(string(m[i+1]), 64)
		must(t, err)
		if d := float64(got)/1e6/said - 1; d < -0.03 || d > 0.03 {
			t.Errorf("%d bytes, and docs/install.md says %v MB; make dist sizes writes it anew", got, said)
		}
	}
}

// Debian's own judge of packages finds no error.
func TestLintian(t *testing.T) {
	t.Parallel()
	judge(t, deb(dist(t)))
}

func judge(t *testing.T, deb string) {
	t.Helper()
	lintian := lab.Program(t, "lintian", "lintian")
	out, err := exec.Command(lintian, "--allow-root", "--fail-on", "error", deb).CombinedOutput()
	t.Logf("%s: %s", filepath.Base(deb), out)
	if err != nil {
		t.Errorf("lintian: %v", err)
	}
}

// Made again at another time, in another place and with other habits, it is the
// same byte by byte.
func TestReproducible(t *testing.T) {
	t.Parallel()
	first, second := dist(t), t.TempDir()
	must(t, os.CopyFS(filepath.Join(second, "src"), os.DirFS(filepath.Join(dir, "src"))))
	must(t, makeDebs(second, "TZ=Asia/Kathmandu", "LC_ALL=C.UTF-8", "HOME="+os.Getenv("HOME"), "MASK=077"))
	files := 0
	err := filepath.WalkDir(first, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(first, path)
		if err != nil {
			return err
		}
		a, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(filepath.Join(second, "dist", rel))
		if err != nil {
			return err
		}
		files++
		if string(a) != string(b) {
			t.Errorf("%s differs", rel)
		}
		return nil
	})
	if err != nil || files < 6 {
		t.Errorf("%v, %d files", err, files)
	}
}

// What apt itself makes of the repository, signed by a key of the test's own.
func TestRepository(t *testing.T) {
	t.Parallel()
	gpg := lab.Program(t, "gpg", "gnupg")
	apt := lab.Program(t, "apt-get", "apt")
	dir := t.TempDir()
	home := filepath.Join(dir, "gnupg")
	must(t, os.Mkdir(home, 0o700))
	keys := append(os.Environ(), "GNUPGHOME="+home)
	t.Cleanup(func() {
		cmd := exec.Command("gpgconf", "--kill", "all")
		cmd.Env = keys
		_ = cmd.Run()
	})
	run(t, with(keys, gpg, "--batch", "--passphrase", "", "--quick-gen-key", "test@sprechprobe.invalid", "ed25519", "sign"))
	repository := filepath.Join(dir, "apt")
	run(t, with(append(keys, "SIGN_KEY=test@sprechprobe.invalid"), "./repository", repository, "1700000000", deb(dist(t))))

	state := filepath.Join(dir, "state")
	must(t, os.MkdirAll(filepath.Join(state, "lists/partial"), 0o755))
	must(t, os.MkdirAll(filepath.Join(state, "archives/partial"), 0o755))
	must(t, os.WriteFile(filepath.Join(state, "status"), nil, 0o644))
	sources := filepath.Join(state, "sources.list")
	must(t, os.WriteFile(sources, fmt.Appendf(nil, "deb [signed-by=%s] file:%s stable main\n", filepath.Join(repository, "sprechprobe.asc"), repository), 0o644))
	fetch := func(args ...string) ([]byte, error) {
		cmd := exec.Command(apt, append([]string{"-q", "-o", "APT::Architecture=armhf", "-o", "APT::Architectures=armhf", "-o", "APT::Sandbox::User=",
			"-o", "Dir::Etc::sourcelist=" + sources, "-o", "Dir::Etc::sourceparts=-", "-o", "Dir::State=" + state,
			"-o", "Dir::State::status=" + filepath.Join(state, "status"), "-o", "Dir::Cache=" + state, "-o", "APT::Update::Error-Mode=any"}, args...)...)
		cmd.Dir = dir
		return cmd.CombinedOutput()
	}
	if out, err := fetch("update"); err != nil || strings.Contains(string(out), "W:") {
		t.Fatalf("apt-get update: %v\n%s", err, out)
	}
	if out, err := fetch("download", "sprechprobe"); err != nil {
		t.Errorf("apt-get download: %v\n%s", err, out)
	}
	// A list that somebody has changed is refused.
	list := filepath.Join(repository, "dists/stable/main/binary-armhf/Packages")
	body, err := os.ReadFile(list)
	must(t, err)
	must(t, os.Remove(list+".gz"))
	must(t, os.WriteFile(list, append(body, "\n"...), 0o644))
	must(t, os.RemoveAll(filepath.Join(state, "lists")))
	must(t, os.MkdirAll(filepath.Join(state, "lists/partial"), 0o755))
	if out, err := fetch("update"); err == nil {
		t.Errorf("a changed list is taken:\n%s", out)
	}
}

// emulators are for the roots that packages are installed into, with the head of
// their programs' files (ELF: class, order, machine).
var emulators = map[string]struct{ qemu, magic string }{
	"armhf": {"qemu-arm-static", `\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x28\x00`},
	"arm64": {"qemu-aarch64-static", `\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00`},
}

// TestInstall installs, upgrades, removes and purges the package in an armhf
// system, by its own dpkg under emulation.
func TestInstall(t *testing.T) {
	t.Parallel()
	install(t, "armhf", func() string { return deb(dist(t)) })
}

// TestArchitectures judges the packages of every architecture, and installs that for
// arm64 as TestInstall does that for armhf.
func TestArchitectures(t *testing.T) {
	if os.Getenv(everyVar) == "" {
		t.Skip("LEFT OUT: packages of every architecture, which take minutes; make lab or " + everyVar + "=1 makes them")
	}
	t.Parallel()
	must(t, native())
	out := t.TempDir()
	must(t, debs("../..", nil, "VERSION="+version, "DIST="+out))
	all, err := filepath.Glob(filepath.Join(out, "apt/pool/main/s/*/*.deb"))
	if err != nil || len(all) != 8 {
		t.Fatalf("%v: %q, want two programs for four architectures", err, all)
	}
	for _, one := range all {
		judge(t, one)
	}
	install(t, "arm64", func() string {
		return filepath.Join(out, "apt/pool/main/s/sprechprobe/sprechprobe_"+version+"_arm64.deb")
	})
}

// everyVar asks for what takes minutes, as in hal/guest.
const everyVar = "SPRECHPROBE_DEBIAN_GUEST"

func install(t *testing.T, arch string, deb func() string) {
	t.Helper()
	e := emulators[arch]
	qemu := lab.Program(t, e.qemu, "qemu-user-static")
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "testdata/install.sh", guestRoot(t, arch), deb(), qemu, e.magic)
	// Of its own: the kernel's table of foreign programs, and the right to mount.
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{Size: 65536}}, GidMappings: []syscall.SysProcIDMap{{Size: 65536}},
		GidMappingsEnableSetgroups: true,
	}
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "@cannot") {
		lab.LeaveOut(t, "this kernel cannot emulate in a namespace: "+string(out))
	}
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "@bad") {
			t.Error(strings.TrimSpace(line))
		}
	}
	if n := strings.Count(string(out), "@ok"); n < 10 {
		t.Errorf("only %d things were seen to be good", n)
	}
}

func guestRoot(t *testing.T, arch string) string {
	t.Helper()
	dir := os.Getenv("SPRECHPROBE_GUEST")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			lab.LeaveOut(t, "there is no place for a Debian: "+err.Error())
		}
		dir = filepath.Join(cache, "sprechprobe", "guest")
	}
	path := filepath.Join(dir, "root-"+arch+".tar")
	if _, err := os.Stat(path); err != nil {
		lab.LeaveOut(t, "there is no Debian to install into; make guest lays one out: "+err.Error())
	}
	return path
}

func with(env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = env
	return cmd
}

func run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
