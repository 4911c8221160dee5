package webrtc_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/pion/stun/v2"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
)

// redirecting sends everybody to another server.
func redirecting(t *testing.T, to netip.AddrPort) netip.AddrPort {
	t.Helper()
	return datagrams(t, func(r []byte, reply, _ func([]byte)) {
		reply(respond(r, stun.ClassErrorResponse, stun.ErrorCodeAttribute{Code: 300},
			&stun.AlternateServer{IP: to.Addr().AsSlice(), Port: int(to.Port())}))
	})
}

func TestAlternateServer(t *testing.T) {
	good := datagrams(t, func(r []byte, reply, _ func([]byte)) { reply(right(r)) })
	closed := netip.AddrPortFrom(freshAddr(), 3478)
	again := redirecting(t, good)
	redirected := brief{Outcome: agent.Answered, Code: 300}
	tests := []struct {
		name string
		to   netip.AddrPort
		want brief
	}{
		{"to one that answers", good, proof},
		{"to one that refuses", closed, brief{Outcome: agent.Refused, Reason: agent.PortUnreachable}},
		{"to another redirection", again, redirected},
		{"to port 0", netip.AddrPortFrom(good.Addr(), 0), redirected},
		{"to nowhere", netip.MustParseAddrPort("0.0.0.0:3478"), redirected},
		{"to everybody", netip.MustParseAddrPort("255.255.255.255:3478"), redirected},
		{"to a group", netip.MustParseAddrPort("224.0.0.1:3478"), redirected},
		{"to the other family", netip.MustParseAddrPort("[::1]:3478"), redirected},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target := at(redirecting(t, tt.to), agent.UDP, agent.Plain)
			e := webrtc.TURN(newAuthority(t).checker)(t.Context(), target)
			check(t, e, tt.want, agent.Detail)
			if e.Target.AddrPort() != target.AddrPort() {
				t.Errorf("the evidence is about %v, want %v", e.Target.AddrPort(), target.AddrPort())
			}
		})
	}
}

// A server on the internet must not make the box knock inside the practice.
func TestMayFollow(t *testing.T) {
	tests := []struct {
		from, to string
		want     bool
	}{
		{"8.8.8.8", "9.9.9.9", true},
		{"8.8.8.8", "192.168.1.1", false},
		{"8.8.8.8", "10.0.0.1", false},
		{"8.8.8.8", "172.20.0.1", false},
		{"8.8.8.8", "127.0.0.1", false},
		{"8.8.8.8", "169.254.1.1", false},
		{"8.8.8.8", "100.64.0.1", false},
		{"8.8.8.8", "::ffff:192.168.1.1", false},
		{"2001:4860:4860::8888", "fd00::1", false},
		{"2001:4860:4860::8888", "fe80::1", false},
		{"2001:4860:4860::8888", "::1", false},
		{"2001:4860:4860::8888", "2620:fe::fe", true},
		{"192.168.1.1", "192.168.1.2", true},
		{"192.168.1.1", "9.9.9.9", true},
		{"192.168.1.1", "0.0.0.0", false},
		{"192.168.1.1", "224.0.0.1", false},
		{"192.168.1.1", "255.255.255.255", false},
	}
	for _, tt := range tests {
		if got := webrtc.MayFollow(netip.MustParseAddr(tt.from), netip.MustParseAddr(tt.to)); got != tt.want {
			t.Errorf("MayFollow(%s, %s) = %v, want %v", tt.from, tt.to, got, tt.want)
		}
	}
}

// An allocation that nobody had to ask for nicely is given back.
func TestOpenRelay(t *testing.T) {
	releases := make(chan uint32, 8)
	addr := datagrams(t, func(r []byte, reply, _ func([]byte)) {
		var m stun.Message
		if stun.Decode(r, &m) != nil {
			return
		}
		if m.Type.Method == stun.MethodRefresh {
			life, _ := m.Get(stun.AttrLifetime)
			releases <- uint32(len(life))
			for _, b := range life {
				releases <- uint32(b)
			}
		}
		reply(respond(r, stun.ClassSuccessResponse, &stun.XORMappedAddress{IP: net.IPv4(192, 0, 2, 7), Port: 4711}))
	})
	e := webrtc.TURN(newAuthority(t).checker)(t.Context(), at(addr, agent.UDP, agent.Plain))
	check(t, e, brief{Outcome: agent.Answered, Reason: agent.OpenRelay})
	for i, want := range []uint32{4, 0, 0, 0, 0} {
		if got := <-releases; got != want {
			t.Errorf("byte %d of the lifetime's length and value = %d, want %d", i, got, want)
		}
	}
}
