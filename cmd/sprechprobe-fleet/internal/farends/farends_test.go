package farends_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/pion/dtls/v3"
	"github.com/pion/stun/v2"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/profile"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/farends"
)

// patience is how long an answer on loopback may take on a busy machine, and
// silence is how long none is waited for.
const (
	patience = 10 * time.Second
	silence  = 700 * time.Millisecond
)

// look is what one look at a far end says, in a word or two.
type look func(*farends.Service) string

func start(t *testing.T) *farends.Service {
	t.Helper()
	s, err := farends.Start()
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func pool(s *farends.Service) *x509.CertPool {
	p := x509.NewCertPool()
	p.AppendCertsFromPEM(s.CA())
	return p
}

// word puts an error into a word.
func word(err error) string {
	var timeout net.Error
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &unknown):
		return "foreign certificate"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "silent"
	default:
		return err.Error()
	}
}

func dial(at netip.AddrPort) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", at.String(), silence)
	if err == nil {
		_ = c.SetDeadline(time.Now().Add(patience))
	}
	return c, err
}

// ask sends a request on a connection and says how it was answered.
func ask(c net.Conn, typ stun.MessageType, wait time.Duration) string {
	m := stun.MustBuild(stun.TransactionID, typ)
	if typ == stun.NewType(stun.MethodAllocate, stun.ClassRequest) {
		m = stun.MustBuild(stun.TransactionID, typ, stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}})
	}
	_ = c.SetDeadline(time.Now().Add(wait))
	if _, err := c.Write(m.Raw); err != nil {
		return word(err)
	}
	buf := make([]byte, 1500)
	n, err := c.Read(buf)
	if err != nil {
		return word(err)
	}
	a := &stun.Message{Raw: buf[:n]}
	if err := a.Decode(); err != nil {
		return err.Error()
	}
	if a.TransactionID != m.TransactionID {
		return "foreign answer"
	}
	var code stun.ErrorCodeAttribute
	if code.GetFrom(a) == nil {
		var realm stun.Realm
		var nonce stun.Nonce
		if realm.GetFrom(a) != nil || nonce.GetFrom(a) != nil {
			return fmt.Sprint(code.Code, " without realm or nonce")
		}
		return fmt.Sprint(int(code.Code))
	}
	var mapped stun.XORMappedAddress
	if mapped.GetFrom(a) != nil || mapped.String() != c.LocalAddr().String() {
		return "mapped wrongly"
	}
	return "ok"
}

var allocate = stun.NewType(stun.MethodAllocate, stun.ClassRequest)

func udp(at func(*farends.Service) netip.AddrPort, typ stun.MessageType) look {
	return func(s *farends.Service) string {
		c, err := net.Dial("udp", at(s).String())
		if err != nil {
			return word(err)
		}
		defer c.Close()
		wait := patience
		if len(s.Active()) > 0 {
			wait = silence
		}
		return ask(c, typ, wait)
	}
}

func turnTCP(s *farends.Service) string {
	c, err := dial(s.TURN())
	if err != nil {
		return word(err)
	}
	defer c.Close()
	return ask(c, allocate, patience)
}

func turnTLS(s *farends.Service) string {
	c, err := dial(s.TURN())
	if err != nil {
		return word(err)
	}
	defer c.Close()
	return ask(tls.Client(c, &tls.Config{RootCAs: pool(s), ServerName: farends.TURNHost}), allocate, patience)
}

func turnDTLS(s *farends.Service) string {
	raw, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.TURN()))
	if err != nil {
		return word(err)
	}
	defer raw.Close()
	wait := patience
	if len(s.Active()) > 0 {
		wait = silence
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	c, err := dtls.ClientWithOptions(connected{raw}, raw.RemoteAddr(), dtls.WithRootCAs(pool(s)), dtls.WithServerName(farends.TURNHost))
	if err != nil {
		return word(err)
	}
	defer c.Close()
	if err := c.HandshakeContext(ctx); err != nil {
		return word(err)
	}
	return ask(c, allocate, wait)
}

// connected lets a connected socket pass for a PacketConn.
type connected struct{ *net.UDPConn }

func (c connected) WriteTo(b []byte, _ net.Addr) (int, error) { return c.Write(b) }

func web(host string) look {
	return func(s *farends.Service) string {
		c, err := dial(s.Web(host))
		if err != nil {
			return word(err)
		}
		defer c.Close()
		tc := tls.Client(c, &tls.Config{RootCAs: pool(s), ServerName: host})
		if _, err := fmt.Fprintf(tc, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host); err != nil {
			return word(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(tc), nil)
		if err != nil {
			return word(err)
		}
		return fmt.Sprint(resp.StatusCode)
	}
}

func natsAt(i int, host string) look {
	return func(s *farends.Service) string {
		at := s.NATS()[i]
		c, err := dial(at)
		if err != nil {
			return word(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		if len(s.Active()) > 0 {
			_ = c.SetDeadline(time.Now().Add(silence))
		}
		tc := tls.Client(c, &tls.Config{RootCAs: pool(s), ServerName: host})
		if _, err := fmt.Fprintf(tc, "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", host); err != nil {
			return word(err)
		}
		r := bufio.NewReader(tc)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return word(err)
		}
		if resp.StatusCode != http.StatusSwitchingProtocols {
			return fmt.Sprint(resp.StatusCode)
		}
		info := make([]byte, 20)
		if _, err := io.ReadFull(r, info); err != nil {
			return word(err)
		}
		if !strings.Contains(string(info), "INFO {") {
			return fmt.Sprintf("%q", info)
		}
		return "info"
	}
}

func name(host string) look {
	return func(s *farends.Service) string {
		c, err := net.Dial("udp", s.Resolver().String())
		if err != nil {
			return word(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		if len(s.Active()) > 0 {
			_ = c.SetDeadline(time.Now().Add(silence))
		}
		q := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, RecursionDesired: true}, Questions: []dnsmessage.Question{
			{Name: dnsmessage.MustNewName(host + "."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
		b, err := q.Pack()
		if err != nil {
			return err.Error()
		}
		if _, err := c.Write(b); err != nil {
			return word(err)
		}
		buf := make([]byte, 1500)
		n, err := c.Read(buf)
		if err != nil {
			return word(err)
		}
		var a dnsmessage.Message
		if err := a.Unpack(buf[:n]); err != nil || a.ID != 7 {
			return fmt.Sprint("bad answer ", err)
		}
		if len(a.Answers) == 1 {
			if at := netip.AddrFrom4(a.Answers[0].Body.(*dnsmessage.AResource).A); at != s.Web(host).Addr() {
				return at.String()
			}
			return "its address"
		}
		return a.RCode.String()
	}
}

// looks is every look at a far end, with what it says while nothing is wrong.
var looks = []struct {
	name    string
	look    look
	healthy string
}{
	{"name", name(farends.VideoHost), "its address"},
	{"unknown name", name("other.test"), "RCodeNameError"},
	{"video", web(farends.VideoHost), "200"},
	{"group", web(farends.GroupHost), "200"},
	{"stun", udp((*farends.Service).STUN, stun.BindingRequest), "ok"},
	{"turn udp", udp((*farends.Service).TURN, allocate), "401"},
	{"turn dtls", turnDTLS, "401"},
	{"turn tcp", turnTCP, "401"},
	{"turn tls", turnTLS, "401"},
	{"nats1", natsAt(0, farends.NATSHost1), "info"},
	{"nats2", natsAt(1, farends.NATSHost2), "info"},
	{"nats3", natsAt(2, farends.NATSHost3), "info"},
}

func check(t *testing.T, s *farends.Service, when string, changed map[string]string) {
	t.Helper()
	for _, l := range looks {
		want := l.healthy
		if w, ok := changed[l.name]; ok {
			want = w
		}
		if got := l.look(s); got != want {
			t.Errorf("%s: %s = %q, want %q", when, l.name, got, want)
		}
	}
}

// Each fault does what it says, nothing else, and goes away again.
func TestFaults(t *testing.T) {
	silentAll := map[string]string{}
	for _, l := range looks {
		silentAll[l.name] = "silent"
	}
	allNATS := func(w string) map[string]string { return map[string]string{"nats1": w, "nats2": w, "nats3": w} }
	want := map[string]map[string]string{
		"udp-dead":           {"stun": "silent", "turn udp": "silent", "turn dtls": "silent"},
		"group-blocked":      allNATS("silent"),
		"group-one-blocked":  {"nats1": "silent"},
		"group-down":         allNATS("refused"),
		"group-mute":         allNATS("silent"),
		"websocket-stripped": allNATS("200"),
		"relay-down":         {"stun": "refused", "turn udp": "refused", "turn dtls": "refused", "turn tcp": "refused", "turn tls": "refused"},
		"relay-dpi":          {"turn tcp": "reset"},
		"tls-broken": {"video": "foreign certificate", "group": "foreign certificate", "turn tls": "foreign certificate",
			"turn dtls": "foreign certificate", "nats1": "foreign certificate", "nats2": "foreign certificate", "nats3": "foreign certificate"},
		"video-error": {"video": "503", "group": "503"},
		"name-gone":   {"name": "RCodeNameError"},
		"dns-dead":    {"name": "silent", "unknown name": "silent"},
		"all-dead":    silentAll,
	}
	s := start(t)
	check(t, s, "at first", nil)
	for _, f := range farends.Faults() {
		t.Run(f.Name, func(t *testing.T) {
			expect, ok := want[f.Name]
			if !ok {
				t.Fatal("no expectation for this fault")
			}
			if err := s.Break(f); errors.Is(err, farends.ErrNoPort80) && os.Getenv("LAB") != "must" {
				t.Skipf("NOT TESTED: fault %s: %v", f.Name, err)
			} else if err != nil {
				t.Fatal(err)
			}
			if a := s.Active(); len(a) != 1 || a[0].Name != f.Name {
				t.Errorf("active: %v", a)
			}
			check(t, s, f.Name, expect)
			if err := s.Heal(); err != nil {
				t.Fatal(err)
			}
			check(t, s, "healed", nil)
		})
	}
}

func TestFaultsAddUp(t *testing.T) {
	s := start(t)
	for _, key := range []string{"u", "g", "n"} {
		f, err := farends.FaultOf(key)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Break(f); err != nil {
			t.Fatal(err)
		}
	}
	check(t, s, "u, g, n", map[string]string{"stun": "silent", "turn udp": "silent", "turn dtls": "silent",
		"nats1": "refused", "nats2": "refused", "nats3": "refused"})
}

func TestFaultTable(t *testing.T) {
	seen := map[string]bool{"h": true, "q": true}
	for _, f := range farends.Faults() {
		if len(f.Key) != 1 || f.Name == "" || f.German == "" || f.English == "" || len(f.Codes) == 0 {
			t.Errorf("fault %+v is not complete", f)
		}
		if seen[f.Key] || seen[f.Name] {
			t.Errorf("key %s or name %s is taken twice", f.Key, f.Name)
		}
		seen[f.Key], seen[f.Name] = true, true
		for _, by := range []string{f.Key, f.Name} {
			if got, err := farends.FaultOf(by); err != nil || got.Name != f.Name {
				t.Errorf("FaultOf(%q) = %v, %v", by, got.Name, err)
			}
		}
	}
	if _, err := farends.FaultOf("h"); err == nil {
		t.Error("h is a fault")
	}
}

// The group servers let nobody in without a password, and clients see that.
func TestNATSWantsCredentials(t *testing.T) {
	s := start(t)
	// Over WebSocket the server often hangs up before its reason is read.
	for range 50 {
		nc, err := nats.Connect("wss://"+s.NATS()[0].String(), nats.Timeout(patience),
			nats.Secure(&tls.Config{RootCAs: pool(s), ServerName: farends.NATSHost1}))
		if err == nil {
			nc.Close()
			t.Fatal("connected without credentials")
		}
		if errors.Is(err, nats.ErrAuthorization) {
			return
		}
	}
	t.Error("nobody was told that credentials are wanted")
}

func TestProfileCanBeRead(t *testing.T) {
	s := start(t)
	p, err := profile.Parse("demo.toml", []byte(s.Profile()))
	if err != nil {
		t.Fatalf("%v\n%s", err, s.Profile())
	}
	for _, c := range []agent.Capability{agent.Direct, agent.Relay, agent.Group} {
		if !p.Offers(c) {
			t.Errorf("the profile does not offer %s", c)
		}
	}
	for _, target := range p.Targets {
		if len(target.Pins) != 1 || !target.Pins[0].IsLoopback() {
			t.Errorf("%s is pinned to %v, want one loopback address", target, target.Pins)
		}
	}
}

// Two services can run side by side, each with the usual ports.
func TestTwoAtOnce(t *testing.T) {
	a, b := start(t), start(t)
	if a.TURN() == b.TURN() || a.NATS()[0] == b.NATS()[0] {
		t.Fatal("both say that they are in the same place")
	}
	if a.TURN().Port() != b.TURN().Port() {
		t.Errorf("TURN ports %d and %d, want the usual one", a.TURN().Port(), b.TURN().Port())
	}
	check(t, a, "first", nil)
	check(t, b, "second", nil)
}
