package reach_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/reach"
)

// What comes faster than it is read finds no room at some time, and is counted.
func TestDropped(t *testing.T) {
	s, err := reach.Listen(netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), s.LocalAddr().Port())
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n := reach.Dropped(s); n != 0 {
		t.Errorf("%d dropped before anything came", n)
	}
	const sent = 20_000 // 24 MB
	b := make([]byte, 1200)
	for range sent {
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if n := reach.Dropped(s); n < 1 || n >= sent {
		t.Errorf("%d dropped of %d that nobody read", n, sent)
	}
}
