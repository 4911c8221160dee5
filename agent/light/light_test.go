package light_test

import (
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/hal"
)

var update = flag.Bool("update", false, "rewrite testdata")

func report(v agent.Verdict, codes ...agent.Code) agent.Report {
	r := agent.Report{Verdict: v}
	for _, c := range codes {
		r.Findings = append(r.Findings, agent.Finding{Code: c})
	}
	return r
}

func TestOf(t *testing.T) {
	tests := []struct {
		in   agent.Report
		want string
	}{
		{agent.Report{}, "unknown"},
		{report(agent.Ready), "ready"},
		{report(agent.Ready, agent.NATEDM), "ready"},
		{report(agent.VerdictLimited, agent.TURNTCPBlock), "limited"},
		{report(agent.Blocked, agent.UDPAllBlock), "blocked"},
		// The internet is there; what blocks is the name service.
		{report(agent.Blocked, agent.DNSFail), "blocked"},
		{report(agent.Offline, agent.LinkDown), "no-link"},
		{report(agent.Offline, agent.DHCPNone), "no-address"},
		{report(agent.Offline, agent.DHCPNone, agent.LinkDown), "no-link"},
		{report(agent.Offline, agent.GatewayUnreachable), "no-internet"},
		{report(agent.Offline, agent.WANDown), "no-internet"},
		{report(agent.Offline, agent.DNSFail), "no-internet"},
		{report(agent.Offline), "no-internet"},
		{report(agent.VerdictUnknown, agent.ClockWrong), "unknown"},
		{report(agent.Verdict(200)), "unknown"},
		{report(agent.Ready, agent.CentralDown), "ready+u"},
		{report(agent.Blocked, agent.TURNAllBlock, agent.CentralAuth), "blocked+u"},
		// A cable that is reported out, but by a verdict that is not offline.
		{report(agent.Ready, agent.LinkDown), "ready"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			if got := light.Of(tt.in).String(); got != tt.want {
				t.Errorf("Of(%v %v) = %s, want %s", tt.in.Verdict, tt.in.Findings, got, tt.want)
			}
		})
	}
}

// What keeps a box from being claimed is shown first.
func TestUnclaimed(t *testing.T) {
	for _, s := range light.States() {
		want := s
		switch s {
		case light.Ready, light.Limited, light.Blocked, light.Checking:
			want = light.Unclaimed
		}
		if got := (light.Show{State: s, Unheard: true}).Unclaimed(); got.State != want || !got.Unheard {
			t.Errorf("%v of a box that belongs to nobody is %v, want %v", s, got, want)
		}
	}
}

// everything calls f with each thing the lamps may show.
func everything(f func(s light.Show, role light.Role, kind light.Kind, p hal.Pattern)) {
	for _, unheard := range []bool{false, true} {
		for _, state := range light.States() {
			s := light.Show{State: state, Unheard: unheard}
			for _, role := range light.Roles() {
				for _, kind := range []light.Kind{light.Color, light.Mono} {
					f(s, role, kind, s.Pattern(role, kind))
				}
			}
		}
	}
}

func TestPictures(t *testing.T) {
	var b strings.Builder
	everything(func(s light.Show, role light.Role, kind light.Kind, p hal.Pattern) {
		fmt.Fprintf(&b, "%-14s %-7s %-5s %s\n", s, role, kind, p)
	})
	golden(t, filepath.Join("testdata", "pictures.txt"), b.String())
}

// rhythm is a pattern's picture without colours, from its least rotation, so
// that two rhythms are the same if a watcher could not tell them apart.
func rhythm(p hal.Pattern) string {
	s := strings.Map(func(r rune) rune {
		if r == '-' {
			return r
		}
		return '#'
	}, p.String())
	least := s
	for i := range s {
		least = min(least, s[i:]+s[:i])
	}
	return least
}

func TestEveryStateHasItsRhythmOnOneLamp(t *testing.T) {
	for _, kind := range []light.Kind{light.Color, light.Mono} {
		seen := map[string]light.State{}
		for _, state := range light.States() {
			r := rhythm(light.Show{State: state}.Pattern(light.All, kind))
			if other, ok := seen[r]; ok {
				t.Errorf("%s: %v and %v share the rhythm %s", kind, other, state, r)
			}
			seen[r] = state
		}
	}
}

func TestRhythmIsTheSameWithoutColour(t *testing.T) {
	everything(func(s light.Show, role light.Role, _ light.Kind, _ hal.Pattern) {
		c, m := s.Pattern(role, light.Color), s.Pattern(role, light.Mono)
		if rhythm(c) != rhythm(m) {
			t.Errorf("%v %v: color %s, mono %s", s, role, c, m)
		}
	})
}

// A program that was killed leaves its lamps as they are.
func TestNothingLitIsSteady(t *testing.T) {
	everything(func(s light.Show, role light.Role, kind light.Kind, p hal.Pattern) {
		if len(p) == 1 && p[0].Color != hal.Off {
			t.Errorf("%v %v %v is steady: %s", s, role, kind, p)
		}
	})
}

func TestFewerThanThreeFlashesInASecond(t *testing.T) {
	everything(func(s light.Show, role light.Role, kind light.Kind, p hal.Pattern) {
		beats := strings.Repeat(p.String(), 8)
		for i := 1; i+4 <= len(beats); i++ {
			flashes := 0
			for j := i; j < i+4; j++ {
				if beats[j-1] == '-' && beats[j] != '-' {
					flashes++
				}
			}
			if flashes > 2 {
				t.Fatalf("%v %v %v flashes %d times in %s", s, role, kind, flashes, beats[i:i+4])
			}
		}
	})
}

func TestFlashCounts(t *testing.T) {
	want := map[light.State]int{
		light.NoLink: 1, light.NoAddress: 2, light.NoInternet: 3, light.Blocked: 4, light.Unknown: 5,
	}
	for state, n := range want {
		for _, role := range []light.Role{light.All, light.Video} {
			got := light.Show{State: state}.Pattern(role, light.Mono).String()
			if c := strings.Count(got, "W"); c != n || !strings.HasSuffix(got, "------") {
				t.Errorf("%v %v = %s, want %d flashes and a pause", state, role, got, n)
			}
		}
	}
}

func TestReportingChangesTheBoxLampOnly(t *testing.T) {
	changed := 0
	for _, state := range light.States() {
		for _, role := range light.Roles() {
			heard := light.Show{State: state}.Pattern(role, light.Color).String()
			unheard := light.Show{State: state, Unheard: true}.Pattern(role, light.Color).String()
			if heard == unheard {
				continue
			}
			changed++
			if role != light.Box {
				t.Errorf("%v: the %v lamp changes from %s to %s because of reporting", state, role, heard, unheard)
			}
		}
	}
	if changed == 0 {
		t.Error("no lamp tells that the box is unheard")
	}
}

// Whoever plugs a box in sees how far it gets: first the network's lamp settles,
// then that of the video service.
func TestTheNetworkIsThereBeforeTheVerdict(t *testing.T) {
	for _, state := range light.States() {
		for _, role := range light.Roles() {
			before := light.Show{State: state}.Pattern(role, light.Color).String()
			online := light.Show{State: state, Online: true}.Pattern(role, light.Color).String()
			if state == light.Checking && role == light.Network {
				before = light.Show{State: light.Ready}.Pattern(role, light.Color).String()
			}
			if online != before {
				t.Errorf("%v: the %v lamp shows %s while online, want %s", state, role, online, before)
			}
		}
	}
}

func TestWords(t *testing.T) {
	for _, want := range light.States() {
		var got light.State
		if err := got.UnmarshalText([]byte(want.String())); err != nil || got != want {
			t.Errorf("state %v read as %v, err %v", want, got, err)
		}
	}
	for _, want := range light.Roles() {
		var got light.Role
		if err := got.UnmarshalText([]byte(want.String())); err != nil || got != want {
			t.Errorf("role %v read as %v, err %v", want, got, err)
		}
	}
	var s light.State
	if err := s.UnmarshalText([]byte("green")); err == nil || !strings.Contains(err.Error(), `unknown state "green"`) {
		t.Errorf("state green: err = %v", err)
	}
	if got := light.State(99).String(); got != "invalid(99)" {
		t.Errorf("State(99) = %s", got)
	}
	if got := (light.Show{State: 99}).Pattern(light.All, light.Mono); rhythm(got) != rhythm((light.Show{State: light.Unknown}).Pattern(light.All, light.Mono)) {
		t.Errorf("a state that is none shows %s, want that of unknown", got)
	}
}
