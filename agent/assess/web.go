package assess

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/sprechprobe/sprechprobe/agent"
)

// httpsBlock: a required web host is kept away by something in between.
func httpsBlock(v *view, pr agent.Profile) []claim {
	return v.eachWeb(pr, func(t agent.Target, ix []int) (claim, bool) {
		bad := v.pick(ix, func(e *agent.Evidence) bool {
			return v.kept(e) && !foreignCert(e)
		})
		c := found(bad, t.String(), "host", t.Host, "port", port(t), "sender", v.sender(bad))
		c.open = v.all(bad, func(e *agent.Evidence) bool { return e.Outcome == agent.Silent }) && !v.proven(bad)
		return c, len(bad) > 0
	})
}

// httpsServer: the service's own web host says no or answers with an error.
func httpsServer(v *view, pr agent.Profile) []claim {
	return v.eachWeb(pr, func(t agent.Target, ix []int) (claim, bool) {
		bad := v.pick(ix, func(e *agent.Evidence) bool {
			return e.Reason == agent.HTTPError || v.refused(e)
		})
		status := ""
		if len(bad) > 0 {
			if n, ok := v.evidence[bad[0]].Values.Num(agent.HTTPStatus); ok {
				status = strconv.Itoa(int(n))
			}
		}
		return found(bad, t.String(), "host", t.Host, "port", port(t), "status", status), len(bad) > 0
	})
}

// eachWeb asks judge about every required web host that has no usable look.
func (v *view) eachWeb(pr agent.Profile, judge func(agent.Target, []int) (claim, bool)) []claim {
	var out []claim
	for _, t := range targets(pr, agent.HTTPS, "") {
		ix := v.looks(t)
		if !t.Required || v.any(ix, usable) {
			continue
		}
		if c, ok := judge(t, ix); ok {
			c.harms = loss(t)
			out = append(out, c)
		}
	}
	return out
}

// loss is the harm of losing a target that nothing replaces.
func loss(t agent.Target) agent.Capabilities {
	harms := agent.Capabilities{}
	for _, c := range t.Feeds {
		harms[c] = agent.No
	}
	return harms
}

func port(t agent.Target) string {
	if t.LastPort > t.Port {
		return fmt.Sprintf("%d-%d", t.Port, t.LastPort)
	}
	return strconv.Itoa(int(t.Port))
}

// tlsIntercept: a foreign certificate stands in the service's place. Browsers on
// PCs that trust the appliance may still work, so the web page is not lost; a
// relay behind it is limited to its plain form.
func tlsIntercept(v *view, pr agent.Profile) []claim {
	ix := v.pick(v.required(pr), foreignCert)
	if len(ix) == 0 {
		return nil
	}
	e := &v.evidence[ix[0]]
	issuer := e.Values.Text(agent.TLSIssuer)
	if issuer == "" {
		issuer = "?"
	}
	c := found(ix, "", "hosts", v.hosts(ix), "issuer", issuer, "maker", e.Values.Text(agent.TLSMaker))
	c.harms = agent.Capabilities{}
	for _, i := range ix {
		switch v.evidence[i].Probe {
		case agent.ProbeTURN:
			c.harms[agent.Relay] = agent.Limited
		case agent.ProbeNATS:
			c.harms[agent.Group] = agent.Limited
		}
	}
	return one(c)
}

// certBad: the service's own certificate has run out, by any clock. A clock that
// nothing has set and no web host confirms accuses nobody.
func certBad(v *view, pr agent.Profile) []claim {
	if v.unsynced() && !v.confirmed() {
		return nil
	}
	var out []claim
	for _, t := range pr.Targets {
		ix := v.pick(v.looks(t), func(e *agent.Evidence) bool { return e.Reason == agent.TLSExpired })
		if !t.Required || len(ix) == 0 {
			continue
		}
		c := found(ix, t.String(), "host", t.Host, "port", port(t),
			"expires", v.evidence[ix[0]].Values.Text(agent.CertExpires))
		switch {
		case t.Service == agent.TURN:
			c.harms = agent.Capabilities{agent.Relay: agent.Limited}
		case t.Service == agent.NATS && v.otherNATS(pr, []string{t.Host}):
			c.harms = agent.Capabilities{agent.Group: agent.Limited}
		default:
			c.harms = loss(t)
		}
		out = append(out, c)
	}
	return out
}

// required is every look at a target that the profile cannot do without.
func (v *view) required(pr agent.Profile) []int {
	var out []int
	for _, t := range pr.Targets {
		if t.Required {
			for _, i := range v.looks(t) {
				if !slices.Contains(out, i) {
					out = append(out, i)
				}
			}
		}
	}
	return out
}
