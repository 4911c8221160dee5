package middlebox

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"
)

// peeked is a connection of which something has been looked at before it is read.
// What came in one piece goes on in one: a server may judge by the first.
type peeked struct {
	net.Conn
	ahead *bufio.Reader
}

// maxRecord is the longest TLS record with its header (RFC 8446, section 5.2).
const maxRecord = 5 + 1<<14 + 256

func peek(c net.Conn) *peeked { return &peeked{c, bufio.NewReaderSize(c, maxRecord)} }

func (p *peeked) Read(b []byte) (int, error) { return p.ahead.Read(b) }

// CloseWrite passes on what [join] has to say.
func (p *peeked) CloseWrite() error {
	if w, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// recordHandshake is the first byte of TLS (RFC 8446, section 5.1).
const recordHandshake = 0x16

// startsTLS reads ahead. A client that waits for the server to speak first is no
// client of TLS.
func (p *peeked) startsTLS() bool {
	_ = p.SetReadDeadline(time.Now().Add(time.Second))
	defer func() { _ = p.SetReadDeadline(time.Time{}) }()
	first, err := p.ahead.Peek(1)
	return err == nil && first[0] == recordHandshake
}

// hello reads a ClientHello ahead: the name asked for and the size of its record,
// bytes.
func (p *peeked) hello() (name string, size int, isTLS bool) {
	if !p.startsTLS() {
		return "", 0, false
	}
	_ = p.SetReadDeadline(time.Now().Add(patience))
	defer func() { _ = p.SetReadDeadline(time.Time{}) }()
	head, err := p.ahead.Peek(5)
	if err != nil {
		return "", 0, false
	}
	record, err := p.ahead.Peek(5 + int(head[3])<<8 + int(head[4]))
	if err != nil {
		return "", 0, false
	}
	return serverName(record), len(record), true
}

// serverName has the TLS library read a record.
func serverName(record []byte) (name string) {
	stop := errors.New("seen enough")
	_ = tls.Server(&replay{Reader: bytes.NewReader(record)}, &tls.Config{
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			name = h.ServerName
			return nil, stop
		},
	}).Handshake()
	return name
}

// replay is a connection that has only something to say.
type replay struct {
	net.Conn
	io.Reader
}

func (r *replay) Read(b []byte) (int, error)     { return r.Reader.Read(b) }
func (*replay) Write(b []byte) (int, error)      { return len(b), nil }
func (*replay) SetDeadline(time.Time) error      { return nil }
func (*replay) SetReadDeadline(time.Time) error  { return nil }
func (*replay) SetWriteDeadline(time.Time) error { return nil }
func (*replay) Close() error                     { return nil }
