package guest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

const (
	bootLimit = 12 * time.Minute
	// The guest says these lines on its console.
	pressMark = "@press" // the host is to press the button
	endMark   = "@end "  // how the tests ended
)

// modules are loaded in this order; the rest stays aside for tests.
var modules = []string{"leds-gpio", "ledtrig-timer", "ledtrig-default-on", "evdev"}

// spare modules are brought along.
var spare = append([]string{"ledtrig-transient", "gpio_keys"}, multicolor...)

// multicolor are, in this order, what makes an LED of the class with more than one
// intensity; see multicolor_test.go.
var multicolor = []string{"hid", "ff-memless", "uhid", "led-class-multicolor", "hid-playstation"}

// TestOnARealKernel boots the guest and passes on what it says.
func TestOnARealKernel(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a machine")
	}
	qemu := lab.Program(t, "qemu-system-aarch64", "qemu-system-arm")
	dtc := lab.Program(t, "dtc", "device-tree-compiler")
	kernel := kernelFiles(t)
	dir := t.TempDir()
	test, box := build(t, dir, "test", "test", "-c"), build(t, dir, "sprechprobe", "build")
	wrong := build(t, dir, mistaken, "build", "-overlay", mistakenSource(t, dir))
	initramfs := filepath.Join(dir, "initramfs")
	writeInitramfs(t, initramfs, map[string]string{"init": test, "sprechprobe": box, mistaken: wrong}, kernel)

	qmp := filepath.Join(dir, "qmp")
	ctx, cancel := context.WithTimeout(t.Context(), bootLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, qemu, append(machine,
		"-m", "512", "-display", "none", "-nic", "none", "-no-reboot", "-serial", "stdio", "-qmp", "unix:"+qmp+",server=on,wait=off",
		"-kernel", filepath.Join(kernel, "vmlinuz"), "-initrd", initramfs, "-dtb", tree(t, qemu, dtc, dir),
		"-append", "console=ttyAMA0 quiet panic=-1 rdinit=/init")...)
	said := run(t, cmd, qmp)
	if !strings.Contains(said, endMark+"0") {
		t.Error("the tests in the guest did not pass")
	}
	if n := strings.Count(said, "--- PASS: TestGuest"); n < 15 {
		t.Errorf("only %d tests passed in the guest", n)
	}
}

// kernelFiles is the directory that "make guest" has filled: vmlinuz and modules.
func kernelFiles(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("SPRECHPROBE_GUEST")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			lab.LeaveOut(t, "there is no place for a kernel: "+err.Error())
		}
		dir = filepath.Join(cache, "sprechprobe", "guest")
	}
	for _, name := range append([]string{"vmlinuz"}, moduleFiles()...) {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			lab.LeaveOut(t, "there is no kernel to boot; make guest fetches Debian's: "+err.Error())
		}
	}
	return dir
}

func moduleFiles() []string {
	var all []string
	for _, m := range append(append([]string{}, modules...), spare...) {
		all = append(all, m+".ko")
	}
	return all
}

// build builds for the guest, whose kernel also runs programs of 32 bits: this is
// how most boards with GPIO lines run the box.
func build(t *testing.T, dir, name string, command ...string) string {
	t.Helper()
	out := filepath.Join(dir, name)
	pkg := "../../cmd/sprechprobe"
	if command[0] == "test" {
		pkg = "."
	}
	cmd := exec.CommandContext(t.Context(), "go", append(command, "-o", out, pkg)...)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm", "GOARM=7", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, text)
	}
	return out
}

var machine = []string{"-M", "virt", "-cpu", "cortex-a53", "-smp", "2"}

// extra is what the guest's device tree has beside qemu's: names for lines, LEDs
// on three of them, and a button that OpenWrt would call wps.
const extra = `
&{/pl061@9030000} {
	gpio-line-names = "RED", "GREEN", "BLUE", "BUTTON", "LAMP4", "LAMP5", "LAMP6", "LAMP7";
};
&{/gpio-keys/poweroff} { linux,code = <0x211>; };
/ {
	compatible = "acme,guest";
	model = "Acme Guest";
	leds {
		compatible = "gpio-leds";
		led-0 { label = "red:status"; gpios = <&{/pl061@9030000} 0 0>; };
		led-1 { label = "green:status"; gpios = <&{/pl061@9030000} 1 0>; linux,default-trigger = "default-on"; };
		led-2 { label = "blue:status"; gpios = <&{/pl061@9030000} 2 1>; };
	};
};
`

// tree makes the guest's device tree.
func tree(t *testing.T, qemu, dtc, dir string) string {
	t.Helper()
	plain, source, out := filepath.Join(dir, "virt.dtb"), filepath.Join(dir, "guest.dts"), filepath.Join(dir, "guest.dtb")
	dump := append([]string{}, machine...)
	dump[1] += ",dumpdtb=" + plain
	for _, cmd := range []*exec.Cmd{
		exec.Command(qemu, append(dump, "-m", "512", "-display", "none", "-nic", "none")...),
		exec.Command(dtc, "-q", "-I", "dtb", "-O", "dts", "-o", source, plain),
	} {
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, text)
		}
	}
	f, err := os.OpenFile(source, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, extra)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command(dtc, "-q", "-I", "dts", "-O", "dtb", "-o", out, source).CombinedOutput(); err != nil {
		t.Fatalf("dtc: %v\n%s", err, text)
	}
	return out
}

// run boots the guest until it ends, presses its button when it asks for that,
// and returns what it said.
func run(t *testing.T, cmd *exec.Cmd, qmp string) string {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	press := presser(qmp)
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fmt.Fprintln(&said, lines.Text())
		t.Log(lines.Text())
		if strings.Contains(lines.Text(), pressMark) {
			if err := press(); err != nil {
				t.Errorf("press the guest's button: %v", err)
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("qemu: %v\n%s", err, complaints.String())
	}
	return said.String()
}

// presser presses the button of the guest, which qemu calls powering down.
func presser(path string) func() error {
	var conn net.Conn
	connect := sync.OnceValue(func() (err error) {
		if conn, err = net.Dial("unix", path); err != nil {
			return err
		}
		go func() { // it talks of what happens, and somebody has to listen
			for lines := bufio.NewScanner(conn); lines.Scan(); {
			}
		}()
		return json.NewEncoder(conn).Encode(map[string]string{"execute": "qmp_capabilities"})
	})
	return func() error {
		if err := connect(); err != nil {
			return err
		}
		return json.NewEncoder(conn).Encode(map[string]string{"execute": "system_powerdown"})
	}
}

// writeInitramfs writes the guest's files: directories, programs and modules.
func writeInitramfs(t *testing.T, path string, programs map[string]string, kernel string) {
	t.Helper()
	var b archive
	for _, dir := range []string{"dev", "proc", "sys", "run", "tmp", "etc", "modules"} {
		b.entry(dir, 0o040755, 0, 0, nil)
	}
	for _, name := range moduleFiles() {
		programs["modules/"+name] = filepath.Join(kernel, name)
	}
	for name, file := range programs {
		b.file(t, name, 0o755, file)
	}
	b.save(t, path)
}

// archive is one of the kernel's format
// (Documentation/driver-api/early-userspace/buffer-format.rst).
type archive struct {
	bytes.Buffer
	inodes int
}

// entry adds what mode says: with the number of a device, or with a body.
func (b *archive) entry(name string, mode, major, minor int, body []byte) {
	b.inodes++
	fmt.Fprintf(b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		b.inodes, mode, 0, 0, 1, 0, len(body), 0, 0, major, minor, len(name)+1, 0, name)
	b.pad()
	b.Write(body)
	b.pad()
}

func (b *archive) file(t *testing.T, name string, mode int, from string) {
	t.Helper()
	body, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	b.entry(name, 0o100000|mode, 0, 0, body)
}

func (b *archive) save(t *testing.T, path string) {
	t.Helper()
	b.entry("dev/console", 0o020600, 5, 1, nil)
	b.entry("TRAILER!!!", 0, 0, 0, nil)
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// pad fills up to a multiple of four bytes.
func (b *archive) pad() {
	for b.Len()%4 != 0 {
		b.WriteByte(0)
	}
}
