package steps_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/profile"
	"github.com/sprechprobe/sprechprobe/agent/steps"
)

// picture is a sequence in one letter a step.
func picture(s steps.Sequence) string {
	var b strings.Builder
	for _, x := range s {
		b.WriteByte(".+x?-"[x])
	}
	return b.String()
}

func services(t *testing.T, names ...string) []agent.Profile {
	t.Helper()
	ps, err := profile.Load("", names)
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

func see(p agent.ProbeName, tr agent.Transport, o agent.Outcome) agent.Evidence {
	return agent.See(p, agent.Target{Transport: tr}, o, "")
}

func link(why agent.Reason, values ...any) agent.Evidence {
	o := agent.Answered
	if why != "" {
		o = agent.Refused
	}
	e := agent.See(agent.ProbeLink, agent.Target{}, o, why)
	for i := 0; i < len(values); i += 2 {
		e = e.With(values[i].(agent.Key), values[i+1])
	}
	return e
}

// Every step of the way, as an installer watches it: each line is what comes in
// and what is shown then.
func TestAWayFromThePlugToTheVendor(t *testing.T) {
	s := steps.Plan(services(t, "webprax"), true)
	for _, tt := range []struct {
		e    agent.Evidence
		want string
	}{
		{link(agent.NoCarrier, agent.Carrier, false), "..........."},
		{link(agent.NoLease, agent.Carrier, true), "+.........."},
		{link(agent.NoGateway, agent.Carrier, true, agent.LocalAddr, "192.168.1.7/24"), "++........."},
		{link("", agent.Carrier, true, agent.LocalAddr, "192.168.1.7/24", agent.ClockSynced, false), "+++........"},
		{see(agent.ProbeDNS, "", agent.Silent), "+++........"},
		{see(agent.ProbeDNS, "", agent.Answered), "+++.+......"},
		{see(agent.ProbeWeb, agent.TCP, agent.Tampered), "+++.+......"},
		{see(agent.ProbeWeb, agent.TCP, agent.Answered).With(agent.ClockSkew, 4000.0), "+++.++....."},
		{see(agent.ProbeWeb, agent.TCP, agent.Answered).With(agent.ClockSkew, -2.0), "++++++....."},
		{see(agent.ProbeTURN, agent.TCP, agent.Answered), "++++++..+.."},
		{see(agent.ProbeTURN, agent.UDP, agent.Silent), "++++++..+.."},
		{see(agent.ProbeSTUN, agent.UDP, agent.Answered), "+++++++.+.."},
		{see(agent.ProbeRelay, agent.UDP, agent.Answered), "+++++++++.."},
		{see(agent.ProbeNATS, agent.TCP, agent.Answered), "++++++++++."},
		{see(agent.ProbeUplink, agent.TCP, agent.Answered), "+++++++++++"},
	} {
		if s = s.See(tt.e); picture(s) != tt.want {
			t.Errorf("after %s %s: %s, want %s", tt.e.Probe, tt.e.Outcome, picture(s), tt.want)
		}
	}
	if !s.Done() || !s.Online() {
		t.Errorf("%s: done %v, online %v", picture(s), s.Done(), s.Online())
	}
}

func TestPlan(t *testing.T) {
	for want, s := range map[string]steps.Sequence{
		"...........": steps.Plan(services(t, "webprax"), true),
		".......---.": steps.Plan(services(t, "zpp-hd"), true),
		"..........-": steps.Plan(services(t, "webprax", "zpp-hd"), false),
	} {
		if got := picture(s); got != want {
			t.Errorf("plan %s, want %s", got, want)
		}
	}
}

func failing(codes ...agent.Code) agent.Report {
	r := agent.Report{Schema: agent.Schema}
	for _, c := range codes {
		r.Findings = append(r.Findings, agent.Finding{Code: c, Severity: agent.Major})
	}
	return r
}

func TestEnd(t *testing.T) {
	plan := steps.Plan(services(t, "webprax"), false)
	healthy := []agent.Evidence{
		link("", agent.Carrier, true, agent.LocalAddr, "10.0.0.2/24", agent.ClockSynced, true),
		see(agent.ProbeDNS, "", agent.Answered), see(agent.ProbeWeb, agent.TCP, agent.Answered),
		see(agent.ProbeSTUN, agent.UDP, agent.Answered), see(agent.ProbeTURN, agent.UDP, agent.Answered),
		see(agent.ProbeTURN, agent.TCP, agent.Answered), see(agent.ProbeNATS, agent.TCP, agent.Answered),
	}
	without := func(probes ...agent.ProbeName) []agent.Evidence {
		return slices.DeleteFunc(slices.Clone(healthy), func(e agent.Evidence) bool { return slices.Contains(probes, e.Probe) })
	}
	tests := []struct {
		name  string
		seen  []agent.Evidence
		codes []agent.Code
		want  string
		stop  steps.Step
	}{
		{"healthy", healthy, nil, "++++++++++-", 0},
		{"nothing seen", nil, nil, "??????????-", 0},
		{"cable out", nil, []agent.Code{agent.LinkDown}, "x?????????-", steps.Link},
		{"no lease", []agent.Evidence{link(agent.NoLease, agent.Carrier, true)}, []agent.Code{agent.DHCPNone}, "+x????????-", steps.Address},
		{"group port dropped", without(agent.ProbeNATS), []agent.Code{agent.GroupBlockAll}, "+++++++++x-", steps.Group},
		// One of three servers answers: the finding is the last word.
		{"one group server away", healthy, []agent.Code{agent.GroupBlockSome}, "+++++++++x-", steps.Group},
		{"UDP dropped", without(agent.ProbeSTUN), []agent.Code{agent.UDPAllBlock}, "++++++x+++-", steps.STUN},
		{"clock off", healthy, []agent.Code{agent.ClockWrong}, "+++x++++++-", steps.Clock},
		// Silence that proves nothing stops nothing.
		{"silent relay", without(agent.ProbeTURN), nil, "+++++++??+-", 0},
		{"nobody is to hear", healthy, []agent.Code{agent.CentralDown}, "++++++++++x", steps.Report},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := failing(tt.codes...)
			r.Evidence = tt.seen
			got := plan.See(see(agent.ProbeSTUN, agent.UDP, agent.Answered)).End(r) // what was seen before does not count
			if picture(got) != tt.want {
				t.Errorf("%s, want %s", picture(got), tt.want)
			}
			stop, stopped := got.First(steps.Failed)
			if stopped != (len(tt.codes) > 0) || stop != tt.stop {
				t.Errorf("stops at %d (%v), want %d", stop, stopped, tt.stop)
			}
			if got.Done() != (tt.name == "healthy") {
				t.Errorf("done is %v", got.Done())
			}
		})
	}
}

func TestRemarksStopNothing(t *testing.T) {
	r := failing(agent.TLSIntercept)
	r.Findings[0].Severity = agent.Info
	if got := picture(steps.Plan(nil, true).End(r)); strings.Contains(got, "x") {
		t.Errorf("a remark stops the sequence: %s", got)
	}
	if _, ok := steps.Of(agent.Finding{Code: "of-a-newer-box", Severity: agent.Critical}); ok {
		t.Error("an unknown code has a step")
	}
}

// Every code has a place in the sequence or is known to stop nothing, so that it
// never ends in good order under a red light.
func TestWhatBlocksHasItsStep(t *testing.T) {
	stopsNothing := []agent.Code{
		agent.BoxPower, // the box's own matter
		agent.Interrupted, agent.WANRedial, agent.MTULow, agent.IPv6Only, agent.IPv6Broken, agent.DNSSlow, agent.DNSDrift,
		agent.CertSoon, agent.TURNOpen, agent.TURNAuth, agent.TURNRelay403, agent.HighPortUDPBlock, agent.NATEDM, agent.NATIPFlap, agent.NATDouble, agent.NATCGN,
		agent.PortRangeUnknown, agent.BandwidthHD, agent.TrendCongestion, agent.BandwidthPostponed, agent.BandwidthCapped, agent.CentralFallback, agent.ProfileRejected,
	}
	for _, c := range agent.Codes {
		if _, ok := steps.Of(agent.Finding{Code: c, Severity: agent.Major}); ok == slices.Contains(stopsNothing, c) {
			t.Errorf("%s has a step: %v", c, ok)
		}
	}
}
