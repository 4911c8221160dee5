package ports

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

// tally is what all sampled ports together showed.
type tally struct {
	answered, refused, rejected, silent, blind []seen
}

func tallyOf(all []seen) (t tally) {
	for _, s := range all {
		switch s.Outcome {
		case agent.Answered:
			t.answered = append(t.answered, s)
		case agent.Refused:
			t.refused = append(t.refused, s)
		case agent.Rejected:
			t.rejected = append(t.rejected, s)
		case agent.Silent:
			t.silent = append(t.silent, s)
		default:
			t.blind = append(t.blind, s)
		}
	}
	return t
}

// result is the outcome of the strongest port. Proof that one path is open
// comes first: that others are not is in the counts.
func (t tally) result() reach.Result {
	switch {
	case len(t.answered) > 0:
		return reach.Result{Outcome: agent.Answered}
	case len(t.refused) > 0:
		return reach.Result{Outcome: agent.Answered, Reason: t.refused[0].Reason}
	case len(t.rejected) > 0:
		return reach.Result{Outcome: agent.Rejected, Reason: t.rejected[0].Reason}
	case len(t.silent) > 0:
		return reach.Result{Outcome: agent.Silent, Reason: agent.Timeout}
	case len(t.blind) > 0:
		b := t.blind[0]
		return reach.Result{Outcome: agent.NotLooked, Reason: b.Reason, Detail: b.Detail}
	}
	return reach.Result{Outcome: agent.NotLooked, Reason: agent.Cancelled}
}

// sum makes the evidence. ended is why the caller's context ended, if it did:
// a sample that was cancelled is not a sample.
func sum(t agent.Target, all []seen, ended error) agent.Evidence {
	if errors.Is(ended, context.Canceled) {
		return agent.See(agent.ProbePorts, t, agent.NotLooked, agent.Cancelled)
	}
	c := tallyOf(all)
	r := c.result()
	if len(c.rejected) > 0 {
		r.ICMP = c.rejected[0].ICMP
	}
	e := r.Evidence(agent.ProbePorts, t)
	if r.Outcome == agent.NotLooked {
		return e
	}
	e = e.With(agent.Sampled, len(all)-len(c.blind)).
		With(agent.Open, len(c.answered)+len(c.refused)).
		With(agent.Barred, len(c.rejected)).
		With(agent.Quiet, len(c.silent))
	if len(c.rejected) > 0 {
		e = e.With(agent.BarredPorts, list(c.rejected))
	}
	return e
}

// list is ports in ascending order, as a person writes them.
func list(some []seen) string {
	ports := make([]uint16, len(some))
	for i, s := range some {
		ports[i] = s.port
	}
	slices.Sort(ports)
	words := make([]string, len(ports))
	for i, p := range ports {
		words[i] = strconv.Itoa(int(p))
	}
	return strings.Join(words, ", ")
}
