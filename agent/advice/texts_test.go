package advice_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/light"
)

func book(t *testing.T, l advice.Lang) advice.Book {
	t.Helper()
	b, err := advice.ReadBook(l)
	if err != nil {
		t.Fatalf("texts of %q: %v", l, err)
	}
	return b
}

// TestEachCodeHasTexts demands a whole text for each code, in the order of the
// catalogue, and none without a code.
func TestEachCodeHasTexts(t *testing.T) {
	for _, l := range advice.Langs {
		b := book(t, l)
		if diff := cmp.Diff(agent.Codes, b.Order); diff != "" {
			t.Errorf("%s: codes with texts differ from agent.Codes (-want +got):\n%s", l, diff)
		}
		seen := map[agent.Code]bool{}
		for _, s := range b.Sections {
			if seen[s.Code] {
				continue
			}
			seen[s.Code] = true
			if diff := cmp.Diff([]string{"harm", "it", "move", "staff", "title"}, slices.Sorted(maps.Keys(s.Fields))); diff != "" {
				t.Errorf("%s: the first section of %s (-want +got):\n%s", l, s.Code, diff)
			}
		}
		for _, c := range causes {
			if len(b.Elsewhere[c]) != 3 {
				t.Errorf("%s: section [elsewhere %s] has %d fields, want move, staff and it", l, c, len(b.Elsewhere[c]))
			}
		}
	}
}

var (
	causes     = []agent.Cause{agent.CauseUnknown, agent.CausePractice, agent.CauseISP, agent.CauseVendor, agent.CauseBox}
	severities = []agent.Severity{agent.Info, agent.Minor, agent.Major, agent.Critical}
)

// TestSameKeys demands that what one language can say, the other can.
func TestSameKeys(t *testing.T) {
	de, en := book(t, advice.German), book(t, advice.English)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(de.Words)), slices.Sorted(maps.Keys(en.Words))); diff != "" {
		t.Errorf("words (-de +en):\n%s", diff)
	}
	for key, w := range de.Words {
		if got, want := placeholders(en.Words[key]), placeholders(w); !cmp.Equal(want, got) {
			t.Errorf("%s: placeholders are %v in German and %v in English", key, want, got)
		}
	}
	if len(de.Sections) != len(en.Sections) {
		t.Fatalf("sections: %d in German, %d in English", len(de.Sections), len(en.Sections))
	}
	for i, s := range de.Sections {
		if e := en.Sections[i]; s.Code != e.Code || !cmp.Equal(slices.Sorted(maps.Keys(s.Fields)), slices.Sorted(maps.Keys(e.Fields))) {
			t.Errorf("section %d: %s %v in German, %s %v in English", i, s.Code, s.Fields, e.Code, e.Fields)
		}
	}
}

var placeholder = regexp.MustCompile(`\{([^{}\[\]]*)\}`)

func placeholders(text string) []string {
	var out []string
	for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TestPlaceholders demands balanced braces, only the arguments that a code has,
// brackets around each that may be absent, and a use for each that is given.
func TestPlaceholders(t *testing.T) {
	derived := []string{"code", "target", "it", "is-blocked", "are-blocked"}
	optional := regexp.MustCompile(`\[[^\[\]]*\]`)
	for _, l := range advice.Langs {
		b := book(t, l)
		used := map[agent.Code][]string{}
		for _, s := range b.Sections {
			for field, text := range s.Fields {
				balanced(t, string(s.Code)+" "+field, text)
				for _, p := range placeholders(text) {
					must, may := slices.Contains(agent.Args[s.Code], p), slices.Contains(agent.Args[s.Code], "["+p+"]")
					if !must && !may && !slices.Contains(derived, p) {
						t.Errorf("%s %s %s: {%s} is no argument of this code", l, s.Code, field, p)
					}
					if may && slices.Contains(placeholders(optional.ReplaceAllString(text, "")), p) {
						t.Errorf("%s %s %s: {%s} may be absent, but stands outside brackets", l, s.Code, field, p)
					}
					used[s.Code] = append(used[s.Code], p)
				}
			}
		}
		for code, args := range agent.Args {
			for _, a := range args {
				if !slices.Contains(used[code], strings.Trim(a, "[]")) {
					t.Errorf("%s %s: no text uses %s", l, code, a)
				}
			}
		}
		for key, text := range b.Words {
			balanced(t, key, text)
		}
	}
}

func balanced(t *testing.T, where, text string) {
	t.Helper()
	rest := placeholder.ReplaceAllString(text, "")
	rest = regexp.MustCompile(`\[[^\[\]]*\]`).ReplaceAllString(rest, "")
	if strings.ContainsAny(rest, "[]{}") {
		t.Errorf("%s: unbalanced placeholder in %q", where, text)
	}
	for _, part := range regexp.MustCompile(`\[[^\[\]]*\]`).FindAllString(text, -1) {
		if len(placeholders(part)) == 0 {
			t.Errorf("%s: %s never vanishes, for no argument is in it", where, part)
		}
	}
}

// TestWords demands a word for each value that a report can hold, and no word
// without a value.
func TestWords(t *testing.T) {
	for _, l := range advice.Langs {
		words := book(t, l).Words
		for _, key := range wordKeys() {
			if words[key] == "" {
				t.Errorf("%s: no word for %q", l, key)
			}
			delete(words, key)
		}
		for key := range words {
			if !strings.HasPrefix(key, "phrase ") && !strings.HasPrefix(key, "box ") {
				t.Errorf("%s: %q is the word for nothing", l, key)
			}
		}
	}
}

func wordKeys() []string {
	var keys []string
	add := func(section, key string) { keys = append(keys, section+" "+key) }
	for v := agent.VerdictUnknown; v <= agent.Offline; v++ {
		add("verdict", v.String())
	}
	for s := agent.Unknown; s <= agent.No; s++ {
		add("state", s.String())
	}
	for o := agent.NotLooked; o <= agent.Silent; o++ {
		add("outcome", o.String())
	}
	for g := agent.GradeA; g <= agent.GradeE; g++ {
		add("grade", g.String())
	}
	for _, c := range agent.AllCapabilities {
		add("capability", string(c))
	}
	for _, c := range causes {
		add("cause", c.String())
		add("is-blocked", c.String())
		add("are-blocked", c.String())
	}
	for _, s := range severities {
		add("severity", s.String())
	}
	for _, r := range agent.Reasons {
		add("reason", string(r))
	}
	for _, p := range agent.Probes {
		add("probe", string(p))
	}
	for _, v := range []agent.Variant{agent.TLS, agent.DTLS, agent.TLSFirst, agent.WS, agent.WSS, agent.Uncached} {
		add("variant", string(v))
	}
	for _, s := range []agent.Service{agent.HTTPS, agent.STUN, agent.TURN, agent.NATS, agent.Range, "other"} {
		add("service", string(s))
		add("purpose", string(s))
	}
	for _, e := range light.Legend(advice.German) {
		add("lamp-looks", e.Show.String())
		add("lamp-means", e.Show.String())
	}
	return keys
}

// TestPhrases holds the phrases against the code that says them: none missing,
// none that nobody says.
func TestPhrases(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("sources: %v, %d files", err, len(files))
	}
	var source strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(f, "_test.go") {
			source.Write(text)
		}
	}
	words := book(t, advice.German).Words
	said := regexp.MustCompile(`(?:phrase\(|"phrase", |return )"([a-z0-9-]+)"`).FindAllStringSubmatch(source.String(), -1)
	for _, m := range said {
		if _, ok := words["phrase "+m[1]]; !ok {
			t.Errorf("phrase %q is said, but has no text", m[1])
		}
	}
	for key := range words {
		if k, ok := strings.CutPrefix(key, "phrase "); ok && !strings.Contains(source.String(), `"`+k+`"`) {
			t.Errorf("phrase %q is never said", k)
		}
	}
}

var samples = map[string]string{
	"interface": "eth0", "gateway": "192.168.1.1", "sender": "192.168.1.1", "host": "video.webprax.de",
	"hosts": "video.webprax.de, pnm.webprax.de", "port": "443", "ports": "3478, 5349", "skew_s": "-172800",
	"portal": "login.example", "resolver": "192.168.1.1:53", "addrs": "5.75.182.248, 128.140.77.77",
	"pins": "157.90.226.181", "open": "1", "of": "3", "blocked": "10000, 15000", "status": "403", "issuer": "FG100",
	"maker": "Fortinet", "expires": "2026-11-01T00:00:00Z", "transport": "udp",
	"speed": "10", "duplex": "half", "addr": "192.168.1.50", "lost": "3", "jitter_ms": "28", "rtt_ms": "70", "usual_ms": "12",
	"mtu": "1400", "prefix": "64:ff9b::/96", "ms": "820", "proxy": "proxy.praxis.lan:3128", "hops": "192.168.1.1, 192.168.2.1",
	"hop": "100.64.0.1", "seconds": "60", "down": "3.8", "up": "0.7", "need_down": "5", "need_up": "1", "rule": "2",
	"idle_ms": "20", "down_ms": "240", "up_ms": "900", "percent": "3.5", "least": "1.9", "limit": "1", "from": "17", "until": "20", "poor": "5",
}

// texts calls f for every text there can be: each code, cause and severity, with
// all arguments and with those only that are never absent. Equal texts of one
// cause are shown once.
func texts(t *testing.T, f func(where string, x agent.Finding, l advice.Lang, text advice.Text)) {
	t.Helper()
	type key struct {
		cause agent.Cause
		text  advice.Text
	}
	for _, l := range advice.Langs {
		seen := map[key]bool{}
		for _, code := range agent.Codes {
			for i := range 2 * len(causes) * len(severities) {
				x := agent.Finding{Code: code, Cause: causes[i/2%len(causes)], Severity: severities[i/2/len(causes)], Args: map[string]string{}}
				for _, a := range agent.Args[code] {
					if name := strings.Trim(a, "[]"); name == a || i%2 == 0 {
						x.Args[name] = samples[name]
					}
				}
				where := strings.Join([]string{string(l), string(code), x.Cause.String(), x.Severity.String()}, " ")
				text := advice.For(x, l)
				if k := (key{x.Cause, text}); !seen[k] {
					seen[k] = true
					f(where, x, l, text)
				}
			}
		}
	}
}

// TestTextsRead holds every text to the form of plain sentences.
func TestTextsRead(t *testing.T) {
	broken := regexp.MustCompile(`[{}\[\]]|  | [,.;:!)]|\( |\.\.|,\.|\(unbekannt\)|\(unknown\)|\(\)|„“|""`)
	texts(t, func(where string, _ agent.Finding, _ advice.Lang, text advice.Text) {
		for field, s := range map[string]string{"title": text.Title, "harm": text.Harm, "staff": text.Staff, "it": text.IT} {
			if s == "" || !strings.HasSuffix(s, ".") {
				t.Errorf("%s %s: want a sentence, got %q", where, field, s)
			}
			if m := broken.FindString(s); m != "" {
				t.Errorf("%s %s: %q in %q", where, field, m, s)
			}
		}
		if strings.Count(text.Title, ". ") > 0 {
			t.Errorf("%s: the title has more than one sentence: %q", where, text.Title)
		}
	})
}

// TestStaffNeedNotKnow keeps the words of the trade out of what the practice
// reads.
func TestStaffNeedNotKnow(t *testing.T) {
	trade := regexp.MustCompile(`(?i)\b(ports?|udp|tcp|stun|turn|dns|dhcp|nat|nats|ntp|tls|ssl|https?|websocket|proxy|vlan|ip|icmp|relay)\b`)
	texts(t, func(where string, _ agent.Finding, l advice.Lang, text advice.Text) {
		for _, s := range []string{text.Title, text.Harm, text.Staff} {
			if l == advice.English {
				s = strings.ReplaceAll(s, "relay server", "") // the one word there is for it
			}
			if m := trade.FindString(s); m != "" {
				t.Errorf("%s: %q in %q", where, m, s)
			}
		}
	})
}

// TestWhoseMove demands that a practice is told plainly when it has nothing to
// do, and never told to do something then.
func TestWhoseMove(t *testing.T) {
	nothing := map[advice.Lang]string{advice.German: "ist nichts zu ändern", advice.English: "here is nothing to change in your practice"}
	rule := map[advice.Lang]string{advice.German: "Im Praxisnetz ist nichts zu ändern", advice.English: "Nothing to change in the practice's network"}
	texts(t, func(where string, x agent.Finding, l advice.Lang, text advice.Text) {
		switch x.Cause {
		case agent.CauseISP, agent.CauseVendor, agent.CauseBox:
			if !strings.Contains(text.Staff, nothing[l]) {
				t.Errorf("%s: staff are not told that they have nothing to change: %q", where, text.Staff)
			}
		}
		if x.Cause == agent.CauseVendor && x.Code != agent.DNSDrift && x.Code != agent.PortRangeUnknown && !strings.Contains(text.IT, rule[l]) {
			t.Errorf("%s: the IT is not told that it has nothing to change: %q", where, text.IT)
		}
	})
}

// TestNothingUnsafe keeps out advice that would open or weaken a practice.
func TestNothingUnsafe(t *testing.T) {
	unsafe := regexp.MustCompile(`(?i)portweiterleitung|port forward|exposed host|dmz|upnp|` +
		`(firewall|virenscanner|virenschutz|antivirus|virus scanner)\w* (aus|ab|de)(schalten|aktivieren)|` +
		`(disable|switch off|turn off|deaktivieren sie|schalten sie)( \w+)? (firewall|antivirus|virus|viren)`)
	inbound := regexp.MustCompile(`(?i)eingehend|inbound|von außen|from outside`)
	denied := regexp.MustCompile(`(?i)\b(kein|keine|nicht|ohne|no|not|without)\b`)
	check := func(where, text string) {
		for s := range strings.SplitSeq(strings.ReplaceAll(text, "\n", " "), ".") {
			if strings.Contains(s, "Portfreigabe") && !strings.Contains(s, "ausgehend") {
				t.Errorf("%s: Portfreigabe without ausgehend: %q", where, s)
			}
			if m := unsafe.FindString(s); m != "" {
				t.Errorf("%s: %q in %q", where, m, s)
			}
			if inbound.MatchString(s) && !denied.MatchString(s) {
				t.Errorf("%s: speaks of inbound connections: %q", where, s)
			}
		}
	}
	texts(t, func(where string, _ agent.Finding, _ advice.Lang, text advice.Text) {
		check(where, text.Title+" "+text.Harm+" "+text.Staff+" "+text.IT)
	})
	for _, l := range advice.Langs {
		for key, w := range book(t, l).Words {
			check(string(l)+" "+key, w)
		}
	}
}

// TestVariants shows that one code says different things where it must.
func TestVariants(t *testing.T) {
	tests := []struct {
		code  agent.Code
		cause agent.Cause
		sev   agent.Severity
		want  advice.Text // substrings
	}{
		{agent.GroupServer, agent.CauseVendor, agent.Info, advice.Text{Title: "antworten 1 von 3", Harm: "laufen weiter"}},
		{agent.GroupServer, agent.CauseVendor, agent.Critical, advice.Text{Title: "kein Server", Harm: "nicht möglich"}},
		{agent.TURNAllBlock, agent.CausePractice, agent.Major, advice.Text{Title: "wird im Praxisnetz gesperrt", IT: "Ausgehend zulassen: 3478, 5349 zu"}},
		{agent.TURNAllBlock, agent.CauseISP, agent.Major, advice.Text{Title: "wird beim Internetanbieter gesperrt",
			Staff: "Ihrem Internetanbieter", IT: "Dort zu veranlassen: Ausgehend zulassen"}},
		{agent.TURNAllBlock, agent.CauseUnknown, agent.Major, advice.Text{Title: "nicht nutzbar", Staff: "noch nicht bekannt",
			IT: "Zuerst im Praxisnetz prüfen: Ausgehend"}},
		{agent.TURNServer, agent.CauseUnknown, agent.Major, advice.Text{IT: "Nicht bewiesen"}},
		{agent.WANDown, agent.CauseISP, agent.Critical, advice.Text{Title: "Internetanschluss ist gestört"}},
		{agent.WANDown, agent.CauseUnknown, agent.Critical, advice.Text{Title: "Hinter dem Router", Staff: "Router eine Störung anzeigt"}},
		{agent.ClockWrong, agent.CauseBox, agent.Major, advice.Text{Staff: "In Ihrer Praxis ist nichts zu ändern", IT: "von selbst"}},
		{agent.PortRangeUDP, agent.CausePractice, agent.Critical, advice.Text{Harm: "Bild und Ton nicht durchkommen"}},
		{"solar-flare", agent.CauseVendor, agent.Major, advice.Text{Title: "„solar-flare“", Staff: "nichts zu ändern"}},
	}
	for _, tt := range tests {
		x := agent.Finding{Code: tt.code, Cause: tt.cause, Severity: tt.sev, Args: samples}
		got := advice.For(x, advice.German)
		for _, p := range [][2]string{{got.Title, tt.want.Title}, {got.Harm, tt.want.Harm}, {got.Staff, tt.want.Staff}, {got.IT, tt.want.IT}} {
			if !strings.Contains(p[0], p[1]) {
				t.Errorf("%s %s %s: got %q, want it to say %q", tt.code, tt.cause, tt.sev, p[0], p[1])
			}
		}
	}
}
