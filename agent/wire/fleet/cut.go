package fleet

import (
	"slices"

	"github.com/sprechprobe/sprechprobe/agent"
)

// step cuts a report that is over a limit, bytes.
type step struct {
	limit int
	cut   func(agent.Report) agent.Report
}

func hasNews(r agent.Report) bool {
	return slices.ContainsFunc(r.Findings, func(f agent.Finding) bool { return f.Severity > agent.Info })
}

// kept are the values that make a healthy look comparable over time.
var kept = map[agent.ProbeName][]agent.Key{
	agent.ProbeLink:    {agent.Speed, agent.MTU, agent.ClockSynced},
	agent.ProbeMapping: {agent.Mapping},
	agent.ProbePorts:   {agent.Open, agent.Sampled},
	agent.ProbeWeb:     {agent.RTT, agent.CertExpires},
	agent.ProbeUplink:  {agent.Queued, agent.Dropped, agent.Damaged, agent.SpoolBytes, agent.InMemory},
	agent.ProbeMTU:     {agent.PathMTU},
	agent.ProbeBandwidth: {agent.DownRate, agent.UpRate, agent.DownLimit, agent.UpLimit, agent.IdleRTT, agent.DownLoadedRTT, agent.UpLoadedRTT,
		agent.DownLoss, agent.UpLoss, agent.DownJitter, agent.UpJitter, agent.PutOff},
	agent.ProbeBurst: {agent.Sent, agent.Received, agent.RTT, agent.Jitter},

	agent.ProbeAssignment: {agent.Version, agent.Detail},
}

// lean leaves of each look that was answered only what is kept.
func lean(r agent.Report) agent.Report {
	return eachEvidence(r, func(e agent.Evidence) agent.Evidence {
		if e.Outcome != agent.Answered {
			return e
		}
		keys, ok := kept[e.Probe]
		if !ok {
			keys = []agent.Key{agent.RTT}
		}
		values := agent.Values{}
		for _, k := range keys {
			if v, ok := e.Values[k]; ok {
				values[k] = v
			}
		}
		e.Values = values
		return e
	})
}

// withoutValues drops what is only of interest beside an outcome.
func withoutValues(r agent.Report) agent.Report {
	return eachEvidence(r, func(e agent.Evidence) agent.Evidence {
		e.Values = nil
		return e
	})
}

func eachEvidence(r agent.Report, edit func(agent.Evidence) agent.Evidence) agent.Report {
	out := make([]agent.Evidence, len(r.Evidence))
	for i, e := range r.Evidence {
		out[i] = edit(e)
	}
	r.Evidence = out
	return r
}

// withoutReasons drops the looks that only explain others, where no finding rests
// on them.
func withoutReasons(r agent.Report) agent.Report {
	return withoutIdle(r, agent.ProbeSelf, agent.ProbeIPv6, agent.ProbePath, agent.ProbeGateway, agent.ProbeFlows,
		agent.ProbeWalk, agent.ProbeHello, agent.ProbeProxy, agent.ProbeIdle)
}

// withoutNames drops the look-ups: the looks at the targets carry the addresses.
func withoutNames(r agent.Report) agent.Report { return withoutIdle(r, agent.ProbeDNS) }

// withoutLine drops what describes the line, which a deep round measures again.
func withoutLine(r agent.Report) agent.Report {
	return withoutIdle(r, agent.ProbeMTU, agent.ProbeBurst)
}

// withoutIdle drops looks of these probes that were answered, or could not be
// made, and on which no finding rests.
func withoutIdle(r agent.Report, probes ...agent.ProbeName) agent.Report {
	return where(r, func(e agent.Evidence, proof bool) bool {
		return proof || !slices.Contains(probes, e.Probe) || e.Outcome != agent.Answered && e.Outcome != agent.NotLooked
	})
}

// onlyProof drops what no finding rests on.
func onlyProof(r agent.Report) agent.Report {
	return where(r, func(_ agent.Evidence, proof bool) bool { return proof })
}

// What briefly leaves: it takes about 1 KiB for each finding at most.
const (
	mostFindings = 24
	mostWords    = 120 // runes of one argument
)

// briefly leaves the gravest findings, one proof of each, and the beginning of
// their arguments.
func briefly(r agent.Report) agent.Report {
	r.Findings = slices.Clone(r.Findings)
	slices.SortStableFunc(r.Findings, func(a, b agent.Finding) int { return int(b.Severity) - int(a.Severity) })
	r.Findings = r.Findings[:min(len(r.Findings), mostFindings)]
	for i, f := range r.Findings {
		args := map[string]string{}
		for k, v := range f.Args {
			if words := []rune(v); len(words) > mostWords {
				v = string(words[:mostWords]) + "..."
			}
			args[k] = v
		}
		r.Findings[i].Args, r.Findings[i].Evidence = args, f.Evidence[:min(len(f.Evidence), 1)]
	}
	return onlyProof(r)
}

// where leaves the evidence that is wanted, and moves the findings' indexes;
// proof is what a finding rests on, which must be wanted.
func where(r agent.Report, wanted func(e agent.Evidence, proof bool) bool) agent.Report {
	proof := map[int]bool{}
	for _, f := range r.Findings {
		for _, i := range f.Evidence {
			proof[i] = true
		}
	}
	moved := map[int]int{}
	out := []agent.Evidence{}
	for i, e := range r.Evidence {
		if wanted(e, proof[i]) {
			moved[i] = len(out)
			out = append(out, e)
		}
	}
	findings := slices.Clone(r.Findings)
	for i, f := range findings {
		f.Evidence = slices.Clone(f.Evidence)
		for k, old := range f.Evidence {
			f.Evidence[k] = moved[old]
		}
		findings[i] = f
	}
	r.Evidence, r.Findings = out, findings
	return r
}
