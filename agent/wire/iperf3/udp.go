package iperf3

import (
	"encoding/binary"
	"math"
	"time"
)

// helloSize is the size of the datagrams that open a stream.
const helloSize = 4

// The hello and its answer, as stock ends since 3.12 send them. Older ones send
// other bytes, so what arrives is told by its size only.
var (
	helloBytes  = []byte("9876")
	answerBytes = []byte("6789")
)

// A datagram has the sender's time (seconds, microseconds) and a sequence number
// from 1 in front, big endian.
func headerSize(wide bool) int {
	if wide {
		return 16
	}
	return 12
}

// stamp writes the header. The time is the wall clock's, which ends of all
// versions take.
func stamp(b []byte, now time.Time, seq int64, wide bool) {
	binary.BigEndian.PutUint32(b, uint32(now.Unix()))
	binary.BigEndian.PutUint32(b[4:], uint32(now.Nanosecond()/1000))
	if wide {
		binary.BigEndian.PutUint64(b[8:], uint64(seq))
	} else {
		binary.BigEndian.PutUint32(b[8:], uint32(seq))
	}
}

// readStamp reads the header: when the datagram was sent, by the sender's own
// clock in seconds, and its number.
func readStamp(b []byte, wide bool) (sent float64, seq int64, ok bool) {
	if len(b) < headerSize(wide) {
		return 0, 0, false
	}
	sent = float64(binary.BigEndian.Uint32(b)) + float64(binary.BigEndian.Uint32(b[4:]))/1e6
	if wide {
		seq = int64(binary.BigEndian.Uint64(b[8:]))
	} else {
		seq = int64(binary.BigEndian.Uint32(b[8:]))
	}
	return sent, seq, seq > 0
}

// leap is the largest gap between sequence numbers that is taken for loss.
const leap = 1 << 32

// account notes a datagram that has arrived, as iperf3 counts: jitter as RFC
// 3550 section 6.4.1 has it, loss by gaps, and what comes late as out of order
// and no longer lost.
func (s *stream) account(r *run, b []byte, now time.Time) {
	sent, seq, ok := readStamp(b, r.t.Counters64)
	high := s.packets.Load()
	if !ok || seq > high+leap {
		return
	}
	s.bytes.Add(int64(len(b)))
	switch {
	case seq > high:
		s.lost.Add(seq - high - 1)
		s.packets.Store(seq)
	default:
		s.late.Add(1)
		if s.lost.Load() > 0 {
			s.lost.Add(-1)
		}
	}
	s.waver(float64(now.UnixNano())/1e9 - sent)
	s.arrivals.note(time.Since(r.start), len(b))
	r.got(int64(len(b)))
}

// waver notes a transit time, s; by clocks that need not agree.
func (s *stream) waver(transit float64) {
	if s.calm.Swap(false) {
		s.measured = false
		s.jitter.Store(0)
	}
	if s.measured {
		j := math.Float64frombits(s.jitter.Load())
		j += (math.Abs(transit-s.transit) - j) / 16
		s.jitter.Store(math.Float64bits(j))
	}
	s.transit, s.measured = transit, true
}

// recvUDP counts datagrams until the run stops it. It begins before the test
// does: what overtakes the start has not been lost. At a server it also answers
// a hello that is repeated, for streams that only send as well.
func (s *stream) recvUDP(r *run) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := s.conn.Read(buf)
		switch {
		case err != nil && refused(err):
			continue // an ICMP error about something sent: the control connection tells more
		case err != nil:
			return ended(err)
		case n == helloSize && s.hello != nil:
			if err := s.hello(); err != nil && !refused(err) {
				return ended(err)
			}
		case !s.sends:
			s.account(r, buf[:n], time.Now())
		}
	}
}

// batch is the most datagrams that leave at once, and batchBytes the most bytes
// of them: the kernel takes no more.
const (
	batch      = 64
	batchBytes = 65000
)

// sendUDP sends until the run halts or the amount is sent.
func (s *stream) sendUDP(r *run) error {
	size := r.t.Length
	most := max(min(batch, batchBytes/size), 1)
	if r.t.Burst > 1 {
		most = min(most, r.t.Burst)
	}
	buf := make([]byte, most*size)
	for i := range most {
		copy(buf[i*size:], r.payload)
	}
	pace := newPacer(r.pace, time.Now())
	send := newSegmenter(s.conn, size)
	for {
		n, ok := r.turn(&pace, size, most)
		if !ok {
			return nil
		}
		k := 0
		for now := time.Now(); k < n && r.claim(size) == size; k++ {
			stamp(buf[k*size:], now, s.packets.Load()+int64(k)+1, r.t.Counters64)
		}
		if k == 0 {
			return nil
		}
		out, err := send(buf[:k*size])
		s.packets.Add(int64(out))
		s.bytes.Add(int64(out * size))
		switch {
		case err != nil && (full(err) || refused(err)):
			r.unclaim((k - out) * size)
			pace.gave((n - out) * size)
			if !r.rest(time.Millisecond) {
				return nil
			}
		case err != nil:
			return ended(err)
		}
	}
}
