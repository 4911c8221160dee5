package relay_test

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/turn/v4"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/rehearsal"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
	"github.com/sprechprobe/sprechprobe/agent/trust"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/relay"
)

const secret = "a secret of the relays"

func open(t *testing.T, limits relay.Limits) *relay.Server {
	t.Helper()
	return openAt(t, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, byte(60 + os.Getpid()%100), 8, 1}), 0), limits)
}

func openAt(t *testing.T, addr netip.AddrPort, limits relay.Limits) *relay.Server {
	t.Helper()
	s, err := relay.Open(relay.Config{Listen: addr, Secret: secret, Realm: "fleet.example",
		Ports: relay.Ports, Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func target(s *relay.Server, tr agent.Transport) agent.Target {
	return agent.Target{Port: s.Addr().Port(), Transport: tr}.At(s.Addr().Addr(), agent.Plain)
}

func access(t *testing.T, box string, good time.Duration) webrtc.Credentials {
	t.Helper()
	user, password, err := turn.GenerateLongTermTURNRESTCredentials(secret, box, good)
	if err != nil {
		t.Fatal(err)
	}
	return webrtc.Credentials{Username: user, Password: password}
}

func rehearse(t *testing.T, s *relay.Server, p rehearsal.Plan, c webrtc.Credentials) agent.Evidence {
	t.Helper()
	return rehearsal.Probe(p, rehearsal.Static(c), trust.Checker{})(t.Context(), target(s, agent.UDP))
}

// A box rehearses by it as by any other relay, and leaves nothing behind.
func TestRehearsal(t *testing.T) {
	s := open(t, relay.Usual)
	p := rehearsal.Plan{Voice: 200 * time.Millisecond, Video: 200 * time.Millisecond, Rates: []float64{2.5e6}, Witness: target(s, agent.TCP)}
	e := rehearse(t, s, p, access(t, "acme/one", time.Minute))
	for range 20 { // this machine may be too busy for sound, or for a picture
		if lost, measured := e.Values.Num(agent.VideoLoss); measured && lost == 0 {
			break
		}
		e = rehearse(t, s, p, access(t, "acme/one", time.Minute))
	}
	if e.Values[agent.Relayed] != true || e.Values[agent.LossBothWays] != 0.0 || e.Values[agent.VideoRate] != 2.5e6 || e.Values[agent.UpLoss] != 0.0 {
		t.Errorf("%v %q %v", e.Outcome, e.Reason, e.Values)
	}
	for _, k := range []agent.Key{agent.UpJitter, agent.DownJitter} { // it says when datagrams came
		if _, ok := e.Values.Num(k); !ok {
			t.Errorf("no %s in %v", k, e.Values)
		}
	}
	for end := time.Now().Add(10 * time.Second); s.Allocations() > 0 && time.Now().Before(end); {
		runtime.Gosched()
	}
	if n := s.Allocations(); n != 0 {
		t.Errorf("%d allocations left", n)
	}
}

func TestWhoMayRelay(t *testing.T) {
	s := open(t, relay.Usual)
	if e := rehearse(t, s, rehearsal.Plan{}, access(t, "acme/one", -time.Second)); e.Outcome != agent.Answered || e.Values[agent.Relayed] != nil {
		t.Errorf("with a password that has run out: %v %q %v", e.Outcome, e.Reason, e.Values)
	}
	if e := rehearse(t, s, rehearsal.Plan{}, webrtc.Credentials{Username: "acme/one", Password: "x"}); e.Values[agent.Relayed] != nil {
		t.Errorf("with a name of one's own: %v %q %v", e.Outcome, e.Reason, e.Values)
	}
	tight := relay.Usual
	tight.PerUser = 1
	full := open(t, tight)
	held := client(t, full, access(t, "acme/one", time.Minute))
	if _, err := held.Allocate(); err != nil {
		t.Fatal(err)
	}
	e := rehearse(t, full, rehearsal.Plan{}, access(t, "acme/one", time.Hour)) // by another name of the same box
	if code, _ := e.Values.Num(agent.STUNError); code != 486 {
		t.Errorf("beyond a box's share: %v %q %v, want 486", e.Outcome, e.Reason, e.Values)
	}
	if e := rehearse(t, full, rehearsal.Plan{}, access(t, "acme/two", time.Minute)); e.Outcome != agent.Answered || e.Values[agent.STUNError] != 486.0 || e.Reason != agent.PeerDenied {
		t.Errorf("another box, with room for one: %v %q %v, want a first allocation and no second", e.Outcome, e.Reason, e.Values)
	}
}

func client(t *testing.T, s *relay.Server, c webrtc.Credentials) *turn.Client {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	cl, err := turn.NewClient(&turn.ClientConfig{TURNServerAddr: s.Addr().String(), STUNServerAddr: s.Addr().String(), Conn: conn,
		Username: c.Username, Password: c.Password, Realm: "fleet.example",
		LoggerFactory: &logging.DefaultLoggerFactory{Writer: os.Stderr, DefaultLogLevel: logging.LogLevelDisabled}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	if err := cl.Listen(); err != nil {
		t.Fatal(err)
	}
	return cl
}

// Nobody reaches the vendor's own network through the relay.
func TestPeers(t *testing.T) {
	s := open(t, relay.Usual)
	cl := client(t, s, access(t, "acme/one", time.Minute))
	conn, err := cl.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for peer, want := range map[string]bool{
		"10.0.0.1": false, "192.168.1.1": false, "172.16.0.1": false, "127.0.0.1": false, "169.254.169.254": false, "100.64.0.1": false,
		"224.0.0.1": false, "0.0.0.0": false, "255.255.255.255": false,
		s.Addr().Addr().String(): true, "203.0.113.1": true,
	} {
		err := cl.CreatePermission(&net.UDPAddr{IP: net.ParseIP(peer), Port: 9})
		if got := err == nil; got != want {
			t.Errorf("permission for %s: %v, want %v", peer, err, want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	good := relay.Config{Listen: netip.MustParseAddrPort("127.0.0.1:0"), Secret: secret, Ports: relay.Ports, Limits: relay.Usual}
	for want, edit := range map[string]func(*relay.Config){
		"no secret":          func(c *relay.Config) { c.Secret = "" },
		"peers reach":        func(c *relay.Config) { c.Listen = netip.MustParseAddrPort("0.0.0.0:0") },
		"ports 9-8":          func(c *relay.Config) { c.Ports = [2]uint16{9, 8} },
		"more than 0":        func(c *relay.Config) { c.Rate = 0 },
		"TLS without a cert": func(c *relay.Config) { c.Secure = netip.MustParseAddrPort("127.0.0.1:0") },
	} {
		c := good
		edit(&c)
		if s, err := relay.Open(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
			if s != nil {
				_ = s.Close()
			}
		}
	}
}
