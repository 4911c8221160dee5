package practice_test

import (
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"syscall"
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
	t.Parallel() // they mostly wait
	if !lab.Inside(t) {
		return nil
	}
	began := time.Now()
	pr := practice.New(t, p)
	t.Logf("up after %v", time.Since(began).Round(time.Millisecond))
	return pr
}

// connects asserts how a TCP connection fares: "ok", "refused" or "silent".
func connects(t *testing.T, to, want, when string) {
	t.Helper()
	patience := 20 * time.Second
	if want == "silent" {
		patience = 500 * time.Millisecond
	}
	got := "ok"
	c, err := (&net.Dialer{Timeout: patience}).DialContext(t.Context(), "tcp", to)
	switch no := net.Error(nil); {
	case err == nil:
		c.Close()
	case errors.Is(err, syscall.ECONNREFUSED):
		got = "refused"
	case errors.As(err, &no) && no.Timeout():
		got = "silent"
	default:
		got = err.Error()
	}
	if got != want {
		t.Errorf("%s, %s: %s, want %s", when, to, got, want)
	}
}

// How long to wait for an answer, and to believe in silence.
const (
	long  = 20 * time.Second
	short = 500 * time.Millisecond
)

const web = "198.18.7.10:443"

// binding asks a STUN server from a socket; the zero value is silence.
func binding(t *testing.T, c net.PacketConn, to netip.AddrPort) netip.AddrPort {
	t.Helper()
	ask := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	buf := make([]byte, 1500)
	for range 6 {
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
		connects(t, to, want, "healthy")
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
	dropped := p.Router.Block("tcp dport { 443, 8443 }", "drop")
	connects(t, web, "silent", "with a rule that drops")
	if got := dropped.Packets(); got < 1 {
		t.Errorf("the rule counts %d packets", got)
	}
	released := p.Router.Release("ip daddr 198.18.7.10 tcp dport 443")
	connects(t, web, "ok", "released")
	connects(t, "5.75.182.248:8443", "silent", "not released")
	released.Remove()
	dropped.Remove()
	reset := p.Provider.Block("tcp dport 443", "reject with tcp reset")
	connects(t, web, "refused", "with a provider that resets")
	reset.Remove()
	connects(t, web, "ok", "without rules")
}

// Seen counts what leaves, dropped or not, and forgets.
func TestSeen(t *testing.T) {
	p := build(t, practice.Plan{})
	if p == nil {
		return
	}
	p.Router.Forget()
	p.Router.Block("ip daddr 198.18.7.99", "drop")
	connects(t, web, "ok", "healthy")
	connects(t, "198.18.7.99:443", "silent", "dropped")
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
			want, patience := kind == practice.FullCone, 300*time.Millisecond
			if want {
				patience = long
			}
			if got := stranger(t, p, c, first, patience); got != want {
				t.Errorf("a stranger gets through: %v, want %v", got, want)
			}
		})
	}
}

// stranger reports whether a packet from a host never asked reaches the socket.
func stranger(t *testing.T, p *practice.Practice, c net.PacketConn, mapped netip.AddrPort, patience time.Duration) bool {
	t.Helper()
	from, err := p.Internet.Net.ListenPacket("udp4", "198.18.7.70:0")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	if _, err := from.WriteTo([]byte("hello"), net.UDPAddrFromAddrPort(mapped)); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
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
	route(t, "192.168.178.1, 100.64.10.1, 198.18.1.1, nobody")
}

func TestSecondRouter(t *testing.T) {
	p := build(t, practice.Plan{Uplink: practice.SecondRouter})
	if p == nil {
		return
	}
	if got := binding(t, udp(t), at(internet.TURNAddr, 3478)); got.Addr() != netip.MustParseAddr("198.18.64.2") {
		t.Errorf("mapped to %v, want the second router's address", got)
	}
	route(t, "192.168.178.1, 192.168.0.1, 198.18.64.1, 198.18.1.1")
}

// A guest network has other addresses, and a scan of it leaves traces.
func TestGuests(t *testing.T) {
	p := build(t, practice.Plan{LAN: netip.MustParsePrefix("192.168.179.0/24")})
	if p == nil {
		return
	}
	p.Router.Forget()
	lookup(t, "video.webprax.de", "198.18.7.10", "as a guest")
	connects(t, web, "ok", "as a guest")
	if got := p.Router.Asked(); len(got) > 1 || len(got) == 1 && got[0] != p.Host(1) {
		t.Errorf("looked for %v, want the router at most", got)
	}
	c, err := net.Dial("udp", p.Host(77).String()+":9")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write([]byte("anybody?"))
	if got := p.Router.Asked(); !slices.Contains(got, p.Host(77)) {
		t.Errorf("looked for %v, want %v too", got, p.Host(77))
	}
	p.Router.Forget()
	if got := p.Router.Asked(); len(got) != 0 {
		t.Errorf("looked for %v after all was forgotten", got)
	}
}

func TestDHCP(t *testing.T) {
	p := build(t, practice.Plan{DHCP: true})
	if p == nil {
		return
	}
	connects(t, web, "ok", "with a lease")
	if _, err := net.LookupHost("video.webprax.de"); err != nil {
		t.Error(err)
	}
	p.Resolve(practice.Resolver{WPAD: true})
	if got, want := p.Ask(), (practice.Lease{Addr: practice.BoxAddr, WPAD: "http://192.168.178.1/wpad.dat"}); got != want {
		t.Errorf("lease %+v, want %+v", got, want)
	}
	p.Resolve(practice.Resolver{NoDHCP: true})
	if got := p.Ask(); got.Addr.IsValid() {
		t.Errorf("lease %+v without a server", got)
	}
}

// lookup asserts the addresses of a name, or that it is unknown.
func lookup(t *testing.T, name, want, when string) {
	t.Helper()
	got, err := net.LookupHost(name)
	if no := (*net.DNSError)(nil); errors.As(err, &no) && no.IsNotFound {
		got = []string{"unknown"}
	} else if err != nil {
		got = []string{err.Error()}
	}
	if strings.Join(got, " ") != want {
		t.Errorf("%s, %s is %q, want %q", when, name, got, want)
	}
}

func TestNames(t *testing.T) {
	p := build(t, practice.Plan{})
	if p == nil {
		return
	}
	const name, addr = "nats2.webprax.de", "128.140.77.77"
	p.Resolve(practice.Resolver{Unknown: []string{"webprax.de"}})
	lookup(t, name, "unknown", "filtered here")
	lookup(t, "zpp-hd.meetone.io", "198.18.7.30", "not filtered here")
	p.Resolve(practice.Resolver{Sinkhole: map[string]netip.Addr{"nats2.webprax.de": netip.MustParseAddr("192.168.178.9")}})
	lookup(t, name, "192.168.178.9", "with a sinkhole here")
	p.Resolve(practice.Resolver{})
	n := p.Internet.Names
	undo := n.Change(func(z *internet.Zone) { z.Hosts[name] = append(z.Hosts[name], netip.MustParseAddr("198.18.7.99")) })
	lookup(t, name, addr+" 198.18.7.99", "with a second address")
	rotates := n.Change(func(z *internet.Zone) { z.Rotate = true })
	one, err := net.LookupHost(name)
	other, err2 := net.LookupHost(name)
	if err != nil || err2 != nil || len(one) != 1 || len(other) != 1 {
		t.Errorf("in turn: %q and %q, %v, %v; want one address each", one, other, err, err2)
	}
	rotates()
	undo()
	lookup(t, name, addr, "as before")
	undo = n.Change(func(z *internet.Zone) { z.Unknown = []string{"webprax.de"} })
	lookup(t, name, "unknown", "gone from the internet")
	undo()
	undo = n.Change(func(z *internet.Zone) {
		z.Sinkhole = map[string]netip.Addr{"webprax.de": netip.MustParseAddr("198.18.7.98")}
	})
	lookup(t, name, "198.18.7.98", "elsewhere in the internet")
	undo()
	p.Resolve(practice.Resolver{Rebind: true})
	n.Change(func(z *internet.Zone) { z.Hosts["intern.webprax.de"] = []netip.Addr{practice.BoxAddr} })
	if got, err := net.LookupHost("intern.webprax.de"); err == nil {
		t.Errorf("in spite of the rebind guard: %q", got)
	}
	p.Resolve(practice.Resolver{Off: true})
	connects(t, "192.168.178.1:53", "refused", "without a resolver")
}
