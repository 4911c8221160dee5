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
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

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
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 3, 0), DNSNames: []string{"*." + domain},
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
