package iperf3

import (
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// run is the data phase of one test, at either end: the streams, and when they
// move.
type run struct {
	t       Test
	streams []*stream
	payload []byte
	file    *os.File // payload once more, for sendfile; nil: none
	pace    float64  // of each stream, bit/s; 0: none
	limited bool     // pace is a server's limit, which receivers keep too

	omitting atomic.Bool
	left     atomic.Int64 // bytes or blocks that may still be sent, if the test is bounded
	arrivals atomic.Int64 // bytes received, or datagrams
	ampleGot sync.Once

	start   time.Time
	end     time.Time
	halt    chan struct{} // closed: nothing more is sent
	ample   chan struct{} // closed: a bounded test has all that it wants
	sent    chan struct{} // closed: all senders have ended
	broken  chan error    // a stream that ended with an error
	halted  sync.Once
	senders sync.WaitGroup
	readers sync.WaitGroup

	cpu   usage
	began bool
}

func newRun(t Test) *run {
	r := &run{
		t: t, pace: float64(t.rate()),
		halt: make(chan struct{}), ample: make(chan struct{}), sent: make(chan struct{}),
		broken: make(chan error, 2*t.streams()),
	}
	r.left.Store(t.Bytes)
	if t.Bytes == 0 {
		r.left.Store(t.Blocks)
	}
	return r
}

// listen reads s before the test begins, if it is one of UDP.
func (r *run) listen(s *stream) {
	r.streams = append(r.streams, s)
	if r.t.UDP {
		if r.start.IsZero() {
			r.start = time.Now()
		}
		r.read(s, s.recvUDP)
	}
}

func (r *run) read(s *stream, loop func(*run) error) {
	r.readers.Go(func() {
		r.ended(s, loop(r))
		s.over.Store(true)
	})
}

func (r *run) ended(s *stream, err error) {
	if s.closedBy = err; err != nil {
		r.broken <- err
	}
}

// begin starts the test.
func (r *run) begin() {
	r.began = true
	size := r.t.Length
	if !r.t.UDP {
		size = r.piece()
	}
	r.payload = payload(max(size, MinUDPLength), r.t.Repeating)
	if !r.t.UDP {
		r.file = payloadFile(r.payload)
	}
	r.cpu = usageNow()
	r.omitting.Store(r.t.Omit > 0)
	if !r.t.UDP {
		r.start = time.Now()
	}
	now := time.Now()
	for _, s := range r.streams {
		s.base = s.count(now, r.t.UDP)
		s.base.bytes, s.base.packets, s.base.lost, s.base.late = 0, 0, 0, 0
		s.before = s.base
		switch {
		case s.sends && r.t.UDP:
			r.senders.Go(func() { r.ended(s, s.sendUDP(r)) })
		case s.sends:
			r.senders.Go(func() { r.ended(s, s.sendTCP(r)) })
		case !r.t.UDP:
			r.read(s, s.recvTCP)
		}
	}
	go func() { r.senders.Wait(); close(r.sent) }()
}

// fullSpeed is what is handed over to the system at once where nothing paces a
// sender: fewer calls are less work.
const fullSpeed = 512 << 10

// restart forgets the omitted part.
func (r *run) restart() {
	now := time.Now()
	for _, s := range r.streams {
		s.base = s.count(now, r.t.UDP)
		s.arrivals.mark()
		s.before = s.base
		s.calm.Store(true)
		s.rtts, s.cwnd = nil, 0
	}
	r.arrivals.Store(0)
	r.omitting.Store(false)
}

// turn waits until up to most pieces of size bytes may be sent. It is false once
// nothing more may.
func (r *run) turn(p *pacer, size, most int) (int, bool) {
	for {
		select {
		case <-r.halt:
			return 0, false
		default:
		}
		n, wait := p.take(time.Now(), size, most)
		if n > 0 {
			return n, true
		}
		if !r.rest(wait) {
			return 0, false
		}
	}
}

// rest waits, but not beyond the halt.
func (r *run) rest(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-r.halt:
		return false
	case <-timer.C:
		return true
	}
}

// claim takes up to n bytes, or whole blocks of TCP, from what may still be sent.
func (r *run) claim(n int) int {
	unit := 1 // byte
	switch {
	case !r.t.bounded() || r.omitting.Load():
		return n
	case r.t.Bytes == 0:
		unit = r.t.Length
	}
	most := n / unit
	left := r.left.Add(-int64(most))
	switch {
	case left >= 0:
		return n
	case left <= -int64(most):
		return 0
	case r.t.UDP:
		return n // a datagram is sent whole or not at all
	}
	return (most + int(left)) * unit
}

// unclaim gives n bytes back.
func (r *run) unclaim(n int) {
	switch {
	case r.t.Bytes > 0:
		r.left.Add(int64(n))
	case r.t.Blocks > 0:
		r.left.Add(int64(n / max(r.t.Length, 1)))
	}
}

// got notes n bytes received, which may be all that a bounded test wants.
func (r *run) got(n int64) {
	if !r.t.bounded() || r.omitting.Load() {
		return
	}
	if r.t.Bytes == 0 && r.t.UDP {
		n = 1
	}
	sum := r.arrivals.Add(n)
	if want := r.wanted(); sum >= want {
		r.ampleGot.Do(func() { close(r.ample) })
	}
}

// wanted is what receiving ends a bounded test, bytes, or datagrams of a test of
// datagrams.
func (r *run) wanted() int64 {
	switch {
	case r.t.Bytes > 0:
		return r.t.Bytes
	case r.t.UDP:
		return r.t.Blocks
	}
	return r.t.Blocks * int64(r.t.Length)
}

// stopSending ends all senders, those that block too, and waits for them.
func (r *run) stopSending() {
	r.halted.Do(func() {
		close(r.halt)
		r.end = time.Now()
		r.seal()
	})
	if !r.began {
		return
	}
	for _, s := range r.streams {
		if s.sends {
			_ = s.conn.SetWriteDeadline(time.Unix(1, 0))
		}
	}
	<-r.sent
}

// seal notes what TCP receivers have got in the time of the test. They go on
// reading, but what was still on its way does not count. A fixed amount and
// datagrams do count to the last.
func (r *run) seal() {
	for _, s := range r.streams {
		if s.sealed = r.began && !s.sends && !r.t.UDP && !r.t.bounded(); s.sealed {
			s.total = s.count(r.end, false)
			s.arrivals.mark()
		}
	}
}

// stop ends everything, and notes what was counted up to the end.
func (r *run) stop() {
	r.stopSending()
	for _, s := range r.streams {
		_ = s.conn.SetReadDeadline(time.Unix(1, 0))
	}
	r.readers.Wait()
	for _, s := range r.streams {
		if !s.sealed {
			s.total = s.count(r.end, r.t.UDP)
		}
	}
	r.cpu = r.cpu.since()
}

// close frees what the run holds. It may be called at any time, and ends
// everything.
func (r *run) close() {
	r.stopSending()
	for _, s := range r.streams {
		_ = s.conn.Close()
	}
	r.readers.Wait()
	if r.file != nil {
		_ = r.file.Close()
	}
}

// results are this end's account.
func (r *run) results() results {
	out := results{CPUTotal: r.cpu.total(), CPUUser: r.cpu.user, CPUSystem: r.cpu.system, Retransmits: -1}
	for _, s := range r.streams {
		from, to := r.span(s)
		line := streamResults{
			ID: s.id, Bytes: number(s.total.bytes - s.base.bytes), Retransmits: -1,
			Packets: number(s.total.packets), OmittedPackets: number(s.base.packets),
			Start: 0, End: (to - from).Seconds(),
		}
		switch {
		case s.sends && r.t.UDP:
			out.Retransmits = 0
		case s.sends && s.total.retransmits >= 0:
			out.Retransmits = 1
			line.Retransmits = number(s.total.retransmits - max(s.base.retransmits, 0))
		case s.sends:
			out.Retransmits = 0
			line.Retransmits = 0
		default:
			line.Jitter = s.total.jitter
			line.Errors, line.OmittedErrors = number(s.total.lost), number(s.base.lost)
			line.LocalDrops = number(max(s.total.drops-s.base.drops, 0))
		}
		out.Streams = append(out.Streams, line)
	}
	if len(r.streams) > 0 && !r.t.UDP {
		out.Congestion = congestionOf(r.streams[0].conn)
	}
	return out
}

// settle waits until enough holds, all receivers have ended, or nothing has
// arrived for a while; at most for bound.
func (r *run) settle(enough func() bool, bound time.Duration) {
	const beat, quiet = 2 * time.Millisecond, 200 * time.Millisecond
	tick := time.NewTicker(beat)
	defer tick.Stop()
	end, still := time.Now().Add(bound), time.Now()
	for before := r.received(); ; {
		<-tick.C
		now := time.Now()
		if got := r.received(); got != before {
			before, still = got, now
		}
		if enough() || r.deaf() || now.Sub(still) > quiet || now.After(end) {
			return
		}
	}
}

// received is what has arrived in all, bytes.
func (r *run) received() (n int64) {
	for _, s := range r.streams {
		if !s.sends {
			n += s.bytes.Load()
		}
	}
	return n
}

// deaf reports whether all receivers have ended.
func (r *run) deaf() bool {
	for _, s := range r.streams {
		if !s.sends && !s.over.Load() {
			return false
		}
	}
	return true
}
