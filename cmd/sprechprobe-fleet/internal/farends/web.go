package farends

import (
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"
)

// web is the service's pages, and the page of whoever stands in its way.
type web struct {
	down     atomic.Bool // the service answers 503
	stripper *page
}

func (s *Service) openWeb() error {
	s.web = &web{}
	for host, door := range map[string]**streamDoor{VideoHost: &s.doors.video, GroupHost: &s.doors.group} {
		err := openAt(s.addr(host), webPort, func(at netip.AddrPort) (err error) {
			*door, err = newStreamDoor(at)
			return err
		})
		if err != nil {
			return err
		}
		s.serve(*door, s.certs.config(), http.HandlerFunc(s.web.page))
	}
	s.web.stripper = newPage()
	s.serve(s.web.stripper, s.certs.config(), http.HandlerFunc(strippedPage))
	s.openPlain()
	return nil
}

// openPlain opens port 80 of the web hosts where the system lets us, which is
// what a box asks when it looks for a login page. Only the loss of everything
// needs it: a port that nobody opened would refuse, and so give a sign of life.
func (s *Service) openPlain() {
	for _, host := range []string{VideoHost, GroupHost} {
		door, err := newStreamDoor(netip.AddrPortFrom(s.addr(host), 80))
		if err != nil {
			return
		}
		s.doors.plain = append(s.doors.plain, door)
		home := fmt.Sprintf("https://%s:%d/", host, s.Web(host).Port())
		s.serve(door, nil, http.RedirectHandler(home, http.StatusMovedPermanently))
	}
}

// serve runs a web server on a listener until the service ends, without TLS
// where c is nil.
func (s *Service) serve(door net.Listener, c *tls.Config, h http.Handler) {
	ln := door
	if c != nil {
		ln = tls.NewListener(door, c)
	}
	srv := &http.Server{
		Handler: h, ErrorLog: quiet(),
		ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: 20 * time.Second,
		MaxHeaderBytes: 16 << 10,
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	s.later(closer(func() error {
		_ = ln.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		defer cancel()
		if srv.Shutdown(ctx) != nil {
			_ = srv.Close()
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}))
}

func (w *web) page(rw http.ResponseWriter, r *http.Request) {
	switch {
	case w.down.Load():
		http.Error(rw, "503: the video service is being repaired", http.StatusServiceUnavailable)
	case r.URL.Path == signalPath:
		upgrade(rw, r)
	case r.URL.Path == "/":
		fmt.Fprintln(rw, "Demo video service")
	default:
		http.NotFound(rw, r)
	}
}

// upgrade agrees to a WebSocket (RFC 6455 section 4.2.2) and leaves it: there
// is nobody to talk to.
func upgrade(rw http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Sec-WebSocket-Key")
	if key == "" || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		rw.Header().Set("Sec-WebSocket-Version", "13")
		http.Error(rw, "a WebSocket belongs here", http.StatusUpgradeRequired)
		return
	}
	conn, buf, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		http.Error(rw, "no WebSocket over this protocol", http.StatusHTTPVersionNotSupported)
		return
	}
	defer conn.Close()
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	fmt.Fprintf(buf, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	_, _ = buf.Write([]byte{0x88, 2, 0x03, 0xe8}) // close, 1000: normal
	_ = buf.Flush()
}

// strippedPage is what a proxy shows that knows no WebSocket.
func strippedPage(rw http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(rw, "<html><body>Web gateway: page loaded.</body></html>")
}

// page is a listener for connections that were accepted elsewhere.
type page struct {
	in   chan net.Conn
	done chan struct{}
	shut atomic.Bool
}

func newPage() *page { return &page{in: make(chan net.Conn), done: make(chan struct{})} }

// show hands a connection to the page.
func (p *page) show(c net.Conn) {
	select {
	case p.in <- c:
	case <-p.done:
		_ = c.Close()
	}
}

func (p *page) Accept() (net.Conn, error) {
	select {
	case c := <-p.in:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *page) Close() error {
	if p.shut.CompareAndSwap(false, true) {
		close(p.done)
	}
	return nil
}

func (p *page) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
