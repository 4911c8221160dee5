package assess

import (
	"strconv"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent"
)

// servers is how the required NATS hosts of a profile stand.
type servers struct {
	of, working int
	lost        int   // proven not to work, whatever the way
	hit         []int // looks that are bad in the way asked about, at hosts that do not work
}

// nats looks at the profile's required NATS hosts. One works if any of its
// addresses does.
func (v *view) nats(pr agent.Profile, bad func(*agent.Evidence) bool) servers {
	var s servers
	for _, t := range targets(pr, agent.NATS, "") {
		if !t.Required {
			continue
		}
		s.of++
		ix := v.looks(t)
		if v.any(ix, usable) {
			s.working++
			continue
		}
		if v.any(ix, func(e *agent.Evidence) bool { return v.refused(e) || v.kept(e) && !foreignCert(e) }) {
			s.lost++
		}
		s.hit = append(s.hit, v.pick(ix, bad)...)
	}
	return s
}

// harms is no group where all hosts are lost, one for one reason and one for
// another, and else a limited one.
func (s servers) harms() agent.Capabilities {
	if s.lost == s.of {
		return agent.Capabilities{agent.Group: agent.No}
	}
	return agent.Capabilities{agent.Group: agent.Limited}
}

// shut reports that not even a connection comes up.
func (v *view) shut(e *agent.Evidence) bool { return v.barred(e) && !connected(e) }

func groupBlockAll(v *view, pr agent.Profile) []claim {
	s := v.nats(pr, v.shut)
	hit := s.hit
	if s.working > 0 || len(hit) == 0 || len(v.blockedHosts(hit)) < s.of {
		return nil
	}
	c := found(hit, "", "hosts", v.hosts(hit), "addrs", v.addrs(hit), "port", v.ports(hit)[0], "sender", v.sender(hit))
	return one(v.blame(c, hit, agent.CausePractice))
}

func groupBlockSome(v *view, pr agent.Profile) []claim {
	s := v.nats(pr, v.shut)
	hit := s.hit
	if len(hit) == 0 {
		return nil
	}
	c := found(hit, "", "hosts", v.hosts(hit), "addrs", v.addrs(hit), "port", v.ports(hit)[0],
		"open", strconv.Itoa(s.working), "of", strconv.Itoa(s.of), "sender", v.sender(hit))
	c.harms = s.harms()
	return one(v.blame(c, hit, v.unlessProven(hit))) // a server that is switched off looks the same
}

// blockedHosts lists the different hosts of looks.
func (v *view) blockedHosts(ix []int) []string {
	return strings.Split(v.hosts(ix), ", ")
}

// groupServer: the hosts themselves refuse. While others work that is only
// worth knowing.
func groupServer(v *view, pr agent.Profile) []claim {
	s := v.nats(pr, v.refused)
	hit := s.hit
	if len(hit) == 0 {
		return nil
	}
	c := found(hit, "", "hosts", v.hosts(hit), "addrs", v.addrs(hit), "port", v.ports(hit)[0],
		"open", strconv.Itoa(s.working), "of", strconv.Itoa(s.of))
	c.info = s.working > 0
	if s.lost == s.of {
		c.harms = s.harms()
	}
	return one(c)
}

// wsStripped: TLS passes, but the upgrade to WebSocket does not.
func wsStripped(v *view, pr agent.Profile) []claim {
	s := v.nats(pr, func(e *agent.Evidence) bool { return e.Reason == agent.UpgradeRefused && e.Grade != agent.GradeE })
	hit := s.hit
	if len(hit) == 0 {
		return nil
	}
	status := ""
	if n, ok := v.evidence[hit[0]].Values.Num(agent.WSStatus); ok {
		status = strconv.Itoa(int(n))
	}
	c := found(hit, "", "hosts", v.hosts(hit), "port", v.ports(hit)[0], "status", status)
	c.harms = s.harms()
	return one(c)
}

// natsProtoBad: the port opens, but no way of speaking NATS gets an answer.
func natsProtoBad(v *view, pr agent.Profile) []claim {
	s := v.nats(pr, func(e *agent.Evidence) bool {
		mute := e.Outcome == agent.Silent && e.Grade == agent.GradeD || cut(e) || tampered(e)
		return mute && connected(e) && e.Reason != agent.UpgradeRefused && !foreignCert(e) && !v.explained(e)
	})
	hit := s.hit
	if len(hit) == 0 {
		return nil
	}
	c := found(hit, "", "hosts", v.hosts(hit), "port", v.ports(hit)[0])
	c.harms = s.harms()
	return one(c)
}

// guestNet: the web works, and every other door is shut, over TCP and UDP and
// on several ports: the pattern of a guest network or of an access profile for
// surfing only.
func guestNet(v *view, pr agent.Profile) []claim {
	web, other := v.onlySurfing(pr)
	if len(other) == 0 {
		return nil
	}
	return one(found(append(web, other...), "", "ports", v.portsAndTransports(other)))
}

// tiSeries: not even plain HTTP gets out, as behind a connector of the telematics
// infrastructure through which the whole network runs.
func tiSeries(v *view, pr agent.Profile) []claim {
	web, other := v.onlySurfing(pr)
	plain := v.of(agent.ProbeCaptive)
	if len(other) == 0 || !v.all(plain, v.barred) {
		return nil
	}
	other = append(other, plain...)
	return one(found(append(web, other...), "", "ports", v.portsAndTransports(other)))
}

// onlySurfing returns the web hosts that answer and the doors that are shut,
// where these are all others: over TCP and UDP and on several ports.
func (v *view) onlySurfing(pr agent.Profile) (web, shut []int) {
	var other []int
	for _, t := range pr.Targets {
		if t.Required && t.Service != agent.HTTPS && t.Service != agent.Range {
			other = append(other, v.looks(t)...)
		}
	}
	web = v.pick(v.required(pr), func(e *agent.Evidence) bool { return e.Probe == agent.ProbeWeb && usable(e) })
	over := func(tr agent.Transport) bool {
		return v.any(other, func(e *agent.Evidence) bool { return e.Target.Transport == tr })
	}
	few := len(v.doors(other)) < 3 && !v.inFritzGuest()
	if len(web) == 0 || !v.all(other, v.shut) || few || !over(agent.UDP) || !over(agent.TCP) && !v.inFritzGuest() {
		return nil, nil
	}
	return web, other
}

// doors lists the different combinations of transport and port.
func (v *view) doors(ix []int) []string { return strings.Split(v.portsAndTransports(ix), ", ") }

// portRangeBlock: a middlebox that is named rejects every sampled port, and the
// target speaks on none; or all are silent, and packets end before those of a
// control do. Silence alone never gets here.
func portRangeBlock(tr agent.Transport) func(*view, agent.Profile) []claim {
	return func(v *view, pr agent.Profile) []claim {
		return v.ranges(pr, tr, func(t agent.Target, ix []int) (claim, bool) {
			hit := v.pick(ix, func(e *agent.Evidence) bool { return e.Outcome == agent.Rejected && e.Grade == agent.GradeC })
			if v.swallowed(ix) {
				hit = ix
			}
			c := found(hit, t.String(), "host", t.Host, "ports", port(t), "sender", v.sender(hit))
			return v.blame(c, hit, agent.CausePractice), len(hit) > 0 && !v.any(ix, answered)
		})
	}
}

// swallowed reports whether all looks are silent and their packets end early.
func (v *view) swallowed(ix []int) bool {
	_, ended := v.end(ix)
	return ended && v.all(ix, v.barred)
}

// portRangePartial: some sampled ports reach the target and a middlebox rejects
// others.
func portRangePartial(v *view, pr agent.Profile) []claim {
	return v.ranges(pr, "", func(t agent.Target, ix []int) (claim, bool) {
		hit := v.pick(ix, func(e *agent.Evidence) bool {
			n, _ := e.Values.Num(agent.Barred)
			return answered(e) && n > 0
		})
		if len(hit) == 0 {
			return claim{}, false
		}
		return found(hit, t.String(), "host", t.Host, "ports", port(t), "transport", string(t.Transport),
			"blocked", commas(v.evidence[hit[0]].Values.Text(agent.BarredPorts))), true
	})
}

// portRangeUnknown: nothing came back from any sampled port, which proves
// nothing: a server need not answer where it does not listen.
func portRangeUnknown(v *view, pr agent.Profile) []claim {
	return v.ranges(pr, "", func(t agent.Target, ix []int) (claim, bool) {
		return found(ix, t.String(), "host", t.Host, "ports", port(t), "transport", string(t.Transport)),
			v.all(ix, func(e *agent.Evidence) bool { return e.Outcome == agent.Silent }) && !v.swallowed(ix)
	})
}

// ranges asks judge about each range. One that is not required is worth knowing,
// no more.
func (v *view) ranges(pr agent.Profile, tr agent.Transport, judge func(agent.Target, []int) (claim, bool)) []claim {
	var out []claim
	for _, t := range targets(pr, agent.Range, tr) {
		if c, ok := judge(t, v.looks(t)); ok {
			if !t.Required {
				c.info, c.harms = true, agent.Capabilities{}
			}
			out = append(out, c)
		}
	}
	return out
}

// centralDown: the box cannot report. A foreign certificate in the vendor's place
// may be the vendor's own mistake; where others bear one too, it is the practice's
// inspection.
func centralDown(v *view, _ agent.Profile) []claim {
	claims := v.central(func(e *agent.Evidence) bool { return failed(e) && e.Reason != agent.AuthRefused })
	foreign := v.where(foreignCert)
	ours := v.pick(foreign, func(e *agent.Evidence) bool { return e.Probe == agent.ProbeUplink })
	if len(claims) > 0 && len(ours) > 0 && len(foreign) > len(ours) {
		claims[0].Cause = agent.CausePractice
	}
	return claims
}

func centralAuth(v *view, _ agent.Profile) []claim {
	return v.central(func(e *agent.Evidence) bool { return e.Reason == agent.AuthRefused })
}

func (v *view) central(bad func(*agent.Evidence) bool) []claim {
	ix := v.pick(v.of(agent.ProbeUplink), bad)
	if len(ix) == 0 {
		return nil
	}
	t := v.evidence[ix[0]].Target
	return one(found(ix, t.String(), "host", t.Host))
}

// centralFallback: the box reports, but not by the way that comes first.
func centralFallback(v *view, _ agent.Profile) []claim {
	ix := v.pick(v.of(agent.ProbeUplink), func(e *agent.Evidence) bool {
		return e.Outcome == agent.Answered && e.Values.Text(agent.PassedOver) != ""
	})
	if len(ix) == 0 {
		return nil
	}
	over := strings.Fields(v.evidence[ix[0]].Values.Text(agent.PassedOver))
	return one(found(ix, "", "hosts", strings.Join(over, ", ")))
}

// profileRejected: the vendor assigned settings that the box does not take.
func profileRejected(v *view, _ agent.Profile) []claim {
	ix := v.pick(v.of(agent.ProbeAssignment), func(e *agent.Evidence) bool { return e.Reason == agent.NotAccepted })
	if len(ix) == 0 {
		return nil
	}
	version := ""
	if n, told := v.evidence[ix[0]].Values.Num(agent.Version); told {
		version = strconv.FormatFloat(n, 'f', 0, 64)
	}
	return one(found(ix, "", "version", version))
}
