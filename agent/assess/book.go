// Package assess judges: from recent evidence to findings, capabilities and a
// verdict. It is pure: it reads no clock, opens nothing, and knows neither
// probes nor people's languages. The findings are one table in rules.go.
package assess

import (
	"net/netip"

	"github.com/sprechprobe/sprechprobe/agent"
)

// Book is the recent evidence: for each target its last two looks. The zero
// Book is empty. It belongs to one goroutine.
type Book struct {
	looks map[subject]history
	order []subject
	line  line
}

// subject is what two looks must share to be looks at the same thing.
type subject struct {
	probe      agent.ProbeName
	host       string
	addr       netip.Addr
	port, last uint16
	transport  agent.Transport
	variant    agent.Variant
}

func subjectOf(e agent.Evidence) subject {
	t := e.Target
	s := subject{e.Probe, t.Host, t.Addr, t.Port, t.LastPort, t.Transport, t.Variant}
	if e.Probe == agent.ProbeBandwidth {
		return subject{probe: e.Probe} // of the line, whoever helps to measure it
	}
	if e.Probe == agent.ProbeNATS {
		s.variant = "" // the ladder names the rung that answered; it is still one target
	}
	return s
}

// history is the newest look and the one before it.
type history struct {
	newest, before agent.Evidence
	looks          int
	fails          int // in a row, up to the newest or the one before it
	age            int // rounds since the newest
}

// Add enters a round: its passes in order, the first over everything that was
// due, later ones over what failed. What the round did not look at at all is
// forgotten: a name that moved leaves no ghost of its old address behind. Only a
// look that not every round makes stays, for a while.
func (b *Book) Add(passes ...[]agent.Evidence) {
	old, before := b.looks, b.order
	b.looks, b.order = map[subject]history{}, nil
	for _, pass := range passes {
		for _, e := range pass {
			s := subjectOf(e)
			h, known := b.looks[s]
			if !known {
				h = old[s]
				b.order = append(b.order, s)
			}
			b.looks[s] = h.with(e)
		}
	}
	for _, s := range before {
		h := old[s]
		h.age++
		if _, again := b.looks[s]; rare(s.probe) && !again && h.age < lasts(s.probe) {
			b.looks[s] = h
			b.order = append(b.order, s)
		}
	}
	b.line.follow(b.seen())
}

// Spare reports whether the practice's internet seems to run over a spare line.
func (b *Book) Spare() bool { return b.line.usual > 0 }

// lasts is for how many rounds a look stays that they do not make again: two
// hours at the usual pace, more than a day for what is looked at once a day, and a
// week for what may have to wait for a quiet hour.
func lasts(p agent.ProbeName) int {
	switch p {
	case agent.ProbeIdle, agent.ProbeRehearsal:
		return 320
	case agent.ProbeBandwidth:
		return 2016
	}
	return 24
}

// rare reports whether not every round makes such a look.
func rare(p agent.ProbeName) bool {
	switch p {
	case agent.ProbePath, agent.ProbeMTU, agent.ProbeBurst, agent.ProbeFlows, agent.ProbeGateway, agent.ProbeIdle, agent.ProbeWalk,
		agent.ProbeBandwidth, agent.ProbeRehearsal:
		return true
	}
	return false
}

// with is the history after one more look.
func (h history) with(e agent.Evidence) history {
	if h.looks > 0 && e.Probe == agent.ProbeRehearsal && e.Outcome == agent.NotLooked {
		e = h.newest.With(agent.PutOff, string(e.Reason)) // what was rehearsed holds until it is rehearsed again
	}
	if h.looks > 0 && figures(&h.newest) && e.Probe == agent.ProbeBandwidth && !figures(&e) {
		e = h.newest.With(agent.PutOff, string(e.Reason)) // what was measured holds until it is measured again
	}
	if h.looks > 0 {
		h.before = h.newest
		if !failed(&h.before) {
			h.fails = 0
		}
	}
	if failed(&e) {
		h.fails++
	}
	h.newest = e
	h.looks++
	h.age = 0
	return h
}

// look is settled evidence and whether it may turn a light red.
type look struct {
	agent.Evidence
	firm bool // an answer, or a failure that needs no second look
}

// figures reports whether a look at the bandwidth has measured anything.
func figures(e *agent.Evidence) bool {
	_, some := e.Values.Num(agent.TestBytes)
	return some
}

// settled returns one look per subject, in the order of the round. A failure
// counts only once it was seen twice in a row; until then what was known before
// it stands. The look for a login page is itself the second look, at a web host
// that has failed: a round makes it once.
func (b *Book) settled() []look {
	out := make([]look, 0, len(b.order))
	for _, s := range b.order {
		h := b.looks[s]
		out = append(out, h.settle())
	}
	return out
}

func (h *history) settle() look {
	switch {
	case answered(&h.newest) && h.looks > 1 && failed(&h.before) && h.fails <= mostRetried:
		return look{h.retried(), true}
	case !failed(&h.newest) || h.looks > 1 && failed(&h.before) || once(&h.newest):
		return look{h.newest, true}
	case h.looks > 1 && h.before.Outcome == agent.Answered:
		return look{h.before, true}
	default:
		return look{h.newest, false}
	}
}

// retried is the answer that came after failures, with what they had counted.
func (h *history) retried() agent.Evidence {
	e := h.newest.With(agent.Retried, h.fails)
	if got, _ := h.before.Values.Num(agent.Received); got == 0 {
		return e // nothing came at all: that was an outage
	}
	for _, k := range []agent.Key{agent.Sent, agent.Received} {
		if n, counted := h.before.Values.Num(k); counted && e.Values[k] == nil {
			e = e.With(k, n)
		}
	}
	return e
}

// mostRetried is how many looks in a row may fail before an answer for it to be a
// passing trouble: two of a round and two of the one that follows at once.
const mostRetried = 4

// once reports whether a look needs no second one, because it is itself the
// second look at something that has failed, or sums up many.
func once(e *agent.Evidence) bool {
	switch e.Probe {
	case agent.ProbeCaptive, agent.ProbeHello, agent.ProbeProxy:
		return true
	case agent.ProbePorts:
		return e.Outcome == agent.Silent // at each of several ports
	}
	return rare(e.Probe)
}

// failed reports whether a look was made and did not end well.
func failed(e *agent.Evidence) bool {
	return e.Outcome != agent.Answered && e.Outcome != agent.NotLooked
}
