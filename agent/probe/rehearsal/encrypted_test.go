package rehearsal_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab/pki"
	"github.com/sprechprobe/sprechprobe/agent/trust"
)

// encrypted is a coturn that speaks TLS and DTLS too, on 5349, and who signed its
// certificate.
func encrypted(t *testing.T) (far, trust.Checker) {
	t.Helper()
	ca, err := pki.New("Test authority")
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.Leaf(time.Now().AddDate(0, 0, 30), host)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := pki.Files(t, leaf)
	return coturnWith(t, "--allow-loopback-peers", "--cert", cert, "--pkey", key), trust.Checker{Roots: ca.Pool()}
}

func secured(addr netip.Addr, tr agent.Transport, v agent.Variant) agent.Target {
	to := agent.Target{Host: host, Port: 5349, Transport: tr}
	return to.At(addr, v)
}

// A browser may speak to the relay over TLS, or DTLS, and so does a rehearsal where
// nothing else answers: media pass as they do in the clear, and within them the
// handshake of two peers, which is another one.
func TestEncryptedWays(t *testing.T) {
	f, checker := encrypted(t)
	for _, to := range []agent.Target{secured(f.addr, agent.TCP, agent.TLS), secured(f.addr, agent.UDP, agent.DTLS)} {
		t.Run(string(to.Variant), func(t *testing.T) {
			p := short
			if to.Transport == agent.UDP {
				p.Witness = secured(f.addr, agent.TCP, agent.TLS)
			}
			e := seeAs(t, p, cred, checker, to)
			want := map[agent.Key]any{
				agent.Relayed: true, agent.LossBothWays: 0.0, agent.Duplicates: 0.0, agent.Sent: 40.0, agent.Received: 40.0,
				agent.VideoRate: 1.2e6, agent.VideoLoss: 0.0, agent.TLSIssuer: "Test authority",
			}
			if to.Transport == agent.UDP {
				want[agent.UpLoss], want[agent.DownLoss] = 0.0, 0.0
			}
			if e.Outcome != agent.Answered || e.Reason != "" {
				t.Fatalf("%v %q, want answered\n%v", e.Outcome, e.Reason, e.Values)
			}
			for k, v := range want {
				if e.Values[k] != v {
					t.Errorf("%s = %v, want %v", k, e.Values[k], v)
				}
			}
			if ms, _ := e.Values.Num(agent.TLSTime); ms <= 0 {
				t.Errorf("tls_ms = %v of the handshake within", e.Values[agent.TLSTime])
			}
		})
	}
}

// Who shows a certificate that is not the relay's gets no credentials, and no media.
func TestStrangerGetsNoCredentials(t *testing.T) {
	f, _ := encrypted(t)
	other, err := pki.New("Sophos SSL CA")
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []agent.Target{secured(f.addr, agent.TCP, agent.TLS), secured(f.addr, agent.UDP, agent.DTLS)} {
		e := seeAs(t, short, cred, trust.Checker{Roots: other.Pool()}, to)
		if e.Outcome != agent.Tampered || e.Reason != agent.TLSUnknownCA || e.Probe != agent.ProbeRehearsal {
			t.Errorf("%s: %v %q, want tampered", to.Variant, e.Outcome, e.Reason)
		}
		if e.Values[agent.Relayed] != nil {
			t.Errorf("%s: relayed is %v", to.Variant, e.Values[agent.Relayed])
		}
	}
}
