package statuspage

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// What strangers may cost.
const (
	maxConns    = 16      // open at a time, each with one goroutine
	maxPerPeer  = 6       // of them, from one address; browsers open up to six
	maxRequest  = 8 << 10 // bytes of a request's line and headers
	acceptEvery = 20 * time.Millisecond
	readTime    = 5 * time.Second  // for a whole request
	writeTime   = 10 * time.Second // for a whole answer
	lingerTime  = time.Second      // for a peer to take the end of its answer
)

// Handler says what a request is answered with. [Page] is one.
type Handler interface {
	Answer(r *http.Request) Response
}

// Response is one whole answer.
type Response struct {
	Status string // code and phrase of the status line, such as "200 OK"
	Type   string // media type; empty: plain text
	Body   string
}

// Serve answers on ln until ctx ends, and closes ln. It is a server for GET and
// nothing else, because the one of net/http costs 0.18 MB that the smallest
// boards have not got; requests are read by net/http all the same. A connection
// carries one request. One that is under way when ctx ends has the time that it
// would have had; one that has not asked yet is closed.
func Serve(ctx context.Context, ln net.Listener, h Handler) error {
	s := &server{handler: h, open: map[netip.Addr]int{}, slots: make(chan struct{}, maxConns)}
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	defer ln.Close()
	defer s.running.Wait()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return nil
		case s.slots <- struct{}{}:
		}
		switch c, err := ln.Accept(); {
		case err == nil:
			s.take(ctx, c)
		case errors.Is(err, net.ErrClosed):
			return nil
		default:
			<-s.slots
		}
		time.Sleep(acceptEvery) // a flood of connections, or of errors, costs no more than this
	}
	return nil
}

type server struct {
	handler Handler
	slots   chan struct{}
	running sync.WaitGroup

	mu   sync.Mutex
	open map[netip.Addr]int
}

// take serves a connection in the background, or closes it: no address may take
// every place, and nobody from beyond the local networks is served at all.
func (s *server) take(ctx context.Context, c net.Conn) {
	peer := peerOf(c)
	if !s.enter(peer) || !local(peer) {
		s.leave(peer)
		c.Close()
		return
	}
	s.running.Go(func() {
		defer s.leave(peer)
		defer c.Close()
		stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Now()) })
		defer stop()
		s.serve(c)
	})
}

// enter counts a peer in and reports whether it may.
func (s *server) enter(peer netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[peer]++
	return s.open[peer] <= maxPerPeer
}

func (s *server) leave(peer netip.Addr) {
	s.mu.Lock()
	if s.open[peer]--; s.open[peer] == 0 {
		delete(s.open, peer)
	}
	s.mu.Unlock()
	<-s.slots
}

// serve reads one request and answers it.
func (s *server) serve(c net.Conn) {
	_ = c.SetReadDeadline(time.Now().Add(readTime))
	in := io.LimitedReader{R: c, N: maxRequest}
	out, body := Response{Status: "400 Bad Request", Body: german.tooLong + "\n" + english.tooLong + "\n"}, true
	switch r, err := http.ReadRequest(bufio.NewReaderSize(&in, 1<<10)); {
	case err == nil:
		out, body = s.handler.Answer(r), r.Method != http.MethodHead
	case in.N == maxRequest:
		return // came to say nothing
	}
	_ = c.SetWriteDeadline(time.Now().Add(writeTime))
	if _, err := io.WriteString(c, out.head()); err == nil && body {
		_, _ = io.WriteString(c, out.Body)
	}
	linger(c)
}

// linger waits for the peer to take what was written: to close while something
// unread has come in would take the answer back.
func linger(c net.Conn) {
	t, ok := c.(*net.TCPConn)
	if !ok || t.CloseWrite() != nil {
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, c, 64<<10)
}

// policy lets the page load and run nothing at all but its own style, and nobody
// frame it.
var policy = sync.OnceValue(func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
})

// head is the status line and the headers, with the blank line behind them.
func (r Response) head() string {
	kind := r.Type
	if kind == "" {
		kind = "text/plain; charset=utf-8"
	}
	allow := ""
	if r.Status == notAllowed {
		allow = "Allow: GET, HEAD\r\n"
	}
	return "HTTP/1.1 " + r.Status + "\r\n" +
		"Content-Type: " + kind + "\r\n" +
		"Content-Length: " + strconv.Itoa(len(r.Body)) + "\r\n" +
		"Content-Security-Policy: " + policy() + "\r\n" +
		"X-Frame-Options: DENY\r\n" +
		"X-Content-Type-Options: nosniff\r\n" +
		"Referrer-Policy: no-referrer\r\n" +
		"Cross-Origin-Resource-Policy: same-origin\r\n" +
		"Cache-Control: no-store\r\n" +
		"Vary: Accept-Language\r\n" + allow +
		"Connection: close\r\n\r\n"
}

// peerOf is who is at the other end, invalid if that is nobody with an address.
func peerOf(c net.Conn) netip.Addr {
	a, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return a.AddrPort().Addr().Unmap().WithZone("")
}

// local reports whether a peer is on a network of the practice: at a private
// address, or at a public one on a cable of the box's own.
func local(peer netip.Addr) bool {
	if peer.IsPrivate() || peer.IsLoopback() || peer.IsLinkLocalUnicast() {
		return true
	}
	if !peer.IsGlobalUnicast() {
		return false
	}
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.Contains(peer.AsSlice()) {
			return true
		}
	}
	return false
}
