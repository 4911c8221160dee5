package practice_test

import (
	"context"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/lab/internet"
	"github.com/sprechprobe/sprechprobe/agent/lab/practice"
)

// build is a practice around this process; nil outside of it.
func build(t *testing.T, p practice.Plan) *practice.Practice {
	t.Helper()
	lab.Program(t, "ip", "iproute2")
	if !lab.Inside(t) {
		return nil
	}
	began := time.Now()
	pr := practice.New(t, p)
	t.Logf("up after %v", time.Since(began).Round(time.Millisecond))
	return pr
}

// connects tells how a TCP connection fares: "ok", "refused", "silent" or the error.
func connects(t *testing.T, to string) string {
	t.Helper()
	c, err := (&net.Dialer{Timeout: 700 * time.Millisecond}).DialContext(t.Context(), "tcp", to)
	switch {
	case err == nil:
		c.Close()
		return "ok"
	case strings.Contains(err.Error(), "refused"):
		return "refused"
	case err.(net.Error).Timeout():
		return "silent"
	}
	return err.Error()
}

// binding asks a STUN server from a socket; the zero value is silence.
func binding(t *testing.T, c net.PacketConn, to netip.AddrPort) netip.AddrPort {
	t.Helper()
	ask := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	buf := make([]byte, 1500)
	for range 3 {
		if _, err := c.WriteTo(ask.Raw, net.UDPAddrFromAddrPort(to)); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			continue
		}
		m := &stun.Message{Raw: buf[:n]}
		var x stun.XORMappedAddress
		if m.Decode() == nil && m.TransactionID == ask.TransactionID && x.GetFrom(m) == nil {
			return netip.AddrPortFrom(netip.MustParseAddr(x.IP.String()), uint16(x.Port))
		}
	}
	return netip.AddrPort{}
}

func udp(t *testing.T) net.PacketConn {
	t.Helper()
	c, err := net.ListenPacket("udp4", ":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func at(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }

// Everything of a healthy practice answers.
func TestHealthy(t *testing.T) {
	p := build(t, practice.Plan{Internet: internet.Plan{Speed: true}})
	if p == nil {
		return
	}
	for name, want := range map[string]netip.Addr{
		"video.webprax.de": internet.WebAddr, "coturn.webprax.de": internet.TURNAddr, "nats3.webprax.de": internet.NATSAddrs[2],
		"stun.zpp-hd.meetone.io": internet.STUNAddr, "report.fleet.example": internet.ReportAddr,
	} {
		if got, err := net.LookupHost(name); err != nil || !slices.Equal(got, []string{want.String()}) {
			t.Errorf("%s is %q, %v; want %v", name, got, err, want)
		}
	}
	if got, err := net.LookupHost("nobody.webprax.de"); err == nil {
		t.Errorf("a name nobody has is %q", got)
	}
	for to, want := range map[string]string{
		"198.18.7.10:443": "ok", "198.18.7.30:80": "ok", "5.75.182.248:8443": "ok", "128.140.77.77:8443": "ok", "157.90.226.181:8443": "ok",
		"198.18.7.20:3478": "ok", "198.18.7.20:5349": "ok", "198.18.7.40:5349": "ok", "198.18.7.60:8443": "ok", "198.18.7.70:5201": "ok",
		"198.18.7.40:12000": "refused", "198.18.7.10:81": "refused", "192.168.178.1:53": "ok", "198.18.7.99:443": "silent",
	} {
		if got := connects(t, to); got != want {
			t.Errorf("%s: %s, want %s", to, got, want)
		}
	}
	if got := binding(t, udp(t), at(internet.TURNOther, 3478)); got.Addr() != netip.MustParseAddr("198.18.64.2") {
		t.Errorf("mapped to %v, want the router's address", got)
	}
}

// A program of the box trusts the lab and asks the practice's resolver.
func TestRun(t *testing.T) {
	p := build(t, practice.Plan{})
	if p == nil {
		return
	}
	r := p.Run(exec.Command("sh", "-c", `cat /etc/resolv.conf; ls /sys/class/net; test -s "$SSL_CERT_FILE" && echo trusts; echo no >&2; exit 7`))
	want := "# of the lab\nnameserver 192.168.178.1\neth0\nlo\ntrusts\n"
	if r.Out != want || r.Err != "no\n" || r.Code != 7 {
		t.Errorf("%q, %q, %d; want %q, no, 7", r.Out, r.Err, r.Code, want)
	}
}

func TestRules(t *testing.T) {
	p := build(t, practice.Plan{})
	if p == nil {
		return
	}
	const web = "198.18.7.10:443"
	dropped := p.Router.Block("tcp dport { 443, 8443 }", "drop")
	if got := connects(t, web); got != "silent" {
		t.Errorf("with a rule that drops: %s", got)
	}
	if got := dropped.Packets(); got < 1 {
		t.Errorf("the rule counts %d packets", got)
	}
	released := p.Router.Release("ip daddr 198.18.7.10 tcp dport 443")
	if got := connects(t, web); got != "ok" {
		t.Errorf("released: %s", got)
	}
	if got := connects(t, "5.75.182.248:8443"); got != "silent" {
		t.Errorf("not released: %s", got)
	}
	released.Remove()
	dropped.Remove()
	reset := p.Provider.Block("tcp dport 443", "reject with tcp reset")
	if got := connects(t, web); got != "refused" {
		t.Errorf("with a provider that resets: %s", got)
	}
	reset.Remove()
	if got := connects(t, web); got != "ok" {
		t.Errorf("without rules: %s", got)
	}
}

// Seen counts what leaves, dropped or not, and forgets.
func TestSeen(t *testing.T) {
	p := build(t, practice.Plan{})
	if p == nil {
		return
	}
	p.Router.Forget()
	p.Router.Block("ip daddr 198.18.7.99", "drop")
	connects(t, "198.18.7.10:443")
	connects(t, "198.18.7.99:443")
	binding(t, udp(t), at(internet.TURNAddr, 3478))
	got := map[string]practice.Flow{}
	for _, f := range p.Router.Seen() {
		got[f.Protocol+" "+f.To.String()] = f
	}
	if len(got) != 3 {
		t.Errorf("seen %v, want three destinations", got)
	}
	if f := got["udp 198.18.7.20:3478"]; f.Packets != 1 || f.Bytes != 20+8+20 {
		t.Errorf("a Binding is %+v, want one packet of 48 bytes", f)
	}
	if f := got["tcp 198.18.7.99:443"]; f.Packets < 1 {
		t.Errorf("what was dropped is %+v", f)
	}
	p.Router.Forget()
	if got := p.Router.Seen(); len(got) != 0 {
		t.Errorf("still %v", got)
	}
}

// The kinds of NAT differ to servers with two addresses.
func TestNAT(t *testing.T) {
	p := build(t, practice.Plan{})
	if p == nil {
		return
	}
	for _, kind := range []practice.NAT{practice.PortPreserving, practice.FullCone, practice.Symmetric} {
		t.Run("kind "+string(kind), func(t *testing.T) {
			p.Router.SetNAT(kind)
			c := udp(t)
			own := c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
			first, second := binding(t, c, at(internet.TURNAddr, 3478)), binding(t, c, at(internet.TURNOther, 5349))
			if !first.IsValid() || first.Addr() != second.Addr() {
				t.Fatalf("mapped to %v and %v", first, second)
			}
			if kind == practice.Symmetric {
				if first.Port() == second.Port() || first.Port() == own {
					t.Errorf("ports %d and %d from %d, want three", first.Port(), second.Port(), own)
				}
			} else if first.Port() != own || second.Port() != own {
				t.Errorf("ports %d and %d, want %d", first.Port(), second.Port(), own)
			}
			if got, want := stranger(t, p, c, first), kind == practice.FullCone; got != want {
				t.Errorf("a stranger gets through: %v, want %v", got, want)
			}
		})
	}
}

// stranger reports whether a packet from a host never asked reaches the socket.
func stranger(t *testing.T, p *practice.Practice, c net.PacketConn, mapped netip.AddrPort) bool {
	t.Helper()
	from, err := p.Internet.Net.ListenPacket("udp4", "198.18.7.70:0")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	if _, err := from.WriteTo([]byte("hello"), net.UDPAddrFromAddrPort(mapped)); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	n, _, err := c.ReadFrom(make([]byte, 100))
	return err == nil && n == 5
}

func TestCarrierNAT(t *testing.T) {
	p := build(t, practice.Plan{Uplink: practice.CarrierNAT})
	if p == nil {
		return
	}
	if got := binding(t, udp(t), at(internet.TURNAddr, 3478)); got.Addr() != netip.MustParseAddr("198.18.1.2") {
		t.Errorf("mapped to %v, want the provider's address", got)
	}
}

func TestSecondRouter(t *testing.T) {
	p := build(t, practice.Plan{Uplink: practice.SecondRouter})
	if p == nil {
		return
	}
	if got := binding(t, udp(t), at(internet.TURNAddr, 3478)); got.Addr() != netip.MustParseAddr("198.18.64.2") {
		t.Errorf("mapped to %v, want the second router's address", got)
	}
}

func TestDHCP(t *testing.T) {
	p := build(t, practice.Plan{DHCP: true})
	if p == nil {
		return
	}
	if got := connects(t, "198.18.7.10:443"); got != "ok" {
		t.Errorf("with a lease: %s", got)
	}
	if _, err := net.DefaultResolver.LookupHost(context.Background(), "video.webprax.de"); err != nil {
		t.Error(err)
	}
	p.Resolve(practice.Resolver{NoDHCP: true})
	if p.Lease() {
		t.Error("a lease without a server")
	}
}
