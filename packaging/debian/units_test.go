package debian_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

const units = "../../systemd"

// exposure is the most that "systemd-analyze security" may find; the box's is the
// project's promise.
var exposure = map[string]float64{
	"sprechprobe.service": 1.5, "sprechprobe-provision.service": 1.5, "sprechprobe-updating.service": 1.5, "sprechprobe-fleet.service": 2.0,
}

func TestExposure(t *testing.T) {
	analyze := lab.Program(t, "systemd-analyze", "systemd")
	for unit, most := range exposure {
		out, err := exec.Command(analyze, "security", "--offline=yes", "--no-pager", filepath.Join(units, unit)).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", unit, err, out)
		}
		m := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
		if m == nil {
			t.Fatalf("%s: no level in\n%s", unit, out)
		}
		level, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil || level > most {
			t.Errorf("%s: exposure %s, want at most %v\n%s", unit, m[1], most, out)
		}
		t.Logf("%s: exposure %v", unit, level)
	}
}

// What the box needs of the machine is let through by the unit that shuts out so
// much: see hal/guest for the proof on a real system.
func TestRightsThatAreKept(t *testing.T) {
	body, err := os.ReadFile(filepath.Join(units, "sprechprobe.service"))
	if err != nil {
		t.Fatal(err)
	}
	for what, entry := range map[string]string{
		"GPIO":               "DeviceAllow=char-gpiochip rw",
		"serial over USB":    "DeviceAllow=char-ttyUSB rw",
		"serial modems":      "DeviceAllow=char-ttyACM rw",
		"serial on PCs":      "DeviceAllow=char-ttyS rw",
		"serial on boards":   "DeviceAllow=char-ttyAMA rw",
		"the button":         "DeviceAllow=char-input r",
		"LEDs":               "ReadWritePaths=-/sys/devices",
		"multicast DNS":      "224.0.0.251",
		"links":              "AF_NETLINK",
		"notes on the lamps": "RuntimeDirectoryPreserve=yes",
		"lamps after death":  "sprechprobe lights show stopped",
	} {
		if !strings.Contains(string(body), entry) {
			t.Errorf("%s: no %q in the unit", what, entry)
		}
	}
	if sysctl, err := os.ReadFile(filepath.Join(units, "sysctl.conf")); err != nil || !strings.Contains(string(sysctl), "ping_group_range = 0 2147483647") {
		t.Errorf("ICMP echo without privilege: %v\n%s", err, sysctl)
	}
}

func TestScripts(t *testing.T) {
	shellcheck := lab.Program(t, "shellcheck", "shellcheck")
	files, err := filepath.Glob("scripts/*")
	if err != nil || len(files) < 6 {
		t.Fatalf("%v, %d scripts", err, len(files))
	}
	files = append(files, "stage", "repository", "../../.ci/guest-kernel", "../../.ci/guest-root", "../../hal/guest/testdata/lamps.sh",
		"../image/set-up", "../image/files/usr/local/sbin/sprechprobe-data", "../sizes",
		"testdata/container.sh", "testdata/image.sh", "testdata/image-story.sh", "testdata/install.sh", "testdata/service.sh", "testdata/words.sh")
	// The sources of stories stand here.
	if out, err := exec.Command(shellcheck, append([]string{"--severity=warning", "--external-sources", "--source-path=testdata"}, files...)...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
