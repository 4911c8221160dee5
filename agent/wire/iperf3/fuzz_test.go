package iperf3

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func framed(text string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
}

// FuzzServer plays a client that sends whatever it likes, over up to three
// connections. The server ends every test in bounded time and keeps nothing.
func FuzzServer(f *testing.F) {
	whole := append(append([]byte(nil), someCookie...), framed(oneSecond)...)
	done := append(append([]byte{4}, framed(goodResults)...), 16)
	f.Add(append(append([]byte(nil), whole...), done...), someCookie, someCookie)
	f.Add(append(append([]byte(nil), whole...), 12), append(append([]byte(nil), someCookie...), 1, 2, 3), []byte{})
	f.Add(append(append([]byte(nil), someCookie...), framed(`{"tcp":true,"reverse":true,"bandwidth":1000,"len":100,"time":1,"omit":1,"parallel":2}`)...), someCookie, someCookie)
	f.Add(append(append([]byte(nil), someCookie...), framed(`{"tcp":true,"reverse":true,"len":100,"time":1,"omit":1,"parallel":2}`)...), someCookie, someCookie)
	f.Add(append(append([]byte(nil), someCookie...), framed(`{"tcp":true,"reverse":true,"len":1,"time":40,"parallel":2}`)...), someCookie, someCookie)
	f.Add(append(append([]byte(nil), someCookie...), framed(`{"tcp":true,"reverse":true,"len":1,"blockcount":90000000,"parallel":2}`)...), someCookie, someCookie)
	f.Add(append(append([]byte(nil), slotCookie[:]...), framed(`{"box":"b","rate_bits_per_s":1,"takes_ms":5}`)...), []byte{}, someCookie)
	f.Fuzz(func(t *testing.T, first, second, third []byte) {
		s := &Server{
			Slot: func(SlotRequest) SlotAnswer { return SlotAnswer{InMS: 5} },
			// Pipes are so fast that time would stand still without a limit.
			Admit: func(context.Context, Request) (Grant, error) { return Grant{Rate: 8e6, Time: time.Minute}, nil },
		}
		inBubble(t, s, func(t *testing.T, p *pipes) {
			start := time.Now()
			var open []net.Conn
			for _, b := range [][]byte{first, second, third} {
				c := p.script(t).conn
				open = append(open, c)
				go func() { _, _ = io.Copy(io.Discard, c) }()
				go func() { _, _ = c.Write(b) }()
				synctest.Wait()
			}
			time.Sleep(5 * time.Minute) // of the bubble's own clock
			s.mu.Lock()
			if len(s.tests) != 0 || s.waiting != 0 {
				t.Errorf("after %v the server still holds %d tests, %d connections", time.Since(start), len(s.tests), s.waiting)
			}
			s.mu.Unlock()
			for _, c := range open {
				_ = c.Close()
			}
		})
	})
}

// FuzzClient plays a server that sends whatever it likes. The client comes back
// in bounded time, and with no count below nothing.
func FuzzClient(f *testing.F) {
	good := append(append([]byte{9, 10, 1, 2, 13}, framed(goodResults)...), 14)
	f.Add(good, false, false)
	f.Add([]byte{9, 10, 1, 2, 0xfe, 0, 0, 0, 27, 0, 0, 0, 0}, true, false)
	f.Add([]byte{9, 0xff}, false, true)
	f.Fuzz(func(t *testing.T, said []byte, down, both bool) {
		test := Test{Duration: time.Second, Rate: 1e6, Length: 1000}
		switch {
		case both:
			test.Direction = Both
		case down:
			test.Direction = Down
		}
		synctest.Test(t, func(t *testing.T) {
			var ends []net.Conn
			c := Client{Dial: func(context.Context, string, string) (net.Conn, error) {
				a, b := net.Pipe()
				if len(ends) == 0 {
					go func() { _, _ = b.Write(said) }()
				}
				go func() { _, _ = io.Copy(io.Discard, b) }()
				ends = append(ends, b)
				return a, nil
			}}
			start := time.Now()
			res, err := c.Run(t.Context(), "far:5201", test)
			if took := time.Since(start); took > time.Minute {
				t.Errorf("the client needed %v", took)
			}
			if err == nil {
				for _, sent := range []bool{true, false} {
					if s := res.Sum(sent); s.Received.Bytes < 0 || s.Received.Time < 0 || s.Lost < 0 || s.Packets < 0 || s.LossRatio() > 1 {
						t.Errorf("a result of %+v", s)
					}
				}
				if _, err := json.Marshal(res.Document()); err != nil {
					t.Errorf("the document cannot be written: %v", err)
				}
			}
			for _, c := range ends {
				_ = c.Close()
			}
		})
	})
}

// FuzzResults reads what far ends may write.
func FuzzResults(f *testing.F) {
	f.Add([]byte(goodResults))
	f.Add([]byte(`{"streams":[{"id":1,"bytes":1e400}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseResults(b, Test{}.normal())
		if err == nil && (len(r.Streams) != 1 || r.Streams[0].Bytes < 0 || r.Streams[0].LocalDrops < 0) {
			t.Errorf("%s is read as %+v", b, r)
		}
	})
}

// FuzzParams reads what clients may ask for: what is accepted is within bounds,
// and comes out the same when it is written again.
func FuzzParams(f *testing.F) {
	f.Add([]byte(oneSecond))
	f.Add([]byte(`{"udp":true,"len":1200,"bandwidth":1e6,"time":1,"parallel":2,"bidirectional":true}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		test, _, err := parseParams(b)
		if err != nil {
			return
		}
		if err := test.normal().check(); err != nil {
			t.Errorf("%s was accepted: %v", b, err)
		}
		out, err := json.Marshal(paramsOf(test, ""))
		if err != nil {
			t.Fatal(err)
		}
		if again, _, err := parseParams(out); err != nil || again != test {
			t.Errorf("%+v came back as %+v, %v", test, again, err)
		}
	})
}
