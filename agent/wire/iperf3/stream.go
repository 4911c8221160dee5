package iperf3

import (
	"crypto/rand"
	"errors"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
)

// stream is one data connection, at either end of it.
type stream struct {
	id    int
	sends bool
	conn  net.Conn
	hello func() error // answers a UDP hello that is repeated; nil: none will be

	bytes    atomic.Int64  // sent or received
	packets  atomic.Int64  // UDP: sent, or the highest number seen
	lost     atomic.Int64  // UDP receiver; may be below zero where packets were doubled
	late     atomic.Int64  // UDP receiver: out of order
	jitter   atomic.Uint64 // UDP receiver: float64 bits, s
	calm     atomic.Bool   // jitter begins anew
	over     atomic.Bool   // nothing more is read
	arrivals arrivals

	transit  float64 // UDP receiver: of the newest datagram, s
	measured bool    // there is a transit

	base     counts // when the omitted part ended
	total    counts // when the test ended
	sealed   bool   // total is final
	before   counts // when the last interval ended
	cwnd     uint32 // bytes, the largest seen
	rtts     []time.Duration
	closedBy error // why a sender or receiver ended by itself
}

// counts are what a stream has counted up to a time.
type counts struct {
	at                   time.Time
	bytes, packets       int64
	lost, late, drops    int64
	retransmits          int64 // -1: not known
	acked                int64 // TCP sender: bytes that the far end's system has
	jitter               float64
	cwnd, wnd, mss, pmtu uint32
	rtt, rttVar          time.Duration
	arrived              time.Duration // receiver: the newest arrival, since the run's start; 0: none
	first                burst         // receiver: of the part that counts
}

func (s *stream) count(now time.Time, udp bool) counts {
	c := counts{
		at: now, bytes: s.bytes.Load(), packets: s.packets.Load(), lost: s.lost.Load(), late: s.late.Load(),
		jitter: math.Float64frombits(s.jitter.Load()), retransmits: -1,
	}
	c.first, c.arrived = s.arrivals.seen()
	switch {
	case udp && !s.sends:
		c.drops = dropsOf(s.conn)
	case !udp && s.sends:
		if i, ok := tcpInfoOf(s.conn); ok {
			c.retransmits, c.acked = i.retransmits, i.acked
			c.cwnd, c.wnd, c.mss, c.pmtu = i.cwnd, i.wnd, i.mss, i.pmtu
			c.rtt, c.rttVar = i.rtt, i.rttVar
			s.cwnd = max(s.cwnd, i.cwnd)
		}
	}
	return c
}

// local and remote are the stream's ends; invalid where they are no sockets.
func (s *stream) local() netip.AddrPort  { return addrPort(s.conn.LocalAddr()) }
func (s *stream) remote() netip.AddrPort { return addrPort(s.conn.RemoteAddr()) }

func addrPort(a net.Addr) netip.AddrPort {
	if a, ok := a.(interface{ AddrPort() netip.AddrPort }); ok {
		return netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), a.AddrPort().Port())
	}
	return netip.AddrPort{}
}

// payload is n bytes to send: random, or digits.
func payload(n int, digits bool) []byte {
	b := make([]byte, n)
	if !digits {
		_, _ = rand.Read(b) // never fails
		return b
	}
	for i := range b {
		b[i] = '0' + byte(i%10)
	}
	return b
}

// ended makes nil of the errors that a stream ends with when it has been told
// to.
func ended(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// readChunk is the most that is read at once.
const readChunk = 256 << 10

// segment is what one packet carries, bytes.
const segment = 1448

// smooth is the most that is moved at once where a cap is kept: 10 ms of it, but
// a segment.
func (r *run) smooth() int { return max(int(r.pace/8/100), segment) }

// piece is how much a TCP sender hands over at once, bytes: as the test says, but
// not in crumbs. Nobody sees where one write ends and another begins, and whoever
// asks for writes of one byte would keep a server busy with nothing.
func (r *run) piece() int {
	size, least := r.t.Length, defaultLength
	switch {
	case r.pace > 0:
		if r.limited && r.t.Blocks == 0 {
			size = min(size, r.smooth())
		}
		least = max(min(int(r.pace/8/100), segment), int(r.pace/8/1000)) // 10 ms of it, or 1 ms
		least = min(least, fullSpeed)
	case size >= worthFile && r.t.Blocks == 0:
		least = fullSpeed
	}
	return size * max(least/size, 1) // a whole number of blocks, for whoever counts them
}

// sendTCP writes until the run halts or the amount is sent.
func (s *stream) sendTCP(r *run) error {
	out := newWriter(s.conn, r.payload, r.file, &s.bytes)
	pace := newPacer(r.pace, time.Now())
	size := r.piece()
	for {
		if r.omitting.Load() {
			pace.forgive(time.Now())
		}
		n, ok := r.turn(&pace, size, r.t.Burst)
		if !ok {
			return nil
		}
		for range n {
			b := r.claim(size)
			if b == 0 {
				return nil
			}
			if err := out(b); err != nil {
				return ended(err)
			}
		}
	}
}

// recvTCP reads until the connection ends or the run stops it.
func (s *stream) recvTCP(r *run) error {
	pace := newPacer(r.pace, time.Now())
	chunk := readChunk
	if r.limited {
		chunk = min(chunk, r.smooth())
	} else {
		pace.rate = 0 // the sender's pace is the sender's
	}
	in := newDiscarder(s.conn, make([]byte, chunk))
	for {
		n, err := in()
		if err != nil {
			return ended(err)
		}
		s.bytes.Add(int64(n))
		s.arrivals.note(time.Since(r.start), n)
		r.got(int64(n))
		if wait := pace.took(time.Now(), n); wait > time.Millisecond && !r.rest(wait) {
			return nil
		}
	}
}
