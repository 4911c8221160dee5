package webrtc

import (
	"io"
	"net"

	"github.com/pion/turn/v4"

	"github.com/sprechprobe/sprechprobe/agent"
)

// What the fuzz targets see of an answer.
type Answer struct {
	Code      int
	Public    string
	Alternate string
	Words     []string
	Open      bool
}

func seen(a answer) Answer {
	s := Answer{Code: a.code, Words: []string{a.realm, a.software}, Open: a.allocated()}
	if a.public().IsValid() {
		s.Public = a.public().String()
	}
	if a.alternate.IsValid() {
		s.Alternate = a.alternate.String()
	}
	return s
}

// Asked is a request with a known transaction id.
func Asked(allocate bool, id [12]byte) request {
	q := newBinding()
	if allocate {
		q = newAllocate()
	}
	q.id = id
	return q
}

// Datagram reads b as the answer to q.
func Datagram(q request, b []byte) (Answer, agent.Reason) {
	a, why := q.read(b)
	return seen(a), why
}

// Stream reads the answer to q off r.
func Stream(q request, r io.Reader) (Answer, agent.Reason, error) {
	a, why, err := await(r, q)
	return seen(a), why, err
}

// MayFollow is whether a server may send us to another.
var MayFollow = mayFollow

// Feed gives b to turn/v4's client as if it had come over conn.
func Feed(conn net.Conn, b []byte) (agent.Reason, error) {
	l := &line{Conn: conn}
	client, err := turn.NewClient(&turn.ClientConfig{Conn: l, LoggerFactory: quiet()})
	if err != nil {
		return "", err
	}
	r := &relaying{way: &way{conn: conn}, line: l, client: client}
	return r.feed(b), nil
}

// Offered is offered.
var Offered = offered
