package webrtc_test

import (
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
)

// What a practice's box sees of coturn (measured with 4.6.1) when one of its
// listeners is switched off: the ports that stay open for another variant are
// mute to this one, and only the port of a whole transport is refused. A mute
// port says nothing, but over TCP it may also reset the connection: coturn
// guesses the variant by what has come in when it accepts, so that depends on
// who is faster.
func TestCoturnListeners(t *testing.T) {
	a := newAuthority(t, host)
	cert, key := a.files(t)
	common := []string{"--realm", realm, "--user", username + ":" + password, "--cert", cert, "--pkey", key}
	const auth = "--lt-cred-mech"
	var (
		open     = brief{Outcome: agent.Answered, Reason: agent.OpenRelay}
		reset    = brief{Outcome: agent.Refused, Reason: agent.Reset}
		noPort   = brief{Outcome: agent.Refused, Reason: agent.PortUnreachable}
		mute     = brief{Outcome: agent.Silent, Reason: agent.Timeout}
		cut      = brief{Outcome: agent.Refused, Reason: agent.ResetAfter}
		allProof = [8]brief{proof, proof, proof, proof, proof, proof, proof, proof}
	)
	tests := []struct {
		flags string
		want  [8]brief // 3478 UDP, DTLS, TCP, TLS, then 5349
	}{
		{auth, allProof},
		{auth + " --fingerprint --no-software-attribute", allProof},
		{auth + " --no-tcp", [8]brief{proof, proof, reset, reset, proof, proof, mute, proof}},
		{auth + " --no-tls", [8]brief{proof, proof, proof, mute, proof, proof, reset, reset}},
		{auth + " --no-dtls", [8]brief{proof, mute, proof, proof, noPort, noPort, proof, proof}},
		{auth + " --no-udp", [8]brief{noPort, noPort, proof, proof, proof, proof, proof, proof}},
		{"--no-auth", [8]brief{open, open, open, open, open, open, open, open}},
	}
	var cases sync.WaitGroup
	for _, tt := range tests {
		cases.Go(func() {
			t.Run(tt.flags, func(t *testing.T) {
				c := startCoturn(t, append(strings.Fields(tt.flags), common...)...)
				for i, want := range tt.want {
					port := [2]uint16{3478, 5349}[i/4]
					target := at(netip.AddrPortFrom(c.addr, port), [2]agent.Transport{agent.UDP, agent.TCP}[i/2%2],
						[4]agent.Variant{agent.Plain, agent.DTLS, agent.Plain, agent.TLS}[i%4])
					e := webrtc.TURN(a.checker)(t.Context(), target)
					if want == mute && target.Transport == agent.TCP && e.Reason == agent.ResetAfter {
						want = cut
					}
					check(t, e, want)
					if up := target.Transport == agent.TCP && want != reset; up && e.Values[agent.ConnectTime] == nil {
						t.Errorf("%s %s: no connect_ms in %v", target, target.Variant, e.Values)
					}
				}
				if tt.want[0] == open {
					c.says(t, "lifetime=0", 8) // each allocation was given back
				}
			})
		})
	}
	cases.Wait()
}

// A server that does STUN only ignores an Allocate, but it shows that the way is
// open. On TCP its watchdog may reset or close the connection after a while, so
// only UDP is looked at.
func TestCoturnSTUNOnly(t *testing.T) {
	t.Parallel()
	c := startCoturn(t, "--stun-only", "--no-tls", "--no-dtls")
	target := at(netip.AddrPortFrom(c.addr, 3478), agent.UDP, agent.Plain)
	check(t, webrtc.STUN(t.Context(), target), brief{Outcome: agent.Answered})
	e := webrtc.TURN(newAuthority(t).checker)(t.Context(), target)
	check(t, e, brief{Outcome: agent.Answered}, agent.RTT, agent.Sends)
	if got, want := e.Values.Text(agent.Detail), "no answer to Allocate, but to Binding"; got != want {
		t.Errorf("detail = %q, want %q", got, want)
	}
}

func TestCoturnSTUN(t *testing.T) {
	for flag, compares := range map[string]bool{"--no-tls": true, "--no-stun-backward-compatibility": false} {
		c := startCoturn(t, flag)
		e := webrtc.STUN(t.Context(), at(netip.AddrPortFrom(c.addr, 3478), agent.UDP, agent.Plain))
		check(t, e, brief{Outcome: agent.Answered}, agent.MappedAddr, agent.Software)
		if rewritten, seen := e.Values.Flag(agent.ALGRewrite); rewritten || seen != compares {
			t.Errorf("%s: alg_rewrite = %v, seen %v, want false, seen %v", flag, rewritten, seen, compares)
		}
	}
}

// coturn that shares out its load sends everybody to another server.
func TestCoturnAlternate(t *testing.T) {
	a := newAuthority(t, host)
	behind := startCoturn(t, "--lt-cred-mech", "--realm", realm, "--user", username+":"+password, "--no-tls", "--no-dtls")
	front := startCoturn(t, "--lt-cred-mech", "--realm", "front.example", "--user", "u:p", "--no-tls", "--no-dtls",
		"--alternate-server", netip.AddrPortFrom(behind.addr, 3478).String())
	for _, transport := range []agent.Transport{agent.UDP, agent.TCP} {
		target := at(netip.AddrPortFrom(front.addr, 3478), transport, agent.Plain)
		e := webrtc.TURN(a.checker)(t.Context(), target)
		check(t, e, proof, agent.Detail)
		if got := e.Values.Text(agent.Realm); got != realm || e.Target.Addr != target.Addr {
			t.Errorf("realm %q from %v, want %q, about %v", got, e.Target.Addr, realm, target.Addr)
		}
	}
}

// coturn denies loopback peers unless told otherwise (403), as many servers deny
// their own network.
func TestCoturnDeniesLoopback(t *testing.T) {
	a := newAuthority(t, host)
	c := startCoturn(t, "--lt-cred-mech", "--realm", realm, "--user", username+":"+password, "--no-tls", "--no-dtls")
	target := at(netip.AddrPortFrom(c.addr, 3478), agent.UDP, agent.Plain)
	e := webrtc.Allocate(t.Context(), target, webrtc.Credentials{Username: username, Password: password}, a.checker)
	check(t, e, brief{Outcome: agent.Answered})
	if got, want := e.Values.Text(agent.Detail), "the server does not relay to our address"; got != want {
		t.Errorf("detail = %q, want %q", got, want)
	}
}
