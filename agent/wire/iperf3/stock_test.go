package iperf3_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/wire/iperf3"
)

// mode is a kind of test, as we say it and as stock iperf3 does.
type mode struct {
	name  string
	test  iperf3.Test
	args  string
	six   bool // over IPv6
	loose bool // the sender cannot know when it is enough, so that more may be sent than arrives
}

const (
	mbit  = 1_000_000
	bound = 20 * time.Second
)

// modes have a fixed amount of data, paced: then both ends must count the same,
// however busy the machine is.
var modes = []mode{
	{name: "tcp up", test: iperf3.Test{Bytes: 2 << 20, Rate: 100 * mbit}, args: "-n 2M -b 100M"},
	{name: "tcp down", test: iperf3.Test{Direction: iperf3.Down, Bytes: 2 << 20, Rate: 100 * mbit}, args: "-R -n 2M -b 100M", loose: true},
	{name: "tcp both", test: iperf3.Test{Direction: iperf3.Both, Bytes: 2 << 20, Rate: 100 * mbit}, args: "--bidir -n 2M -b 100M", loose: true},
	{name: "tcp up parallel", test: iperf3.Test{Streams: 4, Bytes: 4 << 20, Rate: 50 * mbit}, args: "-P 4 -n 4M -b 50M"},
	{name: "tcp down parallel", test: iperf3.Test{Direction: iperf3.Down, Streams: 4, Bytes: 4 << 20, Rate: 50 * mbit}, args: "-R -P 4 -n 4M -b 50M", loose: true},
	{name: "tcp both parallel", test: iperf3.Test{Direction: iperf3.Both, Streams: 2, Bytes: 4 << 20, Rate: 50 * mbit}, args: "--bidir -P 2 -n 4M -b 50M", loose: true},
	{name: "tcp up blocks", test: iperf3.Test{Blocks: 200, Length: 1448, Rate: 5 * mbit}, args: "-k 200 -l 1448 -b 5M"},
	{name: "tcp down blocks", test: iperf3.Test{Direction: iperf3.Down, Blocks: 200, Length: 1448, Rate: 5 * mbit}, args: "-R -k 200 -l 1448 -b 5M", loose: true},
	{name: "tcp up time", test: iperf3.Test{Duration: time.Second, Rate: 20 * mbit, Length: 1448}, args: "-t 1 -b 20M -l 1448", loose: true},
	{name: "tcp up omit", test: iperf3.Test{Duration: time.Second, Omit: time.Second, Rate: 20 * mbit, Length: 1448}, args: "-O 1 -t 1 -b 20M -l 1448", loose: true},
	{name: "tcp down omit", test: iperf3.Test{Direction: iperf3.Down, Duration: time.Second, Omit: time.Second, Rate: 20 * mbit, Length: 1448}, args: "-R -O 1 -t 1 -b 20M -l 1448", loose: true},
	{name: "tcp options", test: iperf3.Test{Bytes: 2 << 20, Rate: 100 * mbit, MSS: 1000, Window: 128 << 10, TOS: 0x20, NoDelay: true, Congestion: "cubic", Repeating: true},
		args: "-n 2M -b 100M -M 1000 -w 128K -S 0x20 -N -C cubic --repeating-payload"},
	{name: "tcp burst", test: iperf3.Test{Bytes: 2 << 20, Rate: 100 * mbit, Burst: 4, Length: 16 << 10}, args: "-n 2M -b 100M/4 -l 16K"},
	{name: "tcp zerocopy", test: iperf3.Test{Bytes: 2 << 20, Rate: 100 * mbit}, args: "-Z -n 2M -b 100M"},
	{name: "tcp up ipv6", test: iperf3.Test{Bytes: 2 << 20, Rate: 100 * mbit, TOS: 0x20}, args: "-n 2M -b 100M -S 0x20", six: true},
	{name: "tcp server output", test: iperf3.Test{Bytes: 2 << 20, Rate: 100 * mbit, ServerOutput: true}, args: "-n 2M -b 100M --get-server-output"},
	{name: "udp up", test: iperf3.Test{UDP: true, Bytes: 256 << 10, Rate: 10 * mbit, Length: 1024}, args: "-u -n 256K -b 10M -l 1024"},
	{name: "udp down", test: iperf3.Test{UDP: true, Direction: iperf3.Down, Bytes: 256 << 10, Rate: 10 * mbit, Length: 1024}, args: "-u -R -n 256K -b 10M -l 1024", loose: true},
	{name: "udp both", test: iperf3.Test{UDP: true, Direction: iperf3.Both, Bytes: 256 << 10, Rate: 10 * mbit, Length: 1024}, args: "-u --bidir -n 256K -b 10M -l 1024", loose: true},
	{name: "udp parallel", test: iperf3.Test{UDP: true, Streams: 3, Bytes: 256 << 10, Rate: 4 * mbit, Length: 1024}, args: "-u -P 3 -n 256K -b 4M -l 1024"},
	{name: "udp blocks", test: iperf3.Test{UDP: true, Blocks: 500, Rate: 10 * mbit, Length: 1200}, args: "-u -k 500 -b 10M -l 1200"},
	{name: "udp 64 bit", test: iperf3.Test{UDP: true, Bytes: 256 << 10, Rate: 10 * mbit, Length: 1024, Counters64: true}, args: "-u -n 256K -b 10M -l 1024 --udp-counters-64bit"},
	{name: "udp options", test: iperf3.Test{UDP: true, Bytes: 256 << 10, Rate: 10 * mbit, Length: 1024, TOS: 0xb8, DontFragment: true, Window: 128 << 10},
		args: "-u -n 256K -b 10M -l 1024 -S 0xb8 --dont-fragment -w 128K"},
	{name: "udp ipv6", test: iperf3.Test{UDP: true, Bytes: 256 << 10, Rate: 10 * mbit, Length: 1024}, args: "-u -n 256K -b 10M -l 1024", six: true},
	{name: "udp default length", test: iperf3.Test{UDP: true, Bytes: 256 << 10, Rate: 10 * mbit}, args: "-u -n 256K -b 10M"},
}

func (m mode) host() string {
	if m.six {
		return "::1"
	}
	return "127.0.0.1"
}

// doc is what `iperf3 -J` writes, as far as both ends must agree.
type doc struct {
	Start struct {
		Test struct {
			Protocol string
			Streams  int `json:"num_streams"`
			Blksize  int
		} `json:"test_start"`
		Connected []any
	}
	Intervals []any
	End       struct {
		Streams         []any
		Sent            docSum `json:"sum_sent"`
		Received        docSum `json:"sum_received"`
		SentReverse     docSum `json:"sum_sent_bidir_reverse"`
		ReceivedReverse docSum `json:"sum_received_bidir_reverse"`
		Sum             docSum
	}
	Output any    `json:"server_output_json"`
	Text   string `json:"server_output_text"`
	Error  string
}

type docSum struct {
	Bytes    int64
	BitsPerS float64 `json:"bits_per_second"`
	Lost     int64   `json:"lost_packets"`
	Packets  int64
}

func parseDoc(t *testing.T, text []byte) (d doc) {
	t.Helper()
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if d.Error != "" {
		t.Fatalf("iperf3: %s\n%s", d.Error, text)
	}
	return d
}

func docOf(t *testing.T, res *iperf3.Result) doc {
	t.Helper()
	b, err := json.Marshal(res.Document())
	if err != nil {
		t.Fatal(err)
	}
	return parseDoc(t, b)
}

// agree compares what two ends say about one direction: the same bytes, rates
// within 1 %. Of several streams stock iperf3 takes the time from any one, and on
// a busy machine one of them begins tens of milliseconds after another.
func (m mode) agree(t *testing.T, what string, a, b docSum) {
	t.Helper()
	if a.Bytes != b.Bytes || a.Bytes == 0 {
		t.Errorf("%s: %d bytes by one end, %d by the other", what, a.Bytes, b.Bytes)
	}
	near := 0.01
	if m.test.Streams > 1 || m.test.Direction == iperf3.Both {
		const apart = 0.03 // seconds
		near = 0.05 + apart*b.BitsPerS/float64(8*max(b.Bytes, 1))
	}
	if math.Abs(a.BitsPerS-b.BitsPerS) > near*b.BitsPerS {
		t.Errorf("%s: %.0f bit/s by one end, %.0f by the other", what, a.BitsPerS, b.BitsPerS)
	}
}

// check compares client's and server's account of a test.
func (m mode) check(t *testing.T, client, server doc) {
	t.Helper()
	c, s := client.End, server.End
	up, down := m.test.Direction != iperf3.Down, m.test.Direction != iperf3.Up
	switch {
	case m.test.Direction == iperf3.Both:
		m.agree(t, "up", c.Received, s.Received)
		m.agree(t, "down", c.SentReverse, s.SentReverse)
	case up:
		m.agree(t, "received", c.Received, s.Received)
	case down:
		m.agree(t, "sent", c.Sent, s.Sent)
	}
	// Who receives datagrams is told of the end while the last of them still wait in
	// its socket; on a busy machine these are not counted.
	late := m.test.UDP && c.Received.Bytes >= c.Sent.Bytes*9/10
	if !m.loose && !late && c.Sent.Bytes != c.Received.Bytes {
		t.Errorf("%d bytes sent, %d received", c.Sent.Bytes, c.Received.Bytes)
	}
	if want := m.test.Bytes; want > 0 && !m.loose && !late && (c.Received.Bytes < want || c.Received.Bytes > want+128<<10) {
		t.Errorf("%d bytes received, want %d", c.Received.Bytes, want)
	}
	if want := int64(m.test.Blocks * int64(m.test.Length)); m.test.Blocks > 0 && !m.loose && !late && c.Received.Bytes != want {
		t.Errorf("%d bytes received, want %d blocks = %d", c.Received.Bytes, m.test.Blocks, want)
	}
	if m.test.UDP && (c.Received.Lost != 0 || c.Received.Packets == 0) {
		t.Errorf("%d of %d datagrams lost on loopback", c.Received.Lost, c.Received.Packets)
	}
	wants := m.test.Duration > 0 || m.test.Direction == iperf3.Both || m.test.Bytes >= 2<<20
	if rate := c.Received.BitsPerS; wants && math.Abs(rate-float64(m.rate())) > 0.25*float64(m.rate()) {
		t.Logf("rate %.1f Mbit/s, paced to %.1f", rate/mbit, float64(m.rate())/mbit)
	}
}

func (m mode) rate() int64 { return m.test.Rate * int64(max(m.test.Streams, 1)) }

// listening reports whether something listens on a TCP port, without connecting
// to it: a stock server serves one client after the other.
func listening(port string) bool {
	n, _ := strconv.Atoi(port)
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, _ := os.ReadFile(file)
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) > 3 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", n)) && f[3] == "0A" {
				return true
			}
		}
	}
	return false
}

// freePort is a port that nobody uses now.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// stockServer runs Debian's iperf3 for one test. What it says in the end comes
// from the function.
func stockServer(t *testing.T, args ...string) (port string, said func() []byte) {
	t.Helper()
	program := lab.Program(t, "iperf3", "iperf3")
	port = freePort(t)
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	cmd := exec.CommandContext(ctx, program, append([]string{"-s", "-1", "-p", port}, args...)...)
	var out []byte
	var err error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		out, err = cmd.CombinedOutput()
	}()
	t.Cleanup(func() { cancel(); <-ended })
	for !listening(port) {
		select {
		case <-ended:
			t.Fatalf("iperf3 -s: %v\n%s", err, out)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return port, func() []byte {
		<-ended
		return out
	}
}

// Our client measures against Debian's server: both say the same.
func TestClientOfStockServer(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			port, said := stockServer(t, "-J")
			ctx, cancel := context.WithTimeout(t.Context(), bound)
			defer cancel()
			c := iperf3.Client{}
			res, err := c.Run(ctx, net.JoinHostPort(m.host(), port), m.test)
			if err != nil {
				t.Fatalf("%v\nserver: %s", err, said())
			}
			d := docOf(t, res)
			m.check(t, d, parseDoc(t, said()))
			if m.test.ServerOutput && d.Output == nil {
				t.Error("no output of the server")
			}
		})
	}
}

// served is what our server says of one test.
type served struct {
	res *iperf3.Result
	req iperf3.Request
	err error
}

// serve runs our server and returns its address and what it says of each test.
func serve(t testing.TB, s *iperf3.Server, addr string) (host, port string, tests <-chan served) {
	t.Helper()
	out := make(chan served, 512)
	ended := s.Ended
	s.Ended = func(q iperf3.Request, res *iperf3.Result, err error) {
		if ended != nil {
			ended(q, res, err)
		}
		out <- served{res, q, err}
	}
	tcp, udp, err := iperf3.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ = net.SplitHostPort(tcp.Addr().String())
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Serve(ctx, tcp, udp); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return host, port, out
}

// stockClient runs Debian's client.
func stockClient(t testing.TB, host, port string, args ...string) ([]byte, error) {
	t.Helper()
	program := lab.Program(t, "iperf3", "iperf3")
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	return exec.CommandContext(ctx, program, append([]string{"-c", host, "-p", port}, args...)...).CombinedOutput()
}

// Debian's client measures against our server, one test after the other on one
// port: both say the same.
func TestServerOfStockClient(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			host, port, tests := serve(t, &iperf3.Server{}, net.JoinHostPort(m.host(), "0"))
			out, err := stockClient(t, host, port, append(strings.Fields(m.args), "-J")...)
			if err != nil {
				t.Fatalf("iperf3: %v\n%s", err, out)
			}
			s := <-tests
			if s.err != nil {
				t.Fatalf("our server: %v", s.err)
			}
			d := parseDoc(t, out)
			m.check(t, d, docOf(t, s.res))
			if m.test.ServerOutput && d.Output == nil {
				t.Error("no output of the server")
			}
		})
	}
}

// Our two ends with each other: what is sent arrives, to the byte, in both
// directions.
func TestOurOwnEnds(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			host, port, tests := serve(t, &iperf3.Server{}, net.JoinHostPort(m.host(), "0"))
			ctx, cancel := context.WithTimeout(t.Context(), bound)
			defer cancel()
			c := iperf3.Client{}
			res, err := c.Run(ctx, net.JoinHostPort(host, port), m.test)
			if err != nil {
				t.Fatal(err)
			}
			s := <-tests
			if s.err != nil {
				t.Fatalf("our server: %v", s.err)
			}
			m.loose = m.loose && (m.test.Duration > 0 || m.test.Direction == iperf3.Both)
			m.check(t, docOf(t, res), docOf(t, s.res))
		})
	}
}

func command(name string, args ...string) *exec.Cmd { return exec.Command(name, args...) }
