package ipv6_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/probe/ipv6"
)

// The examples of RFC 6052 section 2.4, and what is no translator's.
func TestSynthesize(t *testing.T) {
	tests := []struct{ prefix, addr, want string }{
		{"2001:db8::/32", "192.0.2.33", "2001:db8:c000:221::"},
		{"2001:db8:100::/40", "192.0.2.33", "2001:db8:1c0:2:21::"},
		{"2001:db8:122::/48", "192.0.2.33", "2001:db8:122:c000:2:2100::"},
		{"2001:db8:122:300::/56", "192.0.2.33", "2001:db8:122:3c0:0:221::"},
		{"2001:db8:122:344::/64", "192.0.2.33", "2001:db8:122:344:c0:2:2100:0"},
		{"2001:db8:122:344::/96", "192.0.2.33", "2001:db8:122:344::c000:221"},
		{"64:ff9b::/96", "192.0.2.33", "64:ff9b::c000:221"},
		{"64:ff9b::1/96", "::ffff:192.0.2.33", "64:ff9b::c000:221"},
		{"64:ff9b::/95", "192.0.2.33", "invalid IP"},
		{"2001:db8:122:344:100::/96", "192.0.2.33", "invalid IP"}, // bits 64 to 71 stay zero
		{"64:ff9b::/96", "2001:db8::1", "invalid IP"},
		{"10.0.0.0/32", "192.0.2.33", "invalid IP"},
	}
	for _, tt := range tests {
		if got := ipv6.Synthesize(netip.MustParsePrefix(tt.prefix), netip.MustParseAddr(tt.addr)).String(); got != tt.want {
			t.Errorf("Synthesize(%s, %s) = %s, want %s", tt.prefix, tt.addr, got, tt.want)
		}
	}
	if got := ipv6.Synthesize(netip.Prefix{}, netip.MustParseAddr("192.0.2.33")); got.IsValid() {
		t.Errorf("without a prefix: %v", got)
	}
}

func TestDiscover(t *testing.T) {
	tests := []struct {
		name  string
		addrs []string
		want  string
	}{
		{"usual", []string{"64:ff9b::c000:aa", "64:ff9b::c000:ab"}, "64:ff9b::/96"},
		{"only one", []string{"64:ff9b::c000:ab"}, "64:ff9b::/96"},
		{"short", []string{"2001:db8:c000:aa::"}, "2001:db8::/32"},
		{"in the middle", []string{"2001:db8:122:3c0:0:aa::"}, "2001:db8:122:300::/56"},
		{"of the practice", []string{"fd00:64::c000:aa"}, "fd00:64::/96"},
		{"none", nil, "invalid Prefix"},
		{"not the well-known ones", []string{"64:ff9b::c000:a9", "2001:db8::1"}, "invalid Prefix"},
		{"something behind", []string{"2001:db8:c000:aa::1"}, "invalid Prefix"},
		{"twice in one", []string{"2001:db8:c000:aa::c000:aa"}, "2001:db8:c000:aa::/96"}, // the other has something behind
		{"two translators", []string{"64:ff9b::c000:aa", "fd00:64::c000:aa"}, "invalid Prefix"},
		{"within this network", []string{"fe80::c000:aa"}, "invalid Prefix"},
		{"to all", []string{"ff02::c000:aa"}, "invalid Prefix"},
	}
	for _, tt := range tests {
		var addrs []netip.Addr
		for _, a := range tt.addrs {
			addrs = append(addrs, netip.MustParseAddr(a))
		}
		if got := ipv6.Discover(addrs).String(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// FuzzDiscover: a prefix explains at least one of the addresses that it was
// found in.
func FuzzDiscover(f *testing.F) {
	f.Add(netip.MustParseAddr("64:ff9b::c000:aa").AsSlice(), netip.MustParseAddr("64:ff9b::c000:ab").AsSlice())
	f.Add(netip.MustParseAddr("2001:db8:c000:aa::").AsSlice(), []byte(nil))
	f.Add(netip.MustParseAddr("2001:db8:122:344:c0:0:aa00:0").AsSlice(), netip.MustParseAddr("ff02::c000:aa").AsSlice())
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var addrs []netip.Addr
		for _, b := range [][]byte{first, second} {
			if a, ok := netip.AddrFromSlice(b); ok {
				addrs = append(addrs, a)
			}
		}
		p := ipv6.Discover(addrs)
		if !p.IsValid() {
			return
		}
		a := ipv6.Synthesize(p, netip.MustParseAddr("192.0.0.170"))
		b := ipv6.Synthesize(p, netip.MustParseAddr("192.0.0.171"))
		if !slices.Contains(addrs, a) && !slices.Contains(addrs, b) || !a.IsGlobalUnicast() {
			t.Errorf("%v of %v", p, addrs)
		}
	})
}
