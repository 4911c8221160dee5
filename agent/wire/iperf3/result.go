package iperf3

import (
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
)

// maxText bounds what a far end may write into our output, characters.
const maxText = 200

// Result is what one test found, as both ends counted it.
type Result struct {
	Test      Test // as it was made
	Addr      string
	Cookie    string
	Control   Ends
	At        time.Time // when data began to flow, by the wall clock
	Streams   []Stream
	Intervals []Interval
	CPU       CPU // of this program
	FarCPU    CPU // of the far end's, as it says
	// RateCap is the limit of all streams of a direction together that our own
	// kind of server has put on the test, bit/s; 0: none.
	RateCap int64
	// Congestion control of this end and of the far end; empty: not told.
	Congestion, FarCongestion string

	far      results
	complete bool // far holds what the far end said
	server   bool // this end is the server
	sndBuf   int
	rcvBuf   int
	mss      uint32
}

// CPU is processor time of a program, percent of one processor.
type CPU struct{ Total, User, System float64 }

// Stream is one data connection of a test.
type Stream struct {
	ID       int
	Sender   bool // this end sent
	Ends     Ends
	Sent     Side // by the sender's count; the far end's is missing in a test that broke off
	Received Side // by the receiver's count: the measured one

	Retransmits int64 // TCP; -1: not known
	MaxCwnd     int64 // bytes, TCP sender; 0: not known
	MaxWnd      int64
	RTTs        []time.Duration // of a TCP sender's system, one an interval

	Packets int64 // UDP: sent
	Lost    int64 // UDP: of these, by the receiver's count
	Late    int64 // UDP: out of order, where this end received
	Drops   int64 // UDP: of Lost, in the receiver's own socket, where that is known
	Jitter  time.Duration
}

// Side is one end's count of a stream.
type Side struct {
	Bytes int64
	Time  time.Duration
}

// Interval is what this end counted in a part of the test.
type Interval struct {
	Start, End time.Duration // since the omitted part
	Omitted    bool
	Streams    []Sample
}

// Sample is one stream's part of an interval.
type Sample struct {
	ID          int
	Sender      bool
	Bytes       int64
	Acked       int64 // TCP sender: bytes that the far end's system has; 0: not known
	Retransmits int64 // TCP sender; -1: not known
	Cwnd, Wnd   int64 // bytes
	RTT, RTTVar time.Duration
	PMTU        int
	Packets     int64 // UDP: sent, or received and lost
	Lost        int64
	Drops       int64
	Jitter      time.Duration
}

// moved reports whether any data did.
func (i Interval) moved() bool {
	for _, s := range i.Streams {
		if s.Bytes > 0 {
			return true
		}
	}
	return false
}

// BitsPerS is the rate of an interval in which this end sent, or received.
func (i Interval) BitsPerS(sent bool) float64 {
	var bytes int64
	for _, s := range i.Streams {
		if s.Sender == sent {
			bytes += s.Bytes
		}
	}
	return perS(bytes, i.End-i.Start)
}

func perS(bytes int64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(bytes) * 8 / d.Seconds()
}

// interval ends an interval and says what was in it.
func (r *run) interval(now time.Time) Interval {
	var i Interval
	for _, s := range r.streams {
		c := s.count(now, r.t.UDP)
		b := s.before
		i.Start, i.End = b.at.Sub(s.base.at), c.at.Sub(s.base.at)
		x := Sample{
			ID: s.id, Sender: s.sends, Bytes: c.bytes - b.bytes, Acked: c.acked - b.acked, Retransmits: -1,
			Cwnd: int64(c.cwnd), Wnd: int64(c.wnd), RTT: c.rtt, RTTVar: c.rttVar, PMTU: int(c.pmtu),
			Packets: c.packets - b.packets, Lost: c.lost - b.lost, Drops: c.drops - b.drops, Jitter: secondsToDuration(c.jitter),
		}
		if c.retransmits >= 0 {
			x.Retransmits = c.retransmits - max(b.retransmits, 0)
		}
		if c.rtt > 0 {
			s.rtts = append(s.rtts, c.rtt)
		}
		s.before = c
		i.Streams = append(i.Streams, x)
	}
	i.Omitted = r.omitting.Load()
	return i
}

// secondsToDuration keeps what a far end says within what a duration holds.
func secondsToDuration(s float64) time.Duration {
	return time.Duration(max(min(s, 1e9), -1e9) * float64(time.Second))
}

// open notes what is known when the test begins.
func (res *Result) open(r *run) {
	if len(r.streams) == 0 {
		return
	}
	c := r.streams[0].conn
	res.sndBuf, res.rcvBuf = buffers(c)
	if i, ok := tcpInfoOf(c); ok && !r.t.UDP {
		res.mss = i.mss
	}
	for _, s := range r.streams {
		res.Streams = append(res.Streams, Stream{ID: s.id, Sender: s.sends, Ends: Ends{s.local(), s.remote()}})
	}
}

// settle makes the result of both ends' counts.
func (res *Result) settle(r *run) {
	near := r.results()
	if len(r.streams) > 0 && r.began && r.streams[0].total.at.After(r.streams[0].before.at) {
		if last := r.interval(r.end); last.moved() {
			res.Intervals = append(res.Intervals, last)
		}
	}
	res.CPU, res.FarCPU = near.cpu(), res.far.cpu()
	res.Congestion, res.FarCongestion = near.Congestion, agent.Printable(res.far.Congestion, maxText)
	res.RateCap = max(res.RateCap, int64(res.far.RateCap))
	res.Streams = res.Streams[:0]
	for _, s := range r.streams {
		far := streamResults{ID: s.id}
		if res.complete {
			far = res.far.of(s.id)
		}
		res.Streams = append(res.Streams, s.result(near.of(s.id), far))
	}
}

func (r results) cpu() CPU { return CPU{r.CPUTotal, r.CPUUser, r.CPUSystem} }

// result joins what the two ends say about a stream.
func (s *stream) result(near, far streamResults) Stream {
	sender, receiver := near, far
	if !s.sends {
		sender, receiver = far, near
	}
	out := Stream{
		ID: s.id, Sender: s.sends, Ends: Ends{s.local(), s.remote()}, Sent: sender.side(), Received: receiver.side(),
		Retransmits: int64(sender.Retransmits), MaxCwnd: int64(s.cwnd), MaxWnd: int64(s.total.wnd), RTTs: s.rtts,
		Packets: int64(sender.Packets), Lost: int64(receiver.Errors), Late: s.total.late - s.base.late,
		Drops: int64(receiver.LocalDrops), Jitter: secondsToDuration(receiver.Jitter),
	}
	if !s.sends {
		out.Packets = max(out.Packets, int64(near.Packets-near.OmittedPackets))
		out.Lost -= int64(near.OmittedErrors) // the far end's have been subtracted
	} else {
		out.Packets -= int64(near.OmittedPackets)
	}
	if out.Lost = max(out.Lost, 0); receiver.Packets == 0 && receiver.Bytes == 0 && receiver.End > 0 {
		out.Lost = out.Packets // nothing arrived, so that the receiver missed nothing
	}
	return out
}

func (s streamResults) side() Side {
	return Side{Bytes: int64(s.Bytes), Time: secondsToDuration(s.End - s.Start)}
}

// Sum is all streams of one direction together.
type Sum struct {
	Streams         int
	Sent, Received  Side
	Retransmits     int64 // -1: not known
	Packets, Lost   int64
	Late, Drops     int64
	Jitter          time.Duration // mean of the streams
	MinRTT, MeanRTT time.Duration // of a TCP sender's system; 0: not known
}

// BitsPerS is the rate that arrived.
func (s Sum) BitsPerS() float64 { return perS(s.Received.Bytes, s.Received.Time) }

// SentBitsPerS is the rate that was sent, which is more than the line carries
// while buffers fill.
func (s Sum) SentBitsPerS() float64 { return perS(s.Sent.Bytes, s.Sent.Time) }

// LossRatio is the part of the datagrams that the network lost, 0 to 1: without
// those that the receiver's own system dropped.
func (s Sum) LossRatio() float64 {
	if s.Packets <= 0 {
		return 0
	}
	return min(float64(max(s.Lost-s.Drops, 0))/float64(s.Packets), 1)
}

// DropRatio is the part of the datagrams that came as far as the receiver's
// system and found no room there, 0 to 1.
func (s Sum) DropRatio() float64 {
	if s.Packets <= 0 {
		return 0
	}
	return min(float64(s.Drops)/float64(s.Packets), 1)
}

// Sum adds the streams up that this end has sent, or received.
func (res *Result) Sum(sent bool) Sum {
	var sum Sum
	var rtts []time.Duration
	for _, s := range res.Streams {
		if s.Sender != sent {
			continue
		}
		sum.Streams++
		sum.Sent = sum.Sent.with(s.Sent)
		sum.Received = sum.Received.with(s.Received)
		sum.Packets, sum.Lost = sum.Packets+s.Packets, sum.Lost+s.Lost
		sum.Late, sum.Drops = sum.Late+s.Late, sum.Drops+s.Drops
		sum.Jitter += s.Jitter
		if s.Retransmits < 0 || sum.Retransmits < 0 {
			sum.Retransmits = -1
		} else {
			sum.Retransmits += s.Retransmits
		}
		rtts = append(rtts, s.RTTs...)
	}
	if sum.Streams > 0 {
		sum.Jitter /= time.Duration(sum.Streams)
	}
	sum.MinRTT, sum.MeanRTT, _ = spread(rtts)
	return sum
}

func (s Side) with(o Side) Side { return Side{s.Bytes + o.Bytes, max(s.Time, o.Time)} }

// spread is the smallest, the mean and the largest.
func spread(all []time.Duration) (least, mean, most time.Duration) {
	for i, d := range all {
		if mean += d; i == 0 || d < least {
			least = d
		}
		most = max(most, d)
	}
	if len(all) > 0 {
		mean /= time.Duration(len(all))
	}
	return least, mean, most
}
