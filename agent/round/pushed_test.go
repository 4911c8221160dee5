package round_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/round"
)

// pushed is a target as the vendor names it over the network.
func pushed(t agent.Target) agent.Target {
	t.Pushed = true
	return t
}

// A name that the vendor sent and that leads into the practice is looked up and
// never asked; the box's own targets may well be there.
func TestPushedNameThatLeadsIntoThePractice(t *testing.T) {
	private := netip.MustParseAddr("192.168.1.1")
	for name, tt := range map[string]struct {
		targets []agent.Target
		public  func(netip.Addr) bool
		want    bool // asked at the private address
	}{
		"pushed":                {[]agent.Target{pushed(stun), pushed(turn), pushed(web), pushed(nats)}, publicBut(private), false},
		"nobody knows":          {[]agent.Target{pushed(stun), pushed(turn), pushed(web), pushed(nats)}, nil, false},
		"the box's own":         {[]agent.Target{stun, turn, web, nats}, publicBut(private), true},
		"the box's own as well": {[]agent.Target{pushed(web), web}, publicBut(private), true},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk()
			for _, host := range []string{"turn.example", "video.example", "nats.example"} {
				d.answer["dns "+host] = func(int) agent.Evidence {
					return agent.Evidence{Outcome: agent.Answered, Values: agent.Values{agent.Addrs: "192.168.1.1"}}
				}
			}
			for _, q := range []string{"web video.example:443/tcp 192.168.1.1"} {
				d.answer[q] = is(agent.Silent, agent.Timeout) // so that controls are asked, too
			}
			p := d.probes()
			p.Public = tt.public
			round.Run(t.Context(), p, profile(tt.targets...), true)
			got := slices.ContainsFunc(d.asked, func(q string) bool { return strings.Contains(q, "192.168.1.1") })
			if got != tt.want {
				t.Errorf("asked at the private address: %v, want %v: %q", got, tt.want, d.asked)
			}
		})
	}
}

func publicBut(private netip.Addr) func(netip.Addr) bool {
	return func(a netip.Addr) bool { return a != private }
}

// The practice's credentials for its own relay are not for whatever relay the
// vendor names.
func TestPushedRelayGetsNoCredentials(t *testing.T) {
	for _, target := range []agent.Target{turn, pushed(turn)} {
		d := newDesk()
		d.answer["turn turn.example:5349/udp 203.0.113.7 plain"] = is(agent.Answered, agent.Unauthorized)
		p := d.probes()
		p.Public = func(netip.Addr) bool { return true }
		p.Relay = d.probe(agent.ProbeRelay)
		round.Run(t.Context(), p, profile(target), true)
		got := slices.ContainsFunc(d.asked, func(q string) bool { return strings.HasPrefix(q, "relay ") })
		if got == target.Pushed {
			t.Errorf("pushed %v: credentials used %v: %q", target.Pushed, got, d.asked)
		}
	}
}
