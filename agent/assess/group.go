package assess

import (
	"strconv"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent"
)

// nats sorts the profile's required NATS hosts: those that work, and those of
// which no address works and at least one look is bad in the given way.
func (v *view) nats(pr agent.Profile, bad func(*agent.Evidence) bool) (working int, hit []int, of int) {
	for _, t := range targets(pr, agent.NATS, "") {
		if !t.Required {
			continue
		}
		of++
		ix := v.looks(t)
		switch {
		case v.any(ix, usable):
			working++
		default:
			hit = append(hit, v.pick(ix, bad)...)
		}
	}
	return working, hit, of
}

// shut reports that not even a connection comes up.
func (v *view) shut(e *agent.Evidence) bool { return v.barred(e) && !connected(e) }

func groupBlockAll(v *view, pr agent.Profile) []claim {
	working, hit, of := v.nats(pr, v.shut)
	if of == 0 || working > 0 || len(hit) == 0 || len(v.blockedHosts(hit)) < of {
		return nil
	}
	return one(found(hit, "", "hosts", v.hosts(hit), "addrs", v.addrs(hit), "port", v.ports(hit)[0], "sender", v.sender(hit)))
}

func groupBlockSome(v *view, pr agent.Profile) []claim {
	working, hit, of := v.nats(pr, v.shut)
	if len(hit) == 0 {
		return nil
	}
	c := found(hit, "", "hosts", v.hosts(hit), "addrs", v.addrs(hit), "port", v.ports(hit)[0],
		"open", strconv.Itoa(working), "of", strconv.Itoa(of), "sender", v.sender(hit))
	c.open = !v.proven(hit) // a server that is switched off looks the same
	return one(c)
}

// blockedHosts lists the different hosts of looks.
func (v *view) blockedHosts(ix []int) []string {
	return strings.Split(v.hosts(ix), ", ")
}

// groupServer: the hosts themselves refuse. While others work that is only
// worth knowing.
func groupServer(v *view, pr agent.Profile) []claim {
	working, hit, of := v.nats(pr, v.refused)
	if len(hit) == 0 {
		return nil
	}
	c := found(hit, "", "hosts", v.hosts(hit), "addrs", v.addrs(hit), "port", v.ports(hit)[0],
		"open", strconv.Itoa(working), "of", strconv.Itoa(of))
	c.info = working > 0
	if working == 0 && len(v.blockedHosts(hit)) == of {
		c.harms = agent.Capabilities{agent.Group: agent.No}
	}
	return one(c)
}

// wsStripped: TLS passes, but the upgrade to WebSocket does not.
func wsStripped(v *view, pr agent.Profile) []claim {
	working, hit, of := v.nats(pr, func(e *agent.Evidence) bool { return e.Reason == agent.UpgradeRefused && e.Grade != agent.GradeE })
	if len(hit) == 0 {
		return nil
	}
	status := ""
	if n, ok := v.evidence[hit[0]].Values.Num(agent.WSStatus); ok {
		status = strconv.Itoa(int(n))
	}
	c := found(hit, "", "hosts", v.hosts(hit), "port", v.ports(hit)[0], "status", status)
	c.harms = partOf(working, v.blockedHosts(hit), of)
	return one(c)
}

// natsProtoBad: the port opens, but no way of speaking NATS gets an answer.
func natsProtoBad(v *view, pr agent.Profile) []claim {
	working, hit, of := v.nats(pr, func(e *agent.Evidence) bool {
		mute := e.Outcome == agent.Silent && e.Grade == agent.GradeD || cut(e) || tampered(e)
		return mute && connected(e) && e.Reason != agent.UpgradeRefused && e.Reason != agent.TLSUnknownCA && e.Reason != agent.TLSWrongName
	})
	if len(hit) == 0 {
		return nil
	}
	c := found(hit, "", "hosts", v.hosts(hit), "port", v.ports(hit)[0])
	c.harms = partOf(working, v.blockedHosts(hit), of)
	return one(c)
}

// partOf is the harm when some of the group's hosts are lost.
func partOf(working int, lost []string, of int) agent.Capabilities {
	if working == 0 && len(lost) == of {
		return agent.Capabilities{agent.Group: agent.No}
	}
	return agent.Capabilities{agent.Group: agent.Limited}
}

// guestNet: the web works, and every other door is shut, over TCP and UDP and
// on several ports: the pattern of a guest network or of an access profile for
// surfing only.
func guestNet(v *view, pr agent.Profile) []claim {
	var other []int
	for _, t := range pr.Targets {
		if t.Required && t.Service != agent.HTTPS && t.Service != agent.Range {
			other = append(other, v.looks(t)...)
		}
	}
	web := v.pick(v.required(pr), func(e *agent.Evidence) bool { return e.Probe == agent.ProbeWeb && usable(e) })
	over := func(tr agent.Transport) bool {
		return v.any(other, func(e *agent.Evidence) bool { return e.Target.Transport == tr })
	}
	few := len(v.doors(other)) < 3 && !v.inFritzGuest()
	if len(web) == 0 || !v.all(other, v.shut) || few || !over(agent.UDP) || !over(agent.TCP) && !v.inFritzGuest() {
		return nil
	}
	return one(found(append(web, other...), "", "ports", v.portsAndTransports(other)))
}

// doors lists the different combinations of transport and port.
func (v *view) doors(ix []int) []string { return strings.Split(v.portsAndTransports(ix), ", ") }

// portRangeBlock: a middlebox that is named rejects every sampled port, and the
// target speaks on none. Silence alone never gets here.
func portRangeBlock(tr agent.Transport) func(*view, agent.Profile) []claim {
	return func(v *view, pr agent.Profile) []claim {
		return v.ranges(pr, tr, func(t agent.Target, ix []int) (claim, bool) {
			hit := v.pick(ix, func(e *agent.Evidence) bool { return e.Outcome == agent.Rejected && e.Grade == agent.GradeC })
			return found(hit, t.String(), "host", t.Host, "ports", port(t), "sender", v.sender(hit)),
				len(hit) > 0 && !v.any(ix, answered)
		})
	}
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
			v.all(ix, func(e *agent.Evidence) bool { return e.Outcome == agent.Silent })
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

func centralDown(v *view, _ agent.Profile) []claim {
	return v.central(func(e *agent.Evidence) bool { return failed(e) && e.Reason != agent.AuthRefused })
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
