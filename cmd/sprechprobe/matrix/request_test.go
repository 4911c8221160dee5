package matrix

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
)

// line is what one numbered line of a release request asks for.
type line struct {
	protocols []string // upper case
	ports     string   // "5349", "10000-20000", "3478, 5349"
	targets   []target
}

type target struct {
	name  string
	addrs []netip.Addr
}

var (
	numbered = regexp.MustCompile(`^\d+\. `)
	cell     = regexp.MustCompile(`^   (\S(?:.*?\S)?)? {2,}(\S.*)$`)
	host     = regexp.MustCompile(`^[a-z][a-z0-9-]*(\.[a-z0-9-]+)+`)
	ipv4     = regexp.MustCompile(`\d+\.\d+\.\d+\.\d+`)
)

// read takes an English release request apart as a firewall's administrator would.
func read(text string) (lines []line) {
	label := ""
	for s := range strings.Lines(text) {
		s = strings.TrimRight(s, "\n")
		if numbered.MatchString(s) {
			lines, label = append(lines, line{}), ""
			continue
		}
		m := cell.FindStringSubmatch(s)
		if len(lines) == 0 || m == nil {
			continue
		}
		if m[1] != "" {
			label = strings.TrimSuffix(m[1], ":")
		}
		l := &lines[len(lines)-1]
		switch label {
		case "Target":
			if name := host.FindString(m[2]); name != "" {
				l.targets = append(l.targets, target{name: name})
			}
			t := &l.targets[len(l.targets)-1]
			for _, a := range ipv4.FindAllString(m[2], -1) {
				t.addrs = append(t.addrs, netip.MustParseAddr(a))
			}
		case "Protocol":
			l.protocols = strings.Split(m[2], ", ")
		case "Target port":
			l.ports = m[2]
		}
	}
	return slices.DeleteFunc(lines, func(l line) bool { return l.ports == "" }) // a setting
}

// words are the lines as rows of the matrix write them.
func words(lines []line) (out []string) {
	for _, l := range lines {
		for _, p := range l.protocols {
			for _, t := range l.targets {
				out = append(out, fmt.Sprintf("%s %s %s", p, l.ports, t.name))
			}
		}
	}
	slices.Sort(out)
	return out
}

// follow does what the release request asks for, no more, and the practice must be
// well then.
func (s *scene) follow(r agent.Report) {
	s.t.Helper()
	text := advice.Request(r, s.profiles(), advice.Site{}, advice.English)
	lines := read(text)
	want := slices.Sorted(slices.Values(s.row.asks))
	if got := words(lines); !slices.Equal(got, want) {
		s.t.Errorf("the release request asks for %q, want %q:\n%s", got, want, text)
		return
	}
	for _, l := range lines {
		for _, p := range l.protocols {
			for _, t := range l.targets {
				match := fmt.Sprintf("ip daddr { %s } %s dport { %s }", addrs(t.addrs), strings.ToLower(p), l.ports)
				s.later(s.Router.Release(match).Remove)
			}
		}
	}
	s.Router.ForgetConnections()
	after := s.check()
	for range again(classify(row{verdict: agent.Ready, caps: "***"}, after)) {
		after = s.check()
	}
	if after.Verdict != agent.Ready {
		s.t.Errorf("after what the release request asks for: %s\n%s", told(after), text)
	}
}

func addrs(as []netip.Addr) string {
	var out []string
	for _, a := range as {
		out = append(out, a.String())
	}
	return strings.Join(out, ", ")
}
