package relay

import (
	"net"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/wire/stamp"
)

// stamping answers requests for stamps (package stamp) before TURN sees them: by
// these a box knows how evenly datagrams come there, and how evenly they come back.
type stamping struct {
	net.PacketConn
	since time.Time
}

func (s *stamping) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := s.PacketConn.ReadFrom(b)
		if err != nil {
			return n, from, err
		}
		at := time.Since(s.since)
		u, ok := from.(*net.UDPAddr)
		if !ok {
			return n, from, nil
		}
		answer := stamp.Answer(b[:n], u.AddrPort(), at)
		if answer == nil {
			return n, from, nil
		}
		_, _ = s.PacketConn.WriteTo(answer, from) // one that is lost is one of many
	}
}
