package dns

import (
	"context"
	"net"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/sprechprobe/sprechprobe/agent/reach"
)

const (
	seriesLength = 8
	seriesPace   = 20 * time.Millisecond  // between two questions
	seriesMargin = 400 * time.Millisecond // beyond the time that an answer takes
	seriesOver   = 500 * time.Millisecond // that a look may take longer for it

	maxHeard = 4 * seriesLength // datagrams that are looked at
)

// count asks a server that kept silent a while for the same name several times,
// and says how many of the questions were answered. It has no time for a server
// that takes long.
func (l lookup) count(ctx context.Context, f found) (sent, received int, ok bool) {
	patience := resend
	if f.result.RTT > 0 {
		patience = f.result.RTT + seriesMargin
	}
	end := time.Now().Add(seriesLength*seriesPace + patience)
	if !f.late || end.After(l.until.Add(seriesOver)) {
		return 0, 0, false
	}
	s, err := reach.Listen(f.server.Addr())
	if err != nil {
		return 0, 0, false
	}
	defer s.Close()
	defer context.AfterFunc(ctx, func() { s.Close() })()
	conn := s.Conn(f.server)
	ids := l.send(ctx, conn)
	_ = conn.SetReadDeadline(end)
	sent = len(ids)
	received = l.hear(conn, ids)
	return sent, received, sent == seriesLength && ctx.Err() == nil
}

// send sends the questions, without EDNS0, which some servers never answer. It
// returns their ids.
func (l lookup) send(ctx context.Context, conn net.Conn) map[uint16]bool {
	ids := map[uint16]bool{}
	pace := time.NewTicker(seriesPace)
	defer pace.Stop()
	for len(ids) < seriesLength && ctx.Err() == nil {
		id := newID()
		msg, err := pack(id, l.question(), false)
		if err == nil && !ids[id] {
			_, err = conn.Write(msg)
			ids[id] = true
		}
		if err != nil {
			return nil
		}
		<-pace.C
	}
	return ids
}

// hear counts the answers to questions with these ids.
func (l lookup) hear(conn net.Conn, ids map[uint16]bool) (received int) {
	var b [maxDatagram]byte
	for range maxHeard {
		n, err := conn.Read(b[:])
		if err != nil {
			break
		}
		if a, err := parseAnswer(b[:n], l.question()); err == nil && ids[a.id] {
			delete(ids, a.id)
			received++
		}
		if len(ids) == 0 {
			break
		}
	}
	return received
}

func (l lookup) question() dnsmessage.Question {
	return dnsmessage.Question{Name: l.name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
}
