package localname_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pion/mdns/v2"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/net/ipv4"

	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/localname"
)

var box = netip.MustParsePrefix("192.168.1.7/24")

// practice is a network with a box, which is here, and a PC.
func practice(t *testing.T) bool {
	t.Helper()
	lab.Program(t, "nft", "nftables")
	lab.Program(t, "ip", "iproute2")
	if !lab.Inside(t) {
		return false
	}
	lab.IP(t, `
		netns add pc
		link add eth0 type veth peer name eth1 netns pc
		addr add 192.168.1.7/24 dev eth0
		link set eth0 up
		link set lo up
		route add default via 192.168.1.1
		-n pc addr add 192.168.1.20/24 dev eth1
		-n pc addr add 10.9.9.9/32 dev eth1
		-n pc link set eth1 up
		-n pc route add 224.0.0.0/4 dev eth1`)
	lab.NFT(t, `table ip t {
		counter said {}
		counter outside {}
		chain out {
			type filter hook output priority 0
			meta l4proto udp counter name said
			meta l4proto udp ip daddr != { 192.168.1.0/24, 224.0.0.251 } counter name outside
		}
	}`)
	return true
}

// count is what one of the box's counters of packets that were sent says.
func count(t *testing.T, name string) int {
	t.Helper()
	out, err := exec.Command(lab.Program(t, "nft", "nftables"), "list", "counter", "ip", "t", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(out))
	for i, w := range f {
		if w == "packets" {
			n, err := strconv.Atoi(f[i+1])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no counter in %s", out)
	return 0
}

// answer makes the box answer for its name; it has moved once when this returns.
func answer(t *testing.T, at localname.Place) *localname.Responder {
	t.Helper()
	r := localname.New("sprechprobe", slog.New(slog.NewTextHandler(t.Output(), nil)))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	r.Move(at)
	return r
}

// pc opens a socket there.
func pc(t *testing.T, from string) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	lab.In(t, "pc", func() {
		l, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from)))
		if err != nil {
			t.Fatal(err)
		}
		c = l
	})
	t.Cleanup(func() { c.Close() })
	return c
}

// askBox sends a question until it is answered and returns the address.
func askBox(t *testing.T, c *net.UDPConn) netip.Addr {
	t.Helper()
	q := pack(t, query(ask("sprechprobe.local.", dnsmessage.TypeA, dnsmessage.ClassINET)))
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if _, err := c.WriteToUDPAddrPort(q, localname.Group); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		b := make([]byte, 1500)
		n, _, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			continue
		}
		var m dnsmessage.Message
		if err := m.Unpack(b[:n]); err != nil || len(m.Answers) != 1 {
			t.Fatalf("answer %x: %v", b[:n], err)
		}
		return netip.AddrFrom4(m.Answers[0].Body.(*dnsmessage.AResource).A)
	}
	return netip.Addr{}
}

func TestOthersFindTheBox(t *testing.T) {
	if !practice(t) {
		return
	}
	answer(t, localname.Place{Interface: "eth0", Addr: box})
	if got := askBox(t, pc(t, "192.168.1.20:0")); got != box.Addr() {
		t.Fatalf("found at %v, want %v", got, box.Addr())
	}
	var other *mdns.Conn
	lab.In(t, "pc", func() {
		s, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(224, 0, 0, 0), Port: 5353})
		if err == nil {
			other, err = mdns.NewServer(ipv4.NewPacketConn(s), nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	defer other.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, got, err := other.QueryAddr(ctx, "sprechprobe.local"); err != nil || got != box.Addr() {
		t.Errorf("a resolver for multicast DNS finds it at %v, %v; want %v", got, err, box.Addr())
	}
}

// The box speaks when it is asked for its name, and never else.
func TestTheBoxOnlyAnswers(t *testing.T) {
	if !practice(t) {
		return
	}
	answer(t, localname.Place{Interface: "eth0", Addr: box})
	c := pc(t, "192.168.1.20:0")
	if !askBox(t, c).IsValid() {
		t.Fatal("not found")
	}
	good := query(ask("sprechprobe.local.", dnsmessage.TypeA, dnsmessage.ClassINET))
	send := func(from *net.UDPConn, id uint16, m dnsmessage.Message, cut int) {
		t.Helper()
		m.ID = id
		b := pack(t, m)
		if _, err := from.WriteToUDPAddrPort(b[:len(b)-cut], localname.Group); err != nil {
			t.Fatal(err)
		}
	}
	send(pc(t, "10.9.9.9:0"), 1, good, 0) // whose answer would leave the network
	send(c, 2, good, 5)
	send(c, 3, query(ask("printer.local.", dnsmessage.TypeA, dnsmessage.ClassINET)), 0)
	send(c, 4, query(ask("_services._dns-sd._udp.local.", dnsmessage.TypePTR, dnsmessage.ClassINET)), 0)
	send(c, 99, good, 0)
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	for b, id := make([]byte, 1500), uint16(0); id != 99; {
		n, _, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			t.Fatalf("waiting for the answer to the good question: %v", err)
		}
		if id = uint16(b[0])<<8 | uint16(b[1]); id != 0 && id != 99 {
			t.Errorf("question %d is answered: %x", id, b[:n])
		}
	}
	if n := count(t, "outside"); n != 0 {
		t.Errorf("%d packets have left the network", n)
	}
}

// A box that nobody asks is silent.
func TestTheBoxAsksNothing(t *testing.T) {
	if !practice(t) {
		return
	}
	answer(t, localname.Place{Interface: "eth0", Addr: box})
	for end := time.Now().Add(20 * time.Second); ; <-time.After(10 * time.Millisecond) {
		if open, _ := os.ReadFile("/proc/self/net/udp"); strings.Contains(string(open), ":14E9 ") { // 5353
			break
		}
		if time.Now().After(end) {
			t.Fatal("it does not listen")
		}
	}
	if n := count(t, "said"); n != 0 {
		t.Errorf("the box has sent %d packets unasked", n)
	}
	c := pc(t, "192.168.1.20:0")
	if askBox(t, c) != box.Addr() || count(t, "said") == 0 {
		t.Error("the box was not there, or its packets are not counted")
	}
}

// Nothing that is sent to the box itself finds an open door.
func TestNoDoorIsOpen(t *testing.T) {
	if !practice(t) {
		return
	}
	answer(t, localname.Place{Interface: "eth0", Addr: box})
	if !askBox(t, pc(t, "192.168.1.20:0")).IsValid() {
		t.Fatal("not found")
	}
	var c net.Conn
	lab.In(t, "pc", func() {
		var err error
		if c, err = net.Dial("udp4", "192.168.1.7:5353"); err != nil {
			t.Fatal(err)
		}
	})
	defer c.Close()
	if _, err := c.Write(pack(t, query(ask("sprechprobe.local.", dnsmessage.TypeA, dnsmessage.ClassINET)))); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, err := c.Read(make([]byte, 1500)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("asked directly: %d bytes, %v; want refused", n, err)
	}
}

func TestTheBoxMoves(t *testing.T) {
	if !practice(t) {
		return
	}
	r := answer(t, localname.Place{Interface: "eth0", Addr: box})
	c := pc(t, "192.168.1.20:0")
	if !askBox(t, c).IsValid() {
		t.Fatal("not found")
	}
	lab.IP(t, "addr del 192.168.1.7/24 dev eth0\naddr add 192.168.1.99/24 dev eth0")
	moved := netip.MustParsePrefix("192.168.1.99/24")
	r.Move(localname.Place{Interface: "eth0", Addr: moved})
	for end := time.Now().Add(20 * time.Second); askBox(t, c) != moved.Addr(); {
		if time.Now().After(end) {
			t.Fatal("still at the old address")
		}
	}
	r.Move(localname.Place{Interface: "gone0", Addr: moved})
	r.Move(localname.Place{}) // nowhere: a box without a network is no mistake
	r.Move(localname.Place{Interface: "eth0", Addr: moved})
	if got := askBox(t, c); got != moved.Addr() {
		t.Errorf("after a loss of the network: found at %v", got)
	}
}

// A network that does nothing but ask gets a few answers a second.
func TestAFloodIsNotAnswered(t *testing.T) {
	if !practice(t) {
		return
	}
	answer(t, localname.Place{Interface: "eth0", Addr: box})
	c := pc(t, "192.168.1.20:0")
	if !askBox(t, c).IsValid() {
		t.Fatal("not found")
	}
	before, start := count(t, "said"), time.Now()
	q := pack(t, query(ask("sprechprobe.local.", dnsmessage.TypeA, dnsmessage.ClassINET)))
	for range 5000 {
		_, _ = c.WriteToUDPAddrPort(q, localname.Group)
	}
	if !askBox(t, c).IsValid() {
		t.Fatal("not found after the flood")
	}
	begun := int(time.Since(start)/time.Second) + 2 // seconds, the first and the last one too
	if n := count(t, "said") - before; n > 10*begun {
		t.Errorf("5000 questions in %d s had %d answers", begun-1, n)
	}
}
