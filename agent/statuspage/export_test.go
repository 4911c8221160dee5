package statuspage

import (
	"net"
	"reflect"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/advice"
)

// Day is a history in one letter a quarter, the oldest first.
func Day(h *History) string {
	var out []byte
	for _, c := range h.day() {
		letter := byte('-')
		if c.seen {
			letter = "urlbo"[c.verdict]
		}
		out = append(out, letter)
	}
	return string(out)
}

// Since is the time since boot at which the present verdict began.
func Since(h *History) time.Duration { return time.Duration(h.since) * time.Second }

// Labels are all words of the page in a language, in one order.
func Labels(l advice.Lang) []string {
	var out []string
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.String:
			out = append(out, v.String())
		case reflect.Array:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i))
			}
		}
	}
	walk(reflect.ValueOf(*labelsOf(l)))
	return out
}

// What tests compare with.
const Style = style

// Policy is the page's content security policy.
func Policy() string { return policy() }

// Exchange serves one connection.
func Exchange(c net.Conn, h Handler) {
	s := server{handler: h}
	s.serve(c)
}

// The bounds.
const (
	MaxConns   = maxConns
	MaxPerPeer = maxPerPeer
	MaxRequest = maxRequest
)

// Local reports whether a peer at an address is served.
func Local(a net.Addr) bool { return local(peerOf(peer{addr: a})) }

type peer struct {
	net.Conn
	addr net.Addr
}

func (p peer) RemoteAddr() net.Addr { return p.addr }
