package assess

import (
	"math"
	"strconv"

	"github.com/sprechprobe/sprechprobe/agent"
)

// someLost is the harm of packets that get lost: everything works, not well.
func someLost(hd agent.State) agent.Capabilities {
	return agent.Capabilities{agent.Direct: agent.Limited, agent.Relay: agent.Limited, agent.Group: agent.Limited, agent.HD: hd}
}

// linkSlow: the box's own cable carries what a call barely needs.
func linkSlow(v *view, _ agent.Profile) []claim {
	const slow = 10_000_000 // bits per second
	ix := v.pick(v.of(agent.ProbeLink), func(e *agent.Evidence) bool {
		speed, seen := e.Values.Num(agent.Speed)
		return seen && speed > 0 && speed <= slow || e.Values.Text(agent.Duplex) == "half"
	})
	if len(ix) == 0 {
		return nil
	}
	e := &v.evidence[ix[0]]
	speed := ""
	if n, ok := e.Values.Num(agent.Speed); ok && n > 0 {
		speed = strconv.FormatFloat(n/1e6, 'f', -1, 64)
	}
	return one(found(ix, "", "interface", e.Values.Text(agent.Interface), "speed", speed, "duplex", e.Values.Text(agent.Duplex)))
}

// addrConflict: somebody else answers for the box's own address.
func addrConflict(v *view, _ agent.Profile) []claim {
	ix := v.pick(v.of(agent.ProbeLink), func(e *agent.Evidence) bool {
		twice, _ := e.Values.Flag(agent.AddrConflict)
		return twice && e.Values.Text(agent.LocalAddr) != ""
	})
	if len(ix) == 0 {
		return nil
	}
	return one(found(ix, "", "addr", v.evidence[ix[0]].Values.Text(agent.LocalAddr)))
}

// boxPower: the board itself says that its supply was too weak.
func boxPower(v *view, _ agent.Profile) []claim {
	ix := v.pick(v.of(agent.ProbeSelf), func(e *agent.Evidence) bool {
		low, _ := e.Values.Flag(agent.Undervoltage)
		return low
	})
	if len(ix) == 0 {
		return nil
	}
	return one(found(ix, ""))
}

// boxStorage: what the box keeps would not outlive a power cut.
func boxStorage(v *view, _ agent.Profile) []claim {
	ix := v.pick(v.of(agent.ProbeSelf), func(e *agent.Evidence) bool {
		writable, seen := e.Values.Flag(agent.StateWritable)
		return seen && !writable
	})
	ix = append(ix, v.pick(v.of(agent.ProbeUplink), func(e *agent.Evidence) bool {
		lost, _ := e.Values.Flag(agent.InMemory)
		return lost
	})...)
	if len(ix) == 0 {
		return nil
	}
	return one(found(ix, ""))
}

// series is a look that sent many packets or questions.
func series(e *agent.Evidence) (sent, lost float64) {
	sent, _ = e.Values.Num(agent.Sent)
	got, _ := e.Values.Num(agent.Received)
	return sent, max(sent-got, 0)
}

// lossIn is the share of a probe's packets that were lost, and whether enough
// were sent to say so.
func (v *view) lossIn(p agent.ProbeName, enough float64) (look int, ratio float64, ok bool) {
	for _, i := range v.of(p) {
		if sent, lost := series(&v.evidence[i]); sent >= enough && answered(&v.evidence[i]) {
			return i, lost / sent, true
		}
	}
	return 0, 0, false
}

// What a local cable never does: lose a tenth, shake by milliseconds, or take as
// long as the way through half a country.
const (
	cableLoss   = 0.1
	cableJitter = 8  // milliseconds
	cableTrip   = 20 // milliseconds
)

// lanUnstable: the way to the router already loses, shakes or delays what the way
// to the service does. A router that is slow to answer for itself alone is none.
func lanUnstable(v *view, _ agent.Profile) []claim {
	i, loss, ok := v.lossIn(agent.ProbeGateway, 10)
	j, farLoss, also := v.lossIn(agent.ProbeBurst, 20)
	if !ok || !also {
		return nil
	}
	near, far := &v.evidence[i], &v.evidence[j]
	jitter, _ := near.Values.Num(agent.Jitter)
	trip, _ := near.Values.Num(agent.RTT)
	farTrip, _ := far.Values.Num(agent.RTT)
	farMax, _ := far.Values.Num(agent.RTTMax)
	loses := loss >= cableLoss && farLoss > 0
	shakes := jitter >= cableJitter && farMax-farTrip >= cableJitter
	delays := trip >= cableTrip && farTrip >= trip*0.7
	if !loses && !shakes && !delays {
		return nil
	}
	lostWord, ofWord, jitterWord := "", "", ""
	if sent, lost := series(near); lost > 0 {
		lostWord, ofWord = whole(lost), whole(sent)
	}
	if jitter >= 1 {
		jitterWord = whole(jitter)
	}
	return one(found([]int{i, j}, "", "gateway", v.gateway(), "lost", lostWord, "of", ofWord, "jitter_ms", jitterWord))
}

// Shares of a burst that are lost to a limit and not to a bad line, and from
// which on not even a voice gets through.
const (
	limited     = 0.25
	hardLimited = 0.7
)

// udpRateLimited: single packets pass, many at once do not.
func udpRateLimited(v *view, _ agent.Profile) []claim {
	i, ratio, ok := v.lossIn(agent.ProbeBurst, 30)
	if !ok || ratio < limited || !v.singlesPass(1-ratio) {
		return nil
	}
	sent, lost := series(&v.evidence[i])
	c := found([]int{i}, "", "lost", whole(lost), "of", whole(sent))
	c.Severity, c.harms = agent.Major, someLost(agent.No)
	if ratio >= hardLimited {
		c.Severity = agent.Critical
		c.harms[agent.Group] = agent.No
	}
	return one(c)
}

// singlesPass reports whether packets that are alone pass better than those of many
// at once, of which a share does: a first question was answered at once, or so many
// answered so soon as a line that loses all packets alike would let through in one
// of twenty cases only.
func (v *view) singlesPass(share float64) bool {
	const rare = 0.05
	chance := 1.0
	for _, i := range append(v.of(agent.ProbeSTUN), v.of(agent.ProbeTURN)...) {
		e := &v.evidence[i]
		n, counted := e.Values.Num(agent.Sends)
		if !counted || !answered(e) || e.Target.Transport != agent.UDP {
			continue
		}
		if e.Probe == agent.ProbeSTUN && n <= 1 {
			return true
		}
		chance *= 1 - math.Pow(1-share, n)
	}
	return chance < rare
}

// natTableFull: one socket loses nothing, of many new ones some get nothing.
func natTableFull(v *view, _ agent.Profile) []claim {
	i, fresh, ok := v.lossIn(agent.ProbeFlows, 20)
	j, old, also := v.lossIn(agent.ProbeBurst, 30)
	if !ok || !also || fresh < 0.1 || old > 0.05 || v.slower(i, j) {
		return nil
	}
	sent, lost := series(&v.evidence[i])
	return one(found([]int{i, j}, "", "lost", whole(lost), "of", whole(sent)))
}

// slower reports whether one look's answers took much longer than another's: a
// full table takes a flow or does not, but makes none wait.
func (v *view) slower(one, other int) bool {
	const much = 200 // ms
	a, known := v.evidence[one].Values.Num(agent.RTT)
	b, also := v.evidence[other].Values.Num(agent.RTT)
	return known && also && a > 2*b+much
}

// natsIdleCut: an idle connection dies sooner than services expect. NATS servers
// and clients speak every two minutes by default.
func natsIdleCut(v *view, pr agent.Profile) []claim {
	const patience = 120 // seconds
	var out []claim
	for _, t := range pr.Targets {
		ix := v.pick(v.of(agent.ProbeIdle), func(e *agent.Evidence) bool {
			dead, seen := e.Values.Num(agent.IdleDead)
			return seen && dead <= patience && e.Target.Transport == agent.TCP && e.Target.Host == t.Host && e.Target.Port == t.Port
		})
		if len(ix) == 0 || !t.Required || t.Transport != agent.TCP {
			continue
		}
		dead, _ := v.evidence[ix[0]].Values.Num(agent.IdleDead)
		out = append(out, found(ix, t.String(), "host", t.Host, "port", port(t), "seconds", whole(dead)))
	}
	return out
}

// natShort: a NAT forgets silent UDP flows. Calls say something every five seconds
// (RFC 7675); longer lives are for telephones, and worth knowing.
func natShort(v *view, _ agent.Profile) []claim {
	const breaks, known = 15, 60 // seconds
	ix := v.pick(v.of(agent.ProbeIdle), func(e *agent.Evidence) bool {
		dead, seen := e.Values.Num(agent.IdleDead)
		return seen && dead <= known && e.Target.Transport == agent.UDP
	})
	if len(ix) == 0 {
		return nil
	}
	dead, _ := v.evidence[ix[0]].Values.Num(agent.IdleDead)
	c := found(ix[:1], "", "seconds", whole(dead))
	if dead > breaks {
		c.info, c.harms = true, agent.Capabilities{}
	}
	return one(c)
}
