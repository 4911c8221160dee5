package localname

import "net/netip"

// Reply is what one packet is answered with, nil for nothing, and whether the
// asker would rather be told alone.
func Reply(packet []byte, label string, addr netip.Addr, legacy bool) (out []byte, unicast bool) {
	q, ok := read(packet, label+".local.", addr)
	if !ok || q.known {
		return nil, false
	}
	out, err := reply(q, addr, legacy)
	if err != nil {
		panic(err) // a question that was understood can be answered
	}
	return out, q.unicast
}
