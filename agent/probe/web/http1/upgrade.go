package http1

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"net"
	"net/http"
)

// Upgrade asks for url to become a WebSocket, without an Origin header, because
// servers that know their origins refuse foreign ones. It reports whether the
// far end accepted with the answer to our own key, which no cache and no proxy
// that does not understand WebSocket can do.
func Upgrade(conn net.Conn, url string) (Answer, bool, error) {
	req, err := request(url)
	if err != nil {
		return Answer{}, false, err
	}
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	key := base64.StdEncoding.EncodeToString(nonce[:])
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	req.Header.Set("Sec-WebSocket-Version", "13")
	req.Header.Set("Sec-WebSocket-Key", key)
	a, err := ask(conn, req)
	accepted := err == nil && a.Status == http.StatusSwitchingProtocols &&
		a.Header.Get("Sec-WebSocket-Accept") == acceptFor(key)
	return a, accepted, err
}

// acceptFor is the answer to a key, RFC 6455 section 4.2.2.
func acceptFor(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
