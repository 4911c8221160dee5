package dns

import "net/netip"

// bogons are the networks in which no public service can be: "this network"
// (RFC 1122), shared by carriers (RFC 6598), documentation (RFC 5737, 3849,
// 9637), reserved (RFC 1112). What package netip has a name for is not repeated
// here. The range for benchmarks, 198.18.0.0/15, is left out on purpose: it is
// what laboratories build a public internet from.
var bogons = [...]netip.Prefix{
	prefix4(0, 0, 0, 8),
	prefix4(100, 64, 0, 10),
	prefix4(192, 0, 2, 24),
	prefix4(198, 51, 100, 24),
	prefix4(203, 0, 113, 24),
	prefix4(240, 0, 0, 4),
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("3fff::/20"),
}

func prefix4(a, b, c byte, bits int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{a, b, c}), bits)
}

// isBogon reports whether a cannot be the address of a public service.
func isBogon(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() { // loopback, link-local, multicast, unspecified are not global
		return true
	}
	for _, p := range bogons {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
