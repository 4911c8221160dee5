package webrtc_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
)

func TestMTU(t *testing.T) {
	if !inPractice(t) {
		return
	}
	answered, lost := brief{Outcome: agent.Answered}, brief{Outcome: agent.Answered, Reason: agent.LostLarge}
	unclear := brief{Outcome: agent.NotLooked, Reason: agent.TooFew}
	const mute = "icmp type destination-unreachable icmp code frag-needed drop\nicmpv6 type packet-too-big drop"
	type look struct {
		tr   agent.Transport
		to   netip.Addr
		want brief
		size int  // that comes through; 0: not measured
		lost bool // and the next one is known to vanish
	}
	udp, tcp := agent.UDP, agent.TCP
	tests := []struct {
		name            string
		mtus            [3]int // of the links from the box on; 0: 1500
		gate, line, far string // rules for what passes the gate and the line, and what the server takes
		looks           []look
	}{
		{name: "clean", looks: []look{
			{udp, server4, answered, 1500, false}, {udp, server6, answered, 1500, false},
			{tcp, server4, answered, 1500, false}, {tcp, server6, answered, 1500, false},
			{tcp, gate4, brief{Outcome: agent.Refused, Reason: agent.Reset}, 0, false},
		}},
		{name: "own interface", mtus: [3]int{1492}, looks: []look{{udp, server4, answered, 1492, false}}},
		{name: "PPPoE", mtus: [3]int{0, 1492}, looks: []look{{udp, server4, answered, 1492, false}}},
		{name: "odd", mtus: [3]int{0, 1454}, looks: []look{{udp, server4, answered, 1454, false}}},
		{name: "narrower and narrower", mtus: [3]int{1492, 1460, 1400}, looks: []look{{udp, server6, answered, 1400, false}}},
		{name: "TCP is told", mtus: [3]int{0, 1400}, looks: []look{{tcp, server4, answered, 1400, false}}},
		{name: "black hole", mtus: [3]int{0, 1400}, gate: mute, looks: []look{
			{udp, server4, lost, 1400, true}, {udp, server6, lost, 1400, true},
			{tcp, server4, lost, 0, true}, {tcp, server6, lost, 0, true},
		}},
		{name: "black hole, but clamped", mtus: [3]int{0, 1400}, gate: mute, line: "tcp flags syn tcp option maxseg size set 1300", looks: []look{
			{tcp, server4, answered, 1340, false},
		}},
		// All of these may be the server's doing, or are no matter of the path.
		{name: "the server drops large requests", far: "udp length > 1000 drop", looks: []look{{udp, server4, unclear, 1020, false}}},
		{name: "the firewall drops large packets", gate: "meta length > 1300 drop", looks: []look{{udp, server4, unclear, 1300, false}}},
		{name: "black hole, and fragments are dropped", mtus: [3]int{0, 1400}, gate: mute, line: "ip frag-off & 0x3fff != 0 drop", looks: []look{
			{udp, server4, unclear, 1400, false},
		}},
		{name: "the firewall rejects large packets", gate: "meta length > 1300 reject with icmp admin-prohibited", looks: []look{
			{udp, server4, brief{Outcome: agent.Rejected, Reason: agent.AdminProhibited}, 1300, false},
		}},
		// Too little for IPv6, which ends on that link.
		{name: "tiny black hole", mtus: [3]int{0, 600}, gate: mute, looks: []look{{udp, server4, lost, 600, true}}},
	}
	for _, tt := range tests {
		for i, l := range [3][2]string{{"", "gate"}, {"gate", "line"}, {"line", "server"}} {
			near, mtu := "", 1500
			if l[0] != "" {
				near = "-n " + l[0] + " "
			}
			if tt.mtus[i] > 0 {
				mtu = tt.mtus[i]
			}
			lab.IP(t, fmt.Sprintf("%slink set out0 mtu %d\n-n %s link set in0 mtu %d", near, mtu, l[1], mtu))
		}
		lab.IP(t, "route flush cache\n-6 route flush cache")
		rules(t, "gate", "output", tt.gate)
		if tt.gate != mute {
			rules(t, "gate", "forward", tt.gate)
		}
		rules(t, "line", "forward", tt.line)
		rules(t, "server", "input", tt.far)
		var looks sync.WaitGroup
		for _, l := range tt.looks {
			looks.Go(func() {
				t.Run(fmt.Sprintf("%s %s %s", tt.name, l.tr, l.to), func(t *testing.T) {
					e := webrtc.MTU(t.Context(), at(netip.AddrPortFrom(l.to, 3478), l.tr, agent.Plain))
					check(t, e, l.want)
					sized(t, e.Values, l.size, l.lost, l.want == answered)
				})
			})
		}
		looks.Wait()
	}
}

// Loss is no black hole, however often it hits.
func TestMTUOfALossyLine(t *testing.T) {
	if !inPractice(t) {
		return
	}
	rules(t, "gate", "forward", "numgen random mod 100 < 8 drop")
	var looks sync.WaitGroup
	for range 20 {
		looks.Go(func() {
			e := webrtc.MTU(t.Context(), at(netip.AddrPortFrom(server4, 3478), agent.UDP, agent.Plain))
			if e.Reason == agent.LostLarge || e.Outcome == agent.Answered && e.Values[agent.PathMTU] != 1500.0 {
				t.Errorf("%v %q %v, want 1500 bytes or no statement", e.Outcome, e.Reason, e.Values)
			}
		})
	}
	looks.Wait()
}

// sized compares what is known of sizes with what comes through. How near a search
// comes is a matter of time, but what a router says is exact.
func sized(t *testing.T, v agent.Values, size int, lost, exact bool) {
	t.Helper()
	near := 130
	if exact {
		near = 0
	}
	passed, measured := v.Num(agent.PathMTU)
	if measured != (size > 0) || measured && (int(passed) > size || int(passed) < size-near) {
		t.Errorf("path_mtu_bytes = %v, want %d: %v", v[agent.PathMTU], size, v)
	}
	gone, seen := v.Num(agent.LostSize)
	if seen != lost || seen && (int(gone) <= size || size > 0 && int(gone) > size+near) {
		t.Errorf("lost_size_bytes = %v, want one over %d: %v", v[agent.LostSize], size, lost)
	}
}
