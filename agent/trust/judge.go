package trust

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
)

// chainLimit is how many certificates are judged; public chains have two to
// four. What follows is ignored, so that a chain of thousands costs nothing.
const chainLimit = 10

func (c Checker) judge(chain []*x509.Certificate, host string) Seen {
	if len(chain) == 0 {
		return Seen{Outcome: agent.Tampered, Reason: agent.Garbage, Values: agent.Values{}}
	}
	chain = chain[:min(len(chain), chainLimit)]
	s := Seen{checker: c, chain: chain, Values: describe(chain)}
	s.Outcome, s.Reason = c.verdict(chain, host, s.Values)
	return s
}

// verdict asks for the worst first: an unknown authority makes the name and
// the dates worthless.
func (c Checker) verdict(chain []*x509.Certificate, host string, values agent.Values) (agent.Outcome, agent.Reason) {
	now := c.now()
	err := c.verify(chain, now)
	timely := err == nil
	if !timely && !c.onceGood(chain, now) {
		if c.rootless() {
			return agent.NotLooked, agent.Unsupported
		}
		if unknown := (x509.UnknownAuthorityError{}); !errors.As(err, &unknown) {
			values[agent.Detail] = agent.Printable(fmt.Sprint(err), wordsLimit)
		}
		return agent.Tampered, agent.TLSUnknownCA
	}
	if chain[0].VerifyHostname(clean(host)) != nil {
		return agent.Tampered, agent.TLSWrongName
	}
	if !timely {
		return agent.Answered, agent.TLSExpired
	}
	return agent.Answered, ""
}

// verify asks whether chain leads to a known root at a moment, whatever its name.
func (c Checker) verify(chain []*x509.Certificate, at time.Time) error {
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: c.Roots, Intermediates: between, CurrentTime: at})
	return err
}

// onceGood asks whether chain leads to a known root at any moment of the
// leaf's life. It tries the moment nearest to now first, then both ends (an
// intermediate or root may have been valid for a part of it only).
func (c Checker) onceGood(chain []*x509.Certificate, now time.Time) bool {
	from, until := chain[0].NotBefore, chain[0].NotAfter
	nearest := now
	if now.Before(from) {
		nearest = from
	}
	if now.After(until) {
		nearest = until
	}
	for _, at := range []time.Time{nearest, from, until} {
		if !at.IsZero() && c.verify(chain, at) == nil { // zero would mean now
			return true
		}
	}
	return false
}

// rootless reports whether there is nothing to judge by, which is the box's
// fault and nobody's interception.
func (c Checker) rootless() bool {
	if c.Roots != nil {
		return false
	}
	pool, err := x509.SystemCertPool()
	return err != nil || pool.Equal(x509.NewCertPool())
}

// describe says whose certificate it is.
func describe(chain []*x509.Certificate) agent.Values {
	leaf := chain[0]
	key := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	v := agent.Values{
		agent.TLSKeyHash:  hex.EncodeToString(key[:8]),
		agent.CertExpires: leaf.NotAfter.UTC().Format(time.RFC3339),
	}
	if issuer := issuerOf(leaf); issuer != "" {
		v[agent.TLSIssuer] = issuer
	}
	if maker := makerOf(chain); maker != "" {
		v[agent.TLSMaker] = maker
	}
	return v
}
