package fleet_test

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/profile"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

func TestSubjects(t *testing.T) {
	tests := []struct{ tenant, box, want, wantErr string }{
		{"acme", "box-1", "sprechprobe.v1.acme.box-1.up.report", ""},
		{"a", "0", "sprechprobe.v1.a.0.up.report", ""},
		{"*", "box", "", "tenant"},
		{"acme", ">", "", "box"},
		{"acme", "a.b", "", "box"},
		{"acme", "", "", "box"},
		{"acme", "-a", "", "box"},
		{"acme", "Box", "", "box"},
		{"acme", "böx", "", "box"},
		{"acme", "a b", "", "box"},
		{"acme", strings.Repeat("a", 64), "", "box"},
	}
	for _, tt := range tests {
		got, err := fleet.ReportSubject(tt.tenant, tt.box)
		if got != tt.want || (err == nil) != (tt.wantErr == "") || err != nil && !strings.HasPrefix(err.Error(), tt.wantErr) {
			t.Errorf("ReportSubject(%q, %q) = %q, %v; want %q, error with %q", tt.tenant, tt.box, got, err, tt.want, tt.wantErr)
		}
		if err != nil {
			continue
		}
		if tenant, box, err := fleet.ParseReportSubject(got); tenant != tt.tenant || box != tt.box || err != nil {
			t.Errorf("ParseReportSubject(%q) = %q, %q, %v", got, tenant, box, err)
		}
	}
	for _, bad := range []string{"", "sprechprobe.v1", "sprechprobe.v2.a.b.up.report", "sprechprobe.v1.a.b.up.state",
		"sprechprobe.v1.a.b.up.report.x", "sprechprobe.v1.*.b.up.report", "xsprechprobe.v1.a.b.up.report"} {
		if _, _, err := fleet.ParseReportSubject(bad); err == nil {
			t.Errorf("ParseReportSubject(%q) accepted it", bad)
		}
	}
}

// healthy is a full report of a healthy box with the larger built-in profile,
// with the values that real probes add.
func healthy() agent.Report {
	r := agent.Report{
		Schema: agent.Schema, Box: agent.Box{ID: "praxis-nord-1", Name: "Praxis Nord, Empfang", Version: "1.0.0", VersionAt: time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC), Board: "raspberrypi,4-model-b", Platform: "linux/arm64"},
		Tenant: "acme", Seq: 4711, Trigger: agent.OnSchedule, TookMS: 812, Verdict: agent.Ready,
		Stamp:        agent.Stamp{At: time.Unix(1_800_000_000, 0).UTC(), Clock: agent.ClockSet, UptimeS: 123456.78},
		Capabilities: agent.Capabilities{agent.Direct: agent.OK, agent.Relay: agent.OK, agent.Group: agent.OK, agent.HD: agent.Unknown, agent.Reporting: agent.OK},
		Findings:     []agent.Finding{{Code: agent.NATEDM, Severity: agent.Info, Cause: agent.CausePractice, Profile: "webprax", SinceAt: time.Unix(1_800_000_000, 0).UTC()}},
	}
	see := func(p agent.ProbeName, t agent.Target, why agent.Reason, kv ...any) {
		e := agent.See(p, t, agent.Answered, why)
		for i := 0; i < len(kv); i += 2 {
			e = e.With(kv[i].(agent.Key), kv[i+1])
		}
		r.Evidence = append(r.Evidence, e)
	}
	tls := []any{agent.TLSVersion, "TLS 1.3", agent.TLSIssuer, "Example Trust Services RSA CA 2026", agent.TLSKeyHash, "0123456789abcdef",
		agent.CertExpires, "2027-03-01T12:00:00Z", agent.TLSTime, 31.25, agent.ConnectTime, 18.5, agent.RTT, 19.75}
	see(agent.ProbeLink, agent.Target{}, "", agent.Interface, "eth0", agent.Carrier, true, agent.Speed, 1e9, agent.Duplex, "full", agent.MTU, 1500,
		agent.LocalAddr, "192.168.178.31/24", agent.Gateway, "192.168.178.1", agent.Neighbour, "reachable", agent.Resolver, "192.168.178.1", agent.ClockSynced, true)
	stun := agent.Target{Host: "coturn.webprax.de", Addr: netip.MustParseAddr("203.0.113.117"), Port: 3478, Transport: agent.UDP, Variant: agent.Plain}
	see(agent.ProbeIPv6, agent.Target{}, agent.NoIPv6, agent.IPv6Addr, false, agent.IPv6Route, false)
	see(agent.ProbeSelf, agent.Target{}, "", agent.Undervoltage, false)
	see(agent.ProbePath, stun, "", agent.Hops, "192.168.178.1 * 198.51.100.0/24", agent.RTT, 3.25)
	see(agent.ProbeMTU, stun, "", agent.PathMTU, 1492)
	see(agent.ProbeBurst, stun, "", agent.Sent, 60, agent.Received, 60, agent.SendRate, 300, agent.RTT, 21.375, agent.RTTMax, 25.5, agent.Jitter, 0.875)
	see(agent.ProbeGateway, agent.Target{}, "", agent.Sent, 20, agent.Received, 20, agent.RTT, 0.375, agent.RTTMax, 1.5, agent.Jitter, 0.125)
	named := map[string]bool{}
	for _, p := range profile.Builtin() {
		if p.Name != "webprax" {
			continue
		}
		r.Profiles = []agent.ProfileResult{{Name: p.Name, Version: p.Version, Verdict: agent.Ready,
			Capabilities: agent.Capabilities{agent.Direct: agent.OK, agent.Relay: agent.OK, agent.Group: agent.OK}}}
		for _, t := range p.Targets {
			a := netip.MustParseAddr("203.0.113.117")
			if !named[t.Host] {
				named[t.Host] = true
				see(agent.ProbeDNS, agent.Target{Host: t.Host}, "", agent.Addrs, a.String(), agent.Resolver, "192.168.178.1:53", agent.RTT, 4.125, agent.RCode, "NOERROR")
			}
			switch t.Service {
			case agent.HTTPS:
				see(agent.ProbeWeb, t.At(a, ""), "", append(tls, agent.HTTPStatus, 200, agent.ClockSkew, 0)...)
			case agent.STUN:
				see(agent.ProbeSTUN, t.At(a, agent.Plain), "", agent.RTT, 21.5, agent.Sends, 1, agent.MappedAddr, "198.51.100.44:53211", agent.Software, "Coturn-4.6.1 'Gorst'")
			case agent.TURN:
				for _, v := range t.Variants {
					see(agent.ProbeTURN, t.At(a, v), agent.Unauthorized, append(tls, agent.STUNError, 401, agent.Realm, "webprax.de", agent.Software, "Coturn-4.6.1 'Gorst'")...)
				}
			case agent.NATS:
				see(agent.ProbeNATS, t.At(a, agent.WSS), "", append(tls, agent.NATSVersion, "2.10.20", agent.NATSNeedsAuth, true, agent.Rungs, "info:timeout tls:ok upgrade:101")...)
			}
		}
	}
	see(agent.ProbeMapping, agent.Target{Host: "coturn.webprax.de", Addr: netip.MustParseAddr("203.0.113.117"), Port: 3478, Transport: agent.UDP}, "",
		agent.Mapping, "address-dependent", agent.Destinations, 2, agent.MappedPorts, 2, agent.MappedIPs, 1)
	r.Findings[0].Evidence = []int{len(r.Evidence) - 1}
	see(agent.ProbeBandwidth, agent.Target{Host: "reflect.fleet.example", Addr: netip.MustParseAddr("203.0.113.70"), Port: 5201, Transport: agent.TCP}, "",
		agent.DownRate, 5502551, agent.UpRate, 5501917, agent.DownLimit, "offer", agent.UpLimit, "offer", agent.IdleRTT, 21.375,
		agent.DownLoadedRTT, 21.875, agent.UpLoadedRTT, 22.125, agent.DownLoss, 0, agent.UpLoss, 0.0019, agent.DownJitter, 0.625, agent.UpJitter, 0.875,
		agent.TestBytes, 2877496)
	return r
}

func TestSteadyReportIsSmall(t *testing.T) {
	r := healthy()
	full, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := fleet.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("full %d bytes, on the wire %d", len(full), len(b))
	if len(b) > fleet.MaxSteady || len(full) <= fleet.MaxSteady {
		t.Errorf("on the wire %d bytes of %d, want at most %d, of more", len(b), len(full), fleet.MaxSteady)
	}
	got, err := fleet.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	e := got.Evidence[got.Findings[0].Evidence[0]]
	if e.Probe != agent.ProbeMapping || e.Values.Text(agent.Mapping) != "address-dependent" {
		t.Errorf("the finding now rests on %s %v", e.Probe, e.Values)
	}
	for _, e := range got.Evidence {
		if _, ok := e.Values.Num(agent.RTT); e.Probe == agent.ProbeTURN && !ok {
			t.Error("a healthy relay lost its round trip time")
		}
		if _, ok := e.Values.Num(agent.UpRate); e.Probe == agent.ProbeBandwidth && !ok {
			t.Error("a measured line lost its figures")
		}
	}
	if !slices.ContainsFunc(got.Evidence, func(e agent.Evidence) bool { return e.Probe == agent.ProbeBandwidth }) {
		t.Error("what was measured of the line does not survive")
	}
}

// News travels whole.
func TestNewsIsNotCut(t *testing.T) {
	r := healthy()
	r.Findings = append(r.Findings, agent.Finding{Code: agent.TURNUDPBlock, Severity: agent.Major, Evidence: []int{0}})
	b, err := fleet.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := fleet.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r.Evidence, got.Evidence, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.FilterPath(func(p cmp.Path) bool {
		switch p.Last().String() {
		case ".Service", ".Pins", ".Variants", ".AltPorts", ".Path", ".Required", ".Feeds":
			return true // not part of a report
		}
		return false
	}, cmp.Ignore())); diff != "" {
		t.Errorf("evidence (-sent +got):\n%s", diff)
	}
}

func TestLargestReport(t *testing.T) {
	r := healthy()
	r.Findings[0].Severity = agent.Critical
	for i := range r.Evidence {
		r.Evidence[i] = r.Evidence[i].With(agent.Detail, strings.Repeat("x", 2000))
	}
	b, err := fleet.Encode(r)
	if err != nil || len(b) > fleet.MaxReport {
		t.Errorf("%d bytes, %v; want at most %d", len(b), err, fleet.MaxReport)
	}
	for i := range 500 {
		r.Evidence = append(r.Evidence, agent.See(agent.ProbeNATS, agent.Target{Host: strings.Repeat("h", 200), Port: uint16(i)}, agent.Silent, agent.Timeout))
		f := agent.Finding{Code: agent.DNSDrift, Severity: agent.Minor, Evidence: []int{i, i + 1}, Args: map[string]string{"hosts": strings.Repeat("ö", 5000)}}
		r.Findings = append(r.Findings, f)
	}
	r.Findings = append(r.Findings, agent.Finding{Code: agent.WANDown, Severity: agent.Critical, Evidence: []int{len(r.Evidence) - 1}})
	b, err = fleet.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := fleet.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if f := got.Findings[1]; f.Code != agent.WANDown || got.Evidence[f.Evidence[0]].Target.Port != 499 {
		t.Errorf("of the gravest findings the second is now %s, on port %d", f.Code, got.Evidence[f.Evidence[0]].Target.Port)
	}
	r.Box.Name = strings.Repeat("x", fleet.MaxReport)
	if _, err := fleet.Encode(r); err == nil {
		t.Error("a report that cannot fit was written")
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"no JSON", "INFO {}", "report:"},
		{"another schema", `{"schema":"sprechprobe.report/9"}`, "sprechprobe.report/9"},
		{"evidence that is not there", `{"schema":"sprechprobe.report/1","findings":[{"code":"x","severity":"info","cause":"box","evidence":[3]}]}`, "evidence 3 of 0"},
		{"negative evidence", `{"schema":"sprechprobe.report/1","findings":[{"code":"x","severity":"info","cause":"box","evidence":[-1]}]}`, "evidence -1"},
		{"unknown verdict", `{"schema":"sprechprobe.report/1","verdict":"great"}`, `unknown verdict "great"`},
		{"too large", strings.Repeat(" ", fleet.MaxReport+1), "is over"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := fleet.Decode([]byte(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Decode: %v, want an error with %q", err, tt.want)
			}
		})
	}
}

// The practice's public address does not leave the box whole.
func TestRedact(t *testing.T) {
	tests := []struct{ in, want string }{
		{"198.51.100.44:53211", "198.51.100.0/24"},
		{"[2001:db8:1:2:3:4:5:6]:53211", "2001:db8:1::/48"},
		{"2001:db8:1:2::1/64", "2001:db8:1::/48"},
		{"192.168.178.31/24", "192.168.178.31/24"},
		{"::ffff:198.51.100.44", "198.51.100.0/24"},
		{"fe80::1%eth0", "fe80::1%eth0"},
		{"praxis-pc.local", ""},
	}
	for _, tt := range tests {
		r := agent.Report{Evidence: []agent.Evidence{agent.See(agent.ProbeSTUN, agent.Target{}, agent.Answered, "").With(agent.MappedAddr, tt.in)}}
		if got := fleet.Redact(r).Evidence[0].Values.Text(agent.MappedAddr); got != tt.want {
			t.Errorf("%q became %q, want %q", tt.in, got, tt.want)
		}
		if r.Evidence[0].Values.Text(agent.MappedAddr) != tt.in {
			t.Error("the original was changed")
		}
	}
}

func FuzzDecode(f *testing.F) {
	b, _ := json.Marshal(healthy())
	f.Add(b)
	f.Add([]byte(`{"schema":"sprechprobe.report/1","evidence":[{"probe":"stun","target":{"addr":"::1"},"values":{"rtt_ms":1}}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := fleet.Decode(b)
		if err != nil {
			return
		}
		again, err := fleet.Encode(fleet.Redact(r))
		if err != nil {
			return
		}
		if _, err := fleet.Decode(again); err != nil {
			t.Errorf("what was read and written again does not read: %v", err)
		}
	})
}

// The practice's router can show its public address in several places; the
// service's own address, and a provider's resolver, are no secret.
func TestRedactRouter(t *testing.T) {
	service := netip.MustParseAddr("198.51.100.7")
	target := agent.Target{Host: "turn.example", Addr: service, Port: 3478, Transport: agent.UDP}
	values := func(gateway, resolver, sender string) agent.Evidence {
		return agent.See(agent.ProbeSTUN, target, agent.Rejected, agent.AdminProhibited).
			With(agent.Gateway, gateway).With(agent.Resolver, resolver).With(agent.BadResolver, resolver).With(agent.ICMPFrom, sender)
	}
	const v6, v6cut = "2001:db8:1:2::1", "2001:db8:1::/48"
	in := agent.Report{
		Evidence: []agent.Evidence{
			values("203.0.113.9", "9.9.9.9 "+v6+" 192.168.1.1", "203.0.113.9"),
			values("192.168.1.1", "fe80::1%eth0 ["+v6+"]:53", service.String()),
		},
		Findings: []agent.Finding{{Args: map[string]string{"gateway": "203.0.113.9", "sender": v6, "resolver": v6, "host": "203.0.113.9"}}},
	}
	want := agent.Report{
		Evidence: []agent.Evidence{
			values("203.0.113.0/24", "9.9.9.9 "+v6cut+" 192.168.1.1", "203.0.113.0/24"),
			values("192.168.1.1", "fe80::1%eth0 "+v6cut, service.String()),
		},
		Findings: []agent.Finding{{Args: map[string]string{"gateway": "203.0.113.0/24", "sender": v6cut, "resolver": v6cut, "host": "203.0.113.9"}}},
	}
	if diff := cmp.Diff(want, fleet.Redact(in), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("redacted (-want +got):\n%s", diff)
	}
	if in.Findings[0].Args["sender"] != v6 {
		t.Error("the report that was handed in has changed")
	}
}

// Of the routers on the way a report names networks, and of the address that a
// NATS server saw nothing.
func TestRedactPath(t *testing.T) {
	in := agent.See(agent.ProbePath, agent.Target{}, agent.Answered, "").
		With(agent.Hops, "192.168.1.1 * 198.51.100.7").With(agent.ClientAddr, "198.51.100.44")
	got := fleet.Redact(agent.Report{Evidence: []agent.Evidence{in}}).Evidence[0].Values
	want := agent.Values{agent.Hops: "192.168.1.1 * 198.51.100.0/24"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("redacted (-want +got):\n%s", diff)
	}
	if in.Values.Text(agent.ClientAddr) == "" {
		t.Error("the report that was handed in has changed")
	}
}

// What a report costs on the wire, and to write.
func BenchmarkEncode(b *testing.B) {
	r := healthy()
	b.ReportAllocs()
	for b.Loop() {
		body, err := fleet.Encode(r)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(body)), "bytes/report")
	}
}
