package webrtc_test

import (
	"net/netip"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
)

func TestFiltering(t *testing.T) {
	if !inPractice(t) {
		return
	}
	double, other, single := netip.MustParseAddr("10.0.3.3"), netip.MustParseAddr("10.0.3.4"), netip.MustParseAddr("10.0.3.5")
	for _, a := range []netip.Addr{double, other, single} {
		lab.IP(t, "-n server address add "+a.String()+"/24 dev in0")
	}
	lab.In(t, "server", func() {
		coturnAt(t, []netip.Addr{double, other}, "--no-tls", "--no-dtls") // offers RFC 5780, which takes two addresses
		coturnAt(t, []netip.Addr{single}, "--no-tls", "--no-dtls")
	})
	const (
		pass      = ""
		translate = "chain nat {\ntype nat hook postrouting priority 100;\noifname out0 masquerade\n}"
		byAddr    = "set known {\ntype ipv4_addr;\nflags dynamic;\n}\nchain forward {\ntype filter hook forward priority 0;\n" +
			"iifname in0 add @known { ip daddr }\niifname out0 ip saddr != @known drop\n}"
		mute = "chain forward {\ntype filter hook forward priority 0;\nip saddr 10.0.3.4 udp sport 3479 drop\n}"
	)
	at3478, at3479 := netip.AddrPortFrom(double, 3478), netip.AddrPortFrom(double, 3479)
	alone, whole := []netip.AddrPort{at3479}, []netip.AddrPort{at3479, netip.AddrPortFrom(other, 3479)}
	for _, tt := range []struct {
		name   string
		gate   string
		server netip.AddrPort
		others []netip.AddrPort
		want   string
	}{
		{"no filter", pass, at3478, alone, "endpoint-independent"},
		{"a filter by address", byAddr, at3478, whole, "address-dependent"},
		{"a filter by address, and its other one must not be asked", byAddr, at3478, alone, ""},
		{"a filter by address and port", translate, at3478, whole, "address-and-port-dependent"},
		{"a filter by address and port, and its other one must not be asked", translate, at3478, alone, ""},
		{"its other address is mute", mute, at3478, whole, ""},
		{"it has only one address", translate, netip.AddrPortFrom(single, 3478), []netip.AddrPort{at3478}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lab.In(t, "gate", func() { lab.NFT(t, "table ip t {\n"+tt.gate+"\n}") })
			e := webrtc.Mapping(tt.others)(t.Context(), at(tt.server, agent.UDP, agent.Plain))
			check(t, e, brief{Outcome: agent.Answered})
			if got := e.Values.Text(agent.Filtering); got != tt.want {
				t.Errorf("nat_filtering = %q, want %q: %v", got, tt.want, e.Values)
			}
		})
	}
}
