package rehearsal

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
)

const (
	rtpHeader = 12 // bytes, RFC 3550 section 5.1
	rtpFirst  = 2 << 6
	drainEnd  = 4 * time.Second        // for what is still under way when all is sent
	drainStep = 25 * time.Millisecond  // between the marks that say so
	drainWait = 400 * time.Millisecond // after the first mark: what comes later is of no use to a call
)

func ssrcOf(b []byte) uint32 { return binary.BigEndian.Uint32(b[8:]) }

// flow is one stream of media from a station to another: packets of one size, with
// an RTP header, evenly in time. Its first numbers are packets, those after them
// marks that the stream has ended.
type flow struct {
	from, to *station
	at       netip.AddrPort
	ssrc     uint32
	size     int
	gap      time.Duration
	sent     []time.Time // when each was
	late     []time.Duration

	mu      sync.Mutex // of what the station that hears it writes
	arrived []time.Time
	first   int // how many came, each counted once
	twice   int
	behind  int // that came after a later one
	highest int
	marked  time.Time // when the first mark came
	trips   []time.Duration
}

func newFlow(from, to *station, at netip.AddrPort, size int, rate float64, d time.Duration) *flow {
	n := max(1, int(rate*d.Seconds()))
	return &flow{
		from: from, to: to, at: at, ssrc: rand.Uint32(), size: size, gap: time.Duration(float64(time.Second) / rate),
		sent: make([]time.Time, n), arrived: make([]time.Time, n), highest: -1,
	}
}

// packet writes the RTP packet with a number over b, which has its size.
func (f *flow) packet(b []byte, i int) {
	b[0], b[1] = rtpFirst, 111 // the payload type browsers use for Opus
	binary.BigEndian.PutUint16(b[2:], uint16(i))
	binary.BigEndian.PutUint32(b[4:], uint32(i)*960) // 20 ms at 48 kHz
	binary.BigEndian.PutUint32(b[8:], f.ssrc)
}

// play sends flows side by side and waits for what is under way.
func (r *rehearsal) play(ctx context.Context, flows ...*flow) {
	r.hurry = hurry{}
	r.hurry.begin(r.open)
	defer func() { r.hurry.end(r.open, flows...) }()
	var all sync.WaitGroup
	for _, f := range flows {
		f.to.listen(f)
		defer f.to.deafen(f)
	}
	for _, f := range flows {
		all.Go(func() {
			f.run(ctx)
			f.drain(ctx)
		})
	}
	all.Wait()
}

func (s *station) listen(f *flow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flows[f.ssrc] = f
}

func (s *station) deafen(f *flow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.flows, f.ssrc)
}

// run sends the packets, each at its time or as soon after as this machine can.
func (f *flow) run(ctx context.Context) {
	b := make([]byte, f.size)
	for i := rtpHeader; i < len(b); i++ { // like ciphertext: nothing on the way can make it smaller
		b[i] = byte(rand.Uint32())
	}
	start := time.Now()
	for i := range f.sent {
		due := start.Add(time.Duration(i) * f.gap)
		if wait := time.Until(due); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
		}
		f.packet(b, i)
		now := time.Now()
		f.mu.Lock()
		f.sent[i] = now
		f.mu.Unlock()
		f.late = append(f.late, now.Sub(due))
		if f.from.send(b, f.at) != nil {
			return
		}
	}
}

// drain sends marks until one has come and what was before it had its time.
func (f *flow) drain(ctx context.Context) {
	mark := make([]byte, rtpHeader)
	for end := time.Now().Add(drainEnd); time.Now().Before(end) && ctx.Err() == nil && !f.settled(); {
		f.packet(mark, len(f.sent))
		if f.from.send(mark, f.at) != nil {
			return
		}
		select {
		case <-time.After(drainStep):
		case <-ctx.Done():
		}
	}
}

func (f *flow) settled() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.marked.IsZero() && (f.first == len(f.sent) || time.Since(f.marked) > drainWait)
}

// arrive takes note of a packet of this flow.
func (f *flow) arrive(b []byte, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := int(binary.BigEndian.Uint16(b[2:]))
	switch {
	case i >= len(f.sent):
		if f.marked.IsZero() {
			f.marked = at
		}
		return
	case f.sent[i].IsZero(): // never sent
		return
	case !f.arrived[i].IsZero():
		f.twice++
		return
	}
	f.arrived[i] = at
	f.first++
	if i < f.highest {
		f.behind++
	}
	f.highest = max(f.highest, i)
	f.trips = append(f.trips, at.Sub(f.sent[i]))
}

// jitters is the interarrival jitter after each of the trips (RFC 3550 section
// 6.4.1), seconds.
func jitters(trips []time.Duration) []float64 {
	out := make([]float64, len(trips))
	for i := 1; i < len(trips); i++ {
		out[i] = out[i-1] + (math.Abs((trips[i]-trips[i-1]).Seconds())-out[i-1])/16
	}
	return out
}

// mostly is what all but one in twenty of these seconds are below, milliseconds.
func mostly(jitter []float64) float64 {
	slices.Sort(jitter)
	return round(1000*jitter[len(jitter)*95/100], 2)
}

// uneven adds to e how unevenly datagrams went there and came back, each by itself.
func uneven(e agent.Evidence, trips []webrtc.Trip) agent.Evidence {
	var there, back []time.Duration
	for _, t := range trips {
		there, back = append(there, t.There), append(back, t.Back)
	}
	return e.With(agent.UpJitter, mostly(jitters(there))).With(agent.DownJitter, mostly(jitters(back)))
}

// whole reports whether all was sent and all that could come has come.
func (f *flow) whole() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.sent[len(f.sent)-1].IsZero() && !f.marked.IsZero()
}

// loss is the share that did not come, 0 to 1.
func (f *flow) loss() float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return 1 - float64(f.first)/float64(len(f.sent))
}

// sum adds to e what became of flows over the same way.
func sum(e agent.Evidence, flows ...*flow) agent.Evidence {
	var sent, got, twice, behind int
	var trips []time.Duration
	var jitter []float64
	for _, f := range flows {
		f.mu.Lock()
		sent, got, twice, behind = sent+len(f.sent), got+f.first, twice+f.twice, behind+f.behind
		trips, jitter = append(trips, f.trips...), append(jitter, jitters(f.trips)...)
		f.mu.Unlock()
	}
	e = e.With(agent.Sent, sent).With(agent.Received, got).With(agent.Reordered, behind).With(agent.Duplicates, twice)
	e = lossBothWays.say(e, 1-float64(got)/float64(sent), float64(sent))
	if got == 0 {
		return e
	}
	slices.Sort(trips)
	return e.With(agent.RTT, trips[len(trips)/2]).With(agent.RTTMax, trips[len(trips)-1]).With(agent.Jitter, mostly(jitter))
}

// moved is how many bytes of media flows sent.
func moved(flows ...*flow) int {
	n := 0
	for _, f := range flows {
		n += len(f.late) * f.size
	}
	return n
}

func bytesOf(e agent.Evidence) int {
	n, _ := e.Values.Num(agent.TestBytes)
	return int(n)
}

func round(f float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(f*p) / p
}
