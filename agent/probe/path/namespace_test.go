package path_test

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/path"
)

// The way: box - practice (NAT) - carrier (NAT again) - core - server.
const (
	practice4, carrier4, core4, server4 = "10.0.1.2", "10.0.2.2", "10.0.3.2", "10.0.4.2"
	practice6, carrier6, core6, server6 = "fd00:1::2", "fd00:2::2", "fd00:3::2", "fd00:4::2"

	stunPort, turnPort = 3478, 5349
)

var routers = []string{"practice", "carrier", "core"}

// inPractice reports whether this is a run of the calling test inside, with that
// way made, and coturn and an echo at its end.
func inPractice(t *testing.T) bool {
	t.Helper()
	for program, debian := range map[string]string{"ip": "iproute2", "nft": "nftables", "turnserver": "coturn"} {
		lab.Program(t, program, debian)
	}
	t.Parallel() // each has its own network, and mostly waits
	if !lab.Inside(t) {
		return false
	}
	lab.Chain(t, append(routers, "server")...)
	for _, n := range routers {
		rules(t, n)
	}
	lab.In(t, "server", func() { startCoturn(t); serve(t) })
	return true
}

// startCoturn answers on 3478 of both families, by UDP and TCP.
func startCoturn(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(lab.Program(t, "turnserver", "coturn"),
		"-n", "--listening-ip", server4, "--listening-ip", server6, "--relay-ip", server4, "--no-cli",
		"--lt-cred-mech", "--realm", "test", "--user", "u:p", "--log-file", "stdout", "--simple-log",
		"--pidfile", filepath.Join(dir, "pid"), "--userdb", filepath.Join(dir, "db"))
	cmd.Dir = dir
	lab.Start(t, cmd, func(p *lab.Process) bool { return strings.Contains(p.Said(), "IO method (admin thread)") })
}

// serve echoes and accepts on 5349 of both families, until this process ends.
func serve(t *testing.T) {
	t.Helper()
	at := fmt.Sprintf(":%d", turnPort)
	u, err := net.ListenPacket("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			if c, err := l.Accept(); err == nil {
				_ = c.Close()
			}
		}
	}()
	go func() {
		b := make([]byte, 2048)
		for {
			if n, from, err := u.ReadFrom(b); err == nil {
				_, _ = u.WriteTo(b[:n], from)
			}
		}
	}()
}

// rules replaces a router's firewall: what the box's side sends into the world
// passes these rules. Both routers with private addresses behind them translate.
func rules(t *testing.T, router string, forward ...string) {
	t.Helper()
	raw(t, router, "table inet fw {\nchain forward {\ntype filter hook forward priority 0;\n"+strings.Join(forward, "\n")+"\n}\n}")
}

func raw(t *testing.T, router, more string) {
	t.Helper()
	nat := "table ip nat {\nchain post {\ntype nat hook postrouting priority 100;\noifname out0 masquerade\n}\n}\n"
	if router == "core" {
		nat = ""
	}
	lab.In(t, router, func() { lab.NFT(t, nat+more) })
}

// mute keeps a router from telling that packets died in it.
const mute = `table inet mute {
	chain out {
		type filter hook output priority 0;
		icmp type time-exceeded drop
		icmpv6 type time-exceeded drop
	}
}`

func target(addr string, port uint16, tr agent.Transport) agent.Target {
	return agent.Target{Host: "turn.example", Addr: netip.MustParseAddr(addr), Port: port, Transport: tr}
}

func want(t *testing.T, e agent.Evidence, o agent.Outcome, why agent.Reason, v agent.Values) {
	t.Helper()
	if e.Outcome != o || e.Reason != why {
		t.Errorf("%v %q, want %v %q", e.Outcome, e.Reason, o, why)
	}
	for k, x := range v {
		if e.Values[k] != x {
			t.Errorf("%s = %v, want %v", k, e.Values[k], x)
		}
	}
	if t.Failed() {
		t.Log(e.Values)
	}
}

func TestPathNamesRouters(t *testing.T) {
	if !inPractice(t) {
		return
	}
	tests := []struct {
		name, to string
		muted    []string
		outcome  agent.Outcome
		hops     any
	}{
		{"all speak", server4, nil, agent.Answered, "10.0.1.2 10.0.2.2 10.0.3.2"},
		{"all speak, IPv6", server6, nil, agent.Answered, "fd00:1::2 fd00:2::2 fd00:3::2"},
		{"the second is mute", server4, []string{"carrier"}, agent.Answered, "10.0.1.2 * 10.0.3.2"},
		{"the last is mute", server6, []string{"core"}, agent.Answered, "fd00:1::2 fd00:2::2 *"},
		{"all are mute", server4, routers, agent.Answered, "* * *"},
		{"the target does not answer", "10.0.4.99", nil, agent.Answered, "10.0.1.2 10.0.2.2 10.0.3.2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, r := range routers {
				rules(t, r)
			}
			for _, r := range tt.muted {
				raw(t, r, mute)
			}
			e := path.Path(t.Context(), target(tt.to, stunPort, agent.UDP))
			want(t, e, tt.outcome, "", agent.Values{agent.Hops: tt.hops})
		})
	}
	t.Run("nobody speaks", func(t *testing.T) {
		raw(t, "practice", "table ip pre {\nchain c {\ntype filter hook prerouting priority -300;\nudp dport 3478 drop\n}\n}")
		e := path.Path(t.Context(), target(server4, stunPort, agent.UDP))
		want(t, e, agent.Silent, agent.Timeout, agent.Values{agent.Hops: nil})
	})
	t.Run("no route", func(t *testing.T) {
		lab.IP(t, "route del default")
		e := path.Path(t.Context(), target(server4, stunPort, agent.UDP))
		want(t, e, agent.NotLooked, agent.NoRoute, nil)
	})
}

// A healthy way costs little, and a near target is not asked again once it answered.
func TestPathIsCheap(t *testing.T) {
	if !inPractice(t) {
		return
	}
	count := `table ip count {
		counter wire { }
		counter target { }
		chain pre { type filter hook prerouting priority -300; iifname in0 counter name wire; }
		chain post { type filter hook postrouting priority 300; oifname in0 counter name wire; }
		chain through { type filter hook forward priority 0; iifname in0 udp dport 5349 ip ttl > 2 counter name target; }
	}`
	raw(t, "practice", count)
	want(t, path.Path(t.Context(), target(server4, turnPort, agent.UDP)), agent.Answered, "", agent.Values{
		agent.Hops: "10.0.1.2 10.0.2.2 10.0.3.2"})
	var wire, reached struct{ packets, bytes int }
	lab.In(t, "practice", func() {
		for name, into := range map[string]*struct{ packets, bytes int }{"wire": &wire, "target": &reached} {
			out, err := exec.Command(lab.Program(t, "nft", "nftables"), "list", "counter", "ip", "count", name).Output()
			if err != nil {
				t.Fatal(err)
			}
			_, numbers, _ := strings.Cut(string(out), "packets ")
			if _, err := fmt.Sscanf(numbers, "%d bytes %d", &into.packets, &into.bytes); err != nil {
				t.Fatalf("%v in %s", err, out)
			}
		}
	})
	t.Logf("%d packets, %d bytes; %d of them might get as far as the target", wire.packets, wire.bytes, reached.packets)
	if wire.bytes == 0 || wire.bytes >= 1000 {
		t.Errorf("%d bytes on the wire, want some and less than 1000", wire.bytes)
	}
	if most := 3; reached.packets > most { // of 4, 5 and 6 hops
		t.Errorf("%d packets could reach the target, want %d at most", reached.packets, most)
	}
}

// Each fault has a port of its own, so that all can be looked at at once.
func TestWalkFindsTheEnd(t *testing.T) {
	if !inPractice(t) {
		return
	}
	stun, stun6 := target(server4, stunPort, agent.UDP), target(server6, stunPort, agent.UDP)
	tcp, other := target(server4, stunPort, agent.TCP), target("10.0.4.99", stunPort, agent.UDP)
	const (
		drop, pass   = "drop", "accept"
		reset, admin = "reject with tcp reset", "reject with icmpx admin-prohibited"
		noPort       = "reject with icmpx port-unreachable"
	)
	far := func(n float64, from, control any) agent.Values {
		return agent.Values{agent.LastHop: n, agent.LastHopFrom: from, agent.ControlHop: control}
	}
	tests := []struct {
		router, rule string // what happens to the packets
		transport    agent.Transport
		port         uint16 // 0: one of its own, where nobody listens
		control      agent.Target
		outcome      agent.Outcome
		reason       agent.Reason
		values       agent.Values
	}{
		{"practice", drop, agent.UDP, 0, stun, agent.Answered, "", far(1, practice4, 3.0)},
		{"practice", drop, agent.TCP, 0, stun, agent.Answered, "", far(1, practice4, 3.0)},
		{"practice", drop, agent.TCP, 0, tcp, agent.Answered, "", far(1, practice4, 3.0)},
		{"practice", drop, agent.UDP, 0, stun6, agent.Answered, "", far(1, practice6, 3.0)},
		{"practice", drop, agent.TCP, 0, stun6, agent.Answered, "", far(1, practice6, 3.0)},
		{"carrier", drop, agent.UDP, 0, stun, agent.Answered, "", far(2, carrier4, 3.0)},
		{"carrier", drop, agent.TCP, 0, stun, agent.Answered, "", far(2, carrier4, 3.0)},
		{"server", drop, agent.UDP, 0, stun, agent.Answered, "", far(3, core4, 3.0)},
		{"server", drop, agent.TCP, 0, stun, agent.Answered, "", far(3, core4, 3.0)},
		{"practice", drop, agent.UDP, 0, agent.Target{}, agent.Answered, "", far(1, practice4, nil)},
		{"practice", drop, agent.UDP, 0, other, agent.Answered, "", far(1, practice4, 3.0)},

		{"core", pass, agent.UDP, turnPort, stun, agent.Answered, "", far(3, core4, 3.0)},
		{"core", pass, agent.TCP, turnPort, stun, agent.Answered, "", far(3, core4, 3.0)},
		{"core", pass, agent.UDP, 0, stun, agent.Refused, agent.PortUnreachable, far(3, core4, 3.0)},
		{"core", pass, agent.TCP, 0, stun, agent.Refused, agent.Reset, far(3, core4, 3.0)},

		// Only for the gateway is one hop of difference enough.
		{"practice", reset, agent.TCP, 0, stun, agent.Tampered, agent.Reset, far(1, practice4, 3.0)},
		{"practice", reset, agent.TCP, 0, stun6, agent.Tampered, agent.Reset, far(1, practice6, 3.0)},
		{"practice", reset, agent.TCP, 0, other, agent.Refused, agent.Reset, far(1, practice4, 3.0)},
		{"carrier", reset, agent.TCP, 0, stun, agent.Refused, agent.Reset, far(2, carrier4, 3.0)},

		{"practice", admin, agent.UDP, 0, stun, agent.Rejected, agent.AdminProhibited, far(1, practice4, 3.0)},
		{"carrier", admin, agent.TCP, 0, stun, agent.Rejected, agent.AdminProhibited, far(2, carrier4, 3.0)},
		{"core", noPort, agent.UDP, 0, stun6, agent.Rejected, agent.PortUnreachable, far(3, core6, 3.0)},
	}
	faults := map[string][]string{}
	for i := range tests {
		tt := &tests[i]
		if tt.port == 0 {
			tt.port = 6000 + uint16(i)
			faults[tt.router] = append(faults[tt.router], fmt.Sprintf("%s dport %d %s", tt.transport, tt.port, tt.rule))
		}
	}
	for _, r := range routers {
		rules(t, r, faults[r]...)
	}
	lab.In(t, "server", func() {
		lab.NFT(t, "table inet t {\nchain c {\ntype filter hook input priority 0;\n"+strings.Join(faults["server"], "\n")+"\n}\n}")
	})
	var cases sync.WaitGroup
	for _, tt := range tests {
		cases.Go(func() {
			t.Run(fmt.Sprintf("%s %s %s %s", tt.router, tt.rule, tt.transport, tt.control), func(t *testing.T) {
				to := server4
				if tt.control.Addr.Is6() {
					to = server6
				}
				want(t, path.Walk(tt.control)(t.Context(), target(to, tt.port, tt.transport)), tt.outcome, tt.reason, tt.values)
			})
		})
	}
	cases.Wait()
}

func TestWalkWhereRoutersAreMuteOrLie(t *testing.T) {
	if !inPractice(t) {
		return
	}
	udp, tcp := target(server4, turnPort, agent.UDP), target(server4, turnPort, agent.TCP)
	stun := target(server4, stunPort, agent.UDP)
	t.Run("routers ration what they say", func(t *testing.T) {
		for _, r := range routers { // as Linux does unless told otherwise
			lab.In(t, r, func() { lab.Set(t, "ipv4/icmp_ratelimit 1000") })
		}
		rules(t, "practice", "udp dport 5349 drop")
		for range 2 {
			want(t, path.Walk(stun)(t.Context(), udp), agent.Answered, "", agent.Values{agent.LastHop: 1.0, agent.ControlHop: 3.0})
		}
		rules(t, "practice")
		for _, r := range routers {
			lab.In(t, r, func() { lab.Set(t, "ipv4/icmp_ratelimit 0") })
		}
	})
	// A proxy that takes connections for others: the box would believe that it
	// speaks with the server.
	t.Run("the practice answers for the server", func(t *testing.T) {
		var l net.Listener
		lab.In(t, "practice", func() {
			var err error
			if l, err = net.Listen("tcp4", "0.0.0.0:8080"); err != nil {
				t.Fatal(err)
			}
		})
		defer l.Close()
		raw(t, "practice", "table ip proxy {\nchain pre {\ntype nat hook prerouting priority -100;\niifname in0 tcp dport 5349 redirect to :8080\n}\n}")
		want(t, path.Walk(stun)(t.Context(), tcp), agent.Tampered, agent.ForeignAnswer, agent.Values{agent.LastHop: 0.0, agent.ControlHop: 3.0})
	})
	t.Run("the first router drops before it counts", func(t *testing.T) {
		raw(t, "practice", "table ip pre {\nchain c {\ntype filter hook prerouting priority -300;\nudp dport 5349 drop\n}\n}")
		want(t, path.Walk(stun)(t.Context(), udp), agent.Answered, "", agent.Values{agent.LastHop: 0.0, agent.LastHopFrom: nil, agent.ControlHop: 3.0})
	})
	t.Run("the line is dead", func(t *testing.T) {
		raw(t, "practice", "table ip pre {\nchain c {\ntype filter hook prerouting priority -300;\ndrop\n}\n}")
		want(t, path.Walk(stun)(t.Context(), udp), agent.Silent, agent.Timeout, agent.Values{agent.LastHop: nil, agent.ControlHop: nil})
	})
	t.Run("no router speaks", func(t *testing.T) {
		for _, r := range routers {
			raw(t, r, mute)
		}
		lab.In(t, "server", func() {
			lab.NFT(t, "table inet t {\nchain c {\ntype filter hook input priority 0;\nth dport 5349 drop\n}\n}")
		})
		var both sync.WaitGroup
		for _, to := range []agent.Target{udp, tcp} {
			both.Go(func() { want(t, path.Walk(stun)(t.Context(), to), agent.NotLooked, agent.TooFew, nil) })
		}
		both.Wait()
	})
}
