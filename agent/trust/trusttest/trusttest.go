// Package trusttest makes certificate authorities and server certificates for
// tests. It knows no product code.
package trusttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The life of test certificates. Today lies well inside it.
var (
	Born  = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	Today = Born.AddDate(0, 0, 40)
	Dead  = Born.AddDate(0, 3, 0)
)

// At is a clock that stands still.
func At(t time.Time) func() time.Time { return func() time.Time { return t } }

// Authority signs certificates.
type Authority struct {
	t     testing.TB
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	above *Authority
}

// New makes a root that lives for ten years from [Born].
func New(t testing.TB, subject pkix.Name) *Authority {
	return (&Authority{t: t}).make(subject, Born, Born.AddDate(10, 0, 0))
}

// Named makes a root with just a common name.
func Named(t testing.TB, cn string) *Authority { return New(t, pkix.Name{CommonName: cn}) }

// Intermediate makes an authority below a, which its leaves' chains include.
func (a *Authority) Intermediate(cn string, from, until time.Time) *Authority {
	return (&Authority{t: a.t, above: a}).make(pkix.Name{CommonName: cn}, from, until)
}

func (a *Authority) make(subject pkix.Name, from, until time.Time) *Authority {
	tmpl := &x509.Certificate{
		Subject: subject, NotBefore: from, NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if a.above == nil {
		a.cert, a.key = sign(a.t, tmpl, nil, nil)
	} else {
		a.cert, a.key = sign(a.t, tmpl, a.above.cert, a.above.key)
	}
	return a
}

// Pool holds a as the only root.
func (a *Authority) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// DER is a's own certificate.
func (a *Authority) DER() []byte { return a.cert.Raw }

// PEM is a's own certificate as roots are kept in files.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// Leaf makes a server certificate for names and addresses that lives from
// [Born] to [Dead], with the chain below the root.
func (a *Authority) Leaf(names ...string) tls.Certificate {
	tmpl := &x509.Certificate{
		Subject: pkix.Name{CommonName: names[0]}, NotBefore: Born, NotAfter: Dead,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, n)
		}
	}
	cert, key := sign(a.t, tmpl, a.cert, a.key)
	out := tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
	for up := a; up.above != nil; up = up.above {
		out.Certificate = append(out.Certificate, up.cert.Raw)
	}
	return out
}

// Files writes a certificate with its chain, and its key, as PEM.
func Files(t testing.TB, c tls.Certificate) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	var chain []byte
	for _, der := range c.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{cert: chain, key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func sign(t testing.TB, tmpl, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	if parent == nil {
		parent, by = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}
