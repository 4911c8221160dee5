package dial

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// proxy is the one to ask for a server, nil for none.
func (o Options) proxy(server *url.URL) (*url.URL, error) {
	if server.Scheme == "nats" || server.Scheme == "ws" {
		return nil, nil
	}
	ask := o.Proxy
	if ask == nil {
		ask = http.ProxyFromEnvironment
	}
	p, err := ask(&http.Request{URL: &url.URL{Scheme: "https", Host: address(server)}})
	switch {
	case err != nil:
		return nil, errors.New("the proxy's address is not one") // it may hold a password
	case p != nil && p.Scheme != "http":
		return nil, fmt.Errorf("proxies with %.20s:// are not supported, want http://", p.Scheme)
	}
	return p, nil
}

// tunnel asks a proxy to connect, and returns what already came behind its answer.
func tunnel(conn net.Conn, proxy *url.URL, to string) (*bytes.Reader, error) {
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: to}, Host: to, Header: http.Header{"User-Agent": {"sprechprobe"}}}
	if u := proxy.User; u != nil {
		password, _ := u.Password()
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
	}
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	r := bufio.NewReader(io.LimitReader(conn, handshakeLimit/8))
	resp, err := http.ReadResponse(r, req)
	switch {
	case errors.Is(err, net.ErrClosed):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("the proxy gives no HTTP answer: %w", err)
	case resp.StatusCode != http.StatusOK:
		return nil, &StatusError{Proxy: true, Status: resp.StatusCode}
	}
	rest, _ := r.Peek(r.Buffered())
	return bytes.NewReader(bytes.Clone(rest)), nil
}
