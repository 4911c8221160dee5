package webrtc_test

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
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/logging"
	"github.com/pion/turn/v4"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/trust"
)

const (
	host     = "turn.example"
	realm    = "praxis.example"
	username = "box"
	password = "secret"
)

// lastHost numbers the loopback addresses that tests take one after another, so
// that the usual ports are free on each of them.
var lastHost atomic.Uint32

func freshAddr() netip.Addr {
	n := lastHost.Add(1)
	return netip.AddrFrom4([4]byte{127, byte(60 + os.Getpid()%100), byte(n >> 8), byte(n)})
}

func at(addr netip.AddrPort, tr agent.Transport, v agent.Variant) agent.Target {
	t := agent.Target{Host: host, Port: addr.Port(), Transport: tr}
	return t.At(addr.Addr(), v)
}

// authority issues a certificate for host, and knows the roots to trust it by.
type authority struct {
	cert    tls.Certificate
	checker trust.Checker
}

func newAuthority(t *testing.T, names ...string) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "Test authority"},
		DNSNames:              names,
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return authority{
		cert:    tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf},
		checker: trust.Checker{Roots: roots},
	}
}

// files writes certificate and key as PEM.
func (a authority) files(t *testing.T) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	der, err := x509.MarshalPKCS8PrivateKey(a.cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", a.cert.Certificate[0]), write("key.pem", "PRIVATE KEY", der)
}

// ways are where a TURN server listens.
type ways struct {
	udp, dtls, tcp, tls netip.AddrPort
}

// startPion starts pion's TURN server on an address of its own.
func startPion(t *testing.T, a authority) ways {
	t.Helper()
	addr := freshAddr()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	relays := &turn.RelayAddressGeneratorStatic{RelayAddress: addr.AsSlice(), Address: addr.String()}
	udp, err := net.ListenPacket("udp4", netip.AddrPortFrom(addr, 3478).String())
	must(err)
	tcp, err := net.Listen("tcp4", netip.AddrPortFrom(addr, 3478).String())
	must(err)
	secure, err := tls.Listen("tcp4", netip.AddrPortFrom(addr, 5349).String(), &tls.Config{Certificates: []tls.Certificate{a.cert}})
	must(err)
	datagrams, err := dtls.ListenWithOptions("udp4", &net.UDPAddr{IP: addr.AsSlice(), Port: 5349}, dtls.WithCertificates(a.cert))
	must(err)
	server, err := turn.NewServer(turn.ServerConfig{
		Realm:         realm,
		LoggerFactory: &logging.DefaultLoggerFactory{Writer: os.Stderr, DefaultLogLevel: logging.LogLevelDisabled},
		AuthHandler: func(user, realm string, _ net.Addr) ([]byte, bool) {
			return turn.GenerateAuthKey(user, realm, password), user == username
		},
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: udp, RelayAddressGenerator: relays}},
		ListenerConfigs: []turn.ListenerConfig{
			{Listener: tcp, RelayAddressGenerator: relays},
			{Listener: secure, RelayAddressGenerator: relays},
			{Listener: datagrams, RelayAddressGenerator: relays},
		},
	})
	must(err)
	t.Cleanup(func() { _ = server.Close() })
	plain, secured := netip.AddrPortFrom(addr, 3478), netip.AddrPortFrom(addr, 5349)
	return ways{udp: plain, dtls: secured, tcp: plain, tls: secured}
}

// coturn is a running turnserver.
type coturn struct {
	*lab.Process
	addr netip.Addr
}

// says waits until coturn's log has text n times.
func (c coturn) says(t *testing.T, text string, n int) {
	t.Helper()
	c.Await(t, fmt.Sprintf("it says %q %d times", text, n), func() bool { return strings.Count(c.Said(), text) >= n })
}

// startCoturn runs Debian's coturn on an address of its own, 3478 and 5349.
func startCoturn(t *testing.T, flags ...string) coturn {
	t.Helper()
	return coturnAt(t, []netip.Addr{freshAddr()}, flags...)
}

// coturnAt runs it on some addresses, and relays from the first.
func coturnAt(t *testing.T, addrs []netip.Addr, flags ...string) coturn {
	t.Helper()
	dir := t.TempDir()
	args := []string{
		"-n", "--relay-ip", addrs[0].String(), "--no-cli",
		"--log-file", "stdout", "--simple-log", "--verbose",
		"--pidfile", filepath.Join(dir, "pid"), "--userdb", filepath.Join(dir, "db"),
	}
	for _, a := range addrs {
		args = append(args, "--listening-ip", a.String())
	}
	cmd := exec.Command(lab.Program(t, "turnserver", "coturn"), append(args, flags...)...)
	cmd.Dir = dir
	return coturn{addr: addrs[0], Process: lab.Start(t, cmd, func(p *lab.Process) bool {
		return strings.Contains(p.Said(), "IO method (admin thread)") // listeners are opened before
	})}
}
