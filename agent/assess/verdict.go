package assess

import "github.com/sprechprobe/sprechprobe/agent"

// judge sums up one profile: what positively works, made worse by findings.
func (v *view) judge(pr agent.Profile, claims []claim) agent.ProfileResult {
	r := agent.ProfileResult{Name: pr.Name, Version: pr.Version, Capabilities: agent.Capabilities{}}
	for _, c := range agent.AllCapabilities {
		if pr.Offers(c) || c == agent.HD && hasHD(pr) {
			r.Capabilities[c] = v.base(pr, c)
		}
	}
	for _, cl := range claims {
		if cl.Profile != "" && cl.Profile != pr.Name {
			continue
		}
		for c, harm := range cl.harms {
			if s, offered := r.Capabilities[c]; offered {
				r.Capabilities[c] = max(s, harm)
			}
		}
	}
	if r.Capabilities[agent.Group] != 0 && oneToOne(r.Capabilities) == agent.No {
		r.Capabilities[agent.Group] = agent.No // group media needs the same paths
	}
	if _, offered := r.Capabilities[agent.Direct]; offered {
		r.DirectBy = v.directBy(pr)
	}
	r.Verdict = verdict(r, claims)
	return r
}

func hasHD(pr agent.Profile) bool {
	return pr.Thresholds.HDDownBitsPerS > 0 || pr.Thresholds.HDUpBitsPerS > 0
}

// ingredients are the services without which a capability is not proven.
var ingredients = map[agent.Capability][]agent.Service{
	agent.Direct: {agent.HTTPS, agent.STUN},
	agent.Relay:  {agent.HTTPS, agent.TURN},
	agent.Group:  {agent.HTTPS, agent.NATS},
}

// base is OK when each ingredient that the profile names has answered in a
// usable way, and unknown otherwise: what is broken, findings say.
func (v *view) base(pr agent.Profile, c agent.Capability) agent.State {
	if c == agent.HD {
		return v.hd(pr)
	}
	services, ok := ingredients[c]
	if !ok {
		return agent.Unknown
	}
	for _, s := range services {
		if ts := feeding(pr, s, c); len(ts) > 0 && !v.serves(s, ts) {
			return agent.Unknown
		}
	}
	return agent.OK
}

// feeding is the profile's required targets of a service that feed c.
func feeding(pr agent.Profile, s agent.Service, c agent.Capability) []agent.Target {
	var out []agent.Target
	for _, t := range targets(pr, s, "") {
		if t.Required && feeds(t, c) {
			out = append(out, t)
		}
	}
	return out
}

// serves reports whether a service works: each web host, but any one relay
// transport and any one NATS host.
func (v *view) serves(s agent.Service, ts []agent.Target) bool {
	n := 0
	for _, t := range ts {
		if v.any(v.looks(t), serving) {
			n++
		}
	}
	if s == agent.HTTPS {
		return n == len(ts)
	}
	return n > 0
}

// serving is usable, or a web host behind an inspecting appliance: PCs of the
// practice usually trust it, and the finding says that they must.
func serving(e *agent.Evidence) bool {
	status, seen := e.Values.Num(agent.HTTPStatus)
	return usable(e) || e.Probe == agent.ProbeWeb && e.Reason == agent.TLSUnknownCA && seen && status < 500
}

func feeds(t agent.Target, c agent.Capability) bool {
	for _, f := range t.Feeds {
		if f == c {
			return true
		}
	}
	return false
}

// oneToOne is the better of the two ways to call one person: a relay stands in
// for a direct path and the other way round.
func oneToOne(c agent.Capabilities) agent.State {
	best, known := agent.Unknown, false
	for _, k := range []agent.Capability{agent.Direct, agent.Relay} {
		s, offered := c[k]
		switch {
		case !offered:
		case !known || s != agent.Unknown && (best == agent.Unknown || s < best):
			best, known = s, true
		}
	}
	return best
}

// offline are the findings that leave no network at all.
var offline = map[agent.Code]bool{
	agent.LinkDown: true, agent.DHCPNone: true, agent.GatewayUnreachable: true, agent.WANDown: true,
}

// unfit are the findings with which nothing that the box measures counts.
var unfit = map[agent.Code]bool{agent.AddressConflict: true, agent.BoxPower: true}

func verdict(r agent.ProfileResult, claims []claim) agent.Verdict {
	worst := agent.Info
	for _, c := range claims {
		if c.Profile != "" && c.Profile != r.Name {
			continue
		}
		if offline[c.Code] {
			return agent.Offline
		}
		if unfit[c.Code] {
			return agent.VerdictUnknown
		}
		if !onlyReporting(c) {
			worst = max(worst, c.Severity)
		}
	}
	group, hasGroup := r.Capabilities[agent.Group]
	call := oneToOne(r.Capabilities)
	switch {
	case call == agent.No || hasGroup && group == agent.No:
		return agent.Blocked
	case call == agent.Unknown || hasGroup && group == agent.Unknown:
		return agent.VerdictUnknown
	case worst >= agent.Minor || call == agent.Limited || group == agent.Limited:
		return agent.VerdictLimited
	default:
		return agent.Ready
	}
}

// onlyReporting reports whether a finding is about the box and its vendor and
// says nothing about calls: the verdict does not care.
func onlyReporting(c claim) bool {
	return c.Cause == agent.CauseBox || c.Code == agent.CentralDown || c.Code == agent.CentralAuth
}
