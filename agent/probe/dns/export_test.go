package dns

import (
	"net/netip"

	"golang.org/x/net/dns/dnsmessage"
)

// ParseAnswer is the reader of answers, for fuzzing without a server.
func ParseAnswer(b []byte, q dnsmessage.Question) ([]netip.Addr, dnsmessage.RCode, error) {
	a, err := parseAnswer(b, q)
	return a.addrs, a.rcode, err
}
