package internet

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/coder/websocket"
)

// Page is how a web server behaves.
type Page struct {
	Status int              // 0 is 200
	Cert   *tls.Certificate // nil is the right one
}

// Web is an HTTPS server, which answers plain HTTP too and takes a WebSocket on
// any path. It is safe for use by several goroutines.
type Web struct {
	right *tls.Certificate
	page  atomic.Pointer[Page]
	http  *http.Server
}

// serveWeb takes over the listeners.
func serveWeb(right *tls.Certificate, plain, secure []net.Listener) *Web {
	w := &Web{right: right}
	w.Show(Page{})
	w.http = &http.Server{Handler: w, ErrorLog: log.New(io.Discard, "", 0)}
	for _, l := range plain {
		go func() { _ = w.http.Serve(l) }()
	}
	conf := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		if c := w.page.Load().Cert; c != nil {
			return c, nil
		}
		return right, nil
	}}
	for _, l := range secure {
		go func() { _ = w.http.Serve(tls.NewListener(l, conf)) }()
	}
	return w
}

// Show changes the behaviour, from the next request or handshake on.
func (w *Web) Show(p Page) { w.page.Store(&p) }

// Stop closes the ports.
func (w *Web) Stop() { _ = w.http.Close() }

// ServeHTTP answers every request in the same way.
func (w *Web) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	if s := w.page.Load().Status; s != 0 {
		http.Error(out, http.StatusText(s), s)
		return
	}
	if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		if c, err := websocket.Accept(out, r, &websocket.AcceptOptions{InsecureSkipVerify: true}); err == nil {
			_, _, _ = c.Read(r.Context())
			_ = c.CloseNow()
		}
		return
	}
	if r.TLS == nil {
		http.Redirect(out, r, "https://"+r.Host+r.URL.Path, http.StatusMovedPermanently)
		return
	}
	fmt.Fprint(out, "<!doctype html><title>Videosprechstunde</title><h1>Videosprechstunde</h1>")
}
