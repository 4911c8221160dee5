package main_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/pion/stun/v2"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

// vendor is a video service on loopback made of real servers: dnsmasq, coturn,
// an HTTPS server and four NATS servers that each speak in another way.
type vendor struct {
	dir     string
	names   netip.AddrPort // dnsmasq
	coturn  *exec.Cmd
	nats    map[string]*server.Server
	config  string // of the box
	profile string
	caFile  string
}

const (
	domain     = "praxis.test"
	webAddr    = "127.0.40.1"
	coturnAddr = "127.0.40.2"
	plainPort  = 3478
	tlsPort    = 5349
	webPort    = 8441
	natsPort   = 8443
)

// namesAddr is where the practice's resolver listens.
var namesAddr = netip.MustParseAddrPort("127.0.40.53:5353")

// natsAddrs are the NATS hosts, by the way they speak.
var natsAddrs = map[string]string{
	"tls": "127.0.40.11", "tls-first": "127.0.40.12", "wss": "127.0.40.13", "auth": "127.0.40.14",
}

// program finds a counterpart.
func program(t *testing.T, name, debian string) string {
	t.Helper()
	return lab.Program(t, name, debian)
}

// newVendor starts everything and writes the box's configuration.
func newVendor(t *testing.T) *vendor {
	t.Helper()
	dnsmasq, turnserver := program(t, "dnsmasq", "dnsmasq-base"), program(t, "turnserver", "coturn")
	v := &vendor{dir: t.TempDir(), nats: map[string]*server.Server{}}
	cert := v.certificates(t, "*."+domain)
	v.startNames(t, dnsmasq, "video."+domain, v.addresses()...)
	v.startWeb(t, webAddr, webPort, cert)
	v.startCoturn(t, turnserver, coturnAddr)
	for kind, addr := range natsAddrs {
		v.startNATS(t, kind, addr, cert)
	}
	v.writeConfig(t)
	return v
}

// certificates makes a CA and one leaf for all names, as files.
func (v *vendor) certificates(t *testing.T, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Praxis Test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 3, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	must(t, err)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 3, 0)}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, key)
	must(t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	must(t, err)
	v.caFile = v.write(t, "ca.pem", pemOf("CERTIFICATE", caDER))
	crt := v.write(t, "leaf.pem", pemOf("CERTIFICATE", leafDER))
	pk := v.write(t, "leaf.key", pemOf("EC PRIVATE KEY", keyDER))
	cert, err := tls.LoadX509KeyPair(crt, pk)
	must(t, err)
	return cert
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func (v *vendor) write(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(v.dir, name)
	must(t, os.WriteFile(path, b, 0o644))
	return path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start runs a program until the test ends and returns once ready says so.
func (v *vendor) start(t *testing.T, path string, args []string, ready func() bool) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(path, args...)
	lab.Start(t, cmd, func(*lab.Process) bool { return ready() })
	return cmd
}

// addresses are the names of this vendor, as dnsmasq is told.
func (v *vendor) addresses() []string {
	out := []string{"--local=/" + domain + "/", "--address=/video." + domain + "/" + webAddr, "--address=/turn." + domain + "/" + coturnAddr}
	for kind, addr := range natsAddrs {
		out = append(out, "--address=/"+kind+"."+domain+"/"+addr)
	}
	return out
}

// startNames starts the practice's resolver and waits until it knows a name.
func (v *vendor) startNames(t *testing.T, path, known string, addresses ...string) {
	t.Helper()
	v.names = namesAddr
	args := append([]string{"--no-daemon", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--bind-interfaces", "--user=root", "--group=",
		"--listen-address=" + v.names.Addr().String(), fmt.Sprintf("--port=%d", v.names.Port())}, addresses...)
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, v.names.String())
	}}
	v.start(t, path, args, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := r.LookupHost(ctx, known+".")
		return err == nil
	})
}

func (v *vendor) startWeb(t *testing.T, addr string, port int, cert tls.Certificate) {
	t.Helper()
	l, err := tls.Listen("tcp", net.JoinHostPort(addr, strconv.Itoa(port)), &tls.Config{Certificates: []tls.Certificate{cert}})
	must(t, err)
	s := &http.Server{ErrorLog: log.New(discard{}, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "<h1>Videosprechstunde</h1>")
	})}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

func (v *vendor) startCoturn(t *testing.T, path, addr string) {
	t.Helper()
	v.coturn = v.start(t, path, []string{"-n", "--no-cli", "--listening-ip=" + addr, "--relay-ip=" + addr,
		fmt.Sprintf("--listening-port=%d", plainPort), fmt.Sprintf("--tls-listening-port=%d", tlsPort),
		"--cert=" + filepath.Join(v.dir, "leaf.pem"), "--pkey=" + filepath.Join(v.dir, "leaf.key"),
		"--realm=" + domain, "--lt-cred-mech", "--user=box:geheim", "--allow-loopback-peers", "--pidfile=" + filepath.Join(v.dir, "turn.pid"),
		"--userdb=" + filepath.Join(v.dir, "turn.db"), "--log-file=stdout", "--simple-log"},
		func() bool { return answersSTUN(addr, plainPort) && answersSTUN(addr, tlsPort) })
}

// answersSTUN asks once.
func answersSTUN(addr string, port int) bool {
	c, err := net.Dial("udp", net.JoinHostPort(addr, strconv.Itoa(port)))
	if err != nil {
		return false
	}
	defer c.Close()
	m := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	if _, err := c.Write(m.Raw); err != nil {
		return false
	}
	_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	n, err := c.Read(make([]byte, 1500))
	return err == nil && n > 20
}

func (v *vendor) startNATS(t *testing.T, kind, addr string, cert tls.Certificate) {
	t.Helper()
	secure := &tls.Config{Certificates: []tls.Certificate{cert}}
	o := &server.Options{ServerName: kind, Host: addr, Port: natsPort, NoSigs: true, NoLog: true, TLSConfig: secure, TLS: true, TLSTimeout: 5}
	switch kind {
	case "tls-first":
		o.TLSHandshakeFirst = true
	case "auth":
		o.Username, o.Password = "vendor", "secret"
	case "wss":
		o.Port, o.TLSConfig, o.TLS = server.RANDOM_PORT, nil, false
		o.Websocket = server.WebsocketOpts{Host: addr, Port: natsPort, TLSConfig: secure}
		o.Username, o.Password = "vendor", "secret"
	}
	s, err := server.NewServer(o)
	must(t, err)
	s.Start()
	v.nats[kind] = s
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatalf("NATS server %s is not ready", kind)
	}
}

// writeConfig writes the profile of this vendor and the configuration of a box
// that needs it.
func (v *vendor) writeConfig(t *testing.T) {
	t.Helper()
	var p strings.Builder
	fmt.Fprintf(&p, "name = \"praxis\"\ntitle = \"Praxis\"\nversion = \"1\"\nsource = \"https://%s/\"\ndate = \"2026-11-22\"\n", domain)
	target := func(service, host, addr string, port int, transport, variants, feeds string) {
		fmt.Fprintf(&p, "[[target]]\nservice = %q\nhost = %q\npins = [%q]\nport = %d\ntransports = [%q]\nfeeds = [%s]\n",
			service, host+"."+domain, addr, port, transport, feeds)
		if variants != "" {
			fmt.Fprintf(&p, "variants = [%s]\n", variants)
		}
	}
	target("https", "video", webAddr, webPort, "tcp", "", `"direct", "relay", "group"`)
	target("stun", "turn", coturnAddr, plainPort, "udp", "", `"direct"`)
	target("turn", "turn", coturnAddr, tlsPort, "udp", `"plain", "dtls"`, `"relay"`)
	target("turn", "turn", coturnAddr, tlsPort, "tcp", `"plain", "tls"`, `"relay"`)
	for kind, addr := range natsAddrs {
		target("nats", kind, addr, natsPort, "tcp", "", `"group"`)
	}
	must(t, os.MkdirAll(filepath.Join(v.dir, "profiles.d"), 0o755))
	v.profile = v.write(t, "profiles.d/praxis.toml", []byte(p.String()))
	v.config = v.write(t, "sprechprobe.toml", fmt.Appendf(nil,
		"profiles = [\"praxis\"]\nprofile_dir = %q\nstate_dir = %q\n[box]\nid = \"box-1\"\nname = \"Praxis Nord\"\n[network]\nresolvers = [%q]\n[relay]\nusername = \"box\"\npassword_file = %q\n[lights]\ndriver = \"none\"\n",
		filepath.Join(v.dir, "profiles.d"), filepath.Join(v.dir, "kept"), v.names, v.write(t, "relay.password", []byte("geheim\n"))))
}
