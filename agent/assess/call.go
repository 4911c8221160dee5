package assess

import (
	"slices"

	"github.com/sprechprobe/sprechprobe/agent"
)

// The codes by which a TURN server says that it has no room: 486 for this user,
// 508 for anybody (RFC 8656 section 19).
const (
	quotaReached   = 486
	noCapacity     = 508
	byReflection   = "reflect"
	byMapping      = "mapping"
	halfOfBothWays = 0.5
)

// rehearsed are the rehearsals at a profile's relays, over one transport or, where
// that is empty, over any.
func (v *view) rehearsed(pr agent.Profile, tr agent.Transport) []int {
	return v.where(func(e *agent.Evidence) bool {
		if e.Probe != agent.ProbeRehearsal || e.Outcome != agent.Answered || tr != "" && e.Target.Transport != tr {
			return false
		}
		_, ok := relayOf(pr, e.Target)
		return ok
	})
}

// relayOf is the profile's target that was looked at.
func relayOf(pr agent.Profile, at agent.Target) (agent.Target, bool) {
	for _, t := range targets(pr, agent.TURN, at.Transport) {
		if t.Host == at.Host && t.Port == at.Port {
			return t, true
		}
	}
	return agent.Target{}, false
}

// relayed reports whether media came back by the relay.
func relayed(e *agent.Evidence) bool {
	came, _ := e.Values.Flag(agent.Relayed)
	return came
}

// aRelay is a claim about a relay that was looked at.
func aRelay(v *view, pr agent.Profile, ix []int) []claim {
	if len(ix) == 0 {
		return nil
	}
	first := slices.IndexFunc(ix, func(i int) bool { return v.evidence[i].Target.Transport == agent.UDP })
	t := v.evidence[ix[max(0, first)]].Target // the way that counts most
	if named, ok := relayOf(pr, t); ok {
		t = named
	}
	return one(found(ix, t.String(), "host", hostOf(t), "port", port(t)))
}

func hostOf(t agent.Target) string {
	if t.Host == "" {
		return t.Addr.String()
	}
	return t.Host
}

// turnQuota: the relay is there and takes the credentials, but has no room. Where it
// gave one allocation and only refused a second, it merely keeps to a number.
func turnQuota(v *view, pr agent.Profile) []claim {
	full := v.where(func(e *agent.Evidence) bool {
		code, _ := e.Values.Num(agent.STUNError)
		_, ours := relayOf(pr, e.Target)
		return (e.Probe == agent.ProbeRelay || e.Probe == agent.ProbeRehearsal) && ours && answered(e) && e.Reason == "" &&
			(code == quotaReached || code == noCapacity) && !relayed(e)
	})
	return aRelay(v, pr, full)
}

// turnRelay403: the relay does not relay back to its own clients. That says nothing
// about calls with somebody else, and nothing about the practice.
func turnRelay403(v *view, pr agent.Profile) []claim {
	return aRelay(v, pr, v.pick(v.rehearsed(pr, ""), func(e *agent.Evidence) bool { return e.Reason == agent.PeerDenied && !relayed(e) }))
}

func noMedia(e *agent.Evidence) bool { return e.Reason == agent.NoMedia && !relayed(e) }

// turnTCPOnly: media come back over TCP or TLS and not over UDP, though that got
// its allocation.
func turnTCPOnly(v *view, pr agent.Profile) []claim {
	lost := v.pick(v.rehearsed(pr, agent.UDP), noMedia)
	over := v.pick(v.rehearsed(pr, agent.TCP), relayed)
	if len(lost) == 0 || len(over) == 0 {
		return nil
	}
	return aRelay(v, pr, append(lost, over...))
}

// turnNoMedia: allocations, but nothing comes back by them. That the relay swallows
// it is proven where a plain socket reaches the relay and the relay's answer does
// not reach the socket, over UDP as over TCP. Without that the server may only
// refuse, in silence, to relay to its own clients.
func turnNoMedia(v *view, pr agent.Profile) []claim {
	all := v.rehearsed(pr, "")
	lost := v.pick(all, noMedia)
	if v.any(all, relayed) {
		return nil
	}
	both := len(v.pick(v.rehearsed(pr, agent.TCP), noMedia)) > 0
	swallowed := both && v.any(lost, func(e *agent.Evidence) bool {
		out, seen := e.Values.Flag(agent.HighPort)
		back, _ := e.Values.Flag(agent.Punched)
		return seen && out && !back
	})
	out := aRelay(v, pr, lost)
	for i := range out {
		if !swallowed {
			out[i].info, out[i].open, out[i].harms = true, true, agent.Capabilities{}
		}
	}
	return out
}

// turnDPITLS: the relay carries datagrams of all kinds, only not the handshake of
// DTLS, with which every call begins. Where only the encrypted way to the relay is
// cut, calls have the plain one, and whether the relay speaks TLS at all is known no
// further than that it speaks DTLS: this is worth knowing.
func turnDPITLS(v *view, pr agent.Profile) []claim {
	if out := aRelay(v, pr, v.pick(v.rehearsed(pr, ""), func(e *agent.Evidence) bool { return e.Reason == agent.DTLSLost })); len(out) > 0 {
		return out
	}
	var out []claim
	for _, t := range targets(pr, agent.TURN, agent.TCP) {
		ix := v.looks(t)
		cut := v.pick(ix, func(e *agent.Evidence) bool {
			return e.Target.Variant == agent.TLS && (e.Outcome == agent.Refused || e.Outcome == agent.Silent) && connected(e)
		})
		plain := v.pick(ix, func(e *agent.Evidence) bool { return e.Target.Variant == agent.Plain && answered(e) })
		dtls := v.pick(v.looksAt(targets(pr, agent.TURN, agent.UDP)), func(e *agent.Evidence) bool {
			return e.Target.Variant == agent.DTLS && answered(e) && e.Target.Host == t.Host && e.Target.Port == t.Port
		})
		if len(cut) == 0 || len(plain) == 0 || len(dtls) == 0 {
			continue
		}
		c := found(slices.Concat(cut, plain, dtls), t.String(), "host", hostOf(t), "port", port(t))
		c.info, c.open, c.harms = true, true, agent.Capabilities{}
		out = append(out, c)
	}
	return out
}

// highPortBlock: datagrams leave to ports that rules name, and to no other.
func highPortBlock(v *view, pr agent.Profile) []claim {
	return aRelay(v, pr, v.pick(v.rehearsed(pr, agent.UDP), func(e *agent.Evidence) bool {
		out, seen := e.Values.Flag(agent.HighPort)
		return seen && !out
	}))
}

// reflected are the rehearsals that looked at what a plain socket can reach.
func (v *view) reflected(pr agent.Profile) []int {
	return v.pick(v.rehearsed(pr, agent.UDP), func(e *agent.Evidence) bool { _, seen := e.Values.Flag(agent.HighPort); return seen })
}

// moving are those that show another public port for another destination.
func (v *view) moving(pr agent.Profile) []int {
	return v.pick(v.reflected(pr), func(e *agent.Evidence) bool {
		kept, seen := e.Values.Flag(agent.PortKept)
		return seen && !kept
	})
}

// directBy says on what the word about direct calls rests.
func (v *view) directBy(pr agent.Profile) string {
	switch {
	case len(v.reflected(pr)) > 0:
		return byReflection
	case v.any(v.of(agent.ProbeMapping), answered):
		return byMapping
	default:
		return ""
	}
}

// worstCall is [view.worst], also over what rehearsals say of the way there and back,
// where they do not tell the directions apart by the other keys.
func (v *view) worstCall(pr agent.Profile, bothWays agent.Key, keys ...agent.Key) (look int, value float64, ok bool) {
	look, value, ok = v.worst(pr, keys...)
	for _, i := range v.rehearsed(pr, "") {
		e := &v.evidence[i]
		_, counted := e.Values.Num(agent.LossBothWays)
		apart := slices.ContainsFunc(keys, func(k agent.Key) bool { _, seen := e.Values.Num(k); return seen })
		if n, seen := e.Values.Num(bothWays); seen && counted && !apart && (!ok || n > value) {
			look, value, ok = i, n, true
		}
	}
	return look, value, ok
}

// shortfall is a share of packets that were lost in one direction, and the least that it
// is for sure; where nobody says what that is, the share itself.
type shortfall struct {
	look         int
	ratio, least float64
}

// worstLoss is the loss of one direction that is worst for sure. Where a rehearsal
// tells the directions not apart, half of what was lost there and back counts.
func (v *view) worstLoss(pr agent.Profile) (worst shortfall, ok bool) {
	take := func(i int, share float64, ratio, least agent.Key) {
		n, seen := v.evidence[i].Values.Num(ratio)
		if !seen {
			return
		}
		l := shortfall{i, share * n, share * n}
		if n, seen := v.evidence[i].Values.Num(least); seen {
			l.least = share * n
		}
		if !ok || l.least > worst.least {
			worst, ok = l, true
		}
	}
	for _, i := range v.measured(pr, agent.DownLoss, agent.UpLoss) {
		take(i, 1, agent.DownLoss, agent.DownLossLow)
		take(i, 1, agent.UpLoss, agent.UpLossLow)
	}
	for _, i := range v.rehearsed(pr, "") {
		if _, apart := v.evidence[i].Values.Num(agent.UpLoss); !apart {
			take(i, halfOfBothWays, agent.LossBothWays, agent.LossLow)
		}
	}
	return worst, ok
}
