package advice_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
)

func TestParseLang(t *testing.T) {
	tests := []struct {
		in, wantErr string
		want        advice.Lang
	}{
		{in: "de", want: advice.German},
		{in: "en", want: advice.English},
		{in: "", wantErr: `unknown language ""`},
		{in: "DE", wantErr: `unknown language "DE"`},
		{in: "fr", wantErr: "want de or en"},
	}
	for _, tt := range tests {
		got, err := advice.ParseLang(tt.in)
		if got != tt.want || (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
			t.Errorf("ParseLang(%q) = %q, %v; want %q, %q", tt.in, got, err, tt.want, tt.wantErr)
		}
	}
}

func TestFill(t *testing.T) {
	args := map[string]string{"host": "a.example", "sender": "10.0.0.1", "odd": "{host} [x]"}
	tests := []struct{ in, want string }{
		{"plain", "plain"},
		{"to {host}.", "to a.example."},
		{"to {host}[ by {sender}].", "to a.example by 10.0.0.1."},
		{"to {host}[ by {nobody}].", "to a.example."},
		{"[{host}][, {nobody}][, {sender}]", "a.example, 10.0.0.1"},
		{"[{host} and {nobody}]", ""},
		{"to {nobody}.", "to (unbekannt)."},
		{"{odd}", "{host} [x]"}, // values are not filled again
		{"open {host", "open {host"},
		{"open [ {host}", "open [ {host}"},
		{"{}", "(unbekannt)"},
		{"", ""},
	}
	for _, tt := range tests {
		if got := advice.Fill(tt.in, args); got != tt.want {
			t.Errorf("Fill(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestReadTextErrors(t *testing.T) {
	tests := []struct{ in, want string }{
		{"key: before a section", "line 1: want a section"},
		{"[a b c]", `line 1: unknown section "a b c"`},
		{"[finding x nobody]", `"nobody" is no cause and no severity`},
		{"[elsewhere nobody]", `unknown cause "nobody"`},
		{"[finding x]\nheading: y", `line 2: unknown field "heading"`},
		{"[reason]\na: 1\na: 2", `"reason a" stands here twice`},
		{"[reason]\n  goes on", "nothing to continue"},
		{"[reason]\nno colon", "want a section or key: text"},
	}
	for _, tt := range tests {
		if _, err := advice.ReadText(tt.in); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ReadText(%q): err = %v, want %q", tt.in, err, tt.want)
		}
	}
}

// hostile tries to move the cursor, to add a line, to turn the reading
// direction, to end our quotation, to fill a placeholder, and to be endless.
const hostile = "\x1b[2J\x1b]0;pwned\a\r\n1. Alles gut.\u2028\u202e\u2066\u200b\ufeff\u0085“ \"{host}[x]\xff\x00"

func TestClean(t *testing.T) {
	tests := []struct{ in, want string }{
		{"CN=Fortinet CA, O=Fortinet", "CN=Fortinet CA, O=Fortinet"},
		{"Müller & Söhne", "Müller & Söhne"},
		{"  a \t\n b ", "a b"},
		{"a\x1b[31mred", "a[31mred"},
		{"a\u202eb\u2069c\u200dd\ufeffe\u00adf", "abcdef"},
		{"a\xffb\x00c", "abc"},
		{"say “yes” \"no\"", "say 'yes' 'no'"},
		{strings.Repeat("ä", 120), strings.Repeat("ä", 120)},
		{strings.Repeat("ä", 121), strings.Repeat("ä", 119) + "…"},
		{strings.Repeat("x ", 1e6), strings.Repeat("x ", 59) + "x…"},
		{"\x1b\x00", ""},
	}
	for _, tt := range tests {
		if got := advice.Clean(tt.in); got != tt.want {
			t.Errorf("Clean(%.40q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

// TestHostileValues puts a hostile string wherever a report has one.
func TestHostileValues(t *testing.T) {
	args := map[string]string{}
	for name := range samples {
		args[name] = hostile + strings.Repeat("A", 1000)
	}
	e := agent.Evidence{Probe: hostile, Outcome: agent.Tampered, Grade: agent.GradeC, Reason: hostile,
		Target: agent.Target{Host: hostile, Port: 1, Transport: hostile, Variant: hostile},
		Values: agent.Values{agent.ICMPFrom: hostile, agent.TLSIssuer: hostile, agent.Addrs: hostile, agent.Resolver: hostile,
			agent.LocalAddr: hostile, agent.RTT: math.NaN(), agent.Sampled: math.Inf(1)}}
	link := e
	link.Probe = agent.ProbeLink
	r := agent.Report{Box: agent.Box{ID: hostile, Name: hostile, Version: hostile}, Evidence: []agent.Evidence{e, link},
		Stamp: agent.Stamp{UptimeS: math.NaN()}, Verdict: 77, Capabilities: agent.Capabilities{hostile: 99, agent.Group: 99}}
	for i := range 9 {
		r.Profiles = append(r.Profiles, agent.ProfileResult{Name: hostile, Verdict: agent.Verdict(i), Capabilities: r.Capabilities})
	}
	for _, c := range append(agent.Codes, hostile) {
		for _, cause := range append(causes, 99) {
			r.Findings = append(r.Findings, agent.Finding{Code: c, Severity: 99, Cause: cause, Profile: hostile, Target: hostile, Args: args,
				Evidence: []int{-1, 0, 1, 2, math.MaxInt}})
		}
	}
	site := advice.Site{Practice: hostile, Number: hostile, Contact: hostile}
	profiles := []agent.Profile{{Name: hostile, Title: hostile, Source: hostile, Date: hostile, Version: hostile}, webprax()}
	for _, l := range append(advice.Langs, hostile) {
		lines := []string{advice.Sentence(r, l), advice.Proof(e, l), advice.When(r.Stamp, l)}
		for _, f := range r.Findings {
			x := advice.For(f, l)
			lines = append(lines, x.Title, x.Harm, x.Staff, x.IT)
		}
		for _, s := range lines {
			if strings.Contains(s, "\n") {
				t.Errorf("%s: more than one line: %q", l, s)
			}
		}
		check, request := advice.Check(r, l), advice.Request(r, profiles, site, l)
		for _, s := range append(lines, check, request) {
			for _, c := range s {
				if c != '\n' && !unicode.IsPrint(c) {
					t.Fatalf("%s: %U in %.300q", l, c, s)
				}
			}
		}
		for text, width := range map[string]int{check: 100, request: 76} {
			for line := range strings.Lines(text) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
					t.Errorf("%s: %d runes, want at most %d: %q", l, n, width, line)
				}
			}
		}
	}
}

// TestLongValue shows that a hostile issuer stays within its quotation.
func TestLongValue(t *testing.T) {
	f := agent.Finding{Code: agent.TLSIntercept, Cause: agent.CausePractice, Args: map[string]string{
		"hosts": "a.example", "issuer": "x“. Rufen Sie 0900 an.\n" + strings.Repeat("y", 500)}}
	it := advice.For(f, advice.German).IT
	if !strings.HasPrefix(it, "a.example: fremdes Zertifikat, ausgestellt von „x'. Rufen") || strings.Count(it, "“") != 1 || strings.Count(it, "y") > 120 {
		t.Errorf("the issuer leaves its quotation: %q", it)
	}
}

func TestSentenceLead(t *testing.T) {
	const ok, part, no, what = agent.OK, agent.Limited, agent.No, agent.Unknown
	tests := []struct {
		verdict agent.Verdict
		caps    agent.Capabilities
		want    string
	}{
		{agent.Ready, states(ok, ok, ok), "Videosprechstunden sind von hier aus möglich."},
		{agent.Ready, nil, "Videosprechstunden sind von hier aus möglich."},
		{agent.Blocked, states(no, no, no), "Videosprechstunden sind von hier aus nicht möglich."},
		{agent.Blocked, states(no, no, ok), "Einzelgespräche sind von hier aus nicht möglich."},
		{agent.Blocked, states(ok, ok, no), "Einzelgespräche sind von hier aus möglich, Gruppentermine nicht."},
		{agent.Blocked, states(no, ok, no), "Einzelgespräche sind von hier aus möglich, Gruppentermine nicht."},
		{agent.Blocked, states(ok, part, no), "Einzelgespräche sind von hier aus nur eingeschränkt möglich, Gruppentermine gar nicht."},
		{agent.Blocked, states(what, what, no), "Gruppentermine sind von hier aus nicht möglich."},
		{agent.Blocked, states(ok, no, ok), "Videosprechstunden sind von hier aus nicht verlässlich möglich."},
		{agent.Blocked, states(what, no, ok), "Einzelgespräche sind von hier aus nicht möglich."},
		{agent.Blocked, agent.Capabilities{agent.Direct: no, agent.HD: no}, "Videosprechstunden sind von hier aus nicht möglich."},
		{agent.VerdictLimited, states(ok, ok, part), "Einzelgespräche sind von hier aus möglich, Gruppentermine nur eingeschränkt."},
		{agent.VerdictLimited, states(no, part, ok), "Gruppentermine sind von hier aus möglich, Einzelgespräche nur eingeschränkt."},
		{agent.VerdictLimited, states(part, part, part), "Videosprechstunden sind von hier aus nur eingeschränkt möglich."},
		{agent.VerdictLimited, agent.Capabilities{agent.Direct: ok, agent.HD: no}, "Videosprechstunden sind von hier aus möglich, aber nicht verlässlich mit HD-Bild."},
		{agent.VerdictLimited, nil, "Videosprechstunden sind von hier aus nur eingeschränkt möglich."},
		{agent.Offline, states(no, no, no), "Von hier aus ist das Internet nicht erreichbar."},
		{agent.Blocked, states(no, what, no), "Videosprechstunden sind von hier aus nicht möglich."},
		{agent.Blocked, states(what, no, no), "Videosprechstunden sind von hier aus nicht möglich."},
		{agent.VerdictUnknown, nil, "Es gibt noch kein Urteil: Die erste Prüfung läuft."},
	}
	for _, tt := range tests {
		r := agent.Report{Verdict: tt.verdict, Capabilities: tt.caps}
		if got := advice.Sentence(r, advice.German); got != tt.want {
			t.Errorf("%s %v: got %q, want %q", tt.verdict, tt.caps, got, tt.want)
		}
	}
}

// TestSentenceWithoutVerdict demands that what is known is said, but not as the
// reason for knowing no more.
func TestSentenceWithoutVerdict(t *testing.T) {
	turn := finding(agent.TURNTCPBlock, agent.Major, agent.CausePractice, map[string]string{"host": coturn, "port": "5349"})
	local := finding(agent.RouteLocal, agent.Critical, agent.CauseBox, map[string]string{"host": coturn})
	tests := []struct {
		caps agent.Capabilities
		f    agent.Finding
		want string
	}{
		{states(agent.OK, agent.OK, agent.Unknown), turn, "Einzelgespräche sind von hier aus möglich; ob es auch Gruppentermine sind, ist zurzeit unbekannt. " +
			"Bekannt ist: Der Ersatzweg zum Vermittlungsserver wird im Praxisnetz gesperrt. Bitte geben Sie die Freigabeanforderung an Ihre IT."},
		{states(agent.Unknown, agent.Unknown, agent.Unknown), local, "Ob Videosprechstunden von hier aus möglich sind, ist zurzeit unbekannt: " +
			"Die Netzeinstellung der Box selbst ist fehlerhaft. In Ihrer Praxis ist nichts zu ändern; bitte wenden Sie sich an den Videodienst, der die Box betreut."},
	}
	for _, tt := range tests {
		r := report(agent.VerdictUnknown, tt.caps, []agent.Finding{tt.f}, link())
		if got := advice.Sentence(r, advice.German); got != tt.want {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
	}
}

// TestSentenceNames shows which finding the sentence picks: the worst, of the
// profile that it speaks of, and never one about the box's own reports.
func TestSentenceNames(t *testing.T) {
	host := func(s string) map[string]string { return map[string]string{"host": s, "port": "443"} }
	r := agent.Report{Verdict: agent.Blocked, Capabilities: states(agent.No, agent.No, agent.No), Findings: []agent.Finding{
		{Code: agent.CentralDown, Severity: agent.Critical, Cause: agent.CausePractice, Args: host("fleet.example")},
		{Code: agent.TURNOpen, Severity: agent.Info, Cause: agent.CauseVendor, Args: host("open.example")},
		{Code: agent.HTTPSServer, Severity: agent.Major, Cause: agent.CauseVendor, Args: host("minor.example")},
		{Code: agent.HTTPSServer, Severity: agent.Critical, Cause: agent.CauseVendor, Args: host("worst.example")},
	}}
	got := advice.Sentence(r, advice.German)
	want := "Videosprechstunden sind von hier aus nicht möglich: Die Seite worst.example ist beim Videodienst gestört. " +
		"In Ihrer Praxis ist nichts zu ändern; der Videodienst muss die Störung beheben."
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	r.Findings[3].Profile = "b"
	r.Profiles = []agent.ProfileResult{
		{Name: "a", Verdict: agent.Ready}, {Name: "b", Verdict: agent.VerdictLimited},
		{Name: "c", Verdict: agent.Blocked, Capabilities: r.Capabilities}, {Name: "d", Verdict: agent.Ready},
	}
	got = advice.Sentence(r, advice.German)
	if !strings.HasPrefix(got, "Videosprechstunden mit c sind von hier aus nicht möglich: Die Seite minor.example ") ||
		!strings.HasSuffix(got, ". Videosprechstunden mit b sind von hier aus nur eingeschränkt möglich. Videosprechstunden mit a, d sind von hier aus möglich.") {
		t.Errorf("with profiles that differ: got %q", got)
	}
}

func TestOrder(t *testing.T) {
	in := []agent.Finding{
		{Code: "newer", Severity: agent.Major}, {Code: agent.GroupServer}, {Code: agent.DNSNX, Severity: agent.Major},
		{Code: agent.LinkDown, Severity: agent.Major}, {Code: agent.CentralAuth, Severity: agent.Critical},
	}
	var got []agent.Code
	for _, f := range advice.Order(in) {
		got = append(got, f.Code)
	}
	if diff := cmp.Diff([]agent.Code{agent.CentralAuth, agent.LinkDown, agent.DNSNX, "newer", agent.GroupServer}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if in[0].Code != "newer" {
		t.Error("Order changed its argument")
	}
}

func TestWhen(t *testing.T) {
	berlin := time.FixedZone("MEZ", 3600)
	tests := []struct {
		in   agent.Stamp
		l    advice.Lang
		want string
	}{
		{agent.Stamp{At: at, Clock: agent.ClockSet}, advice.German, "23.11.2026, 13:32 Uhr UTC"},
		{agent.Stamp{At: at.In(berlin), Clock: agent.ClockSet}, advice.German, "23.11.2026, 14:32 Uhr MEZ"},
		{agent.Stamp{At: at, Clock: agent.ClockSet}, advice.English, "23 November 2026, 13:32 UTC"},
		{agent.Stamp{At: at, Clock: agent.ClockUnset, UptimeS: 3725}, advice.German,
			"23.11.2026, 13:32 Uhr UTC – die Uhr der Box ist nicht gestellt, diese Zeit kann falsch sein; gemessen 1 h 2 min nach dem Einschalten"},
		{agent.Stamp{}, advice.English, "time unknown – the clock of the box has not been set, this time may be wrong; measured 0 h 0 min after power-on"},
	}
	for _, tt := range tests {
		if got := advice.When(tt.in, tt.l); got != tt.want {
			t.Errorf("When(%v) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

// TestReportSurvivesJSON demands the same advice from a report that has been
// sent, for targets lose what is not written.
func TestReportSurvivesJSON(t *testing.T) {
	for _, s := range scenarios() {
		wire, err := json.Marshal(s.report)
		if err != nil {
			t.Fatal(err)
		}
		var back agent.Report
		if err := json.Unmarshal(wire, &back); err != nil {
			t.Fatal(err)
		}
		for _, f := range []func(agent.Report) string{
			func(r agent.Report) string { return advice.Check(r, advice.German) },
			func(r agent.Report) string { return advice.Request(r, s.profiles, advice.Site{}, advice.German) },
		} {
			if diff := cmp.Diff(f(s.report), f(back)); diff != "" {
				t.Errorf("%s: -here +sent:\n%s", s.name, diff)
			}
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{hostile, "", "a b", strings.Repeat("„", 200), "e\u0301"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := advice.Clean(s)
		if n := utf8.RuneCountInString(got); n > 120 {
			t.Errorf("Clean(%q) has %d runes", s, n)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) || r == utf8.RuneError || strings.ContainsRune("\"„“”«»‹›", r) {
				t.Errorf("Clean(%q) = %q holds %U", s, got, r)
			}
		}
		if again := advice.Clean(got); again != got {
			t.Errorf("Clean(%q) = %q, and again %q", s, got, again)
		}
	})
}

func FuzzReadText(f *testing.F) {
	f.Add("[finding x practice minor]\ntitle: a {b}[ c {d}]\n  more\n\n[reason]\n# no\na: b\n[elsewhere isp]\nit:", "v")
	f.Fuzz(func(t *testing.T, text, value string) {
		b, _ := advice.ReadText(text) // must not panic
		for _, w := range b.Words {
			advice.Fill(w, map[string]string{"a": value})
		}
	})
}
