package advice_test

import (
	"net/netip"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
)

var (
	at    = time.Date(2026, 11, 23, 13, 32, 5, 0, time.UTC)
	since = time.Date(2026, 11, 23, 8, 10, 0, 0, time.UTC)
)

const (
	coturn = "coturn.webprax.de"
	video  = "video.webprax.de"
	meet   = "stun.zpp-hd.meetone.io"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// webprax and zppHD are profiles with the forms that matter here: pinned and
// unpinned hosts, one host on several ports, a range.
func webprax() agent.Profile {
	one := []agent.Capability{agent.Direct, agent.Relay}
	p := agent.Profile{
		Name: "webprax", Title: "webPRAX", Version: "1", Date: "2026-02-18", Source: "https://hilfe.webprax.de/article/92",
		Targets: []agent.Target{
			{Host: video, Port: 443, Transport: agent.TCP, Service: agent.HTTPS, Required: true, Feeds: one},
			{Host: coturn, Port: 3478, Transport: agent.UDP, Service: agent.STUN, Required: true, Feeds: one},
			{Host: coturn, Port: 5349, Transport: agent.UDP, Service: agent.TURN, Required: true, Feeds: one},
			{Host: coturn, Port: 5349, Transport: agent.TCP, Service: agent.TURN, Required: true, Feeds: one},
		},
	}
	for i, a := range []string{"5.75.182.248", "128.140.77.77", "157.90.226.181"} {
		p.Targets = append(p.Targets, agent.Target{
			Host: "nats" + string(rune('1'+i)) + ".webprax.de", Port: 8443, Transport: agent.TCP, Service: agent.NATS,
			Pins: []netip.Addr{addr(a)}, Required: true, Feeds: []agent.Capability{agent.Group},
		})
	}
	return p
}

func zppHD() agent.Profile {
	return agent.Profile{
		Name: "zpp-hd", Title: "ZPP HD", Version: "1", Date: "2025-12",
		Targets: []agent.Target{
			{Host: meet, Port: 3478, AltPorts: []uint16{5349}, Transport: agent.UDP, Service: agent.STUN, Required: true},
			{Host: meet, Port: 10000, LastPort: 20000, Transport: agent.UDP, Service: agent.Range, Required: true},
			{Host: meet, Port: 10000, LastPort: 20000, Transport: agent.TCP, Service: agent.Range},
		},
	}
}

func target(host, ip string, port uint16, tr agent.Transport) agent.Target {
	t := agent.Target{Host: host, Port: port, Transport: tr}
	if ip != "" {
		t.Addr = addr(ip)
	}
	return t
}

func silent(p agent.ProbeName, t agent.Target) agent.Evidence {
	e := agent.See(p, t, agent.Silent, agent.Timeout)
	e.Grade = agent.GradeD
	return e
}

func rejected(p agent.ProbeName, t agent.Target) agent.Evidence {
	return agent.See(p, t, agent.Rejected, agent.AdminProhibited).With(agent.ICMPFrom, "192.168.1.1").With(agent.RTT, 0.7)
}

func refused(p agent.ProbeName, t agent.Target, why agent.Reason) agent.Evidence {
	return agent.See(p, t, agent.Refused, why).With(agent.RTT, 18.4)
}

func stun(rtt float64) agent.Evidence {
	return agent.See(agent.ProbeSTUN, target(coturn, "116.203.1.9", 3478, agent.UDP), agent.Answered, "").With(agent.RTT, rtt)
}

func link() agent.Evidence {
	return agent.See(agent.ProbeLink, agent.Target{}, agent.Answered, "").With(agent.LocalAddr, "192.168.1.50/24")
}

// scenario is a report with the profiles that it was made with.
type scenario struct {
	name     string
	report   agent.Report
	profiles []agent.Profile
}

func report(v agent.Verdict, c agent.Capabilities, fs []agent.Finding, es ...agent.Evidence) agent.Report {
	offered := agent.Capabilities{}
	for k, s := range c {
		if k != agent.Reporting {
			offered[k] = s
		}
	}
	return agent.Report{
		Schema: agent.Schema, Seq: 7, Trigger: agent.OnCheck, Verdict: v, Capabilities: c, Findings: fs, Evidence: es,
		Box:      agent.Box{ID: "praxis-nord-1", Name: "Praxis Nord, Empfang", Version: "1.0.0", Platform: "linux/arm64"},
		Stamp:    agent.Stamp{At: at, Clock: agent.ClockSet, UptimeS: 11520},
		Profiles: []agent.ProfileResult{{Name: "webprax", Version: "1", Verdict: v, Capabilities: offered}},
	}
}

func states(direct, relay, group agent.State) agent.Capabilities {
	return agent.Capabilities{agent.Direct: direct, agent.Relay: relay, agent.Group: group, agent.Reporting: agent.OK}
}

func finding(c agent.Code, s agent.Severity, who agent.Cause, args map[string]string, evidence ...int) agent.Finding {
	return agent.Finding{Code: c, Severity: s, Cause: who, SinceAt: since, Args: args, Evidence: evidence}
}

func natsAll(see func(agent.ProbeName, agent.Target) agent.Evidence) []agent.Evidence {
	var out []agent.Evidence
	for _, t := range webprax().Targets[4:] {
		out = append(out, see(agent.ProbeNATS, target(t.Host, t.Pins[0].String(), 8443, agent.TCP)))
	}
	return out
}

func groupArgs(more ...string) map[string]string {
	m := map[string]string{"hosts": "nats1.webprax.de, nats2.webprax.de, nats3.webprax.de",
		"addrs": "5.75.182.248, 128.140.77.77, 157.90.226.181", "port": "8443"}
	for i := 0; i < len(more); i += 2 {
		m[more[i]] = more[i+1]
	}
	return m
}

var only = []agent.Profile{webprax()}

// scenarios are what the golden files show.
func scenarios() []scenario {
	return []scenario{
		{"healthy", report(agent.Ready, states(agent.OK, agent.OK, agent.OK), nil, link(), stun(18.4)), only},
		groupBlocked(), groupSome(), udpBlocked(), linkDown(), captive(), intercept(),
		turnOutage(), groupOutage(), groupRedundancy(), clockWrong(),
		{"unknown", report(agent.VerdictUnknown, states(agent.Unknown, agent.Unknown, agent.Unknown), nil,
			agent.See(agent.ProbeSTUN, target(coturn, "116.203.1.9", 3478, agent.UDP), agent.Silent, agent.Timeout)), only},
		twoProfiles(), lineDown(),
	}
}

func groupBlocked() scenario {
	es := append([]agent.Evidence{link(), stun(18.4)}, natsAll(silent)...)
	f := finding(agent.GroupBlockAll, agent.Critical, agent.CausePractice, groupArgs(), 2, 3, 4)
	f.Profile = "webprax"
	return scenario{"group-blocked", report(agent.Blocked, states(agent.OK, agent.OK, agent.No), []agent.Finding{f}, es...), only}
}

// groupSome has no profile at hand: the request rests on the arguments.
func groupSome() scenario {
	args := map[string]string{"hosts": "nats3.webprax.de", "addrs": "157.90.226.181", "port": "8443", "open": "2", "of": "3", "sender": "192.168.1.1"}
	e := rejected(agent.ProbeNATS, target("nats3.webprax.de", "157.90.226.181", 8443, agent.TCP))
	f := finding(agent.GroupBlockSome, agent.Major, agent.CausePractice, args, 0)
	return scenario{"group-some-no-profile", report(agent.VerdictLimited, states(agent.OK, agent.OK, agent.Limited), []agent.Finding{f}, e), nil}
}

func udpBlocked() scenario {
	es := []agent.Evidence{
		link(),
		rejected(agent.ProbeSTUN, target(coturn, "116.203.1.9", 3478, agent.UDP)),
		rejected(agent.ProbeTURN, target(coturn, "116.203.1.9", 5349, agent.UDP)),
		agent.See(agent.ProbeTURN, target(coturn, "116.203.1.9", 5349, agent.TCP).At(addr("116.203.1.9"), agent.TLS), agent.Answered, agent.Unauthorized).With(agent.RTT, 21.0),
	}
	f := finding(agent.UDPAllBlock, agent.Critical, agent.CausePractice,
		map[string]string{"hosts": coturn, "ports": "3478, 5349", "sender": "192.168.1.1"}, 1, 2, 3)
	return scenario{"udp-blocked", report(agent.VerdictLimited, states(agent.No, agent.Limited, agent.OK), []agent.Finding{f}, es...), only}
}

func linkDown() scenario {
	e := agent.See(agent.ProbeLink, agent.Target{}, agent.NotLooked, agent.NoCarrier)
	f := finding(agent.LinkDown, agent.Critical, agent.CausePractice, map[string]string{"interface": "eth0"}, 0)
	return scenario{"offline", report(agent.Offline, states(agent.No, agent.No, agent.No), []agent.Finding{f}, e), only}
}

func lineDown() scenario {
	f := finding(agent.WANDown, agent.Critical, agent.CauseISP, map[string]string{"gateway": "192.168.1.1"}, 0)
	return scenario{"line-down", report(agent.Offline, states(agent.No, agent.No, agent.No), []agent.Finding{f},
		silent(agent.ProbeWeb, target(video, "116.203.1.7", 443, agent.TCP))), only}
}

func captive() scenario {
	e := agent.See(agent.ProbeCaptive, target(video, "116.203.1.7", 80, agent.TCP), agent.Tampered, agent.Redirect).With(agent.LocationHost, "login.hotspot.example")
	f := finding(agent.Captive, agent.Critical, agent.CausePractice, map[string]string{"host": video, "portal": "login.hotspot.example"}, 0)
	return scenario{"captive", report(agent.Blocked, states(agent.No, agent.No, agent.No), []agent.Finding{f}, e), only}
}

func intercept() scenario {
	e := agent.See(agent.ProbeWeb, target(video, "116.203.1.7", 443, agent.TCP), agent.Tampered, agent.TLSUnknownCA).
		With(agent.TLSIssuer, `CN="FG100" O=Fortinet`).With(agent.ConnectTime, 12.0)
	f := finding(agent.TLSIntercept, agent.Major, agent.CausePractice,
		map[string]string{"hosts": video, "issuer": `CN="FG100" O=Fortinet`, "maker": "Fortinet"}, 0)
	return scenario{"tls-intercept", report(agent.VerdictLimited, states(agent.OK, agent.Limited, agent.Limited), []agent.Finding{f}, e), only}
}

func turnOutage() scenario {
	es := []agent.Evidence{
		refused(agent.ProbeTURN, target(coturn, "116.203.1.9", 5349, agent.UDP), agent.PortUnreachable),
		refused(agent.ProbeTURN, target(coturn, "116.203.1.9", 5349, agent.TCP), agent.Reset),
	}
	f := finding(agent.TURNServer, agent.Critical, agent.CauseVendor, map[string]string{"hosts": coturn, "ports": "UDP 5349, TCP 5349"}, 0, 1)
	return scenario{"turn-outage", report(agent.Blocked, states(agent.Limited, agent.No, agent.OK), []agent.Finding{f}, es...), only}
}

func refuse(p agent.ProbeName, t agent.Target) agent.Evidence { return refused(p, t, agent.Reset) }

func groupOutage() scenario {
	f := finding(agent.GroupServer, agent.Critical, agent.CauseVendor, groupArgs("open", "0", "of", "3"), 0, 1, 2)
	return scenario{"group-outage", report(agent.Blocked, states(agent.OK, agent.OK, agent.No), []agent.Finding{f}, natsAll(refuse)...), only}
}

func groupRedundancy() scenario {
	args := map[string]string{"hosts": "nats2.webprax.de", "addrs": "128.140.77.77", "port": "8443", "open": "2", "of": "3"}
	f := finding(agent.GroupServer, agent.Info, agent.CauseVendor, args, 1)
	return scenario{"group-one-server-down", report(agent.Ready, states(agent.OK, agent.OK, agent.OK), []agent.Finding{f}, natsAll(refuse)...), only}
}

func clockWrong() scenario {
	f := finding(agent.ClockWrong, agent.Minor, agent.CausePractice, map[string]string{"skew_s": "172800"}, 0)
	e := agent.See(agent.ProbeWeb, target(video, "116.203.1.7", 443, agent.TCP), agent.Answered, agent.TLSClock).With(agent.ConnectTime, 0.4)
	r := report(agent.VerdictUnknown, states(agent.Unknown, agent.Unknown, agent.Unknown), []agent.Finding{f}, e)
	r.Stamp.Clock = agent.ClockUnset
	return scenario{"clock-wrong", r, only}
}

// twoProfiles has a service that works and one that does not, several causes,
// and a request with a line and a setting.
func twoProfiles() scenario {
	ports := target(meet, "116.203.2.2", 10000, agent.UDP)
	ports.LastPort = 20000
	es := []agent.Evidence{
		link(),
		rejected(agent.ProbePorts, ports).With(agent.Sampled, 20).With(agent.Open, 0).With(agent.Barred, 18).With(agent.Quiet, 2),
		agent.See(agent.ProbeDNS, agent.Target{Host: "hd." + meet}, agent.Refused, agent.NXDomain).With(agent.Resolver, "192.168.1.1:53"),
		agent.See(agent.ProbeSTUN, target(meet, "116.203.2.2", 3478, agent.UDP), agent.Silent, agent.Timeout),
	}
	fs := []agent.Finding{
		finding(agent.DNSNX, agent.Major, agent.CausePractice, map[string]string{"hosts": "hd." + meet, "resolver": "192.168.1.1"}, 2),
		finding(agent.PortRangeUDP, agent.Critical, agent.CausePractice, map[string]string{"host": meet, "ports": "10000-20000", "sender": "192.168.1.1"}, 1),
		finding(agent.STUNUDPBlock, agent.Major, agent.CauseUnknown, map[string]string{"host": meet, "port": "3478"}, 3),
		finding(agent.CentralDown, agent.Minor, agent.CauseUnknown, map[string]string{"host": "fleet.example"}),
	}
	for i := range fs[:3] {
		fs[i].Profile, fs[i].Target = "zpp-hd", meet
	}
	r := report(agent.Blocked, agent.Capabilities{agent.Direct: agent.No, agent.Relay: agent.OK, agent.Group: agent.OK, agent.HD: agent.No, agent.Reporting: agent.No}, fs, es...)
	r.Profiles = []agent.ProfileResult{
		{Name: "webprax", Version: "1", Verdict: agent.Ready, Capabilities: agent.Capabilities{agent.Direct: agent.OK, agent.Relay: agent.OK, agent.Group: agent.OK}},
		{Name: "zpp-hd", Version: "1", Verdict: agent.Blocked, Capabilities: agent.Capabilities{agent.Direct: agent.No, agent.HD: agent.No}},
	}
	return scenario{"two-profiles", r, []agent.Profile{webprax(), zppHD()}}
}
