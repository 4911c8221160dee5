package middlebox

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/lab/pki"
)

// StripUpgrade is an intercepting proxy that knows HTTP of old: whoever wants to go
// on with something else, as WebSocket does, gets an answer to a plain request.
func StripUpgrade(dial Dial, ca *pki.Authority) Box {
	return func(client net.Conn, to netip.AddrPort) {
		inner, server := intercept(dial, ca, client, to)
		if inner == nil {
			return
		}
		defer inner.Close()
		defer server.Close()
		fromClient, fromServer := bufio.NewReader(inner), bufio.NewReader(server)
		for strip(inner, server, fromClient, fromServer) == nil {
		}
	}
}

// strip passes on one request and its answer.
func strip(client, server net.Conn, fromClient, fromServer *bufio.Reader) error {
	_ = client.SetDeadline(time.Now().Add(patience))
	_ = server.SetDeadline(time.Now().Add(patience))
	ask, err := http.ReadRequest(fromClient)
	if err != nil {
		return err
	}
	for name := range ask.Header {
		if name == "Upgrade" || name == "Connection" || strings.HasPrefix(name, "Sec-Websocket-") {
			ask.Header.Del(name)
		}
	}
	if err := ask.Write(server); err != nil {
		return err
	}
	answer, err := http.ReadResponse(fromServer, ask)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return answer.Write(client)
}

// Portal answers every request itself and sends clients to its own page. Over TLS
// it shows the certificate of that page, whomever they wanted.
func Portal(ca *pki.Authority, host string) Box {
	return func(client net.Conn, _ netip.AddrPort) {
		defer client.Close()
		_ = client.SetDeadline(time.Now().Add(patience))
		p := peek(client)
		var inner net.Conn = p
		if p.startsTLS() {
			_ = client.SetDeadline(time.Now().Add(patience))
			cert, err := ca.For(host)
			if err != nil {
				return
			}
			inner = tls.Server(p, &tls.Config{Certificates: []tls.Certificate{*cert}})
		}
		if _, err := http.ReadRequest(bufio.NewReader(inner)); err != nil {
			return
		}
		fmt.Fprintf(inner, "HTTP/1.1 302 Found\r\nLocation: https://%s/login\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", host)
	}
}

// Proxy is a proxy that clients have to be told of: CONNECT goes anywhere. Lookup
// finds the address of a host.
func Proxy(dial Dial, lookup func(ctx context.Context, host string) (netip.Addr, error)) func(net.Conn) {
	return func(client net.Conn) {
		_ = client.SetDeadline(time.Now().Add(patience))
		ask, err := http.ReadRequest(bufio.NewReader(client)) // who sends CONNECT waits then
		if err != nil || ask.Method != http.MethodConnect {
			answer(client, http.StatusMethodNotAllowed)
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		host, port, err := net.SplitHostPort(ask.Host)
		if err != nil {
			answer(client, http.StatusBadRequest)
			return
		}
		addr, err := lookup(ctx, host)
		if err != nil {
			answer(client, http.StatusBadGateway)
			return
		}
		server, err := dial(ctx, "tcp", net.JoinHostPort(addr.String(), port))
		if err != nil {
			answer(client, http.StatusBadGateway)
			return
		}
		fmt.Fprint(client, "HTTP/1.1 200 Connection established\r\n\r\n")
		_ = client.SetDeadline(time.Time{})
		join(client, server)
	}
}

// answer refuses a request.
func answer(c net.Conn, status int) {
	fmt.Fprintf(c, "HTTP/1.1 %d %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status, http.StatusText(status))
	_ = c.Close()
}

// Page answers every request with one document.
func Page(kind, body string) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", kind, len(body), body)
		}
	}
}
