package main_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
)

// Ways of STUN and TURN. Each makes its answer from the question.

const cookie = "\x21\x12\xa4\x42"

// message is a STUN message in answer to a question: class 1 success, 2 error.
func message(question []byte, class int, attrs ...[]byte) []byte {
	if len(question) < 20 {
		return []byte("?")
	}
	kind := binary.BigEndian.Uint16(question)&^0x0110 | []uint16{0, 0x0100, 0x0110}[class]
	body := bytes.Join(attrs, nil)
	b := binary.BigEndian.AppendUint16(nil, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	b = append(b, question[4:20]...)
	return append(b, body...)
}

func attribute(kind uint16, value string) []byte {
	b := binary.BigEndian.AppendUint16(nil, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	b = append(b, value...)
	return append(b, make([]byte, -len(value)&3)...)
}

// bare is an address attribute as MAPPED-ADDRESS and ALTERNATE-SERVER have it.
func bare(kind uint16, to string) []byte {
	ap := netip.MustParseAddrPort(to)
	return attribute(kind, "\x00\x01"+string(binary.BigEndian.AppendUint16(nil, ap.Port()))+string(ap.Addr().AsSlice()))
}

// xored is an address attribute in its other form.
func xored(kind uint16, to string) []byte {
	b := bare(kind, to)
	for i, x := range []byte("\x21\x12" + cookie) {
		b[6+i] ^= x
	}
	return b
}

// challenge is the 401 of a TURN server.
func challenge(q []byte, realm, software string) []byte {
	return message(q, 2, attribute(0x0009, "\x00\x00\x04\x01Unauthorized"), attribute(0x0014, realm),
		attribute(0x0015, "nonce"), attribute(0x8022, software))
}

// mappedTo is what a server makes of the box's address; an allocation goes with
// it, at an address as bad.
func mappedTo(to string) func([]byte) [][]byte {
	return func(q []byte) [][]byte {
		return [][]byte{message(q, 1, xored(0x0020, to), xored(0x0016, to), attribute(0x000d, "\x00\x00\x00\x00"))}
	}
}

// alternate is a 300 that leads to other servers.
func alternate(to ...string) func([]byte) [][]byte {
	var next atomic.Int64
	return func(q []byte) [][]byte {
		at := to[int(next.Add(1))%len(to)]
		return [][]byte{message(q, 2, attribute(0x0009, "\x00\x00\x03\x00Try Alternate"), bare(0x8023, at))}
	}
}

func foreignID(q []byte) [][]byte {
	a := message(q, 1, xored(0x0020, "192.0.2.1:9"))
	a[len(a)-13] ^= 1
	b := bytes.Clone(a)
	b[19] ^= 0xff
	return [][]byte{b, b, b}
}

// half breaks off in the middle.
func half(q []byte) [][]byte {
	whole := message(q, 1, xored(0x0020, "192.0.2.1:9"), attribute(0x8022, strings.Repeat("s", 40)))
	return [][]byte{whole[:len(whole)/2]}
}

// halfSTUN is answers that break off, or whose lengths lie.
func halfSTUN(q []byte) [][]byte {
	whole := message(q, 1, xored(0x0020, "192.0.2.1:9"), attribute(0x8022, strings.Repeat("s", 40)))
	longer := bytes.Clone(whole)
	binary.BigEndian.PutUint16(longer[2:], 0xfffc)
	inside := bytes.Clone(whole)
	binary.BigEndian.PutUint16(inside[22:], 0xffff) // the first attribute reaches out of the message
	empty := message(q, 1, attribute(0x0020, ""))
	empty[3]++ // not a multiple of four
	return [][]byte{whole[:len(whole)/2], whole[:19], longer, inside, empty, whole[:1], {}}
}

func garbage([]byte) [][]byte {
	b := make([]byte, 600)
	_, _ = rand.Read(b)
	b[0] |= 0x80 // neither STUN nor a record of DTLS
	return [][]byte{b, b[:1], {}, b[:20]}
}

// unauthorized is what a STUN and TURN server should answer.
func unauthorized(q []byte) [][]byte {
	if q[1] == 1 {
		return [][]byte{message(q, 1, xored(0x0020, "198.18.60.1:4000"))}
	}
	return [][]byte{challenge(q, domain, "honest")}
}

// relayAt gives allocations to those who show credentials, at an address of its
// choice.
func relayAt(to string) func(q []byte) [][]byte {
	return func(q []byte) [][]byte {
		if q[1] == 3 && bytes.Contains(q, []byte("nonce")) {
			return [][]byte{message(q, 1, xored(0x0020, to), xored(0x0016, to), attribute(0x000d, "\x00\x00\x02\x58"))}
		}
		return unauthorized(q)
	}
}

// staleNonces wants a new try with a new nonce, again and again.
func staleNonces(q []byte) [][]byte {
	if q[1] == 3 && bytes.Contains(q, []byte("nonce")) {
		return [][]byte{message(q, 2, attribute(0x0009, "\x00\x00\x04\x26Stale Nonce"), attribute(0x0014, domain), attribute(0x0015, "nonce"+rand.Text()))}
	}
	return unauthorized(q)
}

// madWords are an answer in order, but for its words.
func madWords(q []byte) [][]byte {
	const mad = "\x1b[2J\x00\u202e\ufffd\xff<script>\r\n"
	return [][]byte{challenge(q, strings.Repeat(mad, 20), strings.Repeat(mad, 30))}
}

func reflection(q []byte) [][]byte { return [][]byte{q} }

func longRealm(q []byte) [][]byte {
	return [][]byte{challenge(q, strings.Repeat("realm ", 10_000), "")}
}

// cookieLoop answers each ClientHello of DTLS with one more HelloVerifyRequest,
// and each STUN message with garbage.
func cookieLoop(q []byte) [][]byte {
	if len(q) < 14 || q[0] != 22 {
		return garbage(q)
	}
	c := make([]byte, 20)
	_, _ = rand.Read(c)
	hello := append([]byte{254, 255, byte(len(c))}, c...)
	body := append([]byte{3, 0, 0, byte(len(hello)), q[17], q[18], 0, 0, 0, 0, 0, byte(len(hello))}, hello...)
	record := append([]byte{22, 254, 253}, q[3:11]...)
	return [][]byte{append(append(record, 0, byte(len(body))), body...)}
}

// records answers with what has the form of DTLS, and no sense.
func records(q []byte) [][]byte {
	var out [][]byte
	for kind := byte(20); kind < 25; kind++ {
		b := append([]byte{kind, 254, 253, 0, 0, 0, 0, 0, 0, 0, kind, 0, 200}, make([]byte, 200)...)
		_, _ = rand.Read(b[13:])
		b[13], b[14], b[15], b[16] = 11, 0xff, 0xff, 0xff // a Certificate of 16 MiB, in fragments
		out = append(out, b)
	}
	return out
}

// datagrams sends all answers that a way makes.
func datagrams(way func([]byte) [][]byte) func(*villain, []byte, func([]byte)) {
	return func(_ *villain, q []byte, send func([]byte)) {
		for _, a := range way(q) {
			send(a)
		}
	}
}

// flood answers each datagram with a thousand, until all of them together are
// enough.
func flood(way func([]byte) [][]byte) func(*villain, []byte, func([]byte)) {
	return func(v *villain, q []byte, send func([]byte)) {
		for sent := 0; sent < 300; {
			for _, a := range way(q) {
				send(a)
				sent++
			}
			if v.flooded.Add(1) > mostFlooded {
				return
			}
		}
	}
}

func mute(*villain, []byte, func([]byte)) {}

// messages makes a way of UDP one of TCP: whoever speaks STUN gets the answers,
// and all others wait.
func messages(way func([]byte) [][]byte) func(*villain, net.Conn) {
	return func(v *villain, c net.Conn) {
		first, c := peek(c)
		if first != 0 {
			wait(v, c)
			return
		}
		for {
			q := make([]byte, 20)
			if _, err := io.ReadFull(c, q); err != nil {
				return
			}
			q = append(q, make([]byte, binary.BigEndian.Uint16(q[2:]))...)
			if _, err := io.ReadFull(c, q[20:]); err != nil {
				return
			}
			for _, a := range way(q) {
				if _, err := c.Write(a); err != nil {
					return
				}
			}
		}
	}
}
