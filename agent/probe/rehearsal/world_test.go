package rehearsal_test

import (
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/turn/v4"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/rehearsal"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
	"github.com/sprechprobe/sprechprobe/agent/trust"
)

const (
	host     = "turn.example"
	realm    = "praxis.example"
	username = "box"
	password = "geheim"
)

var cred = rehearsal.Static(webrtc.Credentials{Username: username, Password: password})

// short is a rehearsal for tests: long enough to count in.
var short = rehearsal.Plan{Voice: 400 * time.Millisecond, Video: 200 * time.Millisecond, Rates: []float64{0.6e6, 1.2e6}}

var lastHost atomic.Uint32

func freshAddr() netip.Addr {
	n := lastHost.Add(1)
	return netip.AddrFrom4([4]byte{127, byte(60 + os.Getpid()%100), 7, byte(n)})
}

func at(addr netip.Addr, tr agent.Transport) agent.Target {
	t := agent.Target{Host: host, Port: 3478, Transport: tr}
	return t.At(addr, agent.Plain)
}

// far is a TURN server on 3478, UDP and TCP.
type far struct {
	addr netip.Addr
	held func() int // allocations at this moment; nil: cannot tell
	said func() string
}

// gate decides about a pion server's allocations and peers; nil: all are welcome.
type gate struct {
	quota turn.QuotaHandler
	peers turn.PermissionHandler
}

func pion(t *testing.T, g gate) far {
	t.Helper()
	addr := freshAddr()
	udp, err := net.ListenPacket("udp4", netip.AddrPortFrom(addr, 3478).String())
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp4", netip.AddrPortFrom(addr, 3478).String())
	if err != nil {
		t.Fatal(err)
	}
	relays := &turn.RelayAddressGeneratorStatic{RelayAddress: addr.AsSlice(), Address: addr.String()}
	server, err := turn.NewServer(turn.ServerConfig{
		Realm:         realm,
		QuotaHandler:  g.quota,
		LoggerFactory: &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled},
		AuthHandler: func(user, realm string, _ net.Addr) ([]byte, bool) {
			return turn.GenerateAuthKey(user, realm, password), user == username
		},
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: udp, RelayAddressGenerator: relays, PermissionHandler: g.peers}},
		ListenerConfigs:   []turn.ListenerConfig{{Listener: tcp, RelayAddressGenerator: relays, PermissionHandler: g.peers}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return far{addr: addr, held: server.AllocationCount}
}

// coturn speaks in the clear only.
func coturn(t *testing.T, flags ...string) far {
	t.Helper()
	return coturnWith(t, append([]string{"--no-tls", "--no-dtls"}, flags...)...)
}

func coturnWith(t *testing.T, flags ...string) far {
	t.Helper()
	addr, dir := freshAddr(), t.TempDir()
	cmd := exec.Command(lab.Program(t, "turnserver", "coturn"), append([]string{
		"-n", "--no-cli", "--log-file", "stdout", "--simple-log", "--verbose",
		"--listening-ip", addr.String(), "--relay-ip", addr.String(), "--realm", realm, "--lt-cred-mech", "--user", username + ":" + password,
		"--pidfile", filepath.Join(dir, "pid"), "--userdb", filepath.Join(dir, "db"),
	}, flags...)...)
	cmd.Dir = dir
	p := lab.Start(t, cmd, func(p *lab.Process) bool { return strings.Contains(p.Said(), "IO method (admin thread)") })
	p.Await(t, "it knows its users", func() bool {
		return webrtc.TURN(trust.Checker{})(t.Context(), at(addr, agent.UDP)).Reason == agent.Unauthorized
	})
	return far{addr: addr, said: p.Said}
}

// see rehearses until this machine has time for it: others may work on it, too.
func see(t *testing.T, p rehearsal.Plan, c rehearsal.Credentials, at agent.Target) agent.Evidence {
	t.Helper()
	return seeAs(t, p, c, trust.Checker{}, at)
}

func seeAs(t *testing.T, p rehearsal.Plan, c rehearsal.Credentials, k trust.Checker, at agent.Target) (e agent.Evidence) {
	t.Helper()
	for range 40 {
		if e = rehearsal.Probe(p, c, k)(t.Context(), at); e.Reason != agent.BoxBusy && !broken(p, e) {
			break
		}
	}
	return e
}

// broken reports whether pictures ended neither with the largest nor with one that
// lost too much: then this machine did not keep up.
func broken(p rehearsal.Plan, e agent.Evidence) bool {
	rate, _ := e.Values.Num(agent.VideoRate)
	lost, _ := e.Values.Num(agent.VideoLoss)
	return e.Values[agent.Relayed] == true && len(p.Rates) > 0 && rate < p.Rates[len(p.Rates)-1] && lost < 0.02
}

// fair is see with a server that had room for all that came: what it lost is not the
// line's. in does something in the server's network.
func fair(t *testing.T, in func(func()), p rehearsal.Plan, at agent.Target) (e agent.Evidence) {
	t.Helper()
	for range 10 {
		var before, after int
		in(func() { before = noRoom(t) })
		e = see(t, p, cred, at)
		if in(func() { after = noRoom(t) }); after == before {
			break
		}
	}
	return e
}

func here(do func()) { do() }

// noRoom is how many datagrams have found no room in the sockets of this network.
func noRoom(t *testing.T) (n int) {
	b, err := os.ReadFile("/proc/thread-self/net/udp")
	if err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(string(b)) {
		if columns := strings.Fields(line); columns[0] != "sl" {
			drops, _ := strconv.Atoi(columns[len(columns)-1])
			n += drops
		}
	}
	return n
}

// deafServer takes everything on 3478 and says nothing.
func deafServer(t *testing.T) netip.Addr {
	t.Helper()
	addr := freshAddr()
	udp, err := net.ListenPacket("udp4", netip.AddrPortFrom(addr, 3478).String())
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp4", netip.AddrPortFrom(addr, 3478).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { udp.Close(); tcp.Close() })
	return addr
}
