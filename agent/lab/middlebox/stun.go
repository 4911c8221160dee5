package middlebox

import (
	"encoding/binary"
	"net/netip"
)

// Numbers of STUN (RFC 8489, sections 5 and 14.1).
const (
	bindingSuccess = 0x0101
	magicCookie    = 0x2112a442
	mappedAddress  = 0x0001
)

// RewriteMapped is what a router does that knows addresses only by their looks, as
// the helpers for SIP do: in answers to a STUN Binding it puts an address in the
// place of MAPPED-ADDRESS, whose like XOR-MAPPED-ADDRESS was made to escape. It
// takes IP packets of version 4; nil is no change.
func RewriteMapped(to netip.Addr) func(packet []byte) []byte {
	return func(packet []byte) []byte {
		p := append([]byte(nil), packet...)
		message, ok := bindingAnswer(p)
		if !ok {
			return nil
		}
		changed := false
		for attrs := message[20:]; len(attrs) >= 4; {
			kind, size := binary.BigEndian.Uint16(attrs), int(binary.BigEndian.Uint16(attrs[2:]))
			if 4+size > len(attrs) {
				return nil
			}
			if kind == mappedAddress && size == 8 {
				a := to.As4()
				copy(attrs[8:12], a[:])
				changed = true
			}
			attrs = attrs[min(len(attrs), 4+(size+3)&^3):]
		}
		if !changed {
			return nil
		}
		sum(p)
		return p
	}
}

// bindingAnswer is the STUN message in an IP packet, if it is one.
func bindingAnswer(p []byte) ([]byte, bool) {
	if len(p) < 20 || p[0]>>4 != 4 || p[9] != 17 {
		return nil, false
	}
	ihl := int(p[0]&15) * 4
	if len(p) < ihl+8+20 {
		return nil, false
	}
	m := p[ihl+8:]
	return m, binary.BigEndian.Uint16(m) == bindingSuccess && binary.BigEndian.Uint32(m[4:]) == magicCookie
}

// sum writes the checksum of a UDP packet anew (RFC 768).
func sum(p []byte) {
	udp := p[int(p[0]&15)*4:]
	udp[6], udp[7] = 0, 0
	total := uint32(17 + len(udp))
	for _, b := range [][]byte{p[12:20], udp} {
		for i, v := range b {
			if i%2 == 0 {
				total += uint32(v) << 8
			} else {
				total += uint32(v)
			}
		}
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	if total = ^total & 0xffff; total == 0 {
		total = 0xffff
	}
	binary.BigEndian.PutUint16(udp[6:], uint16(total))
}
