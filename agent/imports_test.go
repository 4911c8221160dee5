package agent_test

import (
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sprechprobe/sprechprobe/"

// layers says which of our packages a package may import: the house, one row a
// package. Tests may import more. A package without a row fails the test.
var layers = map[string][]string{
	"agent":                          {},
	"agent/wire/fleet":               {"agent"},
	"agent/wire/fleet/fleettest":     {"agent/wire/fleet"},
	"agent/wire/iperf3":              {"agent"},
	"agent/wire/stamp":               {},
	"agent/lab":                      {},
	"agent/lab/pki":                  {},
	"agent/lab/browser":              {"agent/lab"},
	"agent/lab/internet":             {"agent/lab", "agent/lab/pki"},
	"agent/lab/impair":               {"agent/lab"},
	"agent/lab/middlebox":            {"agent/lab/pki"},
	"agent/lab/faketime":             {"agent/lab"},
	"agent/lab/postgres":             {"agent/lab"},
	"agent/lab/practice":             {"agent/lab", "agent/lab/..."},
	"agent/reach":                    {"agent"},
	"agent/trust":                    {"agent", "agent/reach"},
	"agent/trust/trusttest":          {},
	"agent/probe":                    {},
	"agent/probe/probetest":          {"agent"},
	"agent/probe/link":               {"agent", "agent/reach", "agent/probe/dns/resolvconf"},
	"agent/probe/dns":                {"agent", "agent/reach", "agent/probe/dns/resolvconf"},
	"agent/probe/dns/resolvconf":     {},
	"agent/probe/web":                {"agent", "agent/reach", "agent/trust", "agent/probe/web/http1"},
	"agent/probe/web/http1":          {"agent"},
	"agent/probe/proxy":              {"agent", "agent/reach", "agent/probe/dns", "agent/probe/dns/resolvconf", "agent/probe/web/http1"},
	"agent/probe/ipv6":               {"agent", "agent/reach", "agent/probe/dns", "agent/probe/link"},
	"agent/probe/self":               {"agent"},
	"agent/probe/webrtc":             {"agent", "agent/reach", "agent/trust", "agent/wire/stamp"},
	"agent/probe/nats":               {"agent", "agent/reach", "agent/trust", "agent/probe/web/http1"},
	"agent/probe/ports":              {"agent", "agent/reach"},
	"agent/probe/path":               {"agent", "agent/reach"},
	"agent/probe/idle":               {"agent", "agent/reach", "agent/trust", "agent/probe/web/http1"},
	"agent/probe/bandwidth":          {"agent", "agent/reach", "agent/wire/iperf3"},
	"agent/probe/rehearsal":          {"agent", "agent/trust", "agent/probe/webrtc"},
	"agent/assess":                   {"agent"},
	"agent/round":                    {"agent"},
	"agent/schedule":                 {},
	"agent/trend":                    {"agent/statefile"},
	"agent/spool":                    {},
	"agent/schedule/quiet":           {},
	"agent/strict":                   {},
	"agent/profile":                  {"agent", "agent/strict"},
	"agent/config":                   {"agent", "agent/schedule/quiet", "agent/spool", "agent/strict", "agent/wire/fleet"},
	"agent/uci":                      {"agent/strict"},
	"agent/advice":                   {"agent"},
	"agent/light":                    {"agent", "agent/advice", "hal"},
	"agent/light/sheet":              {"agent/advice", "agent/light", "hal"},
	"agent/press":                    {"hal"},
	"agent/procd":                    {},
	"agent/panel":                    {"agent", "agent/advice", "agent/light"},
	"agent/uplink":                   {"agent", "agent/wire/fleet", "agent/spool", "agent/uplink/dial"},
	"agent/uplink/dial":              {"agent", "agent/probe/web/http1"},
	"agent/steps":                    {"agent"},
	"agent/localname":                {},
	"agent/statuspage":               {"agent", "agent/advice", "agent/light", "agent/steps"},
	"agent/atomicfile":               {},
	"agent/statefile":                {"agent/atomicfile", "agent/strict"},
	"agent/identity":                 {"agent/atomicfile", "agent/strict", "agent/wire/fleet"},
	"agent/command":                  {"agent", "agent/wire/fleet"},
	"agent/assignment":               {"agent", "agent/atomicfile", "agent/profile", "agent/strict", "agent/wire/fleet"},
	"agent/provision":                {"agent/atomicfile", "agent/config", "agent/strict"},
	"agent/restarts":                 {"agent/statefile"},
	"agent/beacon":                   {"agent", "agent/wire/fleet"},
	"agent/daemon":                   {"agent/...", "hal/..."},
	"hal":                            {},
	"hal/line":                       {},
	"hal/led":                        {"hal", "hal/line"},
	"hal/button":                     {"hal", "hal/line"},
	"hal/board":                      {"hal", "hal/led"},
	"hal/console":                    {"hal"},
	"hal/guest":                      {},
	"hal/haltest":                    {"hal"},
	"cmd/sprechprobe":                {"agent", "agent/advice", "agent/config", "agent/daemon", "agent/identity", "agent/strict", "agent/uci", "agent/wire/fleet", "cmd/internal/buildinfo", "agent/light", "agent/wire/iperf3", "agent/profile", "agent/provision"},
	"cmd/sprechprobe/matrix":         {},
	"openwrt":                        {},
	"packaging/openwrt/feed":         {},
	"cmd/internal/buildinfo":         {},
	"packaging/debian":               {},
	"packaging/release":              {},
	"cmd/sprechprobe-fleet":          {"agent/...", "cmd/sprechprobe-fleet/internal/...", "cmd/internal/buildinfo"},
	"cmd/sprechprobe-fleet/internal": {"agent", "agent/wire/...", "agent/advice", "agent/atomicfile", "agent/profile", "agent/strict", "cmd/sprechprobe-fleet/internal/...", "cmd/internal/buildinfo"},
}

// unlinked says of which packages no symbol may be in the box's program, and
// why. It is the linker's word that counts: stun/v2 names dtls/v2, but only its
// DialURI, which nothing calls, would bring it in.
var unlinked = map[string]string{
	"github.com/nats-io/nats-server/":       "a whole server, 17 MB on mips",
	"html.":                                 "its table of entities; escape the five signs by hand, 0.1 MB",
	"html/template.":                        "the dashboard's; keeps every exported method, 2.8 MB",
	"text/template.":                        "keeps every exported method, 2.8 MB",
	"github.com/spf13/cobra.":               "the flag package does",
	"github.com/coder/websocket.":           "only tests need it",
	"net/http.(*Server).":                   "0.18 MB; the page has its own loop",
	"github.com/pion/mdns/":                 "0.33 MB, and it keeps what the neighbours say; tests only",
	"github.com/pion/dtls/v2.Client":        "reached only through DialURI of stun/v2, 1.1 MB; v3 is linked already",
	"github.com/coreos/go-systemd/v22/dbus": "0.4 MB; the box talks to systemd by sockets",
	"modernc.org/":                          "history is the fleet's; SQLite does not build for mips",
	"periph.io/x/host/v3/bcm283x.":          "drivers of every board come with it; gpioioctl alone is linked",
	"github.com/pelletier/go-toml/v2.":      "only its parser is used, 0.4 MB less",
	"testing.":                              "no test code in the box",
	module + "agent/lab":                    "tests only",
	module + "agent/wire/fleet/fleettest":   "tests only",
	"github.com/nats-io/jwt/":               "the box only carries its JWT; the server judges it",
	module + "agent/probe/probetest":        "tests only",
	module + "hal/haltest":                  "tests only",
	module + "cmd/sprechprobe-fleet":        "the vendor's side",
}

// linked says of which packages something must be in the box's program, and why.
var linked = map[string]string{
	"golang.org/x/crypto/x509roots/fallback.": "routers without ca-bundle have no roots to judge certificates by",
}

func TestLayers(t *testing.T) {
	for _, line := range golist(t, "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./...") {
		words := strings.Fields(line)
		pkg := strings.TrimPrefix(words[0], module)
		allowed, ok := row(pkg)
		if !ok {
			t.Errorf("package %s has no row in the table of layers", pkg)
			continue
		}
		for _, imp := range words[1:] {
			if ours, ok := strings.CutPrefix(imp, module); ok && !slices.ContainsFunc(allowed, func(p string) bool { return matches(p, ours) }) {
				t.Errorf("%s imports %s; its row allows only %q", pkg, ours, allowed)
			}
		}
	}
}

// row finds the package's row, or that of the nearest folder above it that is no
// package of its own.
func row(pkg string) ([]string, bool) {
	if allowed, ok := layers[pkg]; ok {
		return allowed, true
	}
	if dir := path.Dir(pkg); path.Base(dir) == "internal" {
		allowed, ok := layers[dir]
		return allowed, ok
	}
	return nil, false
}

func matches(pattern, pkg string) bool {
	if dir, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == dir || strings.HasPrefix(pkg, dir+"/")
	}
	return pkg == pattern
}

func TestRowsArePackages(t *testing.T) {
	have := golist(t, "./...")
	for pkg := range layers {
		if path.Base(pkg) != "internal" && !slices.Contains(have, module+pkg) {
			t.Errorf("the table has a row for %s, which is no package", pkg)
		}
	}
}

func TestBoxLinks(t *testing.T) {
	program := filepath.Join(t.TempDir(), "sprechprobe")
	if out, err := exec.Command("go", "build", "-o", program, module+"cmd/sprechprobe").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	symbols, err := exec.Command("go", "tool", "nm", program).Output()
	if err != nil {
		t.Fatalf("nm: %v", err)
	}
	if !strings.Contains(string(symbols), " "+module+"agent/assess.Assess") {
		t.Fatal("the symbol table does not show what is linked")
	}
	for bad, why := range unlinked {
		if i := strings.Index(string(symbols), " "+bad); i >= 0 {
			line, _, _ := strings.Cut(string(symbols[i:]), "\n")
			t.Errorf("cmd/sprechprobe links%s: %s", line, why)
		}
	}
	for good, why := range linked {
		if !strings.Contains(string(symbols), " "+good) {
			t.Errorf("cmd/sprechprobe does not link %s: %s", good, why)
		}
	}
}

func TestPackageComments(t *testing.T) {
	for _, line := range golist(t, "-f", "{{.ImportPath}}\t{{.Name}}\t{{.Doc}}", "./...") {
		f := strings.SplitN(line, "\t", 3)
		want := "Package " + f[1] + " "
		if f[1] == "main" {
			want = "Command " + path.Base(f[0]) + " "
		}
		if len(f) < 3 || !strings.HasPrefix(f[2], want) {
			t.Errorf("%s: package comment starts %q, want %q", f[0], f[2], want)
		}
	}
}

func golist(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}
