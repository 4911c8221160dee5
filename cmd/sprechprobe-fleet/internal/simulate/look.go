package simulate

import (
	"math"
	"math/rand/v2"
	"net/netip"

	"github.com/sprechprobe/sprechprobe/agent"
)

// look adds the evidence of a round, and to findings what they rest on.
func (f *Fleet) look(r *agent.Report, p practice, bad [len(Services)]bool, look *rand.Rand, i int) {
	// Practices work by day, and their neighbours stream in the evening.
	hour := float64(r.Stamp.At.Hour()) + float64(r.Stamp.At.Minute())/60
	busy := p.evening*bell(hour, 20, 2.5) + 0.3*bell(hour, 10, 1.5) + 0.2*bell(hour, 15, 1.5)
	rtt := round(p.base * (1 + busy + 0.08*look.ExpFloat64()))
	at := func(service int, port uint16, tr agent.Transport, v agent.Variant) agent.Target {
		host := [...]string{"turn.video.example", "group.video.example", "www.video.example"}[service]
		return agent.Target{Host: host, Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + service)}), Port: port, Transport: tr, Variant: v}
	}
	r.Evidence = make([]agent.Evidence, 0, 11)
	see := func(service int, probe agent.ProbeName, t agent.Target, values ...any) {
		e := agent.Evidence{Probe: probe, Target: t, Outcome: agent.Answered, Grade: agent.GradeA, Values: agent.Values{}}
		if service >= 0 && bad[service] {
			e.Outcome, e.Grade = agent.Silent, agent.GradeD
		} else {
			for i := 0; i < len(values); i += 2 {
				e.Values[values[i].(agent.Key)] = agent.Value(values[i+1])
			}
		}
		r.Evidence = append(r.Evidence, e)
	}
	near := func() float64 { return round(rtt * (0.95 + 0.1*look.Float64())) }
	see(-1, agent.ProbeLink, agent.Target{}, agent.Speed, 1e9, agent.MTU, 1500, agent.ClockSynced, true)
	see(-1, agent.ProbeDNS, agent.Target{Host: "turn.video.example"}, agent.RTT, round(2+3*look.Float64()))
	see(2, agent.ProbeWeb, at(2, 443, agent.TCP, agent.TLS), agent.RTT, near(), agent.ConnectTime, near())
	// The mapped address is the service's word, so it is known while one answers.
	mapped := address(p.isp, 0).String() + "/24"
	see(-1, agent.ProbeSTUN, agent.Target{Host: "stun.video.example", Port: 3478, Transport: agent.UDP}, agent.RTT, near(), agent.MappedAddr, mapped)
	see(0, agent.ProbeTURN, at(0, 3478, agent.UDP, agent.Plain), agent.RTT, near(), agent.Realm, "video.example")
	see(0, agent.ProbeTURN, at(0, 5349, agent.TCP, agent.TLS), agent.RTT, near(), agent.TLSTime, near())
	see(1, agent.ProbeNATS, at(1, 8443, agent.TCP, agent.TLS), agent.RTT, near(), agent.NATSVersion, "2.15.2")
	sent, lost := 50, 0
	for range sent {
		if look.Float64() < 0.0005+0.01*busy*busy {
			lost++
		}
	}
	see(-1, agent.ProbeBurst, agent.Target{Host: "stun.video.example", Port: 3478, Transport: agent.UDP},
		agent.Sent, sent, agent.Received, sent-lost, agent.RTT, near(), agent.Jitter, round(0.4+4*busy*look.Float64()))
	see(-1, agent.ProbeUplink, agent.Target{}, agent.Queued, 0, agent.Dropped, 0)
	if r.Seq%48 == uint64(i)%48 { // about every four hours
		down := math.Round(p.line * (1 - 0.5*min(1, busy)*look.Float64()))
		see(-1, agent.ProbeBandwidth, agent.Target{Host: "reflect.video.example", Port: 5201, Transport: agent.TCP}, agent.DownRate, down, agent.UpRate, math.Round(down/4),
			agent.IdleRTT, rtt, agent.DownLoadedRTT, round(rtt+60*look.Float64()), agent.UpLoadedRTT, round(rtt+120*look.Float64()))
	}
	for n, x := range r.Findings {
		r.Findings[n].Evidence = []int{}
		for j, e := range r.Evidence {
			if e.Outcome == agent.Silent && x.Target == Services[service(e.Target.Host)] {
				r.Findings[n].Evidence = append(r.Findings[n].Evidence, j)
			}
		}
	}
}

func service(host string) int {
	switch host {
	case "group.video.example":
		return 1
	case "www.video.example":
		return 2
	}
	return 0
}

// bell is 1 at a middle and fades with a width, hours.
func bell(x, middle, width float64) float64 {
	d := (x - middle) / width
	return math.Exp(-d * d)
}

func round(ms float64) float64 { return math.Round(100*ms) / 100 }

// judge sums up what the findings harm.
func judge(r *agent.Report) {
	for _, f := range r.Findings {
		switch {
		case f.Severity == agent.Critical && f.Code == agent.GroupBlockAll:
			r.Capabilities[agent.Group] = agent.No
			r.Verdict = max(r.Verdict, agent.VerdictLimited)
		case f.Severity == agent.Critical:
			r.Capabilities[agent.Relay], r.Capabilities[agent.Group] = agent.No, agent.No
			r.Verdict = agent.Blocked
		case f.Severity == agent.Major:
			r.Capabilities[agent.Relay] = agent.Limited
			r.Verdict = max(r.Verdict, agent.VerdictLimited)
		}
	}
	r.Profiles = []agent.ProfileResult{{Name: "webprax", Version: "2026-01", Verdict: r.Verdict, Capabilities: r.Capabilities}}
}
