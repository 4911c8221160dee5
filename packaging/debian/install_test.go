package debian_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
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
	dir   string // to be removed in the end: dist, and the sources in src
	built = sync.OnceValue(func() (err error) {
		if dir, err = os.MkdirTemp("", "sprechprobe-dist"); err != nil {
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
	code := m.Run()
	if dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// makeDebs makes dir/dist from dir/src.
func makeDebs(dir string, env ...string) error {
	cmd := exec.Command("make", "-s", "-C", filepath.Join(dir, "src"), "debs", "VERSION="+version, "COMMIT=1767225600", "SOURCE_DATE_EPOCH=1767225600",
		"DEBS=armhf", "DEBPROGRAMS=sprechprobe", "DIST="+filepath.Join(dir, "dist"))
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd, err, out)
	}
	return nil
}

func deb(dir string) string {
	return filepath.Join(dir, "apt/pool/main/s/sprechprobe/sprechprobe_"+version+"_armhf.deb")
}

// Debian's own judge of packages finds no error.
func TestLintian(t *testing.T) {
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
	first, second := dist(t), t.TempDir()
	must(t, os.CopyFS(filepath.Join(second, "src"), os.DirFS(filepath.Join(dir, "src"))))
	old := syscall.Umask(0o077)
	err := makeDebs(second, "TZ=Asia/Kathmandu", "LC_ALL=C.UTF-8", "HOME="+os.Getenv("HOME"))
	syscall.Umask(old)
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	err = filepath.WalkDir(first, func(path string, d os.DirEntry, err error) error {
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
	gpg := lab.Program(t, "gpg", "gnupg")
	apt := lab.Program(t, "apt-get", "apt")
	dir := t.TempDir()
	home := filepath.Join(dir, "gnupg")
	must(t, os.Mkdir(home, 0o700))
	t.Setenv("GNUPGHOME", home)
	t.Cleanup(func() { _ = exec.Command("gpgconf", "--kill", "all").Run() })
	run(t, exec.Command(gpg, "--batch", "--passphrase", "", "--quick-gen-key", "test@sprechprobe.invalid", "ed25519", "sign"))
	repository := filepath.Join(dir, "apt")
	cmd := exec.Command("./repository", repository, "1700000000", deb(dist(t)))
	cmd.Env = append(os.Environ(), "SIGN_KEY=test@sprechprobe.invalid")
	run(t, cmd)

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

// TestInstall installs, upgrades, removes and purges the package in an armhf
// system, by its own dpkg under emulation.
func TestInstall(t *testing.T) {
	qemu := lab.Program(t, "qemu-arm-static", "qemu-user-static")
	root := guestRoot(t, "armhf")
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "testdata/install.sh", root, deb(dist(t)), qemu)
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
