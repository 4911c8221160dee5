package trust_test

import (
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/trust"
	"github.com/sprechprobe/sprechprobe/agent/trust/trusttest"
)

// TestSystemRoots runs itself anew for each case, because a process reads the
// system's roots once.
func TestSystemRoots(t *testing.T) {
	if dir := os.Getenv("TRUST_TEST_DIR"); dir != "" {
		judgeBySystem(t, dir)
		return
	}
	ca := trusttest.Named(t, "Test CA")
	dir := t.TempDir()
	for name, der := range map[string][]byte{"ca": ca.DER(), "leaf": ca.Leaf("video.test").Certificate[0]} {
		if err := os.WriteFile(filepath.Join(dir, name), der, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pem := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(pem, ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, file, fallback, want string }{
		{"file of the environment", pem, "", `answered ""`},
		{"none at all", filepath.Join(dir, "none"), "", `not-looked "unsupported"`},
		{"fallback that is linked in", filepath.Join(dir, "none"), "yes", `answered ""`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestSystemRoots$", "-test.v")
			cmd.Env = append(os.Environ(), "TRUST_TEST_DIR="+dir, "SSL_CERT_FILE="+tt.file,
				"SSL_CERT_DIR="+filepath.Join(dir, "none"), "TRUST_TEST_FALLBACK="+tt.fallback)
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "verdict: "+tt.want+"\n") {
				t.Errorf("want %s, got %v:\n%s", tt.want, err, out)
			}
		})
	}
}

func judgeBySystem(t *testing.T, dir string) {
	read := func(name string) *x509.Certificate {
		der, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	if os.Getenv("TRUST_TEST_FALLBACK") != "" {
		pool := x509.NewCertPool()
		pool.AddCert(read("ca"))
		x509.SetFallbackRoots(pool)
	}
	o, why, _ := trust.Checker{Now: at(today)}.Judge([]*x509.Certificate{read("leaf")}, "video.test")
	fmt.Printf("verdict: %v %q\n", o, why)
}
