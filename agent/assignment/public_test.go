package assignment_test

import (
	"net/netip"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/assignment"
)

func TestPublic(t *testing.T) {
	for _, a := range []string{"1.1.1.1", "5.75.182.248", "8.8.8.8", "193.0.0.1", "223.255.255.255", "2a00::1", "2600::", "2002:0808:0808::1", "64:ff9b::808:808", "::ffff:8.8.8.8"} {
		if !assignment.Public(netip.MustParseAddr(a)) {
			t.Errorf("%s is not public", a)
		}
	}
	for _, a := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255",
		"192.0.0.1", "192.168.0.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::192.168.0.1", "::ffff:192.168.0.1", "::ffff:127.0.0.1", "64:ff9b::c0a8:1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "2001::1",
		"2002:c0a8:1::1", "2002:7f00:1::1", "2002:a9fe:a9fe::", "fc00::1", "fd12::1", "fe80::1", "fe80::1%eth0", "2a00::1%eth0", "fec0::1", "ff02::1", "ff0e::1", "5f00::1", "4000::1",
	} {
		if assignment.Public(netip.MustParseAddr(a)) {
			t.Errorf("%s is public", a)
		}
	}
	if assignment.Public(netip.Addr{}) {
		t.Error("no address is public")
	}
}
