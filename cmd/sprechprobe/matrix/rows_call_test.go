package matrix

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab/internet"
	"github.com/sprechprobe/sprechprobe/agent/lab/middlebox"
	"github.com/sprechprobe/sprechprobe/agent/lab/practice"
	"github.com/sprechprobe/sprechprobe/agent/probe/rehearsal"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
	"github.com/sprechprobe/sprechprobe/agent/trust"
)

// What a rehearsed call shows that no single packet does.
var calls = []row{
	{id: "N00c", what: "a call rehearsed by the program", caps: "ooo", verdict: agent.Ready, look: func(s *scene) agent.Report {
		return s.read(s.Run(exec.Command(os.Getenv(programVar), "check", "--rehearse", "--format", "json", "--config", s.config(s.known()))))
	}},
	{id: "N25c", what: "only the profile's hosts and ports allowed", notes: "highport-udp-block", caps: "noo", verdict: agent.Ready,
		look: (*scene).rehearse, inject: func(s *scene) {
			s.block("ip daddr "+internet.TURNAddr.String()+" udp dport != { 3478, 5349 }", "drop")
		}},
	{id: "N39", what: "the relay does not relay to itself", caps: "ooo", verdict: agent.Ready, look: (*scene).rehearse,
		inject: func(s *scene) { s.denying(internet.TURNAddr.String()) }},
	{id: "N40", what: "the relay relays neither to itself nor to the practice", notes: "turn-relay-403:vendor", caps: "ooo", verdict: agent.Ready,
		look: (*scene).rehearse, inject: func(s *scene) { s.denying(internet.TURNAddr.String(), "198.18.64.0-198.18.65.255") }},
	{id: "N41", what: "application control cuts TLS to the relay", notes: "turn-dpi-tls:unknown", caps: "ooo", verdict: agent.Ready, inject: func(s *scene) {
		s.later(s.Router.Divert("tcp dport 5349", middlebox.ResetAfterHello(s.Router.Dial, func(string, int) bool { return true })))
	}},
	{id: "N42", what: "the relay does not take the box's own password", notes: "turn-auth:vendor", caps: "ooo", verdict: agent.Ready,
		look: func(s *scene) agent.Report { return s.checkWith(s.knownBy("mistyped")) }},
	{id: "D13c", what: "3 % lost on the way to the relay", want: "loss:unknown", caps: "lll", verdict: agent.VerdictLimited, look: (*scene).rehearse,
		inject: func(s *scene) { s.block("udp dport 5349 numgen inc mod 33 == 0", "drop") }},
	{id: "D14", what: "40 ms more on either way for some packets, and not for others", want: "jitter:unknown", caps: "lll", verdict: agent.VerdictLimited, look: (*scene).rehearse,
		inject: func(s *scene) { s.line(practice.Quality{RTT: 80 * time.Millisecond, Reorder: 0.4}) }},
	{id: "D26", what: "the relay has no room", want: "turn-quota:vendor", caps: "oll", verdict: agent.VerdictLimited,
		inject: func(s *scene) {
			s.relay(internet.Relay{Quota: 1})
			s.occupy()
		},
		look: func(s *scene) agent.Report { return s.checkWith(s.known()) }},
	{id: "D31", what: "application control lets TURN's requests pass and no data", want: "turn-tcp-only", caps: "oll", verdict: agent.VerdictLimited,
		look: (*scene).rehearse, inject: func(s *scene) { s.block("udp dport 5349 @th,64,8 0x40", "drop") }},
	{id: "X16c", what: "8 % lost on the way to the relay", want: "loss:unknown", caps: "lln", verdict: agent.Blocked, look: (*scene).rehearse,
		inject: func(s *scene) { s.block("udp dport 5349 numgen inc mod 25 < 2", "drop") }},
	{id: "X29", what: "what is relayed gets lost", want: "turn-no-media:vendor", caps: "onl", verdict: agent.VerdictLimited, look: (*scene).rehearse,
		inject: func(s *scene) { s.later(s.Internet.LoseRelayed()) }},
	{id: "X32", what: "DTLS swallowed within TURN", want: "turn-dpi-tls", caps: "lnl", verdict: agent.VerdictLimited, look: (*scene).rehearse,
		inject: func(s *scene) { s.block("udp dport 5349 @th,64,8 0x40 @th,96,8 0x16", "drop") }},
}

func TestCalls(t *testing.T) { play(t, practice.Plan{}, calls) }

var known = webrtc.Credentials{Username: internet.User, Password: internet.Password}

// known are the box's own credentials at the relay, as its configuration has them.
func (s *scene) known() string { return s.knownBy(internet.Password) }

func (s *scene) knownBy(password string) string {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return fmt.Sprintf("[relay]\nusername = %q\npassword_file = %q\n", internet.User, file)
}

// denying runs a relay that refuses peers at some addresses.
func (s *scene) denying(addrs ...string) {
	var more []string
	for _, a := range addrs {
		more = append(more, "--denied-peer-ip="+a)
	}
	s.relay(internet.Relay{More: more})
}

// occupy holds an allocation until the row is over.
func (s *scene) occupy() {
	s.t.Helper()
	t := agent.Target{Port: 3478, Transport: agent.UDP}.At(internet.TURNAddr, agent.Plain)
	held, e := webrtc.OpenRelay(s.t.Context(), t, known, trust.Checker{}, 5*time.Minute)
	if held == nil {
		s.t.Fatalf("no allocation to hold: %v %v", e.Outcome, e.Reason)
	}
	s.later(func() { held.Close() })
}

// rehearse is one check, and a rehearsal by the relay that answered in it, shorter
// than the box makes it.
func (s *scene) rehearse() agent.Report {
	s.t.Helper()
	r := s.check()
	var udp, tcp agent.Target
	for _, e := range r.Evidence {
		if e.Probe == agent.ProbeTURN && e.Outcome == agent.Answered && e.Target.Variant == agent.Plain {
			if e.Target.Transport == agent.UDP {
				udp = e.Target
			} else {
				tcp = e.Target
			}
		}
	}
	look := func(at agent.Target, p rehearsal.Plan) (e agent.Evidence) {
		for range 5 { // the test's own machine may be busy
			if e = rehearsal.Probe(p, rehearsal.Static(known), trust.Checker{})(s.t.Context(), at); e.Reason != agent.BoxBusy {
				break
			}
		}
		s.t.Log(at, e.Outcome, e.Reason, e.Values)
		return e
	}
	found := []agent.Evidence{look(udp, rehearsal.Plan{Voice: 4 * time.Second, Witness: tcp})}
	if came, _ := found[0].Values.Flag(agent.Relayed); !came {
		found = append(found, look(tcp, rehearsal.Plan{Voice: time.Second}))
	}
	return judged(r, s.profiles(), func(es []agent.Evidence) []agent.Evidence { return append(es, found...) })
}
