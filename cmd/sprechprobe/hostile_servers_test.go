package main_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// manners are how one villain answers. A nil one does not even listen, but for
// dns, which then tells the truth.
type manners struct {
	udp func(v *villain, question []byte, send func([]byte))
	tcp func(v *villain, c net.Conn)
	dns func(v *villain, question []byte, send func([]byte))
	// central is who answers in place of the vendor's NATS server.
	central func(v *villain, c net.Conn)
}

// villain is a video service at one address that answers every port of its in
// one hostile way.
type villain struct {
	manners
	addr netip.Addr
	cert tls.Certificate // good, as a hostile service may well have one

	asked    atomic.Int64 // datagrams and connections that came
	streamed atomic.Int64 // bytes that endless streams got rid of
	flooded  atomic.Int64 // rounds of floods

	done    chan struct{}
	serving sync.WaitGroup
	mu      sync.Mutex
	open    map[io.Closer]bool // nil: over
}

// The ports of a villain, besides those of a vendor.
const (
	namePort                  = 53
	centralPort               = 4222
	captivePort               = 80
	firstPort, lastPort       = 21000, 21002 // of a range
	oneGiB                    = 1 << 30
	mostFlooded               = 30_000
	mostStreamed        int64 = 64 << 20
)

// newVillain listens until the test ends.
func newVillain(t *testing.T, addr netip.Addr, m manners, cert tls.Certificate) *villain {
	t.Helper()
	v := &villain{manners: m, addr: addr, cert: cert, done: make(chan struct{}), open: map[io.Closer]bool{}}
	t.Cleanup(v.end)
	v.packets(t, namePort, v.answerName)
	v.connections(t, namePort, v.serveName)
	ports := []uint16{firstPort, firstPort + 1, lastPort, tlsPort}
	if m.udp != nil {
		for _, p := range append(ports, plainPort) {
			v.packets(t, p, func(q []byte, send func([]byte)) { m.udp(v, q, send) })
		}
	}
	if m.tcp != nil {
		for _, p := range append(ports, webPort, natsPort, captivePort) {
			v.connections(t, p, func(c net.Conn) { m.tcp(v, c) })
		}
	}
	if m.central != nil {
		v.connections(t, centralPort, func(c net.Conn) { m.central(v, c) })
	}
	return v
}

func (v *villain) end() {
	close(v.done)
	v.mu.Lock()
	for c := range v.open {
		c.Close()
	}
	v.open = nil
	v.mu.Unlock()
	v.serving.Wait()
}

// keep makes c end with the villain; it is false where that is over already.
func (v *villain) keep(c io.Closer) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.open == nil {
		c.Close()
		return false
	}
	v.open[c] = true
	return true
}

func (v *villain) forget(c io.Closer) {
	v.mu.Lock()
	defer v.mu.Unlock()
	c.Close()
	delete(v.open, c)
}

// packets answers the datagrams that come to a port.
func (v *villain) packets(t *testing.T, port uint16, answer func(question []byte, send func([]byte))) {
	t.Helper()
	pc, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(v.addr, port)))
	must(t, err)
	v.keep(pc)
	v.serving.Go(func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := pc.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			v.asked.Add(1)
			answer(bytes.Clone(b[:n]), func(a []byte) { _, _ = pc.WriteToUDPAddrPort(a, from) })
		}
	})
}

// connections serves the connections that come to a port.
func (v *villain) connections(t *testing.T, port uint16, serve func(net.Conn)) {
	t.Helper()
	l, err := net.Listen("tcp4", netip.AddrPortFrom(v.addr, port).String())
	must(t, err)
	v.keep(l)
	v.serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			v.asked.Add(1)
			if v.keep(c) {
				v.serving.Go(func() { defer v.forget(c); serve(c) })
			}
		}
	})
}

// wait lets the other side wait until it goes away.
func wait(_ *villain, c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// stream writes b again and again until the other side has enough of it, and
// waits then.
func (v *villain) stream(c net.Conn, b []byte, most int64) {
	for n := int64(0); n < most; n += int64(len(b)) {
		wrote, err := c.Write(b)
		v.streamed.Add(int64(wrote))
		if err != nil {
			return
		}
	}
	wait(v, c)
}

// drip writes one byte a second.
func (v *villain) drip(c net.Conn, text string) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for _, b := range []byte(text) {
		if _, err := c.Write([]byte{b}); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-v.done:
			return
		}
	}
	wait(v, c)
}

// Ways of TCP.

func reset(_ *villain, c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }

func hangUp(*villain, net.Conn) {}

func endless(text string) func(*villain, net.Conn) {
	b := bytes.Repeat([]byte(text), 1+32<<10/len(text))
	return func(v *villain, c net.Conn) { v.stream(c, b, mostStreamed) }
}

// starting says something and goes on with it.
func starting(first string, then func(*villain, net.Conn)) func(*villain, net.Conn) {
	return func(v *villain, c net.Conn) {
		if _, err := io.WriteString(c, first); err == nil {
			then(v, c)
		}
	}
}

// dripping says the beginning of whatever is asked for, but never its end.
func dripping(v *villain, c net.Conn) {
	first, _ := peek(c)
	switch {
	case first == 0x16: // a ClientHello: the record of an answer
		v.drip(c, "\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03"+strings.Repeat("r", 60))
	case first == 'G':
		v.drip(c, "HTTP/1.1 200 OK\r\nX-Patience: "+strings.Repeat("a", 60))
	case first == 0:
		v.drip(c, "\x01\x13\x00\x40\x21\x12\xa4\x42"+strings.Repeat("i", 60))
	default:
		v.drip(c, `INFO {"server_id":"N`+strings.Repeat("A", 60))
	}
}

// firstWait is how long a villain waits for the other side to speak first.
const firstWait = 150 * time.Millisecond

// peek is the first byte of who speaks first; without one the other waits for
// us, as clients of NATS do.
func peek(c net.Conn) (byte, net.Conn) {
	r := bufio.NewReader(c)
	_ = c.SetReadDeadline(time.Now().Add(firstWait))
	b, err := r.Peek(1)
	_ = c.SetReadDeadline(time.Time{})
	if err != nil {
		return '-', buffered{c, bufio.NewReader(c)}
	}
	return b[0], buffered{c, r}
}

type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// secured shakes hands wherever TLS is wanted, and goes on inside it.
func secured(then func(*villain, net.Conn)) func(*villain, net.Conn) {
	return func(v *villain, c net.Conn) {
		first, c := peek(c)
		if first != 0x16 {
			then(v, c)
			return
		}
		tc := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{v.cert}})
		if tc.Handshake() == nil {
			then(v, tc)
		}
		tc.Close()
	}
}

// web answers every HTTP request, and everything else as well.
func web(status int, header string) func(*villain, net.Conn) {
	text := fmt.Sprintf("HTTP/1.1 %d Anything\r\nDate: %s\r\n%sContent-Length: 2\r\n\r\nok", status, time.Now().UTC().Format(http.TimeFormat), header)
	return starting(text, wait)
}

// location is the header of a redirect.
func location(to string) string { return "Location: " + to + "\r\n" }

// plainTLS speaks TLS, but only as far as record headers go.
func plainTLS(v *villain, c net.Conn) {
	first, c := peek(c)
	if first != 0x16 {
		wait(v, c)
		return
	}
	handshake := append([]byte{0x16, 3, 3, 0x40, 0}, make([]byte, 1<<14)...)
	copy(handshake[5:], []byte{2, 0xff, 0xff, 0xff}) // a ServerHello of 16 MiB
	v.stream(c, handshake, mostStreamed)
}

// madCertificate names its issuer in ways that no text for people may have.
func madCertificate(v *villain, c net.Conn) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return
	}
	mad := strings.Repeat("\x1b[2J\u202e\ufeff<script>ä\r\n", 300)
	names := make([]string, 2000)
	for i := range names {
		names[i] = fmt.Sprintf("n%d.%s", i, domain)
	}
	made := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: mad, Organization: []string{mad, mad}}, DNSNames: names,
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, made, made, &key.PublicKey, key)
	if err != nil {
		return
	}
	other := &villain{cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, done: v.done}
	secured(web(200, ""))(other, c)
}

// spoiled shakes hands as it should, and then writes under the records, where
// no key of theirs fits.
func spoiled(v *villain, c net.Conn) {
	first, c := peek(c)
	if first != 0x16 {
		v.stream(c, []byte("spoiled"), 7)
		return
	}
	tc := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{v.cert}})
	if tc.Handshake() != nil {
		return
	}
	record := append([]byte{0x17, 3, 3, 0x40, 0}, bytes.Repeat([]byte("garbage!"), 1<<11)...)
	v.stream(c, record, mostStreamed)
}

// honest speaks every protocol as it should be.
func honest(v *villain, c net.Conn) {
	secured(func(v *villain, c net.Conn) {
		switch first, c := peek(c); first {
		case 'G':
			web(200, "")(v, c)
		case 0:
			messages(unauthorized)(v, c)
		default:
			starting(`INFO {"server_id":"N","version":"2.14.0"}`+"\r\n", wait)(v, c)
		}
	})(v, c)
}

// longChain shows a chain of n certificates.
func longChain(n int) func(v *villain, c net.Conn) {
	chain := sync.OnceValue(func() tls.Certificate { return certificatesOf(n) })
	return func(v *villain, c net.Conn) {
		other := &villain{cert: chain(), done: v.done}
		secured(web(200, ""))(other, c)
	}
}

// certificatesOf is a leaf with the chain of its authorities, n in all.
func certificatesOf(n int) tls.Certificate {
	var key, above *ecdsa.PrivateKey
	var parent *x509.Certificate
	var out tls.Certificate
	for i := n; i > 0; i-- {
		key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		c := &x509.Certificate{SerialNumber: big.NewInt(int64(i)), Subject: pkix.Name{CommonName: fmt.Sprintf("Authority %d", i)},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"*." + domain},
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
		if parent == nil {
			parent, above = c, key
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, above)
		if err != nil {
			panic(err)
		}
		parent, above = c, key
		out.Certificate = append([][]byte{der}, out.Certificate...)
	}
	out.PrivateKey = key
	return out
}

// lyingSocket accepts a WebSocket, with the answer to its key, and then tells
// of frames.
func lyingSocket(frames string) func(*villain, net.Conn) {
	return secured(func(v *villain, c net.Conn) {
		first, c := peek(c)
		if first != 'G' {
			wait(v, c)
			return
		}
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		sum := sha1.Sum([]byte(req.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			base64.StdEncoding.EncodeToString(sum[:]))
		v.stream(c, []byte(frames), mostStreamed)
	})
}

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
		for sent := 0; sent < 1000; {
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
