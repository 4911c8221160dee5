package advice_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
)

func request(r agent.Report, ps ...agent.Profile) string {
	return advice.Request(r, ps, advice.Site{}, advice.German)
}

// TestRequestOnlyForThePractice demands that no finding of another cause, and
// none that is a mere note, asks the practice's IT for anything.
func TestRequestOnlyForThePractice(t *testing.T) {
	for _, code := range agent.Codes {
		for _, cause := range causes {
			for _, severity := range severities {
				f := finding(code, severity, cause, samples, 0)
				r := report(agent.Blocked, states(agent.No, agent.No, agent.No), []agent.Finding{f}, silent(agent.ProbeSTUN, target(coturn, "", 3478, agent.UDP)))
				asked := strings.HasPrefix(request(r, webprax(), zppHD()), "Betreff:")
				staff := code == agent.LinkDown || code == agent.NATEDM
				if want := cause == agent.CausePractice && severity > agent.Info && !staff; asked != want {
					t.Errorf("%s %s %s: asked = %v, want %v", code, cause, severity, asked, want)
				}
			}
		}
	}
}

// TestRequestLines looks at the lines that each blocking code asks for.
func TestRequestLines(t *testing.T) {
	tests := []struct {
		name string
		f    agent.Finding
		es   []agent.Evidence
		want []string // in the request
		not  []string
		n    int // lines
	}{
		{
			name: "all of TURN",
			f:    finding(agent.TURNAllBlock, agent.Critical, agent.CausePractice, map[string]string{"hosts": coturn, "ports": "UDP 5349, TCP 5349"}, 0, 1),
			es: []agent.Evidence{silent(agent.ProbeTURN, target(coturn, "116.203.1.9", 5349, agent.UDP)),
				silent(agent.ProbeTURN, target(coturn, "116.203.1.9", 5349, agent.TCP))},
			want: []string{"coturn.webprax.de, bei der Messung 116.203.1.9", "Protokoll  UDP", "Protokoll  TCP", "Zielport   5349"},
			not:  []string{"3478"}, n: 2,
		},
		{
			name: "NAT without a relay, relay known",
			f:    finding(agent.NATEDMNoRelay, agent.Critical, agent.CausePractice, nil),
			want: []string{"Zielport   5349", "Nachweis   bei der Messung gesperrt;"}, not: []string{"8443"}, n: 2,
		},
		{
			name: "one of three group servers",
			f: finding(agent.GroupBlockSome, agent.Major, agent.CausePractice,
				map[string]string{"hosts": "nats2.webprax.de", "addrs": "128.140.77.77", "port": "8443", "open": "2", "of": "3"}, 0),
			es:   []agent.Evidence{silent(agent.ProbeNATS, target("nats2.webprax.de", "128.140.77.77", 8443, agent.TCP))},
			want: []string{"nats2.webprax.de = 128.140.77.77 (laut Videodienst)"}, not: []string{"nats1", "nats3", "bei der Messung"}, n: 1,
		},
		{
			name: "old address in a rule",
			f: finding(agent.DNSDriftBlock, agent.Critical, agent.CausePractice,
				map[string]string{"host": "nats1.webprax.de", "open": "5.75.182.248", "blocked": "198.51.100.7"}, 0),
			es:   []agent.Evidence{rejected(agent.ProbeNATS, target("nats1.webprax.de", "198.51.100.7", 8443, agent.TCP))},
			want: []string{"nats1.webprax.de, bei der Messung 198.51.100.7", "Zielport   8443"}, not: []string{"5.75.182.248"}, n: 1,
		},
		{
			name: "range in part",
			f: finding(agent.PortRangePartial, agent.Major, agent.CausePractice,
				map[string]string{"host": meet, "ports": "10000-20000", "transport": "udp", "blocked": "15000, 20000"}, 0),
			es: []agent.Evidence{agent.See(agent.ProbePorts, target(meet, "198.51.100.40", 10000, agent.UDP), agent.Answered, "").
				With(agent.Barred, 2).With(agent.BarredPorts, "15000 20000")},
			want: []string{meet + ", bei der Messung 198.51.100.40", "Zielport   10000-20000", "Protokoll  UDP"}, not: []string{"Protokoll  TCP"}, n: 1,
		},
		{
			name: "a host that no profile knows",
			f:    finding(agent.HTTPSBlock, agent.Critical, agent.CausePractice, map[string]string{"host": "new.example", "port": "443"}),
			want: []string{"Ziel       new.example", "Protokoll  TCP", "Zielport   443", "Webseite des Videodienstes"}, n: 1,
		},
		{
			name: "a relay that no profile knows",
			f: finding(agent.TURNAllBlock, agent.Critical, agent.CausePractice,
				map[string]string{"hosts": "new.example", "ports": "UDP 5349, TCP 5349, UDP 3478"}, 0, 1),
			es: []agent.Evidence{silent(agent.ProbeTURN, target("new.example", "", 5349, agent.UDP)),
				silent(agent.ProbeTURN, target("new.example", "", 5349, agent.TCP))},
			want: []string{"Protokoll  UDP\n   Zielport   5349, 3478", "Protokoll  TCP\n   Zielport   5349", "new.example:5349/udp", "new.example:5349/tcp"}, n: 2,
		},
		{
			name: "only what is missing of the relay",
			f:    finding(agent.TURNAllBlock, agent.Critical, agent.CausePractice, map[string]string{"hosts": coturn, "ports": "TCP 5349"}),
			want: []string{"Protokoll  TCP"}, not: []string{"Protokoll  UDP"}, n: 1,
		},
		{
			name: "an address literal as host",
			f:    finding(agent.STUNUDPBlock, agent.Major, agent.CausePractice, map[string]string{"host": "192.0.2.5", "port": "3478"}),
			want: []string{"Ziel       192.0.2.5\n"}, n: 1,
		},
	}
	literal := agent.Profile{Name: "lab", Targets: []agent.Target{{Host: "192.0.2.5", Port: 3478, Transport: agent.UDP,
		Service: agent.STUN, Pins: []netip.Addr{addr("192.0.2.5")}}}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := report(agent.Blocked, states(agent.No, agent.No, agent.No), []agent.Finding{tt.f}, tt.es...)
			got := request(r, webprax(), zppHD(), literal)
			lines := got[:strings.Index(got, "Solange das so bleibt")]
			for _, w := range tt.want {
				if !strings.Contains(lines, w) {
					t.Errorf("no %q in\n%s", w, lines)
				}
			}
			for _, w := range tt.not {
				if strings.Contains(lines, w) {
					t.Errorf("%q should not be in\n%s", w, lines)
				}
			}
			if n := strings.Count(lines, "Richtung   ausgehend"); n != tt.n || strings.Count(lines, "Gemessen   23.11.2026") != n {
				t.Errorf("%d lines, want %d, each with its time:\n%s", n, tt.n, lines)
			}
		})
	}
}

// TestRequestMerges demands one line where two findings and two profiles ask
// for the same.
func TestRequestMerges(t *testing.T) {
	twin := webprax()
	twin.Name = "webprax-2"
	args := map[string]string{"hosts": coturn, "ports": "UDP 5349, TCP 5349"}
	r := report(agent.Blocked, states(agent.No, agent.No, agent.No), []agent.Finding{
		finding(agent.TURNAllBlock, agent.Critical, agent.CausePractice, args),
		finding(agent.TURNUDPBlock, agent.Major, agent.CausePractice, map[string]string{"host": coturn, "port": "5349"}),
	})
	if got := request(r, webprax(), twin); strings.Count(got, "Richtung") != 2 || strings.Count(got, "Ziel       coturn") != 2 {
		t.Errorf("want two lines with one host each:\n%s", got)
	}
}

// TestRequestOfOneProfile demands that a finding of one profile asks for
// nothing of another.
func TestRequestOfOneProfile(t *testing.T) {
	f := finding(agent.UDPAllBlock, agent.Critical, agent.CausePractice, map[string]string{"hosts": coturn + ", " + meet, "ports": "3478, 5349, 10000-20000"})
	f.Profile = "zpp-hd"
	got := request(report(agent.Blocked, nil, []agent.Finding{f}), webprax(), zppHD())
	if strings.Contains(got, "Ziel       coturn") || !strings.Contains(got, "Ziel       "+meet) || strings.Contains(got, "webPRAX") {
		t.Errorf("want only targets of zpp-hd:\n%s", got)
	}
	if n := strings.Count(got, "Protokoll  UDP"); n != 2 || strings.Contains(got, "Protokoll  TCP") {
		t.Errorf("want STUN and the range over UDP alone:\n%s", got)
	}
}

func TestRequestSaysWhyNone(t *testing.T) {
	vendor := finding(agent.TURNServer, agent.Critical, agent.CauseVendor, map[string]string{"hosts": coturn, "ports": "UDP 5349, TCP 5349"})
	unclear := finding(agent.STUNUDPBlock, agent.Major, agent.CauseUnknown, map[string]string{"host": coturn, "port": "3478"})
	tests := []struct {
		verdict  agent.Verdict
		findings []agent.Finding
		want     string
	}{
		{agent.Ready, nil, "Es fehlt keine Freigabe"},
		{agent.Blocked, []agent.Finding{vendor}, "Eine Freigabe würde nichts ändern"},
		{agent.VerdictLimited, []agent.Finding{vendor, unclear}, "weil nicht bewiesen ist"},
		{agent.VerdictLimited, nil, "weil nicht bewiesen ist"},
		{agent.Offline, nil, "Zurzeit lässt sich nicht sagen"},
		{agent.VerdictUnknown, []agent.Finding{vendor}, "Zurzeit lässt sich nicht sagen"},
	}
	for _, tt := range tests {
		got := strings.Join(strings.Fields(request(report(tt.verdict, nil, tt.findings), webprax())), " ")
		if !strings.Contains(got, tt.want) || !strings.Contains(got, "braucht nur ausgehende Verbindungen") || !strings.Contains(got, "Gemessen: 23.11.2026") {
			t.Errorf("%s with %d findings: want %q in %q", tt.verdict, len(tt.findings), tt.want, got)
		}
	}
}
