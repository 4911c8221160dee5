package uplink

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"time"
)

// withoutClock lets a box whose clock was never set reach its vendor: such a clock
// is as far behind as its program is old, and a server's certificate may well be
// younger. Then the certificate's own beginning counts as now. That a trusted root
// has signed it, for this server, and that it has not expired by then, is
// demanded as ever; the latter not of an authority of the vendor's own, which the
// box's configuration pins: its keys count, and no date.
func (o Options) withoutClock(cfg *tls.Config) {
	if o.ClockSet == nil {
		return
	}
	cfg.InsecureSkipVerify = true // for what follows in its place
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		err := o.verify(cs, cfg.RootCAs)
		if err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: cs.PeerCertificates, Err: err}
		}
		return nil
	}
}

// verify judges a server's certificate as package tls would, but for the clock.
func (o Options) verify(cs tls.ConnectionState, roots *x509.CertPool) error {
	if len(cs.PeerCertificates) == 0 {
		return x509.UnknownAuthorityError{}
	}
	now := time.Now()
	if o.Now != nil {
		now = o.Now()
	}
	leaf := cs.PeerCertificates[0]
	between := x509.NewCertPool()
	for _, c := range cs.PeerCertificates[1:] {
		between.AddCert(c)
	}
	if !o.ClockSet() {
		now = nearest(cs.PeerCertificates, now, o.CA != "")
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now}); err != nil {
		return err
	}
	return o.isServer(leaf, cs.ServerName)
}

// nearest is the moment nearest to now at which all certificates had begun; and,
// where they are pinned, none had ended.
func nearest(chain []*x509.Certificate, now time.Time, pinned bool) time.Time {
	if pinned {
		for _, c := range chain {
			if now.After(c.NotAfter) {
				now = c.NotAfter
			}
		}
	}
	for _, c := range chain {
		if now.Before(c.NotBefore) {
			now = c.NotBefore
		}
	}
	return now
}

// isServer reports whether a certificate is that of a server of ours. For one that
// is known by its address package tls does not tell the name; it must then be
// that of any of ours.
func (o Options) isServer(leaf *x509.Certificate, name string) error {
	if name != "" {
		return leaf.VerifyHostname(name)
	}
	err := error(x509.HostnameError{Certificate: leaf})
	for _, s := range o.Servers {
		u, bad := url.Parse(s)
		if bad != nil || net.ParseIP(u.Hostname()) == nil {
			continue
		}
		if err = leaf.VerifyHostname(u.Hostname()); err == nil {
			return nil
		}
	}
	return err
}
