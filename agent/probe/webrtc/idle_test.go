package webrtc_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/stun/v2"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
	"github.com/sprechprobe/sprechprobe/agent/trust"
)

// The NAT of the gate forgets after three seconds, or does not.
func TestIdle(t *testing.T) {
	if !inPractice(t) {
		return
	}
	double, other := netip.MustParseAddr("10.0.3.3"), netip.MustParseAddr("10.0.3.4")
	plain, random := netip.MustParseAddr("10.0.3.5"), netip.MustParseAddr("10.0.3.6")
	for _, a := range []netip.Addr{double, other, plain, random} {
		lab.IP(t, "-n server address add "+a.String()+"/24 dev in0")
	}
	lab.In(t, "server", func() {
		coturnAt(t, []netip.Addr{double, other}, "--no-tls", "--no-dtls") // offers RFC 5780, which takes two addresses
		for _, a := range []netip.Addr{plain, random} {
			coturnAt(t, []netip.Addr{a}, "--no-tls", "--no-dtls", "--stun-only")
		}
	})
	// To one server, the NAT never gives the same port again.
	lab.In(t, "gate", func() {
		lab.NFT(t, "table ip t {\nchain c {\ntype nat hook postrouting priority 100;\noifname out0 ip daddr "+random.String()+" masquerade random,fully-random\noifname out0 masquerade\n}\n}")
	})
	cred := webrtc.Credentials{Username: username, Password: password}
	silences := []time.Duration{time.Second, 6 * time.Second}
	free, relayed := webrtc.Idle(silences), webrtc.IdleRelayed(silences, cred, trust.Checker{})
	fine, dead := brief{Outcome: agent.Answered}, brief{Outcome: agent.Answered, Reason: agent.Timeout}
	unclear := brief{Outcome: agent.NotLooked, Reason: agent.TooFew}
	for _, tt := range []struct {
		forgets int // seconds
		looks   []idleLook
	}{
		{60, []idleLook{
			{"by another port", free, double, fine, [2]any{6.0, nil}},
			{"by its mapping", free, plain, unclear, [2]any{nil, nil}},
			{"by a random mapping", free, random, unclear, [2]any{nil, nil}},
			{"by a relay", relayed, server4, fine, [2]any{6.0, nil}},
		}},
		{3, []idleLook{
			{"by another port", free, double, dead, [2]any{1.0, 6.0}},
			{"by its mapping", free, plain, unclear, [2]any{nil, nil}}, // it gets the same again
			{"by a random mapping", free, random, dead, [2]any{nil, 6.0}},
			{"by a relay", relayed, server4, dead, [2]any{1.0, 6.0}},
		}},
	} {
		lab.In(t, "gate", func() {
			lab.Set(t, fmt.Sprintf("netfilter/nf_conntrack_udp_timeout %[1]d\nnetfilter/nf_conntrack_udp_timeout_stream %[1]d", tt.forgets))
		})
		var looks sync.WaitGroup
		for _, l := range tt.looks {
			looks.Go(func() {
				t.Run(fmt.Sprintf("%s, forgotten after %d s", l.name, tt.forgets), func(t *testing.T) {
					e := l.probe(t.Context(), at(netip.AddrPortFrom(l.to, 3478), agent.UDP, agent.Plain))
					check(t, e, l.want)
					if d := cmp.Diff(l.times, [2]any{e.Values[agent.IdleAlive], e.Values[agent.IdleDead]}); d != "" {
						t.Errorf("idle_alive_s and idle_dead_s (-want +got):\n%s%v", d, e.Values)
					}
				})
			})
		}
		looks.Wait()
	}
	t.Run("high ports are closed", func(t *testing.T) {
		rules(t, "gate", "forward", "ip daddr "+server4.String()+" udp dport != 3478 drop")
		e := relayed(t.Context(), at(netip.AddrPortFrom(server4, 3478), agent.UDP, agent.Plain))
		check(t, e, unclear, agent.Detail)
	})
	t.Run("wrong credentials", func(t *testing.T) {
		p := webrtc.IdleRelayed(silences, webrtc.Credentials{Username: username, Password: "wrong"}, trust.Checker{})
		e := p(t.Context(), at(netip.AddrPortFrom(server4, 3478), agent.UDP, agent.Plain))
		check(t, e, brief{agent.Answered, agent.AuthRefused, 401})
	})
}

type idleLook struct {
	name  string
	probe agent.Probe
	to    netip.Addr
	want  brief
	times [2]any // idle_alive_s, idle_dead_s
}

// toOtherPorts is a STUN server that answers to the port that it is told to (RFC
// 5780 section 7.5).
func toOtherPorts(t *testing.T) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(freshAddr(), 0)))
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() { c.Close(); serving.Wait() })
	serving.Go(func() {
		b := make([]byte, 2048)
		for {
			n, from, err := c.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			var m stun.Message
			if stun.Decode(b[:n], &m) != nil {
				continue
			}
			answer := respond(b[:n], stun.ClassSuccessResponse, &stun.XORMappedAddress{IP: from.Addr().AsSlice(), Port: int(from.Port())})
			if port, err := m.Get(0x0027); err == nil && len(port) == 4 {
				from = netip.AddrPortFrom(from.Addr(), binary.BigEndian.Uint16(port))
			}
			_, _ = c.WriteToUDPAddrPort(answer, from)
		}
	})
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}
