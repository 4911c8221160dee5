package assess_test

import (
	"fmt"
	"math/rand/v2"
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
	cause   agent.Cause    // of the first finding
	before  func(w *world) // what earlier rounds saw, of which there were several
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
	{id: "N26 and N27 together: a second address, and a silent IPv6 one", want: "ipv6-broken dns-drift", verdict: "ready", caps: "ooo", cause: agent.CausePractice,
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
	{id: "N27 IPv6 silent, IPv4 fine", want: "ipv6-broken", verdict: "ready", caps: "ooo", cause: agent.CausePractice,
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
	{id: "D26 the relay has no room", want: "turn-quota", verdict: "limited", caps: "oll", cause: agent.CauseVendor,
		edit: func(w *world) { w.add(call("udp").With(agent.STUNError, 486)) }},
	{id: "D26 seen by the look of each round", want: "turn-quota", verdict: "limited", caps: "oll", cause: agent.CauseVendor,
		edit: func(w *world) {
			w.add(agent.See(agent.ProbeRelay, call("tcp").Target, agent.Answered, "").With(agent.STUNError, 508))
		}},
	{id: "room for one allocation only", want: "", verdict: "ready", caps: "ooo",
		edit: func(w *world) { w.add(call("udp").With(agent.Relayed, true).With(agent.STUNError, 486)) }},
	{id: "the relay denies its own address", want: "turn-relay-403", verdict: "ready", caps: "ooo", cause: agent.CauseVendor,
		edit: func(w *world) {
			w.add(ends(call("udp"), agent.PeerDenied).With(agent.Relayed, false).With(agent.STUNError, 403))
		}},
	{id: "X29 what is relayed gets lost at the relay", want: "turn-no-media", verdict: "limited", caps: "onl", cause: agent.CauseVendor,
		edit: func(w *world) {
			w.add(ends(call("udp"), agent.NoMedia).With(agent.Relayed, false).With(agent.HighPort, true).With(agent.Punched, false))
			w.add(ends(call("tcp"), agent.NoMedia).With(agent.Relayed, false))
		}},
	{id: "nothing comes back, but nothing proves whose fault that is", want: "turn-no-media highport-udp-block", verdict: "ready", caps: "noo",
		cause: agent.CauseUnknown, edit: func(w *world) {
			w.add(ends(call("udp"), agent.NoMedia).With(agent.Relayed, false).With(agent.HighPort, false))
			w.add(ends(call("tcp"), agent.NoMedia).With(agent.Relayed, false))
		}},
	{id: "media over TCP only", want: "turn-tcp-only", verdict: "limited", caps: "oll", cause: agent.CausePractice,
		edit: func(w *world) {
			w.add(ends(call("udp"), agent.NoMedia).With(agent.Relayed, false))
			w.add(call("tcp").With(agent.Relayed, true))
		}},
	{id: "DTLS swallowed", want: "turn-dpi-tls", verdict: "limited", caps: "lnl", cause: agent.CausePractice,
		edit: func(w *world) { w.add(ends(call("udp"), agent.DTLSLost).With(agent.Relayed, true)) }},
	{id: "N41 TLS to the relay is cut, plain and DTLS pass", want: "turn-dpi-tls", verdict: "ready", caps: "ooo", cause: agent.CauseUnknown,
		edit: func(w *world) { w.on("turn tls", afterConnect(agent.Refused, agent.ResetAfter)) }},
	{id: "N25 no UDP to high ports", want: "highport-udp-block", verdict: "ready", caps: "noo", cause: agent.CausePractice,
		edit: func(w *world) { w.add(call("udp").With(agent.Relayed, true).With(agent.HighPort, false)) }},
	{id: "N11 another port seen by the relay", want: "nat-edm", verdict: "ready", caps: "loo", cause: agent.CausePractice,
		edit: func(w *world) {
			w.add(call("udp").With(agent.Relayed, true).With(agent.HighPort, true).With(agent.Punched, true).With(agent.PortKept, false))
		}},
	{id: "a good rehearsal", want: "", verdict: "ready", caps: "ooo", edit: func(w *world) { w.add(rehearsal(0.001, 0.002, 3, 40)) }},
	{id: "D13 loss of both directions together", want: "loss", verdict: "limited", caps: "lll", cause: agent.CauseUnknown,
		edit: func(w *world) { w.add(call("udp").With(agent.Relayed, true).With(agent.LossBothWays, 0.04)) }},
	{id: "D13 loss up", want: "loss", verdict: "limited", caps: "lll", cause: agent.CauseUnknown,
		edit: func(w *world) { w.add(rehearsal(0.02, 0, 3, 40)) }},
	{id: "loss that may be chance", want: "", verdict: "ready", caps: "ooo",
		edit: func(w *world) {
			w.add(rehearsal(0.02, 0, 3, 40).With(agent.UpLossLow, 0.009).With(agent.UpLossHigh, 0.04))
		}},
	{id: "D13 loss for sure, and much of it maybe", want: "loss", verdict: "limited", caps: "lll", cause: agent.CauseUnknown,
		edit: func(w *world) {
			w.add(rehearsal(0.06, 0, 3, 40).With(agent.UpLossLow, 0.045).With(agent.UpLossHigh, 0.08))
		}},
	{id: "X16 loss that is much for sure", want: "loss", verdict: "blocked", caps: "lln", cause: agent.CauseUnknown,
		edit: func(w *world) {
			w.add(rehearsal(0.08, 0, 3, 40).With(agent.UpLossLow, 0.068).With(agent.UpLossHigh, 0.095))
		}},
	{id: "loss of both directions that may be chance", want: "", verdict: "ready", caps: "ooo",
		edit: func(w *world) {
			w.add(call("udp").With(agent.Relayed, true).With(agent.LossBothWays, 0.03).With(agent.LossLow, 0.019))
		}},
	{id: "X16 loss down", want: "loss", verdict: "blocked", caps: "lln", cause: agent.CauseUnknown,
		edit: func(w *world) { w.add(rehearsal(0, 0.08, 3, 40)) }},
	{id: "D14 jitter of a call", want: "jitter", verdict: "limited", caps: "lll", cause: agent.CauseUnknown,
		edit: func(w *world) { w.add(rehearsal(0, 0, 45, 40)) }},
	{id: "jitter of both directions together, little of each", want: "", verdict: "ready", caps: "ooo",
		edit: func(w *world) { w.add(rehearsal(0, 0, 35, 40).With(agent.UpJitter, 18).With(agent.DownJitter, 20)) }},
	{id: "D14 jitter down", want: "jitter", verdict: "limited", caps: "lll", cause: agent.CauseUnknown,
		edit: func(w *world) { w.add(rehearsal(0, 0, 35, 40).With(agent.UpJitter, 2).With(agent.DownJitter, 34)) }},
	{id: "D15 round trip of a call", want: "rtt", verdict: "limited", caps: "lll", cause: agent.CauseUnknown,
		edit: func(w *world) { w.add(rehearsal(0, 0, 3, 300)) }},
	{id: "X17 very long round trip of a call", want: "rtt", verdict: "blocked", caps: "lln", cause: agent.CauseUnknown,
		edit: func(w *world) { w.add(rehearsal(0, 0, 3, 600)) }},
	{id: "the box was too busy", want: "", verdict: "ready", caps: "ooo",
		edit: func(w *world) { w.add(becomes(agent.NotLooked, agent.BoxBusy)(call("udp"))) }},
	{id: "N02 the provider translates as well", want: "nat-cgn", verdict: "ready", caps: "loo", cause: agent.CauseISP,
		edit: func(w *world) { w.add(pathOver("192.168.1.1 100.64.0.1 198.51.100.1")) }},
	{id: "routes of the telematics infrastructure", want: "", verdict: "ready", caps: "ooo",
		edit: func(w *world) { w.add(pathOver("192.168.1.1 100.102.0.1 198.51.100.1")) }},
	{id: "N03 two private routers", want: "nat-double", verdict: "ready", caps: "loo", cause: agent.CausePractice,
		edit: func(w *world) { w.add(pathOver("192.168.1.1 * 10.0.0.1 198.51.100.1")) }},
	{id: "N08 one group server switched off, as the practice's packets show", want: "group-block-some", verdict: "limited", caps: "ool",
		edit: func(w *world) { w.on("nats nats2", dropped).add(w.walk("nats nats2", 4, "198.51.100.1", 4)) }},
	{id: "N09 slow names", want: "dns-slow", verdict: "ready", caps: "ooo", cause: agent.CausePractice,
		edit: func(w *world) { w.on("dns", with(agent.RTT, 810)) }},
	{id: "N17 dialled anew", want: "wan-redial", verdict: "ready", caps: "ooo", cause: agent.CauseISP,
		before: func(w *world) { w.on("stun", with(agent.MappedAddr, "198.51.100.20:4711")) },
		edit:   func(w *world) { w.on("stun", with(agent.MappedAddr, "198.51.100.99:4711")) }},
	{id: "N18 everything lost for a moment", want: "interrupted", verdict: "ready", caps: "ooo",
		before: func(w *world) { w.on("udp", dropped).on("tcp", dropped) }},
	{id: "N19 no IPv4", want: "net-v6only", verdict: "ready", caps: "ooo", cause: agent.CausePractice,
		edit: func(w *world) {
			w.on("link", with(agent.LocalAddr, "2001:db8::2/64")).
				add(agent.See(agent.ProbeIPv6, agent.Target{}, agent.Answered, "").With(agent.IPv6Addr, true).With(agent.IPv6Route, true).
					With(agent.NAT64, "64:ff9b::/96"))
		}},
	{id: "N20 DS-Lite says how large a packet may be", want: "mtu-low", verdict: "ready", caps: "ooo",
		edit: func(w *world) { w.add(largest(1460)) }},
	{id: "full Ethernet", want: "", verdict: "ready", caps: "ooo",
		edit: func(w *world) { w.add(largest(1500)) }},
	{id: "N32 certificate runs out in five days", want: "cert-soon", verdict: "ready", caps: "ooo", cause: agent.CauseVendor,
		edit: func(w *world) { w.on("web pnm", with(agent.CertExpires, "2027-01-20T08:00:00Z")) }},
	{id: "certificate for another month", want: "", verdict: "ready", caps: "ooo",
		edit: func(w *world) { w.on("web", with(agent.CertExpires, "2027-02-20T08:00:00Z")) }},
	{id: "D02 STUN ends in the practice", want: "stun-udp-block", verdict: "limited", caps: "loo", cause: agent.CausePractice,
		edit: func(w *world) { w.on("stun", dropped).add(w.walk("stun", 1, router, 3)) }},
	{id: "D02 STUN ends at the provider", want: "stun-udp-block", verdict: "limited", caps: "loo", cause: agent.CauseISP,
		edit: func(w *world) { w.on("stun", dropped).add(w.walk("stun", 2, "198.51.100.1", 3)) }},
	{id: "D02 STUN rejected by the provider's router", want: "stun-udp-block", verdict: "limited", caps: "loo", cause: agent.CauseISP,
		edit: func(w *world) {
			w.on("stun", rejectedBy("198.51.100.1")).add(pathOver("192.168.1.1 198.51.100.1"))
		}},
	{id: "D02 STUN gets as far as what answers", want: "stun-udp-block", verdict: "limited", caps: "loo",
		edit: func(w *world) { w.on("stun", dropped).add(w.walk("stun", 3, "198.51.100.1", 3)) }},
	{id: "D11 idle connections are cut", want: "nats-idle-cut", verdict: "limited", caps: "ool", cause: agent.CausePractice,
		edit: func(w *world) {
			t := agent.Target{Host: "nats1.webprax.de", Addr: someAddr, Port: 8443, Transport: agent.TCP}
			w.add(agent.See(agent.ProbeIdle, t, agent.Answered, "").With(agent.IdleAlive, 45).With(agent.IdleDead, 60))
		}},
	{id: "D12 UDP flows are forgotten in seconds", want: "nat-short", verdict: "limited", caps: "lll", cause: agent.CausePractice,
		edit: func(w *world) { w.add(quiet(12)) }},
	{id: "N38 UDP flows live half a minute", want: "nat-short", verdict: "ready", caps: "ooo", cause: agent.CausePractice,
		edit: func(w *world) { w.add(quiet(45)) }},
	{id: "idle connections live long", want: "", verdict: "ready", caps: "ooo",
		edit: func(w *world) {
			t := agent.Target{Host: "nats1.webprax.de", Addr: someAddr, Port: 8443, Transport: agent.TCP}
			w.add(agent.See(agent.ProbeIdle, t, agent.Answered, "").With(agent.IdleAlive, 300))
		}},
	{id: "D20 a third of the questions for names is lost", want: "dns-flaky", verdict: "limited", caps: "lll", cause: agent.CausePractice,
		edit: func(w *world) {
			w.on("dns", func(e agent.Evidence) agent.Evidence {
				return e.With(agent.RTT, 9).With(agent.Sent, 3).With(agent.Received, 2)
			})
		}},
	{id: "D21 one of two addresses silent", want: "dns-part-block", verdict: "limited", caps: "lll",
		edit: func(w *world) { w.twoRelays() }},
	{id: "D21 blocked as its packets show", want: "dns-part-block", verdict: "limited", caps: "lll", cause: agent.CausePractice,
		edit: func(w *world) { w.twoRelays().add(w.walk("stun plain 203.0.113.250", 1, router, 3)) }},
	{id: "D22 ten megabit half duplex", want: "link-slow", verdict: "limited", caps: "lll", cause: agent.CausePractice,
		edit: func(w *world) { w.on("link", with(agent.Speed, 10e6)).on("link", with(agent.Duplex, "half")) }},
	{id: "D23 powerline", want: "lan-unstable", verdict: "limited", caps: "lll", cause: agent.CausePractice,
		edit: func(w *world) {
			w.add(many(agent.ProbeGateway, 20, 19).With(agent.Jitter, 22)).add(many(agent.ProbeBurst, 60, 58).With(agent.RTT, 40).With(agent.RTTMax, 75))
		}},
	{id: "D23 powerline that only delays", want: "lan-unstable", verdict: "limited", caps: "lll", cause: agent.CausePractice,
		edit: func(w *world) {
			w.add(many(agent.ProbeGateway, 20, 20).With(agent.RTT, 60)).add(many(agent.ProbeBurst, 60, 60).With(agent.RTT, 75).With(agent.RTTMax, 80))
		}},
	{id: "a router that is slow for itself alone", want: "", verdict: "ready", caps: "ooo",
		edit: func(w *world) {
			w.add(many(agent.ProbeGateway, 20, 14).With(agent.Jitter, 22).With(agent.RTT, 40)).add(many(agent.ProbeBurst, 60, 60).With(agent.RTT, 20).With(agent.RTTMax, 24))
		}},
	{id: "one answer was slow, those to many questions were not", want: "", verdict: "ready", caps: "ooo",
		edit: func(w *world) {
			var stun agent.Target
			w.on("stun", func(e agent.Evidence) agent.Evidence {
				stun = e.Target
				return e.With(agent.RTT, 400).With(agent.Sends, 1)
			})
			w.add(agent.See(agent.ProbeBurst, stun, agent.Answered, "").With(agent.Sent, 60).With(agent.Received, 60).With(agent.RTT, 12))
		}},
	{id: "D24 no room for new connections", want: "nat-table-full", verdict: "limited", caps: "lll", cause: agent.CausePractice,
		edit: func(w *world) { w.add(many(agent.ProbeFlows, 40, 22)).add(many(agent.ProbeBurst, 60, 60)) }},
	{id: "new connections answered seconds late, many not in time", want: "", verdict: "ready", caps: "ooo",
		edit: func(w *world) {
			w.add(many(agent.ProbeFlows, 40, 1).With(agent.RTT, 1800)).add(many(agent.ProbeBurst, 60, 60).With(agent.RTT, 315))
		}},
	{id: "D27 many packets at once are dropped", want: "udp-rate-limited", verdict: "limited", caps: "lll", cause: agent.CausePractice,
		edit: func(w *world) { w.on("stun", with(agent.Sends, 1)).add(many(agent.ProbeBurst, 60, 36)) }},
	{id: "X25 nearly all of them, and the first question too", want: "udp-rate-limited", verdict: "blocked", caps: "lln", cause: agent.CausePractice,
		edit: func(w *world) {
			w.on("stun", with(agent.Sends, 2)).on("turn udp plain", with(agent.Sends, 1)).add(many(agent.ProbeBurst, 60, 1))
		}},
	{id: "a line that loses many, alone or not", want: "", verdict: "ready", caps: "ooo",
		edit: func(w *world) {
			w.on("stun", with(agent.Sends, 2)).on("turn udp plain", with(agent.Sends, 2)).add(many(agent.ProbeBurst, 60, 30))
		}},
	{id: "X25 nearly all of them", want: "udp-rate-limited", verdict: "blocked", caps: "lln", cause: agent.CausePractice,
		edit: func(w *world) { w.on("stun", with(agent.Sends, 1)).add(many(agent.ProbeBurst, 60, 9)) }},
	{id: "a line that loses", want: "", verdict: "ready", caps: "ooo",
		edit: func(w *world) { w.on("stun", with(agent.Sends, 1)).add(many(agent.ProbeBurst, 60, 55)) }},
	{id: "D28 addresses in STUN answers rewritten", want: "stun-alg", verdict: "limited", caps: "loo", cause: agent.CausePractice,
		edit: func(w *world) { w.on("stun", with(agent.ALGRewrite, true)) }},
	{id: "D29 spare line", want: "line-failover", verdict: "limited", caps: "oll", cause: agent.CauseISP,
		before: func(w *world) { w.on("stun", with(agent.MappedAddr, "198.51.100.20:4711")) },
		edit: func(w *world) {
			w.on("stun", func(e agent.Evidence) agent.Evidence {
				return e.With(agent.MappedAddr, "192.0.2.99:4711").With(agent.RTT, 80)
			})
		}},
	{id: "D30 several lines at once", want: "nat-ip-flap", verdict: "ready", caps: "loo", cause: agent.CausePractice,
		edit: func(w *world) { w.on("mapping", with(agent.MappedIPs, 2)) }},
	{id: "D30 UDP and TCP by different lines", want: "nat-ip-flap", verdict: "ready", caps: "loo", cause: agent.CausePractice,
		edit: func(w *world) {
			w.on("stun", with(agent.MappedAddr, "198.51.100.20:4711")).on("nats nats1", with(agent.ClientAddr, "192.0.2.7"))
		}},
	{id: "X14 cut by the name", want: "tls-sni-reset", verdict: "blocked", caps: "oon", cause: agent.CausePractice,
		edit: func(w *world) {
			w.on("nats tcp", afterConnect(agent.Refused, agent.ResetAfter)).hellos("nats tcp", "rst-after-connect", "rst-after-connect", "answered")
		}},
	{id: "X19 large packets vanish", want: "mtu-blackhole", verdict: "blocked", caps: "nln", cause: agent.CausePractice,
		edit: func(w *world) {
			w.on("web", afterConnect(agent.Silent, agent.Timeout)).on("nats tcp", afterConnect(agent.Silent, agent.NoInfo)).
				add(largest(1400).With(agent.LostSize, 1401)).on("mtu", func(e agent.Evidence) agent.Evidence {
				e.Reason = agent.LostLarge
				return e
			})
		}},
	{id: "large packets vanish, and nobody needs them", want: "mtu-low", verdict: "ready", caps: "ooo",
		edit: func(w *world) {
			w.add(largest(1400).With(agent.LostSize, 1401)).on("mtu", func(e agent.Evidence) agent.Evidence {
				e.Reason = agent.LostLarge
				return e
			})
		}},
	{id: "X20 large hello dropped, as a small one shows", want: "tls-big-hello", verdict: "blocked", caps: "nnn", cause: agent.CausePractice,
		edit: func(w *world) {
			w.on("web", afterConnect(agent.Silent, agent.Timeout)).hellos("web", "timeout", "answered", "timeout")
		}},
	{id: "X23 only a proxy", want: "proxy-required", verdict: "blocked", caps: "nnn", cause: agent.CausePractice,
		edit: func(w *world) {
			w.on("tcp", dropped).on("udp", dropped).
				add(agent.See(agent.ProbeProxy, agent.Target{}, agent.Answered, "").With(agent.Proxy, "proxy.praxis.lan:3128"))
		}},
	{id: "X24 only port 443", want: "ti-series", verdict: "blocked", caps: "nnn", cause: agent.CausePractice,
		edit: func(w *world) {
			w.on("udp", dropped).on("turn tcp", dropped).on("nats tcp", dropped).
				add(agent.See(agent.ProbeCaptive, agent.Target{Host: "video.webprax.de", Addr: someAddr, Port: 80, Transport: agent.TCP}, agent.Silent, agent.Timeout))
		}},
	{id: "range swallowed in the practice", profile: "zpp-hd", want: "portrange-block-udp", verdict: "blocked", caps: "n--", cause: agent.CausePractice,
		edit: func(w *world) { w.on("ports udp", dropped).add(w.walk("ports udp", 1, router, 3)) }},
	{id: "P05 supply too weak", want: "box-power", verdict: "unknown", caps: "ooo", cause: agent.CauseBox,
		edit: func(w *world) {
			w.add(agent.See(agent.ProbeSelf, agent.Target{}, agent.Answered, "").With(agent.Undervoltage, true))
		}},
	{id: "P06 address in use twice", want: "addr-conflict", verdict: "unknown", caps: "ooo", cause: agent.CausePractice,
		edit: func(w *world) { w.on("link", with(agent.AddrConflict, true)) }},
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
	{id: "P02 reports by the spare way", want: "central-fallback", verdict: "ready", caps: "ooo",
		edit: func(w *world) {
			w.add(agent.See(agent.ProbeUplink, central, agent.Answered, "").With(agent.PassedOver, "fleet.example:4222"))
		}},
	{id: "P04 nothing can be kept", want: "box-storage", verdict: "ready", caps: "ooo", cause: agent.CauseBox,
		edit: func(w *world) {
			w.add(agent.See(agent.ProbeSelf, agent.Target{}, agent.Answered, "").With(agent.StateWritable, false))
		}},
	{id: "P04 reports wait in memory", want: "box-storage", verdict: "ready", caps: "ooo", cause: agent.CauseBox,
		edit: func(w *world) {
			w.add(agent.See(agent.ProbeUplink, central, agent.Answered, "").With(agent.InMemory, true))
		}},
	{id: "P07 settings that the box does not take", want: "profile-rejected", verdict: "ready", caps: "ooo", cause: agent.CauseVendor,
		edit: func(w *world) {
			w.add(agent.See(agent.ProbeAssignment, agent.Target{}, agent.Answered, agent.NotAccepted).With(agent.Version, 7))
		}},
	{id: "N33 report server away", want: "central-down", verdict: "ready", caps: "ooo",
		edit: func(w *world) { w.add(agent.See(agent.ProbeUplink, central, agent.Silent, agent.Timeout)) }},
	{id: "N33 a foreign certificate in the report server's place only", want: "central-down", verdict: "ready", caps: "ooo",
		edit: func(w *world) { w.add(agent.See(agent.ProbeUplink, central, agent.Tampered, agent.TLSUnknownCA)) }},
	{id: "own firewall", want: "route-local", verdict: "unknown", caps: "???", cause: agent.CauseBox,
		edit: func(w *world) {
			w.on("tcp", becomes(agent.NotLooked, agent.LocalReject)).on("udp", becomes(agent.NotLooked, agent.LocalReject))
		}},
	{id: "own firewall in front of the relay only", want: "route-local", verdict: "ready", caps: "o?o", cause: agent.CauseBox,
		edit: func(w *world) { w.on("turn", becomes(agent.NotLooked, agent.LocalReject)) }},
	{id: "own firewall in front of the relay, and a fault of the practice", want: "https-block https-block route-local", verdict: "blocked", caps: "nnn",
		edit: func(w *world) {
			w.on("turn", becomes(agent.NotLooked, agent.LocalReject)).on("web", becomes(agent.Silent, agent.Timeout))
		}},
	{id: "nothing could be looked at", want: "", verdict: "unknown", caps: "???",
		edit: func(w *world) {
			w.on("tcp", becomes(agent.NotLooked, agent.Cancelled)).on("udp", becomes(agent.NotLooked, agent.Cancelled))
		}},
}

// judgeAfter is the judgement after rounds in which other things were seen, the
// first of them a healthy one.
func (w *world) judgeAfter(profile string, before func(*world)) assess.Judgement {
	if before == nil {
		return w.judge()
	}
	var b assess.Book
	then := newWorld(profile)
	for range 4 {
		b.Add(then.evidence)
		before(then)
	}
	b.Add(w.evidence)
	return assess.Assess(w.policy(), &b, nil, time.Unix(1_800_000_000, 0))
}

func pathOver(hops string) agent.Evidence {
	return agent.See(agent.ProbePath, agent.Target{Addr: someAddr, Port: 3478, Transport: agent.UDP}, agent.Answered, "").With(agent.Hops, hops)
}

// walk is where the packets of the first look that matches end.
func (w *world) walk(match string, last int, from string, control int) agent.Evidence {
	for _, e := range w.evidence {
		if fits(e, strings.Fields(match)) {
			return agent.See(agent.ProbeWalk, e.Target, agent.Answered, "").With(agent.LastHop, last).With(agent.LastHopFrom, from).With(agent.ControlHop, control)
		}
	}
	panic("no evidence fits " + match)
}

func largest(bytes int) agent.Evidence {
	return agent.See(agent.ProbeMTU, agent.Target{Addr: someAddr, Port: 3478, Transport: agent.UDP}, agent.Answered, "").With(agent.PathMTU, bytes)
}

func many(p agent.ProbeName, sent, received int) agent.Evidence {
	return agent.See(p, agent.Target{Addr: someAddr, Port: 3478, Transport: agent.UDP}, agent.Answered, "").With(agent.Sent, sent).With(agent.Received, received)
}

// quiet is a UDP flow that was forgotten after so many seconds.
func quiet(seconds int) agent.Evidence {
	return agent.See(agent.ProbeIdle, agent.Target{Addr: someAddr, Port: 3478, Transport: agent.UDP}, agent.Answered, agent.Timeout).With(agent.IdleDead, seconds)
}

// hellos adds how ClientHellos to what matches ended.
func (w *world) hellos(match, plain, small, other string) *world {
	for _, e := range slices.Clone(w.evidence) {
		if fits(e, strings.Fields(match)) {
			w.add(agent.See(agent.ProbeHello, e.Target, agent.Answered, "").
				With(agent.HelloPlain, plain).With(agent.HelloSmall, small).With(agent.HelloOther, other))
		}
	}
	return w
}

// twoRelays gives the relay's name a second address that is blocked.
func (w *world) twoRelays() *world {
	const second = "203.0.113.250"
	for _, e := range slices.Clone(w.evidence) {
		if strings.HasPrefix(e.Target.Host, "coturn") && e.Probe != agent.ProbeDNS {
			e.Target.Addr = mustAddr(second)
			w.add(dropped(e))
		}
	}
	return w.on("dns coturn", func(e agent.Evidence) agent.Evidence {
		return e.With(agent.Addrs, e.Values.Text(agent.Addrs)+" "+second)
	})
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
			j := w.judgeAfter(tt.profile, tt.before)
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
	for _, tt := range lines {
		for _, c := range strings.Fields(tt.want) {
			seen[agent.Code(c)] = true
		}
	}
	seen[agent.Distant] = true // by TestDistance
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

// Worlds of the matrix, healthy and broken, by their id.
func worlds(t *testing.T, each func(t *testing.T, w *world)) {
	for _, tt := range matrix {
		t.Run(tt.id, func(t *testing.T) {
			if tt.profile == "" {
				tt.profile = "webprax"
			}
			w := newWorld(tt.profile)
			if tt.edit != nil {
				tt.edit(w)
			}
			each(t, w)
		})
	}
}

// The order in which a round's looks are told changes nothing.
func TestOrderOfEvidence(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		want := summary(w.judge())
		rng := rand.New(rand.NewPCG(1, 2))
		for range 20 {
			rng.Shuffle(len(w.evidence), func(i, j int) { w.evidence[i], w.evidence[j] = w.evidence[j], w.evidence[i] })
			if got := summary(w.judge()); got != want {
				t.Fatalf("in another order:\n%s\nwant\n%s", got, want)
			}
		}
	})
}

// summary is what a judgement says, without the numbers of its evidence.
func summary(j assess.Judgement) string {
	lines := []string{}
	for _, f := range j.Findings {
		lines = append(lines, fmt.Sprint(f.Code, f.Severity, f.Cause, f.Profile, f.Target, len(f.Evidence)))
	}
	slices.Sort(lines)
	return fmt.Sprintf("%s %s\n%s", j.Verdict, caps(j.Capabilities), strings.Join(lines, "\n"))
}

// A second look that contradicts the first never makes a verdict more certain: it
// blames nobody whom neither look alone would have blamed, and finds nothing that
// neither would have found.
func TestContradictionAddsNoCertainty(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		for i, e := range w.evidence {
			if !contradictable(e) {
				continue
			}
			other := newWorld()
			*other = *w
			other.evidence = slices.Clone(w.evidence)
			if e.Outcome == agent.Answered {
				other.evidence[i] = dropped(e)
			} else {
				other.evidence[i] = agent.See(e.Probe, e.Target, agent.Answered, "")
			}
			known := blamed(w.judge(), other.judge())
			for _, passes := range [][2]*world{{w, other}, {other, w}} {
				var b assess.Book
				b.Add(passes[0].evidence, passes[1].evidence)
				j := assess.Assess(w.policy(), &b, nil, time.Unix(1_800_000_000, 0))
				for _, f := range j.Findings {
					if f.Code != agent.Interrupted && !known[fmt.Sprint(f.Code)] {
						t.Errorf("%s, contradicted: %s comes up, which neither look alone shows", e.Target, f.Code)
					}
					if f.Cause != agent.CauseUnknown && f.Severity > agent.Info && !known[fmt.Sprint(f.Code, f.Cause)] {
						t.Errorf("%s, contradicted: %s is blamed on %s", e.Target, f.Code, f.Cause)
					}
				}
			}
		}
	})
}

// contradictable reports whether a look is one at a service that can fall silent.
func contradictable(e agent.Evidence) bool {
	return e.Target.Transport != "" && e.Outcome != agent.NotLooked && slices.Contains(
		[]agent.ProbeName{agent.ProbeWeb, agent.ProbeSTUN, agent.ProbeTURN, agent.ProbeNATS}, e.Probe)
}

// blamed are the codes of judgements, and codes with the causes they name.
func blamed(js ...assess.Judgement) map[string]bool {
	out := map[string]bool{}
	for _, j := range js {
		for _, f := range j.Findings {
			out[fmt.Sprint(f.Code)] = true
			out[fmt.Sprint(f.Code, f.Cause)] = true
		}
	}
	return out
}

// An inspection that breaks the consultations' TLS breaks the box's own too: then
// IT hears of both at once.
func TestReportsInspected(t *testing.T) {
	w := newWorld("webprax")
	w.on("web", becomes(agent.Tampered, agent.TLSUnknownCA))
	w.add(agent.See(agent.ProbeUplink, central, agent.Tampered, agent.TLSUnknownCA))
	for _, f := range w.judge().Findings {
		if f.Code == agent.CentralDown && f.Cause == agent.CausePractice {
			return
		}
	}
	t.Errorf("findings %+v, want central-down by the practice", w.judge().Findings)
}
