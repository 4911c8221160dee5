package rehearsal_test

import (
	"context"
	"errors"
	"math"
	"net"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/rehearsal"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
)

// Over a line without fault everything arrives, in both directions, whichever
// server relays and however it is spoken to.
func TestGoodLine(t *testing.T) {
	for name, start := range map[string]func(*testing.T) far{
		"pion":   func(t *testing.T) far { return pion(t, gate{}) },
		"coturn": func(t *testing.T) far { return coturn(t, "--allow-loopback-peers") },
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t)
			for _, tr := range []agent.Transport{agent.UDP, agent.TCP} {
				p := short
				if tr == agent.UDP {
					p.Witness = at(f.addr, agent.TCP)
				}
				e := see(t, p, cred, at(f.addr, tr))
				if e.Outcome != agent.Answered || e.Reason != "" || e.Probe != agent.ProbeRehearsal {
					t.Fatalf("%s: %v %q, want answered\n%v", tr, e.Outcome, e.Reason, e.Values)
				}
				want := map[agent.Key]any{
					agent.Relayed: true, agent.LossBothWays: 0.0, agent.Duplicates: 0.0, agent.Sent: 40.0, agent.Received: 40.0,
					agent.VideoRate: 1.2e6, agent.VideoLoss: 0.0,
				}
				if tr == agent.UDP {
					want[agent.UpLoss], want[agent.DownLoss] = 0.0, 0.0
					want[agent.HighPort], want[agent.Punched], want[agent.PortKept] = true, true, true
					want[agent.Filtering] = "address-dependent" // the most that one host can show
				}
				for k, v := range want {
					if e.Values[k] != v {
						t.Errorf("%s: %s = %v, want %v", tr, k, e.Values[k], v)
					}
				}
				if got := e.Values[agent.MOS]; got != published(e) {
					t.Errorf("%s: mos_score = %v, but %v by the inputs that are told: %v", tr, got, published(e), e.Values)
				}
				for _, k := range []agent.Key{agent.RTT, agent.RTTMax, agent.Jitter, agent.TLSTime, agent.MOS, agent.OwnCPU, agent.Late, agent.TestBytes} {
					if e.Values[k] == nil {
						t.Errorf("%s: no %s in %v", tr, k, e.Values)
					}
				}
			}
		})
	}
}

// published is the score that a reader computes from what evidence says of sound, by
// the formula in docs/box.md.
func published(e agent.Evidence) float64 {
	num := func(k agent.Key) float64 { n, _ := e.Values.Num(k); return n }
	lost, jitter := num(agent.LossBothWays), num(agent.Jitter)
	if e.Values[agent.UpLoss] != nil {
		lost = max(num(agent.UpLoss), num(agent.DownLoss))
	}
	if e.Values[agent.UpJitter] != nil {
		jitter = max(num(agent.UpJitter), num(agent.DownJitter))
	}
	d := num(agent.RTT)/2 + 2*jitter + 40
	r := 93.2 - 0.024*d - 0.11*max(0, d-177.3) - 95*100*lost/(100*lost+25.1)
	return math.Round(100*(1+0.035*r+7e-6*r*(r-60)*(100-r))) / 100
}

// A server that denies its own address as a peer says nothing about the practice:
// the plain socket stands in where it may, and otherwise nothing is claimed.
func TestSelfPeeringDenied(t *testing.T) {
	never := pion(t, gate{peers: func(net.Addr, net.IP) bool { return false }})
	for name, f := range map[string]far{"coturn": coturn(t), "pion": never} {
		e := see(t, short, cred, at(f.addr, agent.UDP))
		relayed, seen := e.Values.Flag(agent.Relayed)
		code, _ := e.Values.Num(agent.STUNError)
		if e.Outcome != agent.Answered || e.Reason != agent.PeerDenied || relayed || !seen || code != 403 {
			t.Errorf("%s: %v %q, relayed %v, code %v, want answered peer-denied, not relayed, 403", name, e.Outcome, e.Reason, relayed, code)
		}
	}
	// One that denies other allocations only: here the clients have an address of
	// their own, which loopback gives by the family of addresses.
	first := true
	f := pion(t, gate{quota: func(string, string, net.Addr) bool { ok := first; first = false; return ok }})
	e := see(t, rehearsal.Plan{}, cred, at(f.addr, agent.UDP))
	if relayed, _ := e.Values.Flag(agent.Relayed); !relayed || e.Reason != "" {
		t.Errorf("with one allocation: %v %q %v, want media by the plain socket", e.Outcome, e.Reason, e.Values)
	}
}

func TestRefusals(t *testing.T) {
	full := pion(t, gate{quota: func(string, string, net.Addr) bool { return false }})
	e := see(t, short, cred, at(full.addr, agent.UDP))
	if code, _ := e.Values.Num(agent.STUNError); e.Outcome != agent.Answered || code != 486 {
		t.Errorf("no room: %v with code %v, want answered with 486", e.Outcome, code)
	}
	wrong := rehearsal.Static(webrtc.Credentials{Username: username, Password: "falsch"})
	e = see(t, short, wrong, at(coturn(t).addr, agent.UDP))
	if e.Outcome != agent.Answered || e.Reason != agent.AuthRefused {
		t.Errorf("wrong password: %v %q, want answered auth-refused", e.Outcome, e.Reason)
	}
	nobody := func(context.Context) (webrtc.Credentials, error) {
		return webrtc.Credentials{}, errors.New("nobody answers")
	}
	e = see(t, short, nobody, at(full.addr, agent.UDP))
	if e.Outcome != agent.NotLooked || e.Reason != agent.NoCredentials {
		t.Errorf("without credentials: %v %q, want not-looked no-credentials", e.Outcome, e.Reason)
	}
}

func TestScore(t *testing.T) {
	for _, tt := range []struct {
		rtt, jitter, loss float64
		above, below      float64
	}{
		{20, 1, 0, 4.3, 4.5},
		{60, 10, 0.03, 3.9, 4.3},
		{300, 5, 0, 4.0, 4.4},
		{600, 5, 0, 3.0, 3.8},
		{20, 1, 0.08, 3.0, 3.7},
		{20, 1, 0.4, 1, 1.8},
		{5000, 500, 1, 1, 1.001},
	} {
		if got := rehearsal.Score(tt.rtt, tt.jitter, tt.loss); got < tt.above || got > tt.below {
			t.Errorf("Score(%v, %v, %v) = %.2f, want %v to %v", tt.rtt, tt.jitter, tt.loss, got, tt.above, tt.below)
		}
	}
}
