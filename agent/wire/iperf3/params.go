package iperf3

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
)

// number is a JSON number as iperf3 writes it: an integer that may come with a
// fraction or exponent, or as 18446744073709551615 where 3.12 and 3.13 mean -1.
type number int64

func (n *number) UnmarshalJSON(b []byte) error {
	if i, err := strconv.ParseInt(string(b), 10, 64); err == nil {
		*n = number(i)
		return nil
	}
	f, err := strconv.ParseFloat(string(b), 64)
	switch {
	case err != nil || math.IsNaN(f):
		return fmt.Errorf("%.20q is no number", b)
	case f >= 1<<63:
		f = -1
	case f < -(1 << 63):
		f = math.MinInt64
	}
	*n = number(f)
	return nil
}

// params are what a client asks for. Truths are true or absent: servers up to
// 3.17 take even false for true. Other flags are 1 or absent, for the same
// reason.
type params struct {
	TCP           bool   `json:"tcp,omitempty"`
	UDP           bool   `json:"udp,omitempty"`
	SCTP          bool   `json:"sctp,omitempty"`
	Omit          number `json:"omit"`
	Time          number `json:"time"`
	Num           number `json:"num"`
	Blocks        number `json:"blockcount"`
	MSS           number `json:"MSS,omitempty"`
	NoDelay       bool   `json:"nodelay,omitempty"`
	Parallel      number `json:"parallel"`
	Reverse       bool   `json:"reverse,omitempty"`
	Bidirectional bool   `json:"bidirectional,omitempty"`
	Window        number `json:"window,omitempty"`
	Len           number `json:"len,omitempty"`
	Bandwidth     number `json:"bandwidth,omitempty"`
	PacingTimer   number `json:"pacing_timer"`
	Burst         number `json:"burst,omitempty"`
	TOS           number `json:"TOS,omitempty"`
	Title         string `json:"title,omitempty"`
	Extra         string `json:"extra_data,omitempty"`
	Congestion    string `json:"congestion,omitempty"`
	ServerOutput  number `json:"get_server_output,omitempty"`
	Counters64    number `json:"udp_counters_64bit,omitempty"`
	Repeating     number `json:"repeating_payload,omitempty"`
	DontFragment  number `json:"dont_fragment,omitempty"`
	AuthToken     string `json:"authtoken,omitempty"`
	Version       string `json:"client_version,omitempty"`
	Slot          string `json:"sprechprobe_slot,omitempty"`
}

func flag(on bool) number {
	if on {
		return 1
	}
	return 0
}

// paramsOf writes a normal test down.
func paramsOf(t Test, token string) params {
	p := params{
		TCP: !t.UDP, UDP: t.UDP,
		Omit: seconds(t.Omit), Time: seconds(t.Duration), Num: number(t.Bytes), Blocks: number(t.Blocks),
		MSS: number(t.MSS), NoDelay: t.NoDelay, Parallel: number(t.Streams),
		Reverse: t.Direction == Down, Bidirectional: t.Direction == Both,
		Window: number(t.Window), Len: number(t.Length), Bandwidth: number(t.rate()), PacingTimer: 1000,
		TOS: number(t.TOS), Title: t.Title, Extra: t.Extra, Congestion: t.Congestion,
		ServerOutput: flag(t.ServerOutput), Counters64: flag(t.Counters64),
		Repeating: flag(t.Repeating), DontFragment: flag(t.DontFragment),
		AuthToken: token, Version: Version, Slot: t.Slot,
	}
	if t.Burst > 1 {
		p.Burst = number(t.Burst)
	}
	return p
}

// seconds rounds up: a server must not end a test before its client does.
func seconds(d time.Duration) number { return number((d + time.Second - 1) / time.Second) }

// parseParams reads a client's wishes and checks them.
func parseParams(b []byte) (Test, params, error) {
	// What stock clients always send, in case that one does not.
	p := params{Time: 10, Parallel: 1}
	if err := json.Unmarshal(b, &p); err != nil || p.SCTP {
		return Test{}, p, &Error{Code: codeParams}
	}
	t, err := p.test()
	return t, p, err
}

func (p params) test() (Test, error) {
	n := intOf
	t := Test{
		UDP: p.UDP, Streams: n(p.Parallel), Duration: secondsOf(p.Time), Omit: secondsOf(p.Omit),
		Bytes: int64(p.Num), Blocks: int64(p.Blocks), Length: n(p.Len), Rate: int64(p.Bandwidth), Burst: n(p.Burst),
		MSS: n(p.MSS), Window: n(p.Window), TOS: n(p.TOS), NoDelay: p.NoDelay, DontFragment: p.DontFragment > 0,
		Congestion: p.Congestion, ServerOutput: p.ServerOutput > 0, Counters64: p.Counters64 > 0, Repeating: p.Repeating > 0,
		Title: p.Title, Extra: p.Extra, Slot: p.Slot,
	}
	switch {
	case p.Bidirectional:
		t.Direction = Both
	case p.Reverse:
		t.Direction = Down
	}
	if t.Length == 0 && p.UDP {
		t.Length = -1 // stock servers would take 128 KiB, which no datagram holds
	}
	if t.Length == 0 && !p.UDP {
		t.Length = defaultLength
	}
	if t.Rate == 0 {
		t.Rate = Unlimited
	}
	if t.Rate < 0 && p.Bandwidth < 0 {
		t.Rate = Unlimited - 1 // refused
	}
	t.Burst = max(t.Burst, 1)
	return t, t.check()
}

// intOf keeps numbers that no int holds out of range.
func intOf(n number) int { return int(max(min(n, math.MaxInt32), math.MinInt32)) }

func secondsOf(n number) time.Duration {
	return time.Duration(max(min(n, 1<<30), -1)) * time.Second
}
