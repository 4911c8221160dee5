package farends

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"sync/atomic"
	"time"
)

// certificates are the service's own and those of an appliance that breaks TLS
// open on its way.
type certificates struct {
	own, foreign tls.Certificate
	ca           []byte // PEM of the own authority
	broken       atomic.Bool
}

func (s *Service) openCertificates() error {
	c := &certificates{}
	authority, err := newAuthority(pkix.Name{CommonName: "Demo Video CA", Organization: []string{"Demo Video"}})
	if err != nil {
		return err
	}
	appliance, err := newAuthority(pkix.Name{CommonName: "FG60FDEMO000001", Organization: []string{"Fortinet"}, OrganizationalUnit: []string{"Certificate Authority"}})
	if err != nil {
		return err
	}
	if c.own, err = authority.leaf(); err != nil {
		return err
	}
	if c.foreign, err = appliance.leaf(); err != nil {
		return err
	}
	c.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.cert.Raw})
	s.certs = c
	return nil
}

// config is for servers whose certificate an appliance may replace.
func (c *certificates) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.current(), nil
		},
	}
}

func (c *certificates) current() *tls.Certificate {
	if c.broken.Load() {
		return &c.foreign
	}
	return &c.own
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(name pkix.Name) (authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, fmt.Errorf("make authority: %w", err)
	}
	t := template(name)
	t.IsCA, t.BasicConstraintsValid, t.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return authority{}, fmt.Errorf("make authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	return authority{cert, key}, err
}

// leaf signs a certificate for all names of the service.
func (a authority) leaf() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	t := template(pkix.Name{CommonName: VideoHost})
	t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for name := range numbers {
		t.DNSNames = append(t.DNSNames, name)
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}, nil
}

func template(name pkix.Name) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // never fails
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial, Subject: name,
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(60 * 24 * time.Hour),
	}
}
