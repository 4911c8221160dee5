package beacons_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/nats-io/nkeys"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/beacon"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/beacons"
)

const zone = "help.fleet.example"

var nord = fleet.Address{Tenant: "acme", Box: "nord"}

// device is a box's key.
type device struct {
	nkeys.KeyPair
	public string
}

func (d device) PublicKey() string { return d.public }

func newDevice(t *testing.T) device {
	t.Helper()
	kp, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := kp.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return device{kp, public}
}

// world is a server for the zone that knows one box.
type world struct {
	*beacons.Server
	t      *testing.T
	device device
	mu     sync.Mutex
	heard  []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, device: newDevice(t)}
	var err error
	w.Server, err = beacons.Listen("127.0.0.1:0", beacons.Config{Zone: zone, Log: slog.New(slog.DiscardHandler),
		Heard: func(a fleet.Address, b fleet.Beacon, _ time.Time) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.heard = append(w.heard, fmt.Sprintf("%s %s %d-%d", a, b.Reason, b.Starts, b.Seq))
		}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	w.Know(w.device.public, nord)
	return w
}

func (w *world) said() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.heard)
}

func (w *world) name(d device, starts, seq uint64, reason string) string {
	w.t.Helper()
	name, err := fleet.Beacon{ID: fleet.ShortID(d.public), Reason: reason, Starts: starts, Seq: seq}.Name(zone, d.Sign)
	if err != nil {
		w.t.Fatal(err)
	}
	return name
}

// ask asks the server itself.
func (w *world) ask(network, name string, qtype uint16) *dns.Msg {
	w.t.Helper()
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), qtype)
	q.SetEdns0(1232, false)
	a, _, err := (&dns.Client{Net: network, Timeout: 20 * time.Second}).Exchange(q, w.Addr().String())
	if err != nil {
		w.t.Fatalf("%s %s: %v", network, name, err)
	}
	return a
}

func TestAnswers(t *testing.T) {
	w := newWorld(t)
	stranger := newDevice(t)
	good := w.name(w.device, 3, 1, "timeout")
	rest := strings.SplitN(good, ".", 3)[2] // without the signature
	tests := []struct {
		name  string
		q     string
		qtype uint16
		rcode int
		ack   bool
		heard string // empty: nothing new
	}{
		{"a beacon", good, dns.TypeA, dns.RcodeSuccess, true, "acme/nord timeout 3-1"},
		{"asked again", good, dns.TypeA, dns.RcodeSuccess, true, ""},
		{"in capitals", strings.ToUpper(good), dns.TypeA, dns.RcodeSuccess, true, ""},
		{"for IPv6 addresses", good, dns.TypeAAAA, dns.RcodeSuccess, false, ""},
		{"the next", w.name(w.device, 3, 2, "auth-refused"), dns.TypeA, dns.RcodeSuccess, true, "acme/nord auth-refused 3-2"},
		{"an old one, repeated by somebody", good, dns.TypeA, dns.RcodeSuccess, true, ""},
		{"after another start", w.name(w.device, 4, 1, "timeout"), dns.TypeA, dns.RcodeSuccess, true, "acme/nord timeout 4-1"},
		{"of a box that nobody knows", w.name(stranger, 1, 1, "timeout"), dns.TypeA, dns.RcodeNameError, false, ""},
		{"forged", strings.Replace(w.name(w.device, 9, 9, "timeout"), "timeout", "tls-alert", 1), dns.TypeA, dns.RcodeNameError, false, ""},
		{"nonsense", "a.b.c.d.e." + zone, dns.TypeA, dns.RcodeNameError, false, ""},
		{"too deep", "x." + good, dns.TypeA, dns.RcodeNameError, false, ""},
		{"the zone's end, as a resolver asks that keeps the rest to itself", strings.SplitN(rest, ".", 3)[2], dns.TypeA, dns.RcodeSuccess, false, ""},
		{"without the signature", rest, dns.TypeA, dns.RcodeSuccess, false, ""},
		{"with half of it", strings.SplitN(good, ".", 2)[1], dns.TypeNS, dns.RcodeSuccess, false, ""},
		{"the zone", zone, dns.TypeA, dns.RcodeSuccess, false, ""},
		{"another zone", "www.example.org", dns.TypeA, dns.RcodeRefused, false, ""},
		{"a zone that ends alike", "evil" + zone, dns.TypeA, dns.RcodeRefused, false, ""},
	}
	for _, network := range []string{"udp", "tcp"} {
		for _, tt := range tests {
			before := len(w.said())
			a := w.ask(network, tt.q, tt.qtype)
			ack := len(a.Answer) == 1 && strings.HasSuffix(a.Answer[0].String(), "\t"+fleet.BeaconAck.String())
			if a.Rcode != tt.rcode || ack != tt.ack {
				t.Errorf("%s, %s: %s, acknowledged %v; want %s, %v", network, tt.name, dns.RcodeToString[a.Rcode], ack, dns.RcodeToString[tt.rcode], tt.ack)
			}
			news := w.said()[before:]
			if network == "udp" && strings.Join(news, ";") != tt.heard || network == "tcp" && len(news) > 0 {
				t.Errorf("%s, %s: heard %q, want %q", network, tt.name, news, tt.heard)
			}
			// What strangers get is hardly longer than what they sent.
			if q := len(tt.q) + 40; a.Len() > 3*q {
				t.Errorf("%s: an answer of %d bytes to a question of %d", tt.name, a.Len(), q)
			}
		}
	}
	if a := w.ask("udp", zone, dns.TypeSOA); len(a.Answer) != 1 || !a.Authoritative {
		t.Errorf("SOA: %v", a)
	}
	if a := w.ask("udp", zone, dns.TypeNS); len(a.Answer) != 1 {
		t.Errorf("NS: %v", a)
	}
}

// What is no question does not end the server.
func TestNonsense(t *testing.T) {
	w := newWorld(t)
	c, err := net.Dial("udp", w.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, b := range [][]byte{{}, {0}, make([]byte, 12), make([]byte, 4096), []byte(strings.Repeat("\xff", 512)), []byte("GET / HTTP/1.1\r\n\r\n")} {
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	q := new(dns.Msg)
	q.SetUpdate(zone + ".")
	if a, _, err := new(dns.Client).Exchange(q, w.Addr().String()); err != nil || a.Rcode != dns.RcodeNotImplemented {
		t.Errorf("update: %v, %v", a, err)
	}
	if a := w.ask("udp", w.name(w.device, 1, 1, "timeout"), dns.TypeA); len(a.Answer) != 1 {
		t.Error("the next beacon is not heard")
	}
}

// A box that is forgotten is heard no more.
func TestForget(t *testing.T) {
	w := newWorld(t)
	w.Know(w.device.public, fleet.Address{})
	if a := w.ask("udp", w.name(w.device, 1, 1, "timeout"), dns.TypeA); a.Rcode != dns.RcodeNameError || len(w.said()) != 0 {
		t.Errorf("%s, heard %q", dns.RcodeToString[a.Rcode], w.said())
	}
}

func TestBadZones(t *testing.T) {
	for _, z := range []string{"", "help", "*.example", "a..b", "help.fleet.example."} {
		if _, err := beacons.Listen("127.0.0.1:0", beacons.Config{Zone: z}); err == nil {
			t.Errorf("zone %q is served", z)
		}
	}
}

// The box's own code calls through the resolver of a practice, which forwards to
// the vendor's zone; the acknowledgement comes back.
func TestThroughAResolver(t *testing.T) {
	path := lab.Program(t, "dnsmasq", "dnsmasq-base")
	w := newWorld(t)
	here := w.Addr().(*net.UDPAddr)
	l, err := net.Listen("tcp4", "127.0.0.55:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	l.Close()
	lab.Start(t, exec.Command(path, "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--log-facility=-", "--user=", "--no-resolv", "--no-hosts",
		"--bind-interfaces", "--listen-address="+at.Addr().String(), fmt.Sprintf("--port=%d", at.Port()), "--stop-dns-rebind",
		fmt.Sprintf("--server=/%s/%s#%d", zone, here.IP, here.Port)), lab.Listens(at.String()))
	o := beacon.Options{Zone: zone, Key: w.device, Starts: 7, Resolvers: []netip.AddrPort{at},
		State: func() agent.Evidence {
			return agent.See(agent.ProbeUplink, agent.Target{}, agent.Silent, agent.Timeout)
		}}
	if ack, err := o.Call(t.Context(), 1, "timeout"); err != nil || !ack {
		t.Errorf("acknowledged %v, %v", ack, err)
	}
	if got := w.said(); len(got) != 1 || got[0] != "acme/nord timeout 7-1" {
		t.Errorf("heard %q", got)
	}
}
