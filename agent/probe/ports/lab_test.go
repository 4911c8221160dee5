package ports_test

import (
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/ports"
)

func TestRouterRejectsPorts(t *testing.T) {
	lab.Program(t, "ip", "iproute2")
	if !lab.Inside(t) {
		return
	}
	// The target is an address of the router that is not on the link. Routing
	// rules reject some of its ports; on the others nothing listens. A router
	// sends no more than five of these errors at once.
	lab.IP(t, `
		netns add router
		link set lo up
		link add up0 type veth peer name lan0 netns router
		address add 10.0.1.2/24 dev up0
		link set up0 up
		route add 10.0.2.2 via 10.0.1.1

		-n router link set lo up
		-n router address add 10.0.1.1/24 dev lan0
		-n router address add 10.0.2.2/32 dev lo
		-n router link set lan0 up
		-n router rule add pref 100 lookup local
		-n router rule del pref 0
		-n router rule add pref 10 to 10.0.2.2 ipproto tcp dport 20000 prohibit
		-n router rule add pref 11 to 10.0.2.2 ipproto udp dport 20000-20002 prohibit`)
	lab.In(t, "router", func() { lab.Set(t, "ipv4/ip_forward 1\nipv4/icmp_ratelimit 0") })

	tests := []struct {
		transport agent.Transport
		outcome   agent.Outcome
		reason    agent.Reason
		open      int
		barred    string
	}{
		{agent.TCP, agent.Answered, agent.Reset, 2, "20000"},
		{agent.UDP, agent.Rejected, agent.AdminProhibited, 0, "20000, 20001, 20002"},
	}
	for _, tt := range tests {
		t.Run(string(tt.transport), func(t *testing.T) {
			e := ports.Probe(0)(t.Context(), target("10.0.2.2", 20000, 20002, tt.transport))
			wantOutcome(t, e, tt.outcome, tt.reason)
			wantValues(t, e, agent.Values{
				agent.Sampled: 3.0, agent.Open: float64(tt.open), agent.Barred: float64(3 - tt.open), agent.Quiet: 0.0,
				agent.BarredPorts: tt.barred,
				agent.ICMPType:    3.0, agent.ICMPCode: 13.0, agent.ICMPFrom: "10.0.1.1",
			})
		})
	}
	t.Run("no route", func(t *testing.T) {
		e := ports.Probe(0)(t.Context(), target("198.51.100.1", 20000, 20001, agent.UDP))
		wantOutcome(t, e, agent.NotLooked, agent.NoRoute)
		wantValues(t, e, nil)
	})
}
