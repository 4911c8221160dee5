package profile_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/profile"
	"github.com/sprechprobe/sprechprobe/agent/strict"
)

// builtin finds one of the built-in profiles.
func builtin(t *testing.T, name string) agent.Profile {
	t.Helper()
	for _, p := range profile.Builtin() {
		if p.Name == name {
			return p
		}
	}
	t.Fatalf("no built-in profile %q", name)
	return agent.Profile{}
}

// line is a target in one line, as a person would check it against the
// vendor's page.
func line(t agent.Target) string {
	s := fmt.Sprint(t.Service, " ", t)
	if len(t.AltPorts) > 0 {
		s += fmt.Sprint(" or ", t.AltPorts)
	}
	if len(t.Pins) > 0 {
		s += fmt.Sprint(" at ", t.Pins)
	}
	if len(t.Variants) > 0 {
		s += fmt.Sprint(" by ", t.Variants)
	}
	s += fmt.Sprint(" feeds ", t.Feeds)
	if !t.Required {
		s += " optional"
	}
	return s
}

// The comments name the rows of the vendors' pages.
func TestBuiltinTargets(t *testing.T) {
	tests := map[string][]string{
		"webprax": {
			"https video.webprax.de:443/tcp feeds [direct relay]",                                           // S2
			"stun coturn.webprax.de:3478/udp by [plain] feeds [direct group]",                               // S6, S11
			"turn coturn.webprax.de:5349/udp by [plain dtls] feeds [relay group]",                           // S7
			"turn coturn.webprax.de:5349/tcp by [plain tls] feeds [relay group]",                            // S8
			"https test.webprax.de:443/tcp feeds [] optional",                                               // S9
			"https pnm.webprax.de:443/tcp feeds [group]",                                                    // S10
			"nats nats1.webprax.de:8443/tcp at [5.75.182.248] by [wss tls-first tls plain] feeds [group]",   // S12
			"nats nats2.webprax.de:8443/tcp at [128.140.77.77] by [wss tls-first tls plain] feeds [group]",  // S13
			"nats nats3.webprax.de:8443/tcp at [157.90.226.181] by [wss tls-first tls plain] feeds [group]", // S14
		},
		"zpp-hd": {
			"https zpp-hd.meetone.io:443/tcp feeds [direct]",
			"stun stun.zpp-hd.meetone.io:3478/udp or [5349 443 10000 19302] by [plain] feeds [direct]", // S48
			"range stun.zpp-hd.meetone.io:10000-20000/udp feeds [direct hd]",                           // S49
			"range stun.zpp-hd.meetone.io:10000-20000/tcp feeds [direct] optional",                     // S49, A3
		},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, target := range builtin(t, name).Targets {
				got = append(got, line(target))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	files, err := filepath.Glob("*.toml")
	if err != nil {
		t.Fatal(err)
	}
	if got := len(profile.Builtin()); got != len(tests) || got != len(files) {
		t.Errorf("%d profiles are built in, of %d files, and %d checked here", got, len(files), len(tests))
	}
}

func TestBuiltinThresholds(t *testing.T) {
	scale := agent.Thresholds{ // A10
		LossWarnRatio: 0.01, LossBadRatio: 0.05, RTTWarnMS: 150, RTTBadMS: 450, JitterWarnMS: 30, JitterBadMS: 100,
		RegulatedDownBitsPerS: 2e6, // Anlage 31b
	}
	meetone := scale
	meetone.MinDownBitsPerS, meetone.MinUpBitsPerS = 1e6, 1e6 // S25, S26
	meetone.HDDownBitsPerS, meetone.HDUpBitsPerS = 5e6, 5e6   // S27
	for name, want := range map[string]agent.Thresholds{"webprax": scale, "zpp-hd": meetone} {
		if diff := cmp.Diff(want, builtin(t, name).Thresholds); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestBuiltinAbout(t *testing.T) {
	want := map[string]agent.Profile{
		"webprax": {Name: "webprax", Title: "webPRAX Videosprechstunde", Version: "1", Source: "https://hilfe.webprax.de/article/92", Date: "2026-02-18"},
		"zpp-hd":  {Name: "zpp-hd", Title: "ZPP HD (meetone)", Version: "1", Source: "https://zpp-hd.meetone.io/faq", Date: "2025-12"},
	}
	offers := map[string][]agent.Capability{
		"webprax": {agent.Direct, agent.Relay, agent.Group},
		"zpp-hd":  {agent.Direct, agent.HD}, // S32: no relay, no group
	}
	for name := range want {
		p := builtin(t, name)
		if diff := cmp.Diff(want[name], p, cmpopts.IgnoreFields(agent.Profile{}, "Targets", "Thresholds")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		var got []agent.Capability
		for _, c := range agent.AllCapabilities {
			if p.Offers(c) {
				got = append(got, c)
			}
		}
		if diff := cmp.Diff(offers[name], got); diff != "" {
			t.Errorf("%s offers (-want +got):\n%s", name, diff)
		}
	}
}

const full = `name = "haus"
title = "Haus"
version = "2.1-rc"
source = "http://haus.example/ports?x=1"
date = "2026-01"
contact = "Support, Tel. 030 123"
[[target]]
service = "nats"
host = "nats"
pins = ["192.168.1.5", "fd00::5", "127.0.0.1"]
port = 4222
alt_ports = [443]
transports = ["tcp"]
feeds = ["group", "hd"]
path = "/nats?a=b"
[[target]]
service = "range"
host = "10.1.2.3"
ports = "40000-60000"
transports = ["udp", "tcp"]
required = false
[thresholds]
hd_up_bits_per_s = 1.5e6
[bandwidth]
full_capacity = true
`

func TestParse(t *testing.T) {
	got, err := profile.Parse("haus.toml", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	inRange := agent.Target{Host: "10.1.2.3", Port: 40000, LastPort: 60000, Transport: agent.UDP, Service: agent.Range}
	overTCP := inRange
	overTCP.Transport = agent.TCP
	want := agent.Profile{
		Name: "haus", Title: "Haus", Version: "2.1-rc", Source: "http://haus.example/ports?x=1", Date: "2026-01", Contact: "Support, Tel. 030 123",
		Targets: []agent.Target{{
			Host: "nats", Port: 4222, Transport: agent.TCP, Service: agent.NATS, Path: "/nats?a=b", Required: true,
			Pins:     []netip.Addr{netip.MustParseAddr("192.168.1.5"), netip.MustParseAddr("fd00::5"), netip.MustParseAddr("127.0.0.1")},
			Variants: []agent.Variant{agent.WSS, agent.TLSFirst, agent.TLS, agent.Plain, agent.WS},
			AltPorts: []uint16{443},
			Feeds:    []agent.Capability{agent.Group, agent.HD},
		}, inRange, overTCP},
		Thresholds: agent.Thresholds{HDUpBitsPerS: 1.5e6},
		Capacity:   true,
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Each file breaks one rule and says in its first line what the error has to
// say.
func TestBadFiles(t *testing.T) {
	paths, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no bad files: %v", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(string(data), "\n")
			want, ok := strings.CutPrefix(first, "# want: ")
			if !ok || want == "" {
				t.Fatalf("first line %q, want # want: ...", first)
			}
			_, err = profile.Parse(filepath.Base(path), data)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v\nwant %s", err, want)
			}
			if n := len(strict.Errors(err)); n != 1 {
				t.Errorf("%d errors, want it to fail for one reason:\n%v", n, err)
			}
		})
	}
}

func TestParseTellsAllMistakes(t *testing.T) {
	in := strings.NewReplacer("4222", "0", `"192.168.1.5"`, `"192.168.1.555"`, "[\"udp\", \"tcp\"]", "[]").Replace(full)
	_, err := profile.Parse("haus.toml", []byte(in))
	want := strings.Join([]string{
		`haus.toml:10: target 1, pins 1: "192.168.1.555": want an address`,
		`haus.toml:11: target 1, port: port 0: want 1 to 65535`,
		`haus.toml:20: target 2, transports: missing`,
	}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

func TestLoad(t *testing.T) {
	minimal := func(name, version string) string {
		return fmt.Sprintf("name = %q\ntitle = \"T\"\nversion = %q\nsource = \"https://x.example/\"\ndate = \"2026-01-01\"\n"+
			"[[target]]\nservice = \"https\"\nhost = \"x.example\"\nport = 443\ntransports = [\"tcp\"]\nfeeds = [\"direct\"]\n", name, version)
	}
	tests := []struct {
		name    string
		files   map[string]string
		ask     []string
		want    []string // name and version
		wantErr []string // substrings
	}{
		{name: "built in", ask: []string{"zpp-hd", "webprax"}, want: []string{"zpp-hd 1", "webprax 1"}},
		{name: "drop-in replaces", files: map[string]string{"any.toml": minimal("webprax", "7")}, ask: []string{"webprax"}, want: []string{"webprax 7"}},
		{name: "drop-in adds", files: map[string]string{"haus.toml": minimal("haus", "1"), "README": "no profile", ".haus.toml": "of an editor"}, ask: []string{"haus"}, want: []string{"haus 1"}},
		{name: "not found", files: map[string]string{"haus.toml": minimal("haus", "1")}, ask: []string{"webprx"}, wantErr: []string{`no profile "webprx" (there are haus, webprax, zpp-hd)`}},
		{name: "asked twice", ask: []string{"webprax", "webprax"}, wantErr: []string{`profile "webprax" is named twice`}},
		{name: "broken, though not asked for", files: map[string]string{"a.toml": minimal("haus", "1") + "\nprot = 1\n", "b.toml": "name ="}, ask: []string{"webprax"},
			wantErr: []string{"a.toml:13: target 1, prot: unknown entry", "b.toml:1: "}},
		{name: "two of one name", files: map[string]string{"a.toml": minimal("haus", "1"), "b.toml": minimal("haus", "2")}, ask: []string{"haus"},
			wantErr: []string{`b.toml: name: "haus" is also that of `, `a.toml`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range tt.files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := profile.Load(dir, tt.ask)
			if (err != nil) != (tt.wantErr != nil) {
				t.Fatalf("got %v, want %q", err, tt.wantErr)
			}
			for _, want := range tt.wantErr {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
			var names []string
			for _, p := range got {
				names = append(names, p.Name+" "+p.Version)
			}
			if diff := cmp.Diff(tt.want, names); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadWithoutDirectory(t *testing.T) {
	for _, dir := range []string{"", filepath.Join(t.TempDir(), "none")} {
		if got, err := profile.Load(dir, []string{"webprax"}); err != nil || len(got) != 1 {
			t.Errorf("dir %q: got %d profiles and %v", dir, len(got), err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := profile.Load(file, []string{"webprax"}); err == nil {
		t.Error("a file was read as a directory")
	}
}

func TestLoadBoundsTheDirectory(t *testing.T) {
	dir := t.TempDir()
	for i := range 65 {
		in := strings.Replace(full, `"haus"`, fmt.Sprintf(`"haus-%d"`, i), 1)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.toml", i)), []byte(in), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := profile.Load(dir, []string{"webprax"}); err == nil || !strings.Contains(err.Error(), "more than 64 profiles") {
		t.Errorf("got %v", err)
	}
}

// A profile that is accepted is fit to be probed.
func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	for _, pattern := range []string{"*.toml", "testdata/bad/*.toml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		p, err := profile.Parse("f.toml", in)
		if err != nil {
			if len(strict.Errors(err)) == 0 {
				t.Errorf("no *strict.Error in %v", err)
			}
			return
		}
		if p.Name == "" || p.Title == "" || len(p.Targets) == 0 || len(p.Targets) > 64 {
			t.Errorf("got %+v", p)
		}
		for _, target := range p.Targets {
			checkTarget(t, target)
		}
	})
}

func checkTarget(t *testing.T, target agent.Target) {
	t.Helper()
	if strict.Host(target.Host) != nil || target.Port == 0 || target.Transport == "" || target.Addr.IsValid() {
		t.Errorf("got %+v", target)
	}
	isRange := target.Service == agent.Range
	if isRange != (target.LastPort > target.Port) || target.LastPort > 0 && target.LastPort-target.Port > 20000 {
		t.Errorf("ports of %v", target)
	}
	if (isRange || target.Service == agent.HTTPS) != (len(target.Variants) == 0) {
		t.Errorf("variants of %v: %v", target, target.Variants)
	}
	if target.Required && len(target.Feeds) == 0 {
		t.Errorf("%v is required and feeds nothing", target)
	}
	for _, a := range target.Pins {
		if !a.IsValid() || a.IsMulticast() || a.IsUnspecified() {
			t.Errorf("pin %v", a)
		}
	}
}
