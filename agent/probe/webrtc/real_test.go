package webrtc_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/probetest"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
)

// brief is what a test compares of evidence.
type brief struct {
	Outcome agent.Outcome
	Reason  agent.Reason
	Code    float64 // stun_error_code
}

func briefly(e agent.Evidence) brief {
	code, _ := e.Values.Num(agent.STUNError)
	return brief{e.Outcome, e.Reason, code}
}

var proof = brief{agent.Answered, agent.Unauthorized, 401}

func check(t *testing.T, e agent.Evidence, want brief, keys ...agent.Key) {
	t.Helper()
	if diff := cmp.Diff(want, briefly(e)); diff != "" {
		t.Errorf("%s %s: (-want +got)\n%s%v", e.Target, e.Target.Variant, diff, e.Values)
	}
	for _, k := range keys {
		if e.Values[k] == nil {
			t.Errorf("%s %s: %s is missing in %v", e.Target, e.Target.Variant, k, e.Values)
		}
	}
}

func TestPionTURN(t *testing.T) {
	a := newAuthority(t, host)
	w := startPion(t, a)
	for _, tt := range []struct {
		target agent.Target
		keys   []agent.Key
	}{
		{at(w.udp, agent.UDP, agent.Plain), []agent.Key{agent.Sends}},
		{at(w.dtls, agent.UDP, agent.DTLS), []agent.Key{agent.TLSTime, agent.TLSVersion, agent.TLSKeyHash}},
		{at(w.tcp, agent.TCP, agent.Plain), []agent.Key{agent.ConnectTime}},
		{at(w.tls, agent.TCP, agent.TLS), []agent.Key{agent.ConnectTime, agent.TLSTime, agent.TLSVersion, agent.TLSKeyHash}},
	} {
		e := webrtc.TURN(a.checker)(t.Context(), tt.target)
		check(t, e, proof, append(tt.keys, agent.RTT)...)
		if got := e.Values.Text(agent.Realm); got != realm {
			t.Errorf("%s: realm = %q, want %q", tt.target, got, realm)
		}
		if e.Values[agent.Sends] != nil && tt.target.Variant != agent.Plain {
			t.Errorf("%s: sends_count beside a handshake", tt.target)
		}
	}
}

// A firewall that opens TLS answers with a certificate of its own; what the
// server behind it says is told all the same.
func TestUntrustedCertificate(t *testing.T) {
	w := startPion(t, newAuthority(t, host))
	stranger := newAuthority(t, host)
	for _, target := range []agent.Target{at(w.dtls, agent.UDP, agent.DTLS), at(w.tls, agent.TCP, agent.TLS)} {
		e := webrtc.TURN(stranger.checker)(t.Context(), target)
		check(t, e, brief{agent.Tampered, agent.TLSUnknownCA, 401}, agent.TLSIssuer)
		e = webrtc.Allocate(t.Context(), target, webrtc.Credentials{Username: username, Password: password}, stranger.checker)
		check(t, e, brief{agent.Tampered, agent.TLSUnknownCA, 401}, agent.TLSIssuer) // the code of not having shown them
	}
}

func TestWrongName(t *testing.T) {
	a := newAuthority(t, "other.example")
	w := startPion(t, a)
	for _, target := range []agent.Target{at(w.dtls, agent.UDP, agent.DTLS), at(w.tls, agent.TCP, agent.TLS)} {
		check(t, webrtc.TURN(a.checker)(t.Context(), target), brief{agent.Tampered, agent.TLSWrongName, 401})
	}
}

func TestExpiredCertificate(t *testing.T) {
	a := newAuthority(t, host)
	w := startPion(t, a)
	a.checker.Now = func() time.Time { return time.Now().Add(48 * time.Hour) }
	for _, target := range []agent.Target{at(w.dtls, agent.UDP, agent.DTLS), at(w.tls, agent.TCP, agent.TLS)} {
		check(t, webrtc.TURN(a.checker)(t.Context(), target), brief{agent.Answered, agent.TLSExpired, 401})
	}
}

func TestPionSTUN(t *testing.T) {
	w := startPion(t, newAuthority(t, host))
	e := webrtc.STUN(t.Context(), at(w.udp, agent.UDP, agent.Plain))
	check(t, e, brief{Outcome: agent.Answered}, agent.RTT, agent.Sends)
	if got := e.Values.Text(agent.MappedAddr); !strings.HasPrefix(got, "127.") {
		t.Errorf("mapped_addr = %q, want a loopback address", got)
	}
	if v, seen := e.Values.Flag(agent.ALGRewrite); seen {
		t.Errorf("alg_rewrite = %v without a MAPPED-ADDRESS to compare", v)
	}
}

// Every way gets an allocation, and the relayed datagram comes back.
func TestAllocate(t *testing.T) {
	a := newAuthority(t, host)
	refusals := map[string]brief{ // of a wrong password
		"pion":   {agent.Answered, "", 400}, // where RFC 8489 section 9.2.4 wants 401
		"coturn": {agent.Answered, agent.AuthRefused, 401},
	}
	for name, start := range map[string]func(t *testing.T) ways{
		"pion":   func(t *testing.T) ways { return startPion(t, a) },
		"coturn": func(t *testing.T) ways { return coturnWays(t, a) },
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			for _, target := range []agent.Target{
				at(w.udp, agent.UDP, agent.Plain), at(w.dtls, agent.UDP, agent.DTLS),
				at(w.tcp, agent.TCP, agent.Plain), at(w.tls, agent.TCP, agent.TLS),
			} {
				target.Addr = w.udp.Addr()
				e := webrtc.Allocate(t.Context(), target, webrtc.Credentials{Username: username, Password: password}, a.checker)
				check(t, e, brief{Outcome: agent.Answered}, agent.RTT, agent.Detail)
				want := "a relayed datagram came back"
				if target.Port == 5349 && name == "pion" { // no plain STUN there
					want = "no address known to reflect to"
				}
				if got := e.Values.Text(agent.Detail); got != want {
					t.Errorf("%s %s: detail = %q, want %q", target, target.Variant, got, want)
				}
				e = webrtc.Allocate(t.Context(), target, webrtc.Credentials{Username: username, Password: "wrong"}, a.checker)
				check(t, e, refusals[name])
			}
		})
	}
}

func coturnWays(t *testing.T, a authority, flags ...string) ways {
	t.Helper()
	cert, key := a.files(t)
	s := startCoturn(t, append([]string{
		"--lt-cred-mech", "--realm", realm, "--user", username + ":" + password,
		"--cert", cert, "--pkey", key, "--allow-loopback-peers",
	}, flags...)...)
	plain, secured := netip.AddrPortFrom(s.addr, 3478), netip.AddrPortFrom(s.addr, 5349)
	return ways{udp: plain, dtls: secured, tcp: plain, tls: secured}
}

// Conform counts goroutines, so that nothing runs beside it.
func TestConform(t *testing.T) {
	a := newAuthority(t, host)
	w := startPion(t, a)
	deaf, err := net.ListenPacket("udp4", netip.AddrPortFrom(freshAddr(), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	mute, err := net.Listen("tcp4", netip.AddrPortFrom(freshAddr(), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	silentUDP, silentTCP := netip.MustParseAddrPort(deaf.LocalAddr().String()), netip.MustParseAddrPort(mute.Addr().String())
	other := startPion(t, a)
	withCredentials := func(ctx context.Context, t agent.Target) agent.Evidence {
		return webrtc.Allocate(ctx, t, webrtc.Credentials{Username: username, Password: password}, a.checker)
	}
	instant := []time.Duration{100 * time.Millisecond}
	tests := []struct {
		name      string
		probe     agent.Probe
		good      netip.AddrPort
		silent    netip.AddrPort
		transport agent.Transport
		variant   agent.Variant
	}{
		{"stun", webrtc.STUN, w.udp, silentUDP, agent.UDP, agent.Plain},
		{"mapping", webrtc.Mapping(nil), w.udp, silentUDP, agent.UDP, agent.Plain},
		{"mtu udp", webrtc.MTU, w.udp, silentUDP, agent.UDP, agent.Plain},
		{"mtu tcp", webrtc.MTU, w.tcp, silentTCP, agent.TCP, agent.Plain},
		{"idle", webrtc.Idle(instant), toOtherPorts(t), silentUDP, agent.UDP, agent.Plain},
		{"idle relayed", webrtc.IdleRelayed(instant, webrtc.Credentials{Username: username, Password: password}, a.checker), w.udp, silentUDP, agent.UDP, agent.Plain},
		{"burst", webrtc.Burst, w.udp, silentUDP, agent.UDP, agent.Plain},
		{"flows", webrtc.Flows, w.udp, silentUDP, agent.UDP, agent.Plain},
		{"turn udp", webrtc.TURN(a.checker), w.udp, silentUDP, agent.UDP, agent.Plain},
		{"turn dtls", webrtc.TURN(a.checker), w.dtls, silentUDP, agent.UDP, agent.DTLS},
		{"turn tcp", webrtc.TURN(a.checker), w.tcp, silentTCP, agent.TCP, agent.Plain},
		{"turn tls", webrtc.TURN(a.checker), w.tls, silentTCP, agent.TCP, agent.TLS},
		{"allocate udp", withCredentials, w.udp, silentUDP, agent.UDP, agent.Plain},
		{"allocate tls", withCredentials, w.tls, silentTCP, agent.TCP, agent.TLS},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "mapping" { // the second answer makes it whole; a silent one is asked alone
				alone := tt.probe
				tt.probe = func(ctx context.Context, t agent.Target) agent.Evidence {
					if t.AddrPort() == silentUDP {
						return alone(ctx, t)
					}
					return webrtc.Mapping([]netip.AddrPort{other.udp})(ctx, t)
				}
			}
			probetest.Conform(t, tt.probe, at(tt.good, tt.transport, tt.variant), at(tt.silent, tt.transport, tt.variant))
		})
	}
}
