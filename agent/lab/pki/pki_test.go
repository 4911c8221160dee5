package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/lab/pki"
)

func TestAuthority(t *testing.T) {
	ca, err := pki.New("Lab Root")
	if err != nil {
		t.Fatal(err)
	}
	until := time.Now().AddDate(0, 0, 5)
	leaf, err := ca.Leaf(until, "*.webprax.de", "198.18.7.20")
	if err != nil {
		t.Fatal(err)
	}
	for name, after := range map[string]time.Duration{"nats1.webprax.de": 0, "198.18.7.20": 0, "www.example": -1, "video.webprax.de": 6 * 24 * time.Hour} {
		_, err := leaf.Leaf.Verify(x509.VerifyOptions{Roots: ca.Pool(), DNSName: name, CurrentTime: time.Now().Add(after)})
		if good := after == 0; (err == nil) != good {
			t.Errorf("%s after %v: %v", name, after, err)
		}
	}
	if !x509.NewCertPool().AppendCertsFromPEM(ca.PEM()) || ca.Name() != "Lab Root" {
		t.Errorf("%q:\n%s", ca.Name(), ca.PEM())
	}
	cert, key := pki.Files(t, leaf)
	if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
		t.Error(err)
	}
	one, err := ca.For("a.example")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ca.For("a.example"); err != nil || again != one {
		t.Errorf("another certificate for the same name, %v", err)
	}
}
