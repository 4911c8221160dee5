package practice_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/stun/v2"

	"github.com/sprechprobe/sprechprobe/agent/lab/impair"
	"github.com/sprechprobe/sprechprobe/agent/lab/internet"
	"github.com/sprechprobe/sprechprobe/agent/lab/middlebox"
	"github.com/sprechprobe/sprechprobe/agent/lab/practice"
)

// issuer shakes hands and tells who signed for the server, or how it failed. Only
// large hellos are met by silence here.
func issuer(t *testing.T, to, name string, protos ...string) string {
	t.Helper()
	patience := 20 * time.Second
	if len(protos) > 0 {
		patience = time.Second
	}
	d := tls.Dialer{Config: &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: protos}}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := d.DialContext(ctx, "tcp", to)
	if err != nil {
		return fate(err)
	}
	defer c.Close()
	return c.(*tls.Conn).ConnectionState().PeerCertificates[0].Issuer.CommonName
}

func fate(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "silent"
	}
	return err.Error()
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}

// upgrades tells how a WebSocket fares.
func upgrades(t *testing.T, p *practice.Practice, at string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	c, _, err := websocket.Dial(ctx, at, &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		return "no"
	}
	_ = c.CloseNow()
	return "ok"
}

func TestIntercept(t *testing.T) {
	p := build(t, practice.Plan{})
	if p == nil {
		return
	}
	const nats, turn = "5.75.182.248:8443", "198.18.7.20:5349"
	ca := p.Foreign("UTM Root")
	expect(t, "untouched", issuer(t, web, "video.webprax.de"), "Lab Root")
	stop := p.Router.Divert("tcp dport { 443, 5349 }", middlebox.Intercept(p.Router.Dial, ca))
	expect(t, "intercepted", issuer(t, web, "video.webprax.de"), "UTM Root")
	expect(t, "TURN, intercepted", issuer(t, turn, "coturn.webprax.de"), "UTM Root")
	expect(t, "WebSocket, intercepted", upgrades(t, p, "wss://video.webprax.de/ws"), "ok")
	expect(t, "what is no TLS", bindingOverTCP(t, turn), "ok")
	expect(t, "another port", issuer(t, nats, "nats1.webprax.de"), "Lab Root")
	stop()
	expect(t, "no longer intercepted", issuer(t, web, "video.webprax.de"), "Lab Root")

	stop = p.Router.Divert("tcp dport { 443, 8443 }", middlebox.StripUpgrade(p.Router.Dial, p.Internet.CA))
	expect(t, "a page through a proxy of old", get(t, p, long, "https://video.webprax.de/"), "200")
	expect(t, "WebSocket through a proxy of old", upgrades(t, p, "wss://video.webprax.de/ws"), "no")
	expect(t, "NATS through a proxy of old", upgrades(t, p, "wss://nats1.webprax.de:8443/"), "no")
	stop()
	expect(t, "WebSocket without", upgrades(t, p, "wss://nats1.webprax.de:8443/"), "ok")
}

// bindingOverTCP tells how a STUN Binding fares.
func bindingOverTCP(t *testing.T, to string) string {
	t.Helper()
	c, err := net.DialTimeout("tcp", to, 20*time.Second)
	if err != nil {
		return fate(err)
	}
	defer c.Close()
	if _, err := c.Write(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw); err != nil {
		return fate(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.ReadFull(c, make([]byte, 20)); err != nil {
		return fate(err)
	}
	return "ok"
}

// get tells the status of a page and where it leads; it trusts the lab.
func get(t *testing.T, p *practice.Practice, patience time.Duration, at string, through ...string) string {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.Internet.CA.Pool()}, DisableKeepAlives: true}
	for _, proxy := range through {
		u, err := url.Parse(proxy)
		if err != nil {
			t.Fatal(err)
		}
		tr.Proxy = http.ProxyURL(u)
	}
	client := &http.Client{Transport: tr, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := client.Get(at)
	if err != nil {
		if strings.Contains(err.Error(), "certificate") {
			return "foreign certificate"
		}
		return fate(err)
	}
	defer r.Body.Close()
	return strings.TrimSpace(fmt.Sprint(r.StatusCode, " ", r.Header.Get("Location")))
}

func TestFilters(t *testing.T) {
	p := build(t, practice.Plan{})
	if p == nil {
		return
	}
	const nats, turn = "5.75.182.248:8443", "198.18.7.20:5349"
	stop := p.Router.Divert("tcp dport 5349", middlebox.OnlyTLS(p.Router.Dial))
	expect(t, "TLS where only TLS may pass", issuer(t, turn, "coturn.webprax.de"), "Lab Root")
	expect(t, "plain where only TLS may pass", bindingOverTCP(t, turn), "reset")
	stop()
	expect(t, "plain where all may pass", bindingOverTCP(t, turn), "ok")

	byName := func(name string, _ int) bool { return strings.HasSuffix(name, "webprax.de") }
	stop = p.Router.Divert("tcp dport 8443", middlebox.ResetAfterHello(p.Router.Dial, byName))
	expect(t, "a name that is filtered", issuer(t, nats, "nats1.webprax.de"), "reset")
	expect(t, "another name", issuer(t, nats, "www.example"), "Lab Root")
	stop()

	large := func(_ string, size int) bool { return size > 1300 }
	stop = p.Router.Divert("tcp dport 443", middlebox.SilentAfterHello(p.Router.Dial, large))
	expect(t, "a large ClientHello", issuer(t, web, "video.webprax.de", strings.Repeat("x", 200), strings.Repeat("y", 200)), "silent")
	expect(t, "a small ClientHello", small(t, web), "ok")
	stop()

	// The same by rules alone: the connection is made with the server itself.
	rule := p.Router.Block("tcp dport 443 meta length > 1300", "drop")
	expect(t, "a large ClientHello", issuer(t, web, "video.webprax.de", strings.Repeat("x", 200), strings.Repeat("y", 200)), "silent")
	expect(t, "a small ClientHello", small(t, web), "ok")
	rule.Remove()
	rule = p.Router.Block("tcp dport 8443 @ih,0,8 0x16", "reject with tcp reset")
	expect(t, "a ClientHello and a rule that resets", issuer(t, nats, "nats1.webprax.de"), "reset")
	connects(t, nats, "ok", "with a rule that resets TLS")
	rule.Remove()
}

// small shakes hands with a ClientHello of a few hundred bytes.
func small(t *testing.T, to string) string {
	t.Helper()
	d := tls.Dialer{Config: &tls.Config{ServerName: "video.webprax.de", InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519}}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := d.DialContext(ctx, "tcp", to)
	if err != nil {
		return fate(err)
	}
	_ = c.Close()
	return "ok"
}

func TestCatchAll(t *testing.T) {
	p := build(t, practice.Plan{})
	if p == nil {
		return
	}
	undo := p.CatchAll()
	const portal = "302 https://login.hotspot.example/login"
	expect(t, "http", get(t, p, long, "http://video.webprax.de/"), portal)
	expect(t, "https", get(t, p, long, "https://video.webprax.de/"), "foreign certificate")
	expect(t, "TLS", issuer(t, "5.75.182.248:8443", "nats1.webprax.de"), "Hotspot CA")
	if got := binding(t, udp(t), at(internet.TURNAddr, 3478)); got.IsValid() {
		t.Errorf("STUN gets out: %v", got)
	}
	undo()
	expect(t, "https, freed", get(t, p, long, "https://video.webprax.de/"), "200")
}

func TestOfferProxy(t *testing.T) {
	p := build(t, practice.Plan{})
	if p == nil {
		return
	}
	stop := p.OfferProxy()
	p.Resolve(practice.Resolver{WPAD: true})
	direct := p.Router.Block("tcp dport 443", "drop")
	expect(t, "direct", get(t, p, time.Second, "https://video.webprax.de/"), "silent")
	expect(t, "by the proxy", get(t, p, long, "https://video.webprax.de/", "http://192.168.178.1:3128"), "200")
	r, err := http.Get("http://wpad/wpad.dat")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if line, _ := bufio.NewReader(r.Body).ReadString('\n'); !strings.Contains(line, "PROXY 192.168.178.1:3128") {
		t.Errorf("wpad.dat is %q", line)
	}
	stop()
	direct.Remove()
	expect(t, "direct again", get(t, p, long, "https://video.webprax.de/"), "200")
}

// An ALG spoils MAPPED-ADDRESS, and XOR-MAPPED-ADDRESS escapes it.
func TestRewriteMapped(t *testing.T) {
	p := build(t, practice.Plan{})
	if p == nil {
		return
	}
	both := func() (mapped, xored string) {
		t.Helper()
		c := udp(t)
		ask := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
		if _, err := c.WriteTo(ask.Raw, net.UDPAddrFromAddrPort(at(internet.TURNAddr, 3478))); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		buf := make([]byte, 1500)
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		m := &stun.Message{Raw: buf[:n]}
		var plain stun.MappedAddress
		var xor stun.XORMappedAddress
		if err := errors.Join(m.Decode(), plain.GetFrom(m), xor.GetFrom(m)); err != nil {
			t.Fatal(err)
		}
		return plain.IP.String(), xor.IP.String()
	}
	hold := p.Router.Hold(practice.Going, "lan0", "-p udp", impair.How{Rewrite: middlebox.RewriteMapped(practice.BoxAddr)})
	if mapped, xored := both(); mapped != "192.168.178.20" || xored != "198.18.64.2" {
		t.Errorf("mapped to %s, XORed %s", mapped, xored)
	}
	hold.Remove()
	if mapped, xored := both(); mapped != "198.18.64.2" || xored != mapped {
		t.Errorf("without ALG mapped to %s, XORed %s", mapped, xored)
	}
}
