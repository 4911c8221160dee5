package bandwidth_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/wire/iperf3"
)

const (
	mbit   = 1_000_000
	server = "198.51.100.2"
)

// serve runs a reflector until the test ends: iperf3, and STUN for latency.
func serve(t *testing.T, s *iperf3.Server, at string) agent.Target {
	t.Helper()
	if s.Datagram == nil {
		s.Datagram = binding
	}
	tcp, udp, err := iperf3.Listen(at)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve(ctx, tcp, udp) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return target(tcp.Addr().(*net.TCPAddr).AddrPort())
}

func target(at netip.AddrPort) agent.Target {
	return agent.Target{Host: "bandwidth.example", Addr: at.Addr(), Port: at.Port(), Transport: agent.TCP}
}

// binding answers a STUN Binding request.
func binding(b []byte, from netip.AddrPort) []byte {
	m := stun.Message{Raw: append([]byte(nil), b...)}
	if m.Decode() != nil || m.Type != stun.BindingRequest {
		return nil
	}
	out, err := stun.Build(stun.NewTransactionIDSetter(m.TransactionID), stun.BindingSuccess,
		&stun.XORMappedAddress{IP: from.Addr().AsSlice(), Port: int(from.Port())})
	if err != nil {
		return nil
	}
	return out.Raw
}

// line makes, inside, a line of a rate in both directions between here and the
// server: box - router - server, shaped in the router as a provider does it.
func line(t *testing.T) {
	t.Helper()
	for _, n := range []string{"router", "server"} {
		lab.IP(t, "netns add "+n)
		lab.IP(t, "-n "+n+" link set lo up")
	}
	lab.IP(t, `
		link set lo up
		link add up0 type veth peer name lan0 netns router
		-n router link add wan0 type veth peer name srv0 netns server
		address add 192.0.2.2/24 dev up0
		-n router address add 192.0.2.1/24 dev lan0
		-n router address add 198.51.100.1/24 dev wan0
		-n server address add `+server+`/24 dev srv0
		link set up0 gso_max_segs 1
		-n router link set lan0 gso_max_segs 1
		-n router link set wan0 gso_max_segs 1
		-n server link set srv0 gso_max_segs 1
		link set up0 up
		-n router link set lan0 up
		-n router link set wan0 up
		-n server link set srv0 up
		route add default via 192.0.2.1
		-n server route add default via 198.51.100.1`)
	lab.In(t, "router", func() { lab.Set(t, "ipv4/ip_forward 1") })
}

// shape sets the line's rate, with a queue of up to 100 ms. The shaper makes up for
// 10 ms in which this machine did not let it run, or it would be a slower line.
func shape(t *testing.T, bitsPerS int) {
	t.Helper()
	tc := lab.Program(t, "tc", "iproute2")
	for _, dev := range []string{"lan0", "wan0"} {
		args := fmt.Sprintf("netns exec router %s qdisc replace dev %s root tbf rate %d burst %d latency 100ms",
			tc, dev, bitsPerS, max(3100, bitsPerS/8/100))
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", args, err, out)
		}
	}
}

// roleVar makes this program a reflector at the address that it holds: sockets
// must be opened by a process that is in the server's network as a whole.
const roleVar = "SPRECHPROBE_BANDWIDTH_SERVE"

func TestMain(m *testing.M) {
	if d, err := time.ParseDuration(os.Getenv(delayVar)); err == nil {
		fmt.Fprintln(os.Stderr, delay(d))
		os.Exit(1)
	}
	if at := os.Getenv(boxVar); at != "" {
		if err := beBox(at); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	at := os.Getenv(roleVar)
	if at == "" {
		os.Exit(m.Run())
	}
	tcp, udp, err := iperf3.Listen(at)
	if err == nil {
		err = (&iperf3.Server{Datagram: binding}).Serve(context.Background(), tcp, udp)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// serveBehind runs a reflector behind the line.
func serveBehind(t *testing.T) agent.Target {
	t.Helper()
	at := netip.MustParseAddrPort(server + ":5201")
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVar+"="+at.String())
	lab.In(t, "server", func() { lab.Start(t, cmd, nil) })
	for end := time.Now().Add(10 * time.Second); !lab.Listens(at.String())(nil); {
		if time.Now().After(end) {
			t.Fatal("no reflector")
		}
	}
	return target(at)
}

// stock runs Debian's iperf3 server.
func stock(t *testing.T) agent.Target {
	t.Helper()
	program := lab.Program(t, "iperf3", "iperf3")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	l.Close()
	cmd := exec.Command(program, "-s", "--forceflush", "-p", fmt.Sprint(at.Port()))
	lab.Start(t, cmd, func(p *lab.Process) bool { return strings.Contains(p.Said(), "Server listening") })
	return target(at)
}
