package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/round"
)

// inHole reports whether this is a run of the calling test in a network of its
// own whose router swallows every packet.
func inHole(t *testing.T) bool {
	t.Helper()
	if !inOwnNetwork(t) {
		return false
	}
	lab.IP(t, `
		link add box type veth peer name hole
		addr add 192.0.2.2/24 dev box
		link set hole up
		link set box up
		neigh add 192.0.2.1 lladdr 02:00:00:00:00:01 dev box nud permanent
		route add default via 192.0.2.1`)
	return true
}

// holeConfig is a box with the built-in profiles, with resolvers of its own.
func (v *vendor) holeConfig(t *testing.T, resolver string) string {
	t.Helper()
	return v.write(t, "hole.toml", fmt.Appendf(nil, "profiles = [\"webprax\", \"zpp-hd\"]\n[network]\nresolvers = [%q]\n[lights]\ndriver = \"none\"\n", resolver))
}

// A dead line ends within the limit, with one sentence and not a heap of
// time-outs.
func TestDeadLine(t *testing.T) {
	if !inHole(t) {
		return
	}
	v := &vendor{dir: t.TempDir()}
	r := v.box(t, []string{build(t)}, "check", "--config", v.holeConfig(t, "192.0.2.53:53"), "--format", "json")
	report := v.read(t, r)
	expect(t, report, r.code, 2, agent.Offline, agent.WANDown)
	inTime(t, report)
}

// Everything but names is dropped: the longest round there is.
func TestEverythingDropped(t *testing.T) {
	if !inHole(t) {
		return
	}
	v := newSilentVendor(t)
	v.startNames(t, program(t, "dnsmasq", "dnsmasq-base"), "video."+domain, "--address=/"+domain+"/203.0.113.9")
	r := v.box(t, []string{build(t)}, "check", "--config", v.config, "--format", "json")
	report := v.read(t, r)
	if report.Verdict != agent.Offline && report.Verdict != agent.Blocked {
		t.Errorf("verdict %s, want offline or blocked", report.Verdict)
	}
	inTime(t, report)
}

func inTime(t *testing.T, r agent.Report) {
	t.Helper()
	t.Logf("took %d ms", r.TookMS)
	if limit := round.Limit.Milliseconds() + 1000; r.TookMS > limit {
		t.Errorf("took %d ms, over %d", r.TookMS, limit)
	}
}

// newSilentVendor is a vendor of whom only the configuration exists.
func newSilentVendor(t *testing.T) *vendor {
	t.Helper()
	v := &vendor{dir: t.TempDir(), names: namesAddr}
	v.writeConfig(t)
	b, err := os.ReadFile(v.profile)
	must(t, err)
	v.write(t, "profiles.d/praxis.toml", []byte(strings.ReplaceAll(string(b), "127.0.40.", "203.0.113.")))
	return v
}

func (v *vendor) read(t *testing.T, r result) agent.Report {
	t.Helper()
	var report agent.Report
	if err := json.Unmarshal([]byte(r.out), &report); err != nil {
		t.Fatalf("report: %v\n%s%s", err, r.out, r.errOut)
	}
	return report
}

// A box without any network says so at once.
func TestNoNetwork(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	v := &vendor{dir: t.TempDir()}
	r := v.box(t, []string{build(t)}, "check", "--profile", "webprax", "--lang", "de")
	if r.code != 2 || !strings.HasPrefix(r.out, "Von hier aus ist das Internet nicht erreichbar") {
		t.Errorf("exit %d, want 2 and a sentence about the internet first:\n%s", r.code, r.out)
	}
}
