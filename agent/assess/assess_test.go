package assess_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/assess"
)

const router = "192.168.1.1"

// The rows of the fault matrix that evidence alone can show. caps are direct,
// relay and group: o ok, l limited, n no, ? unknown, - not offered.
var matrix = []struct {
	id      string
	profile string
	edit    func(w *world)
	want    string // codes, in order of severity
	verdict string
	caps    string
	cause   agent.Cause // of the first finding
}{
	{id: "N01 healthy", want: "", verdict: "ready", caps: "ooo"},
	{id: "N08 one of three group servers down", want: "group-server", verdict: "ready", caps: "ooo", cause: agent.CauseVendor,
		edit: func(w *world) { w.on("nats nats2", reset) }},
	{id: "N11 NAT by destination", want: "nat-edm", verdict: "ready", caps: "loo", cause: agent.CausePractice,
		edit: func(w *world) { w.on("mapping", with(agent.Mapping, "address-dependent")) }},
	{id: "two public addresses of one socket", want: "", verdict: "ready", caps: "ooo",
		edit: func(w *world) { w.on("mapping", with(agent.Mapping, "several-addresses")) }},
	{id: "N12 no TLS on 5349", want: "", verdict: "ready", caps: "ooo",
		edit: func(w *world) {
			w.on("turn tls", afterConnect(agent.Refused, agent.NotTLS)).on("turn dtls", dropped)
		}},
	{id: "N13 no plain TURN on 5349/tcp", want: "", verdict: "ready", caps: "ooo",
		edit: func(w *world) { w.on("turn tcp plain", afterConnect(agent.Refused, agent.Closed)) }},
	{id: "N26 published and another address", want: "dns-drift", verdict: "ready", caps: "ooo", cause: agent.CauseVendor,
		edit: func(w *world) {
			w.on("dns nats2", with(agent.Addrs, "128.140.77.77 203.0.113.9"))
			w.add(w.moved("nats2", "203.0.113.9"))
		}},
	{id: "N26 and N27 together: a second address, and a silent IPv6 one", want: "dns-drift", verdict: "ready", caps: "ooo", cause: agent.CauseVendor,
		edit: func(w *world) {
			w.on("dns nats2", with(agent.Addrs, "128.140.77.77 203.0.113.9 2001:db8::1"))
			w.add(w.moved("nats2", "203.0.113.9"))
			w.add(dropped(w.moved("nats2", "2001:db8::1")))
		}},
	{id: "the service has moved, its old address is switched off", want: "dns-drift", verdict: "ready", caps: "ooo", cause: agent.CauseVendor,
		edit: func(w *world) {
			w.on("dns nats2", with(agent.Addrs, "203.0.113.9"))
			moved := w.moved("nats2", "203.0.113.9")
			w.on("nats2 tcp", dropped).add(moved)
		}},
	{id: "X15 moved to an address that the old one begins with", want: "dns-drift-block", verdict: "limited", caps: "ool", cause: agent.CausePractice,
		edit: func(w *world) {
			w.on("dns nats2", with(agent.Addrs, "128.140.77.7"))
			w.add(dropped(w.moved("nats2", "128.140.77.7")))
		}},
	{id: "N27 IPv6 silent, IPv4 fine", want: "", verdict: "ready", caps: "ooo",
		edit: func(w *world) { w.add(dropped(w.moved("nats2", "2001:db8::1"))) }},
	{id: "N31 range: TCP reset by the server, UDP silent", profile: "zpp-hd", want: "portrange-unknown", verdict: "ready", caps: "o--",
		edit: func(w *world) { w.on("ports udp", dropped) }},
	{id: "N34 clock two days wrong", want: "clock-wrong", verdict: "ready", caps: "ooo", cause: agent.CauseBox,
		edit: func(w *world) {
			w.on("web", func(e agent.Evidence) agent.Evidence {
				e.Reason = agent.TLSClock
				return e.With(agent.ClockSkew, 172800)
			})
		}},
	{id: "N34 clock not set, web away, certificates not yet valid", want: "https-block https-block", verdict: "blocked", caps: "nnn",
		edit: func(w *world) {
			w.on("link", with(agent.ClockSynced, false)).on("web", dropped).
				on("nats tcp", afterConnect(agent.Answered, agent.TLSExpired)).on("turn tls", afterConnect(agent.Answered, agent.TLSExpired))
		}},
	{id: "D01 no UDP at all", want: "udp-all-block", verdict: "limited", caps: "nll", cause: agent.CausePractice,
		edit: func(w *world) { w.on("udp", dropped) }},
	{id: "D02 STUN dropped", want: "stun-udp-block", verdict: "limited", caps: "loo", cause: agent.CausePractice,
		edit: func(w *world) { w.on("stun", dropped) }},
	{id: "D03 STUN rejected by the router", want: "stun-udp-block", verdict: "limited", caps: "loo", cause: agent.CausePractice,
		edit: func(w *world) { w.on("stun", rejectedBy(router)) }},
	{id: "D04 TURN over UDP dropped", want: "turn-udp-block", verdict: "limited", caps: "oll", cause: agent.CausePractice,
		edit: func(w *world) { w.on("turn udp", dropped) }},
	{id: "D05 TURN over TCP dropped", want: "turn-tcp-block", verdict: "limited", caps: "ooo", cause: agent.CausePractice,
		edit: func(w *world) { w.on("turn tcp", dropped) }},
	{id: "D06 no relay", want: "turn-all-block", verdict: "limited", caps: "onl", cause: agent.CausePractice,
		edit: func(w *world) { w.on("turn", dropped) }},
	{id: "D07 plain TURN cut", want: "turn-dpi-plain", verdict: "limited", caps: "olo", cause: agent.CausePractice,
		edit: func(w *world) { w.on("turn tcp plain", afterConnect(agent.Refused, agent.ResetAfter)) }},
	{id: "D08 relay inspected", want: "tls-intercept", verdict: "limited", caps: "olo", cause: agent.CausePractice,
		edit: func(w *world) { w.on("turn tls", afterConnect(agent.Tampered, agent.TLSUnknownCA)) }},
	{id: "D08 on a relay that speaks only TLS over TCP", want: "tls-intercept", verdict: "limited", caps: "olo", cause: agent.CausePractice,
		edit: func(w *world) {
			w.on("turn tls", afterConnect(agent.Tampered, agent.TLSUnknownCA)).on("turn tcp plain", afterConnect(agent.Refused, agent.Closed))
		}},
	{id: "D09 web inspected", want: "tls-intercept", verdict: "limited", caps: "ooo", cause: agent.CausePractice,
		edit: func(w *world) {
			w.on("web", func(e agent.Evidence) agent.Evidence {
				e.Outcome, e.Reason = agent.Tampered, agent.TLSUnknownCA
				return e
			})
		}},
	{id: "D10 two of three group servers dropped", want: "group-block-some", verdict: "limited", caps: "ool",
		edit: func(w *world) { w.on("nats nats2", dropped).on("nats nats3", dropped) }},
	{id: "D10 the same, rejected by the router", want: "group-block-some", verdict: "limited", caps: "ool", cause: agent.CausePractice,
		edit: func(w *world) { w.on("nats nats2", rejectedBy(router)).on("nats nats3", rejectedBy(router)) }},
	{id: "D25 relay certificate expired", want: "cert-bad", verdict: "limited", caps: "olo", cause: agent.CauseVendor,
		edit: func(w *world) { w.on("turn tls", afterConnect(agent.Answered, agent.TLSExpired)) }},
	{id: "X01 cable out", want: "link-down", verdict: "offline", caps: "nnn", cause: agent.CausePractice,
		edit: func(w *world) { w.noNet(agent.NoCarrier) }},
	{id: "X02 no address", want: "dhcp-none", verdict: "offline", caps: "nnn", cause: agent.CausePractice,
		edit: func(w *world) { w.noNet(agent.NoLease) }},
	{id: "X03 gateway dead", want: "gw-unreach", verdict: "offline", caps: "nnn", cause: agent.CausePractice,
		edit: func(w *world) { w.noNet(agent.NoNeighbour) }},
	{id: "X04 line down", want: "wan-down", verdict: "offline", caps: "nnn", cause: agent.CauseISP,
		edit: func(w *world) { w.deadLine() }},
	{id: "X04 line down, zpp-hd has no published address", profile: "zpp-hd", want: "wan-down", verdict: "offline", caps: "n--", cause: agent.CauseISP,
		edit: func(w *world) { w.deadLine().on("dns", becomes(agent.Refused, agent.ServFail)) }},
	{id: "X05 resolver dead, published addresses answer", want: "dns-fail", verdict: "blocked", caps: "nnn", cause: agent.CausePractice,
		edit: func(w *world) { w.on("dns", dropped).unresolved() }},
	{id: "X06 names filtered", want: "dns-nx", verdict: "blocked", caps: "nnn", cause: agent.CausePractice,
		edit: func(w *world) { w.on("dns", becomes(agent.Refused, agent.NXDomain)).unresolved() }},
	{id: "the service's own name servers are away", want: "dns-nx", verdict: "blocked", caps: "nnn",
		edit: func(w *world) {
			w.on("dns coturn", becomes(agent.Refused, agent.ServFail)).on("stun", gone).on("turn", gone)
		}},
	{id: "X07 names to 0.0.0.0", want: "dns-bogon", verdict: "blocked", caps: "nnn", cause: agent.CausePractice,
		edit: func(w *world) {
			w.on("dns", func(e agent.Evidence) agent.Evidence {
				return becomes(agent.Tampered, agent.Bogon)(e).With(agent.Addrs, "0.0.0.0")
			}).unresolved()
		}},
	{id: "X08 only the relay's name filtered", want: "dns-nx", verdict: "blocked", caps: "nnn", cause: agent.CausePractice,
		edit: func(w *world) {
			w.on("dns coturn", becomes(agent.Refused, agent.NXDomain)).on("stun", gone).on("turn", gone)
		}},
	{id: "X08 only the group's names filtered, published addresses answer", want: "dns-nx", verdict: "blocked", caps: "oon", cause: agent.CausePractice,
		edit: func(w *world) {
			for _, h := range []string{"nats1", "nats2", "nats3"} {
				w.on("dns "+h, becomes(agent.Refused, agent.NXDomain))
			}
		}},
	{id: "X09 STUN and TURN dropped", want: "turn-all-block stun-udp-block", verdict: "blocked", caps: "nnn",
		edit: func(w *world) { w.on("coturn udp", dropped).on("coturn tcp", dropped) }},
	{id: "X10 NAT by destination and no relay", want: "turn-all-block nat-edm-no-relay", verdict: "blocked", caps: "nnn", cause: agent.CausePractice,
		edit: func(w *world) {
			w.on("turn", dropped).on("mapping", with(agent.Mapping, "address-dependent"))
		}},
	{id: "X11 web dropped", want: "https-block https-block", verdict: "blocked", caps: "nnn",
		edit: func(w *world) { w.on("web", dropped) }},
	{id: "X12 WebSocket stripped", want: "ws-stripped", verdict: "blocked", caps: "oon", cause: agent.CausePractice,
		edit: func(w *world) {
			w.on("nats tcp", func(e agent.Evidence) agent.Evidence {
				return afterConnect(agent.Refused, agent.UpgradeRefused)(e).With(agent.WSStatus, 200)
			})
		}},
	{id: "X13 group port dropped", want: "group-block-all", verdict: "blocked", caps: "oon", cause: agent.CausePractice,
		edit: func(w *world) { w.on("nats tcp", dropped) }},
	{id: "X13 the same, where nobody holds groups", want: "", verdict: "ready", caps: "oo-",
		edit: func(w *world) { w.on("nats tcp", dropped); w.without = []agent.Capability{agent.Group} }},
	{id: "the group's page, names and certificates, where nobody holds groups", want: "", verdict: "ready", caps: "oo-",
		edit: func(w *world) {
			w.on("web pnm", dropped).on("dns nats1", becomes(agent.Refused, agent.NXDomain)).
				on("nats nats2", afterConnect(agent.Answered, agent.TLSExpired)).on("nats nats3", afterConnect(agent.Tampered, agent.TLSUnknownCA))
			w.without = []agent.Capability{agent.Group}
		}},
	{id: "X14 reset after ClientHello", want: "nats-port-ok-proto-bad", verdict: "blocked", caps: "oon", cause: agent.CausePractice,
		edit: func(w *world) { w.on("nats tcp", afterConnect(agent.Refused, agent.ResetAfter)) }},
	{id: "X14 a mute middlebox", want: "nats-port-ok-proto-bad", verdict: "blocked", caps: "oon", cause: agent.CausePractice,
		edit: func(w *world) { w.on("nats tcp", afterConnect(agent.Silent, agent.NoInfo)) }},
	{id: "X15 one name moved, the rule has the old address", want: "dns-drift-block", verdict: "limited", caps: "ool", cause: agent.CausePractice,
		edit: func(w *world) {
			w.on("dns nats2", with(agent.Addrs, "203.0.113.9"))
			w.add(dropped(w.moved("nats2", "203.0.113.9")))
		}},
	{id: "X20 large hello dropped", want: "https-block https-block", verdict: "blocked", caps: "nnn",
		edit: func(w *world) { w.on("web", afterConnect(agent.Silent, agent.Timeout)) }},
	{id: "X21 login page", want: "captive", verdict: "blocked", caps: "nnn", cause: agent.CausePractice,
		edit: func(w *world) { w.loginPage() }},
	{id: "X22 guest access", want: "guest-net", verdict: "blocked", caps: "nnn", cause: agent.CausePractice,
		edit: func(w *world) { w.on("udp", dropped).on("turn tcp", dropped).on("nats tcp", dropped) }},
	{id: "X23 everything silent, but fresh names resolve", want: "https-block https-block turn-all-block group-block-all stun-udp-block", verdict: "blocked", caps: "nnn",
		edit: func(w *world) { w.on("tcp", dropped).on("udp", dropped).add(uncached(agent.Answered, agent.NXDomain)) }},
	{id: "X26 relay stopped", want: "turn-server stun-server", verdict: "blocked", caps: "nnn", cause: agent.CauseVendor,
		edit: func(w *world) {
			w.on("coturn udp", becomes(agent.Refused, agent.PortUnreachable)).on("coturn tcp", reset)
		}},
	{id: "D04 but the server itself closed the UDP port", want: "turn-udp-server", verdict: "limited", caps: "olo", cause: agent.CauseVendor,
		edit: func(w *world) { w.on("turn udp", becomes(agent.Refused, agent.PortUnreachable)) }},
	{id: "the server itself closed the TCP port", want: "turn-tcp-server", verdict: "limited", caps: "ooo", cause: agent.CauseVendor,
		edit: func(w *world) { w.on("turn tcp", reset) }},
	{id: "X27 web answers 503", want: "https-server https-server", verdict: "blocked", caps: "nnn", cause: agent.CauseVendor,
		edit: func(w *world) {
			w.on("web", func(e agent.Evidence) agent.Evidence {
				e.Reason = agent.HTTPError
				return e.With(agent.HTTPStatus, 503)
			})
		}},
	{id: "group servers lost for two reasons", want: "group-server group-block-some", verdict: "blocked", caps: "oon", cause: agent.CauseVendor,
		edit: func(w *world) { w.on("nats tcp", dropped).on("nats2 tcp", reset) }},
	{id: "X28 all group servers stopped", want: "group-server", verdict: "blocked", caps: "oon", cause: agent.CauseVendor,
		edit: func(w *world) { w.on("nats tcp", reset) }},
	{id: "X30 no STUN on any port", profile: "zpp-hd", want: "stun-udp-block portrange-unknown", verdict: "blocked", caps: "n--", cause: agent.CausePractice,
		edit: func(w *world) { w.on("udp", dropped) }},
	{id: "X30 STUN shut, the server refuses ports where it does not listen", profile: "zpp-hd", want: "stun-udp-block", verdict: "blocked", caps: "n--", cause: agent.CausePractice,
		edit: func(w *world) {
			w.on("stun plain", becomes(agent.Refused, agent.PortUnreachable)).on("stun plain 3478/udp", dropped)
		}},
	{id: "STUN stopped, some ports without an error", profile: "zpp-hd", want: "stun-server", verdict: "blocked", caps: "n--", cause: agent.CauseVendor,
		edit: func(w *world) {
			w.on("stun plain", dropped).on("stun plain 3478/udp", becomes(agent.Refused, agent.PortUnreachable))
		}},
	{id: "X31 NAT by destination where no relay exists", profile: "zpp-hd", want: "nat-edm-no-relay", verdict: "blocked", caps: "n--", cause: agent.CausePractice,
		edit: func(w *world) { w.on("mapping", with(agent.Mapping, "address-dependent")) }},
	{id: "range rejected by the router", profile: "zpp-hd", want: "portrange-block-udp portrange-block-tcp", verdict: "blocked", caps: "n--", cause: agent.CausePractice,
		edit: func(w *world) { w.on("ports", rejectedBy(router)) }},
	{id: "TCP range rejected, which no browser needs", profile: "zpp-hd", want: "portrange-block-tcp", verdict: "ready", caps: "o--", cause: agent.CausePractice,
		edit: func(w *world) { w.on("ports tcp", rejectedBy(router)) }},
	{id: "TCP range half open, which no browser needs", profile: "zpp-hd", want: "portrange-partial", verdict: "ready", caps: "o--", cause: agent.CausePractice,
		edit: func(w *world) {
			w.on("ports tcp", func(e agent.Evidence) agent.Evidence {
				return e.With(agent.Barred, 3).With(agent.BarredPorts, "10000 12000")
			})
		}},
	{id: "range half open", profile: "zpp-hd", want: "portrange-partial", verdict: "limited", caps: "l--", cause: agent.CausePractice,
		edit: func(w *world) {
			w.on("ports udp", func(e agent.Evidence) agent.Evidence {
				return e.With(agent.Barred, 3).With(agent.BarredPorts, "10000 12000")
			})
		}},
	{id: "open relay", want: "turn-open", verdict: "ready", caps: "ooo", cause: agent.CauseVendor,
		edit: func(w *world) { w.on("turn udp plain", becomes(agent.Answered, agent.OpenRelay)) }},
	{id: "the box's own relay credentials are refused", want: "turn-auth", verdict: "ready", caps: "ooo", cause: agent.CauseVendor,
		edit: func(w *world) {
			w.add(agent.See(agent.ProbeRelay, agent.Target{Host: "coturn.webprax.de", Addr: someAddr, Port: 5349, Transport: agent.UDP, Variant: agent.Plain},
				agent.Answered, agent.AuthRefused))
		}},
	{id: "P01 credentials revoked", want: "central-auth", verdict: "ready", caps: "ooo", cause: agent.CauseVendor,
		edit: func(w *world) { w.add(agent.See(agent.ProbeUplink, central, agent.Refused, agent.AuthRefused)) }},
	{id: "N33 report server away", want: "central-down", verdict: "ready", caps: "ooo",
		edit: func(w *world) { w.add(agent.See(agent.ProbeUplink, central, agent.Silent, agent.Timeout)) }},
	{id: "own firewall", want: "route-local", verdict: "unknown", caps: "???", cause: agent.CauseBox,
		edit: func(w *world) {
			w.on("tcp", becomes(agent.NotLooked, agent.LocalReject)).on("udp", becomes(agent.NotLooked, agent.LocalReject))
		}},
	{id: "nothing could be looked at", want: "", verdict: "unknown", caps: "???",
		edit: func(w *world) {
			w.on("tcp", becomes(agent.NotLooked, agent.Cancelled)).on("udp", becomes(agent.NotLooked, agent.Cancelled))
		}},
}

var central = agent.Target{Host: "fleet.example", Port: 4222, Transport: agent.TCP}

func uncached(o agent.Outcome, why agent.Reason) agent.Evidence {
	return agent.See(agent.ProbeDNS, agent.Target{Host: "video.webprax.de", Variant: agent.Uncached}, o, why)
}

// moved is a healthy look at another address of a NATS host.
func (w *world) moved(host, addr string) agent.Evidence {
	for _, e := range w.evidence {
		if e.Probe == agent.ProbeNATS && strings.HasPrefix(e.Target.Host, host) {
			e.Target.Addr = mustAddr(addr)
			return e
		}
	}
	panic("no NATS host " + host)
}

// unresolved leaves only what has a published address.
func (w *world) unresolved() *world {
	return w.on("web", gone).on("stun", gone).on("turn", gone).on("mapping", becomes(agent.NotLooked, agent.TooFew))
}

// noNet is a box whose local side has failed.
func (w *world) noNet(why agent.Reason) {
	w.deadLine().on("link", func(e agent.Evidence) agent.Evidence {
		e.Outcome, e.Grade, e.Reason = agent.Refused, agent.GradeB, why
		return e
	})
}

// deadLine leaves every packet unanswered and every name unresolved.
func (w *world) deadLine() *world {
	for i, e := range w.evidence {
		switch {
		case e.Probe == agent.ProbeLink:
		case e.Probe == agent.ProbeDNS || e.Probe == agent.ProbeNATS:
			w.evidence[i] = dropped(e)
		default:
			w.evidence[i] = gone(e)
		}
	}
	return w
}

func (w *world) loginPage() {
	w.on("udp", dropped).on("turn tcp", dropped).on("nats tcp", afterConnect(agent.Tampered, agent.TLSUnknownCA)).
		on("web", func(e agent.Evidence) agent.Evidence {
			return afterConnect(agent.Tampered, agent.TLSUnknownCA)(e)
		})
	w.add(agent.See(agent.ProbeCaptive, agent.Target{Host: "video.webprax.de", Addr: someAddr, Port: 80, Transport: agent.TCP},
		agent.Tampered, agent.Redirect).With(agent.LocationHost, "login.hotel.example"))
}

func TestMatrix(t *testing.T) {
	for _, tt := range matrix {
		t.Run(tt.id, func(t *testing.T) {
			if tt.profile == "" {
				tt.profile = "webprax"
			}
			w := newWorld(tt.profile)
			if tt.edit != nil {
				tt.edit(w)
			}
			j := w.judge()
			if got := codes(j.Findings); got != tt.want {
				t.Errorf("findings %q, want %q", got, tt.want)
			}
			if got := j.Verdict.String(); got != tt.verdict {
				t.Errorf("verdict %s, want %s", got, tt.verdict)
			}
			if got := caps(j.Profiles[0].Capabilities); got != tt.caps {
				t.Errorf("direct, relay, group %s, want %s", got, tt.caps)
			}
			if len(j.Findings) > 0 && j.Findings[0].Cause != tt.cause {
				t.Errorf("cause %s, want %s", j.Findings[0].Cause, tt.cause)
			}
			checkForm(t, j)
		})
	}
}

func codes(fs []agent.Finding) string {
	var out []string
	for _, f := range fs {
		out = append(out, string(f.Code))
	}
	return strings.Join(out, " ")
}

func caps(c agent.Capabilities) string {
	var b strings.Builder
	for _, k := range []agent.Capability{agent.Direct, agent.Relay, agent.Group} {
		s, ok := c[k]
		if !ok {
			b.WriteByte('-')
			continue
		}
		b.WriteByte("?oln"[s])
	}
	return b.String()
}

// checkForm demands what the texts and the report rely on: each finding has the
// arguments that agent.Args promises and no others, and rests on evidence.
func checkForm(t *testing.T, j assess.Judgement) {
	t.Helper()
	for _, f := range j.Findings {
		var must, may []string
		for _, a := range agent.Args[f.Code] {
			if opt, ok := strings.CutPrefix(a, "["); ok {
				may = append(may, strings.TrimSuffix(opt, "]"))
			} else {
				must = append(must, a)
			}
		}
		for _, a := range must {
			if f.Args[a] == "" {
				t.Errorf("%s lacks argument %q", f.Code, a)
			}
		}
		for a, v := range f.Args {
			if v == "" || !slices.Contains(must, a) && !slices.Contains(may, a) {
				t.Errorf("%s has argument %q = %q, which is not promised", f.Code, a, v)
			}
		}
		if len(f.Evidence) == 0 || f.SinceAt.IsZero() {
			t.Errorf("%s rests on %d pieces of evidence, since %v", f.Code, len(f.Evidence), f.SinceAt)
		}
		for _, i := range f.Evidence {
			if i < 0 || i >= len(j.Evidence) {
				t.Errorf("%s rests on evidence %d of %d", f.Code, i, len(j.Evidence))
			}
		}
	}
}

// Every code of the catalogue has at least one scenario.
func TestMatrixCoversCatalogue(t *testing.T) {
	seen := map[agent.Code]bool{}
	for _, tt := range matrix {
		for _, c := range strings.Fields(tt.want) {
			seen[agent.Code(c)] = true
		}
	}
	for _, c := range agent.Codes {
		if !seen[c] {
			t.Errorf("no scenario raises %s", c)
		}
	}
}

// A single failure turns nothing red; two in a row do; one good look clears.
func TestTwoFailuresAreNeeded(t *testing.T) {
	good, bad := newWorld("webprax"), newWorld("webprax").on("nats tcp", dropped)
	var b assess.Book
	var before []agent.Finding
	at := time.Unix(1_800_000_000, 0)
	steps := []struct {
		pass *world
		want string
	}{
		{good, "ready"}, {bad, "ready"}, {bad, "blocked"}, {bad, "blocked"}, {good, "ready"}, {bad, "ready"}, {good, "ready"},
	}
	for i, s := range steps {
		b.Add(s.pass.evidence)
		j := assess.Assess(s.pass.policy(), &b, before, at.Add(time.Duration(i)*time.Minute))
		if got := j.Verdict.String(); got != s.want {
			t.Fatalf("step %d: verdict %s, want %s", i, got, s.want)
		}
		before = j.Findings
		if i == 3 {
			if got, want := before[0].SinceAt, at.Add(2*time.Minute); !got.Equal(want) {
				t.Errorf("since %v, want the round that raised it, %v", got, want)
			}
		}
	}
}

// The first round of all, failing once: nothing is known yet.
func TestFirstFailureIsUnknown(t *testing.T) {
	w := newWorld("webprax").on("nats tcp", dropped)
	var b assess.Book
	b.Add(w.evidence)
	j := assess.Assess(w.policy(), &b, nil, time.Unix(1_800_000_000, 0))
	if j.Verdict != agent.VerdictUnknown || len(j.Findings) > 0 {
		t.Errorf("verdict %s with %q, want unknown without findings", j.Verdict, codes(j.Findings))
	}
}

// Silence is graded by what else answered.
func TestGradesOfSilence(t *testing.T) {
	w := newWorld("webprax").on("nats nats1", dropped)
	for _, e := range w.judge().Evidence {
		if e.Probe == agent.ProbeNATS && strings.HasPrefix(e.Target.Host, "nats1") && e.Grade != agent.GradeD {
			t.Errorf("silence beside answers has grade %s, want D", e.Grade)
		}
	}
	alone := newWorld("webprax")
	alone.deadLine()
	for _, e := range alone.judge().Evidence {
		if e.Outcome == agent.Silent && e.Grade != agent.GradeE {
			t.Errorf("silence without any answer has grade %s, want E", e.Grade)
		}
	}
}

// Two profiles: each is judged for itself, the worst leads.
func TestTwoProfiles(t *testing.T) {
	j := newWorld("webprax", "zpp-hd").on("nats tcp", dropped).judge()
	got := map[string]string{}
	for _, p := range j.Profiles {
		got[p.Name] = p.Verdict.String()
	}
	if diff := cmp.Diff(map[string]string{"webprax": "blocked", "zpp-hd": "ready"}, got); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	if j.Verdict != agent.Blocked {
		t.Errorf("overall %s, want blocked", j.Verdict)
	}
}

// A reset that is far quicker than the server is away comes from a middlebox.
func TestForgedReset(t *testing.T) {
	w := newWorld("webprax")
	w.on("turn tcp plain", func(e agent.Evidence) agent.Evidence { return reset(e).With(agent.RTT, 1) })
	w.on("turn tcp tls", func(e agent.Evidence) agent.Evidence { return reset(e).With(agent.RTT, 1) })
	w.on("stun", func(e agent.Evidence) agent.Evidence { return e.With(agent.ConnectTime, 30) })
	if got := codes(w.judge().Findings); got != "turn-tcp-block" {
		t.Errorf("findings %q, want turn-tcp-block", got)
	}
}

// A round looks for a login page once, as the second look at a web host that
// failed: the very first round must already name it.
func TestLoginPageIsSeenInTheFirstRound(t *testing.T) {
	w := newWorld("webprax")
	w.loginPage()
	first := slices.DeleteFunc(slices.Clone(w.evidence), func(e agent.Evidence) bool { return e.Probe == agent.ProbeCaptive })
	var b assess.Book
	b.Add(first, w.evidence)
	j := assess.Assess(w.policy(), &b, nil, time.Unix(1_800_000_000, 0))
	if got := codes(j.Findings); got != "captive" {
		t.Errorf("findings %q, want captive", got)
	}
}

// A box judges its whole book after each round, on a router's processor.
func BenchmarkAssess(b *testing.B) {
	w := newWorld("webprax", "zpp-hd").on("udp", dropped).on("nats tcp", dropped)
	var book assess.Book
	book.Add(w.evidence, w.evidence)
	at := time.Unix(1_800_000_000, 0)
	b.ReportAllocs()
	for b.Loop() {
		assess.Assess(w.policy(), &book, nil, at)
	}
}
