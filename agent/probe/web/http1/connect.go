package http1

import (
	"net"
	"net/http"
	"net/url"
)

// Connect asks a proxy at the other end of conn for a tunnel to "host:port"
// (RFC 9110 section 9.3.6). Nothing is sent through it.
func Connect(conn net.Conn, hostport string) (Answer, error) {
	return ask(conn, &http.Request{
		Method: http.MethodConnect,
		URL:    &url.URL{Host: hostport},
		Host:   hostport,
		Header: http.Header{"User-Agent": {agentName}},
	})
}
