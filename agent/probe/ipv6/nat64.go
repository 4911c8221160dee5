package ipv6

import (
	"net/netip"
	"slices"
)

// lengths are those that a translator's prefix may have, the usual one first
// (RFC 6052 section 2.2).
var lengths = [...]int{96, 64, 56, 48, 40, 32}

// Synthesize is the IPv6 address by which a translator with this prefix reaches
// an IPv4 address (RFC 6052 section 2.2). It is invalid where the prefix is none
// of a translator or a is not IPv4.
func Synthesize(prefix netip.Prefix, a netip.Addr) netip.Addr {
	a = a.Unmap()
	if !a.Is4() || !prefix.Addr().Is6() || !slices.Contains(lengths[:], prefix.Bits()) {
		return netip.Addr{}
	}
	out, four := prefix.Masked().Addr().As16(), a.As4()
	if out[reserved] != 0 {
		return netip.Addr{}
	}
	for i, at := range places(prefix.Bits()) {
		out[at] = four[i]
	}
	return netip.AddrFrom16(out)
}

// reserved is the byte that stays zero in each such address.
const reserved = 8

// places are the bytes that carry the IPv4 address behind a prefix.
func places(bits int) (at [4]int) {
	next := bits / 8
	for i := range at {
		if next == reserved {
			next++
		}
		at[i] = next
		next++
	}
	return at
}

// discover finds the translator's prefix in the addresses that ipv4only.arpa has
// here (RFC 7050 section 3); invalid: there is no translator, or it does not show
// which of two prefixes it has.
func discover(addrs []netip.Addr) netip.Prefix {
	var found netip.Prefix
	for _, a := range addrs {
		for _, bits := range lengths {
			p, err := a.Prefix(bits)
			if err != nil || !a.Is6() || !a.IsGlobalUnicast() || !holds(p, a) {
				continue
			}
			if found.IsValid() && found != p {
				return netip.Prefix{}
			}
			found = p
		}
	}
	return found
}

// holds reports whether a is what a translator with prefix p makes of one of the
// addresses of ipv4only.arpa, 192.0.0.170 and 192.0.0.171 (RFC 7050 section 8.2).
func holds(p netip.Prefix, a netip.Addr) bool {
	for last := byte(170); last <= 171; last++ {
		if Synthesize(p, netip.AddrFrom4([4]byte{192, 0, 0, last})) == a {
			return true
		}
	}
	return false
}
