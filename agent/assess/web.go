package assess

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
)

// httpsBlock: a required web host is kept away by something in between.
func httpsBlock(v *view, pr agent.Profile) []claim {
	return v.eachWeb(pr, func(t agent.Target, ix []int) (claim, bool) {
		bad := v.pick(ix, func(e *agent.Evidence) bool {
			return v.kept(e) && !foreignCert(e) && !v.explained(e)
		})
		c := found(bad, t.String(), "host", t.Host, "port", port(t), "sender", v.sender(bad))
		otherwise := v.unlessProven(bad)
		if !v.all(bad, func(e *agent.Evidence) bool { return e.Outcome == agent.Silent }) {
			otherwise = agent.CausePractice
		}
		return v.blame(c, bad, otherwise), len(bad) > 0
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

// certSoon is for the service: its certificate runs out within days.
func certSoon(v *view, pr agent.Profile) []claim {
	const soon = 7 * 24 * time.Hour
	if v.unsynced() && !v.confirmed() {
		return nil
	}
	var out []claim
	for _, t := range pr.Targets {
		ix := v.pick(v.looks(t), func(e *agent.Evidence) bool {
			end, err := time.Parse(time.RFC3339, e.Values.Text(agent.CertExpires))
			return err == nil && usable(e) && end.After(v.at) && end.Before(v.at.Add(soon))
		})
		if len(ix) > 0 {
			out = append(out, found(ix, t.String(), "host", t.Host, "port", port(t),
				"expires", v.evidence[ix[0]].Values.Text(agent.CertExpires)))
		}
	}
	return out
}

// through is the word of a ClientHello that the far end answered.
const through = "answered"

// hello returns the comparison of ClientHellos at the target of a look.
func (v *view) hello(e *agent.Evidence) (agent.Values, bool) {
	for _, i := range v.of(agent.ProbeHello) {
		h := &v.evidence[i]
		if h.Values.Text(agent.HelloPlain) != "" && h.Target.Addr == e.Target.Addr && h.Target.Port == e.Target.Port {
			return h.Values, true
		}
	}
	return nil, false
}

// bigHello: a large ClientHello does not get through, a small one does.
func (v *view) bigHello(e *agent.Evidence) bool {
	h, ok := v.hello(e)
	return ok && connected(e) && h.Text(agent.HelloPlain) != through && h.Text(agent.HelloSmall) == through
}

// byName: with the service's name no ClientHello gets through, with another one
// it does.
func (v *view) byName(e *agent.Evidence) bool {
	h, ok := v.hello(e)
	plain := h.Text(agent.HelloPlain) // an alert is the far end's own word
	return ok && connected(e) && plain != through && plain != string(agent.TLSAlert) && h.Text(agent.HelloSmall) != through &&
		h.Text(agent.HelloOther) == through
}

// explained reports whether a failure after connecting has a cause that another
// finding names.
func (v *view) explained(e *agent.Evidence) bool {
	_, hole := v.hole()
	return hole && hung(e) || v.bigHello(e) || v.byName(e)
}

func tlsBigHello(v *view, pr agent.Profile) []claim { return v.hellos(pr, v.bigHello) }

func tlsSNIReset(v *view, pr agent.Profile) []claim { return v.hellos(pr, v.byName) }

// hellos makes one claim of all targets whose handshake ends in the given way.
func (v *view) hellos(pr agent.Profile, bad func(*agent.Evidence) bool) []claim {
	var ix []int
	harms := agent.Capabilities{}
	for _, t := range pr.Targets {
		hit := v.pick(v.looks(t), func(e *agent.Evidence) bool { return failed(e) && e.Grade != agent.GradeE && bad(e) })
		if !t.Required || len(hit) == 0 || v.any(v.looks(t), usable) {
			continue
		}
		ix = append(ix, hit...)
		for k, s := range v.hostHarms(pr, t.Host, []string{t.Host}) {
			harms[k] = max(harms[k], s)
		}
	}
	if len(ix) == 0 {
		return nil
	}
	c := found(ix, "", "hosts", v.hosts(ix), "ports", strings.Join(v.ports(ix), ", "))
	c.harms = harms
	return one(c)
}

// offered is the proxy that this network offers, empty if none.
func (v *view) offered() string {
	for _, i := range v.of(agent.ProbeProxy) {
		if e := &v.evidence[i]; answered(e) {
			return e.Values.Text(agent.Proxy)
		}
	}
	return ""
}

// proxyRequired: no web host can be reached directly, and the network offers a
// way around, which no call can take.
func proxyRequired(v *view, pr agent.Profile) []claim {
	ix := v.looksAt(targets(pr, agent.HTTPS, ""))
	shut := v.pick(ix, func(e *agent.Evidence) bool { return failed(e) && !connected(e) })
	if len(ix) == 0 || len(shut) < len(ix) || v.offered() == "" {
		return nil
	}
	return one(found(append(v.of(agent.ProbeProxy), ix...), "", "hosts", v.hosts(ix), "proxy", v.offered()))
}
