package link_test

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/link"
	"github.com/sprechprobe/sprechprobe/agent/probe/probetest"
)

// A checksum over a message that has one is zero, as RFC 1071 section 1 says.
func TestEchoChecksum(t *testing.T) {
	b := link.EchoRequest(true, 7, [8]byte{0xFF, 0xFF, 0xFE, 1, 2, 3, 4, 0xFF})
	if sum := link.Checksum(b); sum != 0 {
		t.Errorf("checksum over % x is %x, want 0", b, sum)
	}
}

func FuzzEchoReply(f *testing.F) {
	token := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	request := link.EchoRequest(true, 3, token)
	answer := bytes.Clone(request)
	answer[0] = 0
	f.Add(request, true)
	f.Add(answer, true)
	f.Add(answer[:15], true)
	f.Add(append([]byte{129}, answer[1:]...), false)
	f.Fuzz(func(t *testing.T, b []byte, v4 bool) {
		seq, ok := link.EchoReply(b, v4, token)
		if !ok {
			return
		}
		want := link.EchoRequest(v4, seq, token)
		if !bytes.Equal(b[6:], want[6:]) || b[0] == want[0] {
			t.Errorf("% x is taken for the answer to % x", b, want)
		}
	})
}

func TestConformGateway(t *testing.T) {
	m := pi(t)
	m.system.Root = t.TempDir() // where the loopback is the gateway
	write(t, m.system.Root, "proc/net/route", "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\neth0 00000000 0100007F 0003 0 0 0 00000000 0 0 0\n")
	target := agent.Target{Host: "given.example", Port: 443, Transport: agent.TCP}
	probetest.Conform(t, link.Gateway(m.system), target, target)
}

func TestGatewayEchoes(t *testing.T) {
	lab.Program(t, "ip", "iproute2")
	lab.Program(t, "nft", "nftables")
	t.Parallel() // each has its own network, and mostly waits
	if !lab.Inside(t) {
		return
	}
	lab.Chain(t, "router")
	lab.IP(t, "-n router -6 address add fe80::1/64 dev in0 nodad")
	const closed, open = "1 0", "0 2147483647"
	pingers := func(t *testing.T, groups string) {
		t.Helper()
		if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte(groups), 0); err != nil {
			t.Fatal(err)
		}
	}
	answers := func(t *testing.T, rule string) {
		t.Helper()
		lab.In(t, "router", func() { lab.NFT(t, "table inet t {\nchain c {\ntype filter hook input priority 0;\n"+rule+"\n}\n}") })
	}
	tests := []struct {
		name     string
		groups   string
		rule     string // what the router does with what it is asked
		gateway  string
		outcome  agent.Outcome
		reason   agent.Reason
		received float64
	}{
		{"clean, raw socket", closed, "accept", "10.0.1.2", agent.Answered, "", 20},
		{"clean, socket for everybody", open, "accept", "10.0.1.2", agent.Answered, "", 20},
		{"clean, IPv6, raw socket", closed, "accept", "fd00:1::2", agent.Answered, "", 20},
		{"clean, IPv6, socket for everybody", open, "accept", "fd00:1::2", agent.Answered, "", 20},
		{"clean, IPv6, as routers announce themselves", closed, "accept", "fe80::1", agent.Answered, "", 20},
		{"one in four is lost", closed, "icmp type echo-request numgen inc mod 4 == 3 drop", "10.0.1.2", agent.Answered, agent.LostSome, 15},
		{"one is lost", closed, "icmp type echo-request limit rate over 1/day burst 19 packets drop", "10.0.1.2", agent.Answered, "", 19},
		{"does not answer echo", closed, "icmp type echo-request drop", "10.0.1.2", agent.NotLooked, agent.TooFew, 0},
		{"is not there", open, "accept", "10.0.1.9", agent.NotLooked, agent.TooFew, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pingers(t, tt.groups)
			answers(t, tt.rule)
			lab.IP(t, "route flush exact 0/0\n-6 route flush exact ::/0")
			if netip.MustParseAddr(tt.gateway).Is4() {
				lab.IP(t, "route add default via "+tt.gateway)
			} else {
				lab.IP(t, "-6 route add default via "+tt.gateway+" dev out0")
			}
			e := link.Gateway(link.System{})(t.Context(), agent.Target{})
			checkValues(t, e)
			if e.Outcome != tt.outcome || e.Reason != tt.reason || e.Values.Text(agent.Gateway) != tt.gateway {
				t.Errorf("%v %q of %v, want %v %q of %v", e.Outcome, e.Reason, e.Values, tt.outcome, tt.reason, tt.gateway)
			}
			if tt.outcome != agent.Answered {
				return
			}
			sent, _ := e.Values.Num(agent.Sent)
			received, _ := e.Values.Num(agent.Received)
			if sent != 20 || received != tt.received {
				t.Errorf("%v of %v, want %v of 20", received, sent, tt.received)
			}
			for _, k := range []agent.Key{agent.RTT, agent.RTTMax, agent.Jitter} {
				if e.Values[k] == nil {
					t.Errorf("no %s in %v", k, e.Values)
				}
			}
		})
	}
	t.Run("not permitted", func(t *testing.T) {
		pingers(t, closed)
		runtime.LockOSThread() // and never unlocked: the thread ends with this test
		withoutRawSockets(t)
		e := link.Gateway(link.System{})(t.Context(), agent.Target{})
		if e.Outcome != agent.NotLooked || e.Reason != agent.Unsupported {
			t.Errorf("%v %q %v, want not-looked unsupported", e.Outcome, e.Reason, e.Values)
		}
	})
	t.Run("no gateway", func(t *testing.T) {
		lab.IP(t, "route flush exact 0/0\n-6 route flush exact ::/0")
		e := link.Gateway(link.System{})(t.Context(), agent.Target{})
		if e.Outcome != agent.NotLooked || e.Reason != agent.NoGateway {
			t.Errorf("%v %q, want not-looked no-gateway", e.Outcome, e.Reason)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		lab.IP(t, "route add default via 10.0.1.2")
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		e := link.Gateway(link.System{})(ctx, agent.Target{})
		if e.Outcome != agent.NotLooked || e.Reason != agent.Cancelled {
			t.Errorf("%v %q, want not-looked cancelled", e.Outcome, e.Reason)
		}
	})
}

// withoutRawSockets takes the right to open raw sockets from this thread.
func withoutRawSockets(t *testing.T) {
	t.Helper()
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if err := unix.Capget(&head, &have[0]); err != nil {
		t.Fatal(err)
	}
	have[0].Effective &^= 1 << unix.CAP_NET_RAW
	if err := unix.Capset(&head, &have[0]); err != nil {
		t.Fatal(err)
	}
}
