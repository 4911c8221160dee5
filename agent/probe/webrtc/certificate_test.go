package webrtc_test

import (
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
)

// A certificate that has run out is no middlebox: the relay behind it is told
// all the same, and so is the day, before and after.
func TestCoturnCertificate(t *testing.T) {
	a := newAuthority(t, host) // which lives for a day
	w := coturnWays(t, a)
	ends := a.cert.Leaf.NotAfter.UTC().Format(time.RFC3339)
	for _, target := range []agent.Target{at(w.tls, agent.TCP, agent.TLS), at(w.dtls, agent.UDP, agent.DTLS)} {
		for days, want := range map[int]brief{0: proof, 2: {agent.Answered, agent.TLSExpired, 401}} {
			a.checker.Now = func() time.Time { return time.Now().AddDate(0, 0, days) }
			e := webrtc.TURN(a.checker)(t.Context(), target)
			check(t, e, want)
			if got := e.Values.Text(agent.CertExpires); got != ends {
				t.Errorf("%s in %d days: cert_expires_at = %q, want %q", target.Variant, days, got, ends)
			}
		}
	}
}
