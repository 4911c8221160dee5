package statuspage_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/agent/profile"
	"github.com/sprechprobe/sprechprobe/agent/statuspage"
	"github.com/sprechprobe/sprechprobe/agent/steps"
)

var measured = time.Date(2026, 11, 20, 8, 30, 0, 0, time.UTC)

func profiles(t testing.TB) []agent.Profile {
	t.Helper()
	ps, err := profile.Load("", []string{"webprax", "zpp-hd"})
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

func see(p agent.ProbeName, host string, port uint16, tr agent.Transport, o agent.Outcome, why agent.Reason) agent.Evidence {
	return agent.See(p, agent.Target{Host: host, Addr: netip.MustParseAddr("192.0.2.7"), Port: port, Transport: tr}, o, why)
}

// healthy is a box in a practice in which everything works.
func healthy(t testing.TB) statuspage.State {
	works := agent.Capabilities{agent.Direct: agent.OK, agent.Relay: agent.OK, agent.Group: agent.OK}
	ps := profiles(t)
	r := agent.Report{
		Schema: agent.Schema, Box: agent.Box{ID: "box-1a2b3c4d5e6f", Name: "Praxis Nord, Empfang", Version: "1.0", Platform: "linux/arm64"},
		Seq: 1, Trigger: agent.OnStart, Stamp: agent.Stamp{At: measured, Clock: agent.ClockSet, UptimeS: 90_000}, TookMS: 700,
		Verdict: agent.Ready, Capabilities: works,
		Profiles: []agent.ProfileResult{
			{Name: "webprax", Version: "1", Verdict: agent.Ready, Capabilities: works},
			{Name: "zpp-hd", Version: "1", Verdict: agent.Ready, Capabilities: agent.Capabilities{agent.Direct: agent.OK, agent.HD: agent.Unknown}},
		},
		Evidence: []agent.Evidence{
			agent.See(agent.ProbeLink, agent.Target{}, agent.Answered, "").With(agent.LocalAddr, "192.168.178.23/24").With(agent.ClockSynced, true),
			see(agent.ProbeDNS, "coturn.webprax.de", 53, agent.UDP, agent.Answered, ""),
			see(agent.ProbeWeb, "video.webprax.de", 443, agent.TCP, agent.Answered, ""),
			see(agent.ProbeSTUN, "coturn.webprax.de", 3478, agent.UDP, agent.Answered, ""),
			see(agent.ProbeTURN, "coturn.webprax.de", 5349, agent.UDP, agent.Answered, agent.Unauthorized),
			see(agent.ProbeTURN, "coturn.webprax.de", 5349, agent.TCP, agent.Answered, agent.Unauthorized),
			see(agent.ProbeNATS, "nats1.webprax.de", 8443, agent.TCP, agent.Answered, ""),
		},
	}
	return statuspage.State{Box: r.Box, Addr: "192.168.178.23", Report: r, Profiles: ps,
		Show: light.Of(r), Steps: steps.Plan(ps, false).End(r), Took: 4 * time.Second}
}

// blocked is the same practice with the port of the group sessions dropped.
func blocked(t testing.TB) statuspage.State {
	s := healthy(t)
	r := s.Report
	r.Seq, r.Verdict = 2, agent.Blocked
	r.Evidence = append([]agent.Evidence{}, r.Evidence[:6]...)
	f := agent.Finding{Code: agent.GroupBlockAll, Severity: agent.Critical, Cause: agent.CausePractice, Profile: "webprax",
		SinceAt: measured, Args: map[string]string{"hosts": "nats1.webprax.de, nats2.webprax.de, nats3.webprax.de", "port": "8443", "transport": "tcp",
			"addrs": "5.75.182.248, 128.140.77.77, 157.90.226.181"}}
	for i, addr := range []string{"5.75.182.248", "128.140.77.77", "157.90.226.181"} {
		e := see(agent.ProbeNATS, fmt.Sprintf("nats%d.webprax.de", i+1), 8443, agent.TCP, agent.Silent, agent.Timeout)
		e.Target.Addr, e.Grade = netip.MustParseAddr(addr), agent.GradeD
		f.Evidence = append(f.Evidence, len(r.Evidence))
		r.Evidence = append(r.Evidence, e)
	}
	r.Findings = []agent.Finding{f}
	works := agent.Capabilities{agent.Direct: agent.OK, agent.Relay: agent.OK, agent.Group: agent.No}
	r.Profiles = []agent.ProfileResult{{Name: "webprax", Version: "1", Verdict: agent.Blocked, Capabilities: works}, r.Profiles[1]}
	r.Capabilities = works
	s.Report, s.Show, s.Steps = r, light.Of(r), s.Steps.End(r)
	return s
}

// looking is the same box a second after it was plugged in.
func looking(t testing.TB) statuspage.State {
	s := healthy(t)
	s.Steps = steps.Plan(s.Profiles, true)
	for _, e := range s.Report.Evidence[:3] {
		s.Steps = s.Steps.See(e)
	}
	s.Report, s.Looking, s.Took, s.Show = agent.Report{}, true, 0, light.Show{State: light.Checking}
	return s
}

// aDay is a page that has watched a practice for a day, with trouble in it.
func aDay(t testing.TB, last statuspage.State) *statuspage.Page {
	p := statuspage.New(statuspage.Config{Name: "sprechprobe", Overdue: time.Hour})
	for q := range 97 {
		s := healthy(t)
		switch {
		case q >= 40 && q < 46:
			s = blocked(t)
		case q >= 46 && q < 50:
			s.Report.Verdict = agent.VerdictLimited
		case q == 60:
			s.Report.Verdict = agent.Offline
		}
		s.Report.Seq = uint64(q)
		s.Report.Stamp.UptimeS = float64(1000 + q*900)
		p.Show(s)
	}
	last.Report.Seq, last.Report.Stamp.UptimeS = 1000, 1000+97*900
	p.Show(last)
	return p
}

// offline is a box whose cable is out.
func offline(t testing.TB) statuspage.State {
	s := healthy(t)
	no := agent.Capabilities{agent.Direct: agent.No, agent.Relay: agent.No, agent.Group: agent.No}
	s.Report.Verdict, s.Report.Capabilities = agent.Offline, no
	s.Report.Profiles = []agent.ProfileResult{{Name: "webprax", Verdict: agent.Offline, Capabilities: no}}
	s.Report.Evidence = []agent.Evidence{agent.See(agent.ProbeLink, agent.Target{}, agent.Refused, agent.NoCarrier).With(agent.Interface, "eth0")}
	s.Report.Findings = []agent.Finding{{Code: agent.LinkDown, Severity: agent.Critical, Cause: agent.CausePractice, Args: map[string]string{"interface": "eth0"}, Evidence: []int{0}}}
	s.Show, s.Steps = light.Of(s.Report), s.Steps.End(s.Report)
	return s
}
