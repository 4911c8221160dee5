package iperf3

import (
	"time"
)

// Document is a result in the shape of `iperf3 -J`, for tools that read that.
type Document struct {
	Start     docStart      `json:"start"`
	Intervals []docInterval `json:"intervals"`
	End       docEnd        `json:"end"`
	Output    any           `json:"server_output_json,omitempty"`
	Text      string        `json:"server_output_text,omitempty"`
	Title     string        `json:"title,omitempty"`
	Extra     string        `json:"extra_data,omitempty"`
	Error     string        `json:"error,omitempty"`
}

type docStart struct {
	Connected  []docConnected `json:"connected"`
	Version    string         `json:"version"`
	System     string         `json:"system_info"`
	Timestamp  docTime        `json:"timestamp"`
	Connecting *docTo         `json:"connecting_to,omitempty"`
	Accepted   *docTo         `json:"accepted_connection,omitempty"`
	Cookie     string         `json:"cookie"`
	MSS        uint32         `json:"tcp_mss_default,omitempty"`
	Rate       int64          `json:"target_bitrate"`
	SockBuf    int            `json:"sock_bufsize"`
	SndBuf     int            `json:"sndbuf_actual"`
	RcvBuf     int            `json:"rcvbuf_actual"`
	Test       docTest        `json:"test_start"`
}

type docConnected struct {
	Socket     int    `json:"socket"`
	LocalHost  string `json:"local_host"`
	LocalPort  uint16 `json:"local_port"`
	RemoteHost string `json:"remote_host"`
	RemotePort uint16 `json:"remote_port"`
}

type docTime struct {
	Time     string `json:"time"`
	Timesecs int64  `json:"timesecs"`
}

type docTo struct {
	Host string `json:"host"`
	Port uint16 `json:"port"`
}

type docTest struct {
	Protocol string  `json:"protocol"`
	Streams  int     `json:"num_streams"`
	Block    int     `json:"blksize"`
	Omit     float64 `json:"omit"`
	Duration float64 `json:"duration"`
	Bytes    int64   `json:"bytes"`
	Blocks   int64   `json:"blocks"`
	Reverse  int     `json:"reverse"`
	Bidir    int     `json:"bidir"`
	TOS      int     `json:"tos"`
	Rate     int64   `json:"target_bitrate"`
}

// docSpan is what a line of any kind has. What one kind has not is left out.
type docSpan struct {
	Socket    int      `json:"socket,omitempty"`
	Start     float64  `json:"start"`
	End       float64  `json:"end"`
	Seconds   float64  `json:"seconds"`
	Bytes     int64    `json:"bytes"`
	BitsPerS  float64  `json:"bits_per_second"`
	Retrans   *int64   `json:"retransmits,omitempty"`
	Cwnd      *int64   `json:"snd_cwnd,omitempty"`
	Wnd       *int64   `json:"snd_wnd,omitempty"`
	RTT       *int64   `json:"rtt,omitempty"` // us, as all of these
	RTTVar    *int64   `json:"rttvar,omitempty"`
	PMTU      *int     `json:"pmtu,omitempty"`
	MaxCwnd   *int64   `json:"max_snd_cwnd,omitempty"`
	MaxWnd    *int64   `json:"max_snd_wnd,omitempty"`
	MaxRTT    *int64   `json:"max_rtt,omitempty"`
	MinRTT    *int64   `json:"min_rtt,omitempty"`
	MeanRTT   *int64   `json:"mean_rtt,omitempty"`
	JitterMS  *float64 `json:"jitter_ms,omitempty"`
	Lost      *int64   `json:"lost_packets,omitempty"`
	Packets   *int64   `json:"packets,omitempty"`
	LostPer   *float64 `json:"lost_percent,omitempty"`
	Late      *int64   `json:"out_of_order,omitempty"`
	LocalDrop *int64   `json:"sprechprobe_local_drops,omitempty"`
	Omitted   *bool    `json:"omitted,omitempty"`
	Sender    bool     `json:"sender"`
}

type docInterval struct {
	Streams []docSpan `json:"streams"`
	Sum     *docSpan  `json:"sum,omitempty"`
	Reverse *docSpan  `json:"sum_bidir_reverse,omitempty"`
}

type docStream struct {
	Sender   *docSpan `json:"sender,omitempty"`
	Receiver *docSpan `json:"receiver,omitempty"`
	UDP      *docSpan `json:"udp,omitempty"`
}

type docEnd struct {
	Streams         []docStream `json:"streams"`
	Sum             *docSpan    `json:"sum,omitempty"`
	Sent            *docSpan    `json:"sum_sent,omitempty"`
	Received        *docSpan    `json:"sum_received,omitempty"`
	SentReverse     *docSpan    `json:"sum_sent_bidir_reverse,omitempty"`
	ReceivedReverse *docSpan    `json:"sum_received_bidir_reverse,omitempty"`
	CPU             docCPU      `json:"cpu_utilization_percent"`
	Congestion      string      `json:"sender_tcp_congestion,omitempty"`
	FarCongestion   string      `json:"receiver_tcp_congestion,omitempty"`
	RateCap         int64       `json:"sprechprobe_rate_cap,omitempty"`
}

type docCPU struct {
	Total     float64 `json:"host_total"`
	User      float64 `json:"host_user"`
	System    float64 `json:"host_system"`
	FarTotal  float64 `json:"remote_total"`
	FarUser   float64 `json:"remote_user"`
	FarSystem float64 `json:"remote_system"`
}

// Document is the result as `iperf3 -J` writes one.
func (res *Result) Document() Document {
	d := Document{Start: res.docStart(), Intervals: []docInterval{}, End: res.docEnd(), Title: res.Test.Title, Extra: res.Test.Extra}
	for _, i := range res.Intervals {
		d.Intervals = append(d.Intervals, res.docInterval(i))
	}
	if len(res.far.OutputJSON) > 0 {
		d.Output = res.far.OutputJSON
	}
	d.Text = res.far.OutputText
	return d
}

func (res *Result) docStart() docStart {
	t := res.Test
	s := docStart{
		Connected: []docConnected{}, Version: "iperf " + Version, System: "sprechprobe", Cookie: res.Cookie,
		Timestamp: docTime{res.At.UTC().Format(time.RFC1123), res.At.Unix()},
		MSS:       res.mss, Rate: t.rate(), SockBuf: t.Window, SndBuf: res.sndBuf, RcvBuf: res.rcvBuf,
		Test: docTest{
			Protocol: "TCP", Streams: t.Streams, Block: t.Length, Omit: t.Omit.Seconds(), Duration: t.Duration.Seconds(),
			Bytes: t.Bytes, Blocks: t.Blocks, TOS: t.TOS, Rate: t.rate(),
		},
	}
	if t.UDP {
		s.Test.Protocol = "UDP"
	}
	s.Test.Reverse, s.Test.Bidir = int(flag(t.Direction == Down)), int(flag(t.Direction == Both))
	to := &docTo{res.Control.Remote.Addr().String(), res.Control.Remote.Port()}
	if res.server {
		s.Accepted = to
	} else {
		s.Connecting = to
	}
	for _, x := range res.Streams {
		s.Connected = append(s.Connected, docConnected{
			x.ID, x.Ends.Local.Addr().String(), x.Ends.Local.Port(), x.Ends.Remote.Addr().String(), x.Ends.Remote.Port(),
		})
	}
	return s
}

func ptr[T any](v T) *T { return &v }

func micros(d time.Duration) *int64 { return ptr(d.Microseconds()) }

func span(from, to time.Duration, bytes int64, sender bool) docSpan {
	return docSpan{
		Start: from.Seconds(), End: to.Seconds(), Seconds: (to - from).Seconds(), Bytes: bytes,
		BitsPerS: perS(bytes, to-from), Sender: sender,
	}
}

func (res *Result) docInterval(i Interval) docInterval {
	out := docInterval{Streams: []docSpan{}}
	sums := map[bool]*docSpan{}
	for _, s := range i.Streams {
		x := span(i.Start, i.End, s.Bytes, s.Sender)
		x.Socket, x.Omitted = s.ID, ptr(i.Omitted)
		sum := sums[s.Sender]
		if sum == nil {
			sum = ptr(span(i.Start, i.End, 0, s.Sender))
			sum.Omitted = x.Omitted
			sums[s.Sender] = sum
		}
		sum.Bytes += s.Bytes
		sum.BitsPerS = perS(sum.Bytes, i.End-i.Start)
		switch {
		case res.Test.UDP:
			x.udp(s.Packets, s.Lost, s.Jitter, s.Sender)
			sum.Packets = add(sum.Packets, s.Packets)
			if !s.Sender {
				sum.udp(*sum.Packets, *add(sum.Lost, s.Lost), s.Jitter, false)
			}
		case s.Sender && s.Retransmits >= 0:
			x.Retrans, x.Cwnd, x.Wnd = &s.Retransmits, &s.Cwnd, &s.Wnd
			x.RTT, x.RTTVar, x.PMTU = micros(s.RTT), micros(s.RTTVar), &s.PMTU
			sum.Retrans = add(sum.Retrans, s.Retransmits)
		}
		out.Streams = append(out.Streams, x)
	}
	first := res.Test.Direction == Down == res.server // whether this end sends in the first direction
	out.Sum = sums[first]
	if res.Test.Direction == Both {
		out.Reverse = sums[!first]
	}
	return out
}

func add(to *int64, n int64) *int64 {
	if to == nil {
		return &n
	}
	return ptr(*to + n)
}

func (d *docSpan) udp(packets, lost int64, jitter time.Duration, sender bool) {
	d.Packets = &packets
	if sender {
		return
	}
	d.Lost, d.JitterMS, d.LostPer = &lost, ptr(jitter.Seconds()*1000), ptr(percent(lost, packets))
}

func percent(n, of int64) float64 {
	if of <= 0 {
		return 0
	}
	return 100 * float64(n) / float64(of)
}

func (res *Result) docEnd() docEnd {
	e := docEnd{
		Streams: []docStream{}, Congestion: res.Congestion, FarCongestion: res.FarCongestion, RateCap: res.RateCap,
		CPU: docCPU{res.CPU.Total, res.CPU.User, res.CPU.System, res.FarCPU.Total, res.FarCPU.User, res.FarCPU.System},
	}
	first := res.Test.Direction == Down == res.server
	if !first {
		e.Congestion, e.FarCongestion = e.FarCongestion, e.Congestion
	}
	for _, s := range res.Streams {
		e.Streams = append(e.Streams, res.docStream(s))
	}
	e.Sent, e.Received = res.docSums(first)
	if res.Test.Direction == Both {
		e.SentReverse, e.ReceivedReverse = res.docSums(!first)
	}
	if res.Test.UDP {
		sum := *e.Received
		sum.Bytes, sum.BitsPerS = e.Sent.Bytes, e.Sent.BitsPerS // of the sender, as iperf3 has it
		e.Sum = &sum
	}
	return e
}

func (res *Result) docStream(s Stream) docStream {
	sent := span(0, s.Sent.Time, s.Sent.Bytes, s.Sender)
	sent.Socket = s.ID
	if res.Test.UDP {
		sent.udp(s.Packets, s.Lost, s.Jitter, false)
		sent.Late, sent.LocalDrop = &s.Late, &s.Drops
		return docStream{UDP: &sent}
	}
	got := span(0, s.Received.Time, s.Received.Bytes, s.Sender)
	got.Socket = s.ID
	if s.Retransmits >= 0 {
		sent.Retrans = &s.Retransmits
	}
	if s.Sender {
		least, mean, most := spread(s.RTTs)
		sent.MaxCwnd, sent.MaxWnd = &s.MaxCwnd, &s.MaxWnd
		sent.MaxRTT, sent.MinRTT, sent.MeanRTT = micros(most), micros(least), micros(mean)
	}
	return docStream{Sender: &sent, Receiver: &got}
}

// docSums are both ends' sums of the direction in which this end sends, or
// receives.
func (res *Result) docSums(sends bool) (sent, received *docSpan) {
	sum := res.Sum(sends)
	sent = ptr(span(0, sum.Sent.Time, sum.Sent.Bytes, sends))
	received = ptr(span(0, sum.Received.Time, sum.Received.Bytes, sends))
	if res.Test.UDP {
		for _, x := range []*docSpan{sent, received} {
			x.udp(sum.Packets, sum.Lost, sum.Jitter, false)
			x.LocalDrop = &sum.Drops
		}
	} else if sum.Retransmits >= 0 {
		sent.Retrans = &sum.Retransmits
	}
	return sent, received
}
