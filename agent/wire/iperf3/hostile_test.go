package iperf3

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a network within the process: a listener whose clients are pipes.
// Nothing of it needs the kernel, so that time is the bubble's.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.closed:
	case <-ctx.Done():
	}
	return nil, net.ErrClosed
}

// inBubble runs do against a server without a kernel. Whatever a client leaves
// behind must have ended when the server has: the bubble sees to that.
func inBubble(t *testing.T, s *Server, do func(t *testing.T, p *pipes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(ctx, p, nil) }()
		do(t, p)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
		if n := len(s.tests) + len(s.opening) + s.waiting + len(s.greeted) + len(s.udpTurn); n != 0 {
			t.Errorf("the server still holds %d tests or connections", n)
		}
	})
}

// script is a client that says its lines one after the other, each after the
// server has said what it must.
type script struct {
	t    *testing.T
	conn net.Conn
}

func (p *pipes) script(t *testing.T) script {
	t.Helper()
	conn, err := p.dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	return script{t, conn}
}

func (s script) send(b ...byte) {
	s.t.Helper()
	if _, err := s.conn.Write(b); err != nil {
		s.t.Fatalf("write: %v", err)
	}
}

func (s script) frame(text string) {
	s.t.Helper()
	s.send(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)...)
}

func (s script) want(b ...byte) {
	s.t.Helper()
	got := make([]byte, len(b))
	if n, err := io.ReadFull(s.conn, got); err != nil || !bytes.Equal(got, b) {
		s.t.Fatalf("the server said % x (%v), want % x", got[:n], err, b)
	}
}

// rest is all that the server still says until it closes.
func (s script) rest() []byte {
	b, _ := io.ReadAll(s.conn)
	return b
}

var someCookie = []byte("abcdefghijklmnopqrstuvwxyz2345672345\x00")

const oneSecond = `{"tcp":true,"omit":0,"time":1,"num":0,"blockcount":0,"parallel":1,"len":1000,"client_version":"3.12"}`

// A client that stops at any point, silently or by closing, costs the server a
// bounded time and nothing else.
func TestServerOfVanishingClients(t *testing.T) {
	type step func(s script, p *pipes)
	steps := []struct {
		name string
		do   step
	}{
		{"half a cookie", func(s script, _ *pipes) { s.send(someCookie[:20]...) }},
		{"the rest of it", func(s script, _ *pipes) { s.send(someCookie[20:]...); s.want(9) }},
		{"half a length", func(s script, _ *pipes) { s.send(0, 0) }},
		{"the rest and half the parameters", func(s script, _ *pipes) {
			s.send(0, byte(len(oneSecond)))
			s.send([]byte(oneSecond[:50])...)
		}},
		{"all parameters", func(s script, _ *pipes) { s.send([]byte(oneSecond[50:])...); s.want(10) }},
		{"a stream", func(s script, p *pipes) {
			data := p.script(s.t)
			data.send(someCookie...)
			s.want(1, 2)
			data.send(make([]byte, 1000)...)
		}},
		{"the end", func(s script, _ *pipes) { s.send(4); s.want(13) }},
		{"half the results", func(s script, _ *pipes) { s.send(0, 0, 1, 0, '{') }},
	}
	for last := range steps {
		for _, silent := range []bool{true, false} {
			name := steps[last].name + ", then closes"
			if silent {
				name = steps[last].name + ", then is silent"
			}
			t.Run(name, func(t *testing.T) {
				inBubble(t, &Server{}, func(t *testing.T, p *pipes) {
					start := time.Now()
					s := p.script(t)
					for _, x := range steps[:last+1] {
						x.do(s, p)
					}
					if !silent {
						_ = s.conn.Close()
					}
					s.rest()
					if took := time.Since(start); took > 30*time.Second {
						t.Errorf("the server kept the client for %v", took)
					}
					_ = s.conn.Close()
				})
			})
		}
	}
}

func refusal(code uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte{0xfe}, code), 0)
}

// Stock servers take all of these; ours refuses them in iperf3's own terms.
func TestServerRefusesNonsense(t *testing.T) {
	for params, want := range map[string][]byte{
		`{"tcp":true,"parallel":0}`:                         refusal(codeStreams),
		`{"tcp":true,"parallel":129}`:                       refusal(codeStreams),
		`{"tcp":true,"parallel":-1}`:                        refusal(codeStreams),
		`{"tcp":true,"parallel":1e300}`:                     refusal(codeStreams),
		`{"tcp":true,"time":-1}`:                            refusal(codeDuration),
		`{"tcp":true,"time":86401}`:                         refusal(codeDuration),
		`{"tcp":true,"time":18446744073709551615}`:          refusal(codeDuration),
		`{"tcp":true,"time":0}`:                             refusal(codeDuration),
		`{"tcp":true,"omit":601}`:                           refusal(codeDuration),
		`{"tcp":true,"num":-1}`:                             refusal(codeEnd),
		`{"tcp":true,"len":2097152}`:                        refusal(codeBlock),
		`{"tcp":true,"len":-1}`:                             refusal(codeBlock),
		`{"tcp":true,"burst":1001}`:                         refusal(codeBurst),
		`{"tcp":true,"MSS":40000}`:                          refusal(codeMSS),
		`{"tcp":true,"window":1073741824}`:                  refusal(codeWindow),
		`{"tcp":true,"TOS":256}`:                            refusal(codeTOS),
		`{"tcp":true,"bandwidth":-1}`:                       refusal(codeRate),
		`{"tcp":true,"time":"1"}`:                           refusal(codeParams),
		`{"tcp":1}`:                                         refusal(codeParams),
		`{"sctp":true}`:                                     refusal(codeParams),
		`[]`:                                                refusal(codeParams),
		`{`:                                                 refusal(codeParams),
		strings.Repeat("[", 8000):                           refusal(codeParams),
		`{"udp":true,"len":1000}`:                           refusal(codeParams), // this server has no UDP
		`{"tcp":true,"title":"` + strings.Repeat("x", 8192): refusal(codeParams),
	} {
		t.Run(params[:min(len(params), 50)], func(t *testing.T) {
			inBubble(t, &Server{}, func(t *testing.T, p *pipes) {
				s := p.script(t)
				s.send(someCookie...)
				s.want(9)
				go s.conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(params))), params...)) // may be cut off
				if got := s.rest(); !bytes.Equal(got, want) {
					t.Errorf("the server said % x, want % x", got, want)
				}
			})
		})
	}
	for _, p := range []params{{UDP: true, Parallel: 1, Time: 1, Len: 8}, {UDP: true, Parallel: 1, Time: 1, Len: 65508}, {UDP: true, Parallel: 1, Time: 1}} {
		if _, err := p.test(); !errors.Is(err, err) || err == nil || err.(*Error).Code != codeUDPBlock {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

// A frame whose length is not to be believed is refused before it is read.
func TestServerOfEndlessFrames(t *testing.T) {
	for _, length := range []uint32{0, maxParams + 1, 1 << 31, 1<<32 - 1} {
		inBubble(t, &Server{}, func(t *testing.T, p *pipes) {
			s := p.script(t)
			s.send(someCookie...)
			s.want(9)
			s.send(binary.BigEndian.AppendUint32(nil, length)...)
			if got := s.rest(); !bytes.Equal(got, refusal(codeParams)) {
				t.Errorf("length %d: % x", length, got)
			}
		})
	}
}

// Results that cannot be end the test, and nothing else.
func TestServerOfFalseResults(t *testing.T) {
	for _, results := range []string{
		`{"streams":[]}`,
		`{"streams":[{"id":2,"bytes":1}]}`,
		`{"streams":[{"id":1,"bytes":-5}]}`,
		`{"streams":[{"id":1,"bytes":1,"start_time":5,"end_time":1}]}`,
		`{"streams":[{"id":1,"bytes":1},{"id":1,"bytes":1}]}`,
		`{"streams":{}}`,
		`{"streams":[{"id":1,"bytes":"many"}]}`,
	} {
		var err error
		s := &Server{Ended: func(_ Request, _ *Result, e error) { err = e }}
		inBubble(t, s, func(t *testing.T, p *pipes) {
			c := p.script(t)
			c.send(someCookie...)
			c.want(9)
			c.frame(oneSecond)
			c.want(10)
			data := p.script(t)
			data.send(someCookie...)
			c.want(1, 2)
			c.send(4)
			c.want(13)
			c.frame(results)
			if got := c.rest(); !bytes.Equal(got, refusal(codeResults)) {
				t.Errorf("%s: the server said % x", results, got)
			}
		})
		if !errors.Is(err, errResults) {
			t.Errorf("%s: %v", results, err)
		}
	}
}

// Connections that show a test's cookie without belonging to it are no streams.
func TestServerOfForeignStreams(t *testing.T) {
	inBubble(t, &Server{}, func(t *testing.T, p *pipes) {
		c := p.script(t)
		c.send(someCookie...)
		c.want(9)
		early := p.script(t)
		early.send(someCookie...)
		early.want(0xff) // the test does not wait for streams
		c.frame(oneSecond)
		c.want(10)
		data := p.script(t)
		data.send(someCookie...)
		c.want(1, 2)
		late := p.script(t)
		late.send(someCookie...)
		late.want(0xff) // it has all its streams
		c.send(12)      // the client has been interrupted
		if got := c.rest(); len(got) != 0 {
			t.Errorf("after the client's end the server said % x", got)
		}
		for _, x := range []script{early, late, data} {
			x.rest()
		}
	})
}

// Who opens more connections than it may is told that the server is busy, and
// others are served all the same.
func TestServerOfManyIdleConnections(t *testing.T) {
	inBubble(t, &Server{MaxOpeningPerSource: 3}, func(t *testing.T, p *pipes) {
		var held []script
		for range 3 {
			held = append(held, p.script(t))
		}
		synctest.Wait()
		p.script(t).want(0xff)
		for _, s := range held {
			s.rest() // the server gives them up
		}
		s := p.script(t)
		s.send(someCookie...)
		s.want(9)
		_ = s.conn.Close()
	})
}

// A silent client is given up, and a fresh one served, within seconds.
func TestServerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := newPipes(), &Server{}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(ctx, p, nil) }()
		c := p.script(t)
		c.send(someCookie...)
		c.want(9)
		c.frame(oneSecond)
		c.want(10)
		data := p.script(t)
		data.send(someCookie...)
		c.want(1, 2)
		go cancel()
		c.want(byte(serverTerminate))
		start := time.Now()
		if err := <-ended; err != nil || time.Since(start) > 5*time.Second {
			t.Errorf("stopped after %v with %v", time.Since(start), err)
		}
	})
}

// against runs our client against a server that plays lines.
func against(t *testing.T, test Test, lines func(c script)) (res *Result, took time.Duration, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		first := true
		var sinks []net.Conn
		client := Client{Dial: func(context.Context, string, string) (net.Conn, error) {
			if first {
				first = false
				return here, nil
			}
			a, b := net.Pipe()
			sinks = append(sinks, b)
			go io.Copy(io.Discard, b)
			return a, nil
		}}
		done := make(chan struct{})
		go func() {
			defer close(done)
			lines(script{t, there})
		}()
		start := time.Now()
		res, err = client.Run(t.Context(), "far:5201", test)
		took = time.Since(start)
		<-done
		_ = there.Close()
		for _, c := range sinks {
			_ = c.Close()
		}
	})
	return res, took, err
}

// hear takes the cookie and the parameters.
func (s script) hear() {
	var c cookie
	_, _ = io.ReadFull(s.conn, c[:])
	s.send(9)
	_, _ = readFrame(s.conn, maxParams)
}

// tell makes a whole test up to the results.
func (s script) tell() {
	s.hear()
	s.send(10)
	s.send(1, 2)
	s.want(4)
	s.send(13)
	_, _ = readFrame(s.conn, maxResults)
}

func (s script) silence()             { _, _ = io.Copy(io.Discard, s.conn) }
func (s script) close()               { _ = s.conn.Close() }
func (s script) refuse(words ...byte) { s.send(words...); s.close() }

const goodResults = `{"cpu_util_total":1e0,"cpu_util_user":0,"cpu_util_system":0,"sender_has_retransmits":18446744073709551615,"streams":
	[{"id":1,"bytes":125000,"retransmits":18446744073709551615,"jitter":0,"errors":0,"packets":0,"start_time":0,"end_time":1.001357}]}`

func TestClientOfHostileServers(t *testing.T) {
	second := Test{Duration: time.Second, Rate: 1e6, Length: 1000} // paced: time must stand still for something
	for _, tt := range []struct {
		name  string
		lines func(c script)
		want  error  // nil: see text
		text  string // part of the error; empty with no want: none
	}{
		{name: "as 3.12 says it", lines: func(c script) { c.tell(); c.frame(goodResults); c.send(14); c.want(16) }},
		{name: "results and goodbye in one piece, as before 3.10", lines: func(c script) {
			c.tell()
			c.send(append(append(binary.BigEndian.AppendUint32(nil, uint32(len(goodResults))), goodResults...), 14)...)
			c.want(16)
		}},
		{name: "busy before the cookie", lines: func(c script) { c.refuse(0xff) }, want: ErrBusy},
		{name: "busy after the parameters", lines: func(c script) { c.hear(); c.refuse(0xff) }, want: ErrBusy},
		{name: "denied, as up to 3.18", lines: func(c script) { c.hear(); c.refuse(0xfe, 0, 0, 0, 142) }, want: ErrDenied},
		{name: "denied", lines: func(c script) { c.hear(); c.refuse(0xfe, 0, 0, 0, 142, 0, 0, 0, 0) }, want: ErrDenied},
		{name: "too fast", lines: func(c script) { c.hear(); c.refuse(0xfe, 0, 0, 0, 27, 0, 0, 0, 0) }, text: "above the server's limit"},
		{name: "code of a later version", lines: func(c script) { c.hear(); c.refuse(0xfe, 0, 0, 39, 15, 0xff, 0xff, 0xff, 0xff) }, text: "iperf3 error 9999"},
		{name: "silent", lines: func(c script) { c.silence() }, text: "timeout"},
		{name: "silent after the parameters", lines: func(c script) { c.hear(); c.silence() }, text: "timeout"},
		{name: "silent after the streams", lines: func(c script) { c.hear(); c.send(10); c.silence() }, text: "timeout"},
		{name: "silent at the end", lines: func(c script) { c.hear(); c.send(10); c.send(1, 2); c.silence() }, text: "timeout"},
		{name: "closes", lines: func(c script) { c.close() }, text: "closed"},
		{name: "closes after the parameters", lines: func(c script) { c.hear(); c.close() }, text: "EOF"},
		{name: "closes in the test", lines: func(c script) { c.hear(); c.send(10); c.send(1, 2); c.close() }, text: "control connection"},
		{name: "another protocol", lines: func(c script) { go c.silence(); c.refuse('H') }, want: ErrProtocol},
		{name: "states out of order", lines: func(c script) { c.hear(); c.refuse(13) }, want: ErrProtocol},
		{name: "state that has no name", lines: func(c script) { c.hear(); c.refuse(0x80) }, want: ErrProtocol},
		{name: "is interrupted", lines: func(c script) { c.hear(); c.send(10); c.send(1, 2); c.send(11); c.want(16) }, want: ErrTerminated},
		{name: "time is over", lines: func(c script) { c.hear(); c.send(10); c.send(1, 2); c.refuse(0xfe, 0, 0, 0, 160, 0, 0, 0, 0) }, text: "time for the test is over"},
		{name: "results without end", lines: func(c script) { c.tell(); c.send(0xff, 0xff, 0xff, 0xff); c.silence() }, text: "too long"},
		{name: "results of no length", lines: func(c script) { c.tell(); c.send(0, 0, 0, 0); c.silence() }, text: "empty"},
		{name: "results that never come", lines: func(c script) { c.tell(); c.send(0, 0, 1, 0); c.silence() }, text: "timeout"},
		{name: "negative results", lines: func(c script) { c.tell(); c.frame(strings.Replace(goodResults, "125000", "-125000", 1)); c.silence() }, want: errResults},
		{name: "results of other streams", lines: func(c script) { c.tell(); c.frame(strings.Replace(goodResults, `"id":1`, `"id":77`, 1)); c.silence() }, want: errResults},
		{name: "results that are none", lines: func(c script) { c.tell(); c.frame(`"ok"`); c.silence() }, want: errResults},
		{name: "results with nan", lines: func(c script) { c.tell(); c.frame(strings.Replace(goodResults, "1.001357", "-nan", 1)); c.silence() }, want: errResults},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res, took, err := against(t, second, tt.lines)
			switch {
			case tt.want != nil && !errors.Is(err, tt.want), tt.text != "" && (err == nil || !strings.Contains(err.Error(), tt.text)):
				t.Errorf("%v, want %v %s", err, tt.want, tt.text)
			case tt.want == nil && tt.text == "":
				if err != nil {
					t.Fatal(err)
				}
				if s := res.Sum(true); s.Received.Bytes != 125000 || s.Received.Time != 1001357*time.Microsecond || res.far.Retransmits != -1 {
					t.Errorf("the server's count came out as %+v, %d", s.Received, res.far.Retransmits)
				}
			}
			if took > 30*time.Second {
				t.Errorf("the client needed %v", took)
			}
		})
	}
}

// The server is told when a client gives up.
func TestClientIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		var ended error
		s := &Server{Ended: func(_ Request, _ *Result, err error) { ended = err }}
		serving, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Serve(serving, p, nil) }()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		c := Client{Dial: p.dial}
		res, err := c.Run(ctx, "x:1", Test{Rate: 1e6, Length: 1000})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the context's", err)
		}
		if res == nil || res.Sum(true).Sent.Bytes == 0 {
			t.Error("nothing is known of the test so far")
		}
		synctest.Wait() // the server hears of it
		stop()
		<-done
		if !errors.Is(ended, ErrTerminated) {
			t.Errorf("the server saw %v", ended)
		}
	})
}

func TestNumber(t *testing.T) {
	for in, want := range map[string]number{
		"0": 0, "-1": -1, "18446744073709551615": -1, "1.8446744073709552e+19": -1, "9223372036854775807": 1<<63 - 1,
		"1e3": 1000, "1.9": 1, "-2.5": -2, "1e300": -1,
	} {
		var got number
		if err := json.Unmarshal([]byte(in), &got); err != nil || got != want {
			t.Errorf("%s is read as %d (%v), want %d", in, got, err, want)
		}
	}
	for _, in := range []string{`"1"`, `true`, `{}`, `[1]`} {
		var got number
		if json.Unmarshal([]byte(in), &got) == nil {
			t.Errorf("%s is read as %d", in, got)
		}
	}
}

// Servers up to 3.17 take the mere presence of a truth for true.
func TestParametersHaveNoFalse(t *testing.T) {
	for _, test := range []Test{{}, {UDP: true, Length: 100}, {Direction: Down}, {Direction: Both, Counters64: true, NoDelay: true}} {
		b, err := json.Marshal(paramsOf(test.normal(), ""))
		if err != nil || bytes.Contains(b, []byte("false")) || bytes.Contains(b, []byte("null")) {
			t.Errorf("%s, %v", b, err)
		}
		back, _, err := parseParams(b)
		if want := test.normal(); err != nil || back.Direction != want.Direction || back.UDP != want.UDP || back.Duration != want.Duration || back.NoDelay != want.NoDelay {
			t.Errorf("%+v went out and came back as %+v, %v", want, back, err)
		}
	}
}

func TestStreamsInOrder(t *testing.T) {
	test := Test{Direction: Both, Streams: 2}
	var ids []int
	var up []bool
	for i := range test.streams() {
		ids, up = append(ids, streamID(i)), append(up, test.up(i))
	}
	if ids[0] != 1 || ids[1] != 3 || ids[2] != 4 || ids[3] != 5 || !up[0] || !up[1] || up[2] || up[3] {
		t.Errorf("streams %v, from the client %v", ids, up)
	}
}

// What iperf3 3.12 has sent, byte by byte.
func TestDatagramHeader(t *testing.T) {
	narrow := []byte{0, 0, 0x05, 0xba, 0, 0x0b, 0x62, 0, 0, 0, 0, 1}
	if sent, seq, ok := readStamp(narrow, false); !ok || seq != 1 || sent != 1466.745984 {
		t.Errorf("%v %v %v", sent, seq, ok)
	}
	wide := []byte{0, 0, 0x05, 0xc2, 0, 0x03, 0xb1, 0xde, 0, 0, 0, 0, 0, 0, 0, 1}
	if sent, seq, ok := readStamp(wide, true); !ok || seq != 1 || sent != 1474.242142 {
		t.Errorf("%v %v %v", sent, seq, ok)
	}
	if _, _, ok := readStamp(wide[:15], true); ok {
		t.Error("a header that is cut off is read")
	}
	b := make([]byte, 16)
	stamp(b, time.Unix(1474, 242142000), 1, true)
	if !bytes.Equal(b, wide) {
		t.Errorf("% x", b)
	}
}

// Loss, order and jitter are counted as iperf3 counts them.
func TestAccount(t *testing.T) {
	s, r := &stream{}, newRun(Test{UDP: true, Length: 20, Duration: time.Second}.normal())
	r.start = time.Now()
	at := time.Unix(1000, 0)
	arrive := func(seq int64, late time.Duration) {
		b := make([]byte, 20)
		stamp(b, at, seq, false)
		s.account(r, b, at.Add(late))
	}
	arrive(1, 10*time.Millisecond)
	arrive(2, 26*time.Millisecond) // transit differs by 16 ms: jitter is 1 ms
	if j := s.count(at, true).jitter; j < 0.000999 || j > 0.001001 {
		t.Errorf("jitter %v s", j)
	}
	arrive(5, 10*time.Millisecond) // 3 and 4 are lost
	arrive(4, 10*time.Millisecond) // or late
	arrive(0, 0)                   // no datagram of ours
	arrive(1<<40, 0)               // 32 bits do not hold it: it is 0 again
	c := s.count(at, true)
	if c.packets != 5 || c.lost != 1 || c.late != 1 || c.bytes != 80 {
		t.Errorf("%d packets, %d lost, %d late, %d bytes", c.packets, c.lost, c.late, c.bytes)
	}
	r.t.Counters64 = true
	wide := make([]byte, 20)
	stamp(wide, at, 1<<62, true)
	s.account(r, wide, at)
	if c := s.count(at, true); c.packets != 5 {
		t.Errorf("a number from nowhere counts as %d lost", c.lost)
	}
}

// A sender keeps its rate on average, and after a stall catches up at no more
// than twice the rate.
func TestPacer(t *testing.T) {
	now := time.Unix(0, 0)
	p := newPacer(8e6, now) // a megabyte a second
	sent, end := 0, now.Add(time.Second)
	for now.Before(end) {
		n, wait := p.take(now, 1000, 64)
		if sent += n * 1000; n == 0 {
			now = now.Add(max(wait, time.Millisecond))
		}
	}
	if sent < 999_000 || sent > 1_002_000 {
		t.Errorf("%d bytes in a second, want 1000000", sent)
	}
	now = now.Add(time.Second) // nobody woke it
	burst := 0
	for range 10_000 {
		n, _ := p.take(now, 1000, 64)
		burst += n * 1000
		now = now.Add(10 * time.Microsecond)
	}
	if burst < 150_000 || burst > 220_000 {
		t.Errorf("%d bytes in the first 100 ms after a stall, want about twice the rate", burst)
	}
}
