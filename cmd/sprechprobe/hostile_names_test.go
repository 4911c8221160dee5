package main_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
)

// Ways of DNS.

func (v *villain) answerName(q []byte, send func([]byte)) {
	if len(q) < 17 {
		return
	}
	if v.dns != nil {
		v.dns(v, q, send)
		return
	}
	send(addresses(v.addr.String())(q))
}

// serveName answers over TCP what it would over UDP.
func (v *villain) serveName(c net.Conn) {
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return
	}
	q := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, q); err != nil {
		return
	}
	q = append(q[:2:2], append([]byte{0xff}, q[3:]...)...) // says that it came by TCP
	v.answerName(q, func(a []byte) {
		_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...))
	})
	wait(v, c)
}

func byTCP(q []byte) bool { return q[2] == 0xff }

// reply is a DNS answer that repeats the question, with records behind it.
func reply(q []byte, flags uint16, count int, records []byte) []byte {
	end := 12 + bytes.IndexByte(q[12:], 0) + 5
	b := append(q[:2:2], byte(flags>>8), byte(flags))
	b = append(b, 0, 1, byte(count>>8), byte(count), 0, 0, 0, 0)
	b = append(b, q[12:end]...)
	return append(b, records...)
}

func asksA(q []byte) bool { return q[12+bytes.IndexByte(q[12:], 0)+2] == 1 }

// record is one of the question's own name.
func record(kind byte, data string) []byte {
	return append([]byte{0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 9, byte(len(data) >> 8), byte(len(data))}, data...)
}

// addresses answers A with addresses, and AAAA with none.
func addresses(all ...string) func(q []byte) []byte {
	var b []byte
	for _, a := range all {
		b = append(b, record(1, string(netip.MustParseAddr(a).AsSlice()))...)
	}
	return func(q []byte) []byte {
		if !asksA(q) {
			return reply(q, 0x8180, 0, nil)
		}
		return reply(q, 0x8180, len(all), b)
	}
}

// named sends the one answer that a way makes.
func named(way func(q []byte) []byte) func(*villain, []byte, func([]byte)) {
	return func(_ *villain, q []byte, send func([]byte)) { send(way(q)) }
}

// cut says over UDP that there is more over TCP.
func cut(then func(v *villain, q []byte, send func([]byte))) func(*villain, []byte, func([]byte)) {
	return func(v *villain, q []byte, send func([]byte)) {
		if byTCP(q) {
			then(v, q, send)
			return
		}
		send(reply(q, 0x8380, 0, nil))
	}
}

func wrongID(to string) func(q []byte) []byte {
	return func(q []byte) []byte {
		a := addresses(to)(q)
		a[0] ^= 0x55
		return a
	}
}

// pointers is a record whose name points at itself, and one whose name points
// at the other.
func pointers(q []byte) []byte {
	at := len(reply(q, 0, 0, nil))
	loop := func(to int) []byte {
		return []byte{0xc0 | byte(to>>8), byte(to), 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, 1}
	}
	return reply(q, 0x8180, 2, append(loop(at), loop(at)...))
}

// aliases are a circle of names.
func aliases(q []byte) []byte {
	at := len(reply(q, 0, 0, nil)) + 12
	to := record(5, "\x01b\xc0\x0c")
	back := append([]byte{0xc0 | byte(at>>8), byte(at)}, record(5, "\xc0\x0c")[2:]...)
	return reply(q, 0x8180, 2, append(to, back...))
}

// manyAddresses are n of the practice's own network.
func manyAddresses(n int) []string {
	var all []string
	for i := range n {
		all = append(all, netip.AddrFrom4([4]byte{192, 168, byte(i / 250), byte(1 + i%250)}).String())
	}
	return all
}
