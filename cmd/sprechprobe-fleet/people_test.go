package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
)

// asked starts serve with a login, and returns its address and what it printed on the
// console.
func asked(t *testing.T, args ...string) (page, bus, console string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var errs output
	done := make(chan int, 1)
	go func() {
		done <- start(ctx, env{null(t), io.Discard, &errs}, append([]string{"serve", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0"}, args...))
	}()
	t.Cleanup(func() {
		cancel()
		if code := <-done; code != 0 {
			t.Errorf("serve ended with %d: %s", code, errs.String())
		}
	})
	said := regexp.MustCompile(`dashboard=(\S+) bus=(\S+)`)
	until(t, "serve says where it is", func() bool { return said.MatchString(errs.String()) })
	m := said.FindStringSubmatch(errs.String())
	return m[1], m[2], errs.String()
}

func status(t *testing.T, c *http.Client, url, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// From the first start to a viewer and a program who see what they may: by the
// program's own commands, while it runs.
func TestPeopleGetIn(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "access")
	page, bus, console := asked(t, "--login", "always", "--access", in, "--data", filepath.Join(dir, "bus"))
	report(t, bus, 1, agent.Ready)
	link := regexp.MustCompile(`http://\S+/welcome\?code=\S+`).FindString(console)
	if link == "" || strings.Count(console, "code=") != 1 {
		t.Fatalf("the console does not say how to get in, once: %s", console)
	}
	admin := newcomer(t, link, "ada")
	until(t, "the report is there", func() bool {
		_, body := status(t, admin, page+"api/v1/boxes", "")
		return strings.Contains(body, `"box":"nord"`)
	})
	if code, body := status(t, admin, page+"api/v1/audit", ""); code != 200 || !strings.Contains(body, `"who":"ada","method":"password"`) {
		t.Errorf("the log: %d %s", code, body)
	}
	if code, _ := status(t, plain, page, ""); code != http.StatusSeeOther {
		t.Errorf("the page without a login: %d", code)
	}

	link = regexp.MustCompile(`http://\S+`).FindString(must(t, "user", "add", "vera", "--role", "viewer", "--tenant", "zoo", "--url", strings.TrimSuffix(page, "/"), "--access", in))
	vera := newcomer(t, link, "")
	if code, body := status(t, vera, page+"api/v1/boxes", ""); code != 200 || strings.Contains(body, "nord") {
		t.Errorf("a viewer of another tenant: %d %s", code, body)
	}
	if out := must(t, "user", "list", "--access", in); !strings.Contains(out, "ada   admin   *") || !strings.Contains(out, "vera  viewer  zoo") {
		t.Errorf("users: %s", out)
	}
	must(t, "user", "change", "vera", "--role", "viewer", "--tenant", "acme", "--access", in)
	if code, body := status(t, vera, page+"api/v1/boxes", ""); code != 200 || !strings.Contains(body, "nord") {
		t.Errorf("a viewer of other tenants than before: %d %s", code, body)
	}
	token := regexp.MustCompile(`spf_\S+`).FindString(must(t, "token", "add", "prometheus", "--tenant", "*", "--access", in))
	if code, body := status(t, plain, page+"metrics", token); code != 200 || !strings.Contains(body, `sprechprobe_boxes{state="ready"} 1`) {
		t.Errorf("metrics: %d %.300s", code, body)
	}
	id := strings.Split(token, "_")[1]
	if out := must(t, "token", "list", "--access", in); !strings.Contains(out, id) || strings.Contains(out, token) {
		t.Errorf("tokens: %s", out)
	}
	must(t, "token", "revoke", id, "--access", in)
	if code, _ := status(t, plain, page+"metrics", token); code != 401 {
		t.Errorf("metrics with a revoked token: %d", code)
	}
	must(t, "user", "remove", "vera", "--access", in)
	if code, _ := status(t, vera, page+"api/v1/boxes", ""); code != 401 {
		t.Errorf("who was removed: %d", code)
	}
	if code, _, errs := call(t, "user", "reset", "nobody", "--access", in); code != 1 || !strings.Contains(errs, "none of that name") {
		t.Errorf("resetting nobody: %d %s", code, errs)
	}
	deeds := must(t, "audit", "--access", in)
	for _, what := range []string{"user-add", "user-change", "token-add", "token-revoke", "user-remove", "login"} {
		if !strings.Contains(deeds, what) {
			t.Errorf("the log has no %s: %s", what, deeds)
		}
	}
	if out := must(t, "audit", "verify", "--access", in); !strings.Contains(out, "none changed") {
		t.Error(out)
	}
	if strings.Contains(deeds, "spf_") || strings.Contains(deeds, password) {
		t.Error("the log holds secrets")
	}
}

const password = "ein langer Satz ist gut"

// newcomer follows a one-time link and sets a password.
func newcomer(t *testing.T, link, name string) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Jar: jar, CheckRedirect: plain.CheckRedirect}
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.PostForm("http://"+u.Host+"/welcome", url.Values{"code": {u.Query().Get("code")}, "name": {name}, "password": {password}, "again": {password}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s: %s", link, resp.Status)
	}
	return c
}

// Who is asked to log in: everybody, once others than this machine can come.
func TestLoginIsAskedWhereOthersCome(t *testing.T) {
	here, all := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, &net.TCPAddr{IP: net.IPv4zero}
	for _, tt := range []struct {
		args []string
		at   net.Addr
		want bool
	}{
		{nil, here, false}, {nil, all, true}, {[]string{"--host", "fleet.example"}, here, true}, {[]string{"--url", "https://fleet.example"}, here, true},
		{[]string{"--login", "never"}, all, false}, {[]string{"--login", "always"}, here, true},
	} {
		s, err := parseServe(tt.args)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.portal.asks(tt.at); got != tt.want {
			t.Errorf("%q on %s asks: %v", tt.args, tt.at, got)
		}
	}
	for _, args := range [][]string{{"--login", "sometimes"}, {"--tls-cert", "f"}, {"--url", "fleet.example"}, {"--url", "https://fleet.example/x"},
		{"--url", "http://fleet.example", "--tls-cert", "c", "--tls-key", "k"}} {
		if _, err := parseServe(args); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}

// With TLS of our own: HTTP/2, also for the stream, secure cookies, and no way back.
func TestOwnTLS(t *testing.T) {
	var roots *x509.CertPool
	h := newHouse(t, func(p *portalFlags, _ *parts) { p.cert, p.key, roots = certificate(t) })
	h.take("acme", "nord", nil)
	c := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots}}, CheckRedirect: plain.CheckRedirect}
	resp, err := c.Get(h.url + "/login")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("%s, %v", resp.Proto, resp.Header)
	}
	token := h.token("viewer", "acme")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.url+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	stream, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	first := make([]byte, 20)
	if _, err := io.ReadFull(stream.Body, first); err != nil || stream.ProtoMajor != 2 {
		t.Errorf("the stream by %s: %q, %v", stream.Proto, first, err)
	}
}

// certificate makes one for 127.0.0.1, in files.
func certificate(t *testing.T) (cert, key string, roots *x509.CertPool) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, of, of, &priv.PublicKey, priv)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key, roots = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), x509.NewCertPool()
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return cert, key, roots
}
