package reach_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

var loopbacks = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}

// once is a plan of one send, and patience that no test that passes uses up.
var once = []time.Duration{0, 20 * time.Second}

func anything([]byte, netip.AddrPort) bool { return true }

func listen(t *testing.T, family netip.Addr) *reach.Socket {
	t.Helper()
	s, err := reach.Listen(family)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// serveUDP binds a port and calls answer, one at a time, for what comes in.
func serveUDP(t *testing.T, at netip.Addr, answer func(c *net.UDPConn, msg []byte, from netip.AddrPort)) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, 0)))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = c.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			answer(c, buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
		}
	}()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

func echo(c *net.UDPConn, msg []byte, from netip.AddrPort) { _, _ = c.WriteToUDPAddrPort(msg, from) }

func ignore(*net.UDPConn, []byte, netip.AddrPort) {}

// closedUDP is a port of a that refuses.
func closedUDP(t *testing.T, a netip.Addr) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// wantResult compares all of a result but its round trip, which must be there
// exactly if an answer or a refusal came.
func wantResult(t *testing.T, got, want reach.Result) {
	t.Helper()
	opts := cmp.Options{cmpopts.IgnoreFields(reach.Result{}, "RTT"), cmpopts.EquateComparable(netip.Addr{})}
	if d := cmp.Diff(want, got, opts); d != "" {
		t.Errorf("result (-want +got):\n%s", d)
	}
	came := got.Outcome == agent.Answered || got.Outcome == agent.Refused || got.Outcome == agent.Rejected
	if timed := got.RTT > 0; timed != (came && got.Sends < 2) {
		t.Errorf("%v after %d sends has round trip %v", got.Outcome, got.Sends, got.RTT)
	}
}

// portUnreachable is what a closed UDP port of a says.
func portUnreachable(a netip.Addr) reach.ICMP {
	if a.Is4() {
		return reach.ICMP{Type: 3, Code: 3, From: a}
	}
	return reach.ICMP{Type: 1, Code: 4, From: a}
}

func TestTCPConnects(t *testing.T) {
	for _, a := range loopbacks {
		l, err := net.Listen("tcp", netip.AddrPortFrom(a, 0).String())
		if err != nil {
			t.Fatal(err)
		}
		to := l.Addr().(*net.TCPAddr).AddrPort()
		conn, r := reach.TCP(t.Context(), to)
		wantResult(t, r, reach.Result{Outcome: agent.Answered})
		if conn == nil {
			t.Fatalf("no connection to %v", to)
		}
		far, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = far.Write([]byte("hello"))
		_ = far.Close()
		if got, err := io.ReadAll(conn); string(got) != "hello" || err != nil {
			t.Errorf("read %q, %v over the connection, want hello", got, err)
		}
		_ = conn.Close()
		_ = l.Close()

		conn, r = reach.TCP(t.Context(), to)
		wantResult(t, r, reach.Result{Outcome: agent.Refused, Reason: agent.Reset})
		if conn != nil {
			t.Errorf("a refused dial returned a connection")
		}
	}
}

func TestTCPToAMappedAddressIsIPv4(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	port := l.Addr().(*net.TCPAddr).AddrPort().Port()
	conn, r := reach.TCP(t.Context(), netip.AddrPortFrom(netip.MustParseAddr("::ffff:127.0.0.1"), port))
	wantResult(t, r, reach.Result{Outcome: agent.Answered})
	if conn != nil {
		_ = conn.Close()
	}
}

func TestUDPAnswer(t *testing.T) {
	for _, a := range loopbacks {
		to := serveUDP(t, a, echo)
		got, from, r := listen(t, a).Ask(t.Context(), to, []byte("hello"), once, anything)
		wantResult(t, r, reach.Result{Outcome: agent.Answered, Sends: 1})
		if string(got) != "hello" || from != to {
			t.Errorf("got %q from %v, want hello from %v", got, from, to)
		}
	}
}

func TestUDPRefusal(t *testing.T) {
	for _, a := range loopbacks {
		_, _, r := listen(t, a).Ask(t.Context(), closedUDP(t, a), []byte("x"), once, anything)
		wantResult(t, r, reach.Result{Outcome: agent.Refused, Reason: agent.PortUnreachable, Sends: 1, ICMP: portUnreachable(a)})
	}
}

func TestUDPSilence(t *testing.T) {
	to := serveUDP(t, loopbacks[0], ignore)
	plan := []time.Duration{0, 20 * time.Millisecond, 60 * time.Millisecond}
	_, _, r := listen(t, loopbacks[0]).Ask(t.Context(), to, []byte("x"), plan, anything)
	if r.Sends < 1 || r.Sends > 2 { // a machine that is held up sends once for both
		t.Errorf("%d sends, want 2", r.Sends)
	}
	wantResult(t, r, reach.Result{Outcome: agent.Silent, Reason: agent.Timeout, Sends: r.Sends})
}

// An entry in the error queue makes a socket ready; that must not keep the
// wait awake.
func TestWaitingCostsNoCPU(t *testing.T) {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	for _, a := range loopbacks {
		s, to := listen(t, a), serveUDP(t, a, ignore)
		if _, err := s.Conn(closedUDP(t, a)).Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		before := used()
		_, _, r := s.Ask(t.Context(), to, []byte("x"), []time.Duration{0, time.Second}, anything)
		wantResult(t, r, reach.Result{Outcome: agent.Silent, Reason: agent.Timeout, Sends: 1})
		if cpu := used() - before; cpu > 300*time.Millisecond {
			t.Errorf("%v: a second of waiting took %v of CPU", a, cpu)
		}
	}
}

func TestUDPAsksAgain(t *testing.T) {
	heard := 0
	to := serveUDP(t, loopbacks[0], func(c *net.UDPConn, msg []byte, from netip.AddrPort) {
		if heard++; heard == 2 {
			echo(c, msg, from)
		}
	})
	// A machine that is held up sends once for all that was due.
	plan := []time.Duration{0, 10 * time.Millisecond, 100 * time.Millisecond, time.Second, 5 * time.Second, 20 * time.Second}
	_, _, r := listen(t, loopbacks[0]).Ask(t.Context(), to, []byte("x"), plan, anything)
	if r.Sends < 2 {
		t.Errorf("answered after %d sends, want 2", r.Sends)
	}
	wantResult(t, r, reach.Result{Outcome: agent.Answered, Sends: r.Sends})
}

func TestUDPTakesOnlyWhatIsAccepted(t *testing.T) {
	big := bytes.Repeat([]byte("b"), 5000) // over the limit: accept sees the beginning
	to := serveUDP(t, loopbacks[0], func(c *net.UDPConn, msg []byte, from netip.AddrPort) {
		_, _ = c.WriteToUDPAddrPort([]byte("not ours"), from)
		_, _ = c.WriteToUDPAddrPort(big, from)
		_, _ = c.WriteToUDPAddrPort(nil, from)
		_, _ = c.WriteToUDPAddrPort([]byte("ours"), from)
	})
	var seen []string
	got, _, r := listen(t, loopbacks[0]).Ask(t.Context(), to, []byte("x"), once, func(answer []byte, from netip.AddrPort) bool {
		seen = append(seen, fmt.Sprintf("%.8s %d %v", answer, len(answer), from == to))
		return string(answer) == "ours"
	})
	wantResult(t, r, reach.Result{Outcome: agent.Answered, Sends: 1})
	if d := cmp.Diff([]string{"not ours 8 true", "bbbbbbbb 4097 true", " 0 true", "ours 4 true"}, seen); d != "" || string(got) != "ours" {
		t.Errorf("got %q, accept saw (-want +got):\n%s", got, d)
	}
}

func TestOneSocketAsksSeveral(t *testing.T) {
	for _, a := range loopbacks {
		s := listen(t, a)
		open, closed := serveUDP(t, a, echo), closedUDP(t, a)
		for range 3 {
			_, _, r := s.Ask(t.Context(), closed, []byte("x"), once, anything)
			wantResult(t, r, reach.Result{Outcome: agent.Refused, Reason: agent.PortUnreachable, Sends: 1, ICMP: portUnreachable(a)})
			_, _, r = s.Ask(t.Context(), open, []byte("x"), once, anything)
			wantResult(t, r, reach.Result{Outcome: agent.Answered, Sends: 1})
		}
	}
}

// A refusal that comes after its question is over belongs to no later one.
func TestLateRefusalOfAnotherDestinationIsIgnored(t *testing.T) {
	for _, a := range loopbacks {
		s := listen(t, a)
		if _, err := s.Conn(closedUDP(t, a)).Write([]byte("x")); err != nil { // the refusal waits in the queue
			t.Fatal(err)
		}
		_, _, r := s.Ask(t.Context(), serveUDP(t, a, echo), []byte("x"), once, anything)
		wantResult(t, r, reach.Result{Outcome: agent.Answered, Sends: 1})
	}
}

func TestConcurrentAsksTakeTurns(t *testing.T) {
	s, to := listen(t, loopbacks[0]), serveUDP(t, loopbacks[0], echo)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			msg := fmt.Sprint(i)
			got, _, r := s.Ask(t.Context(), to, []byte(msg), once, anything)
			if r.Outcome != agent.Answered || string(got) != msg {
				t.Errorf("asked %s, got %q, %v", msg, got, r.Outcome)
			}
		})
	}
	wg.Wait()
}

func TestContextEndsAQuestion(t *testing.T) {
	cancelled := reach.Result{Outcome: agent.NotLooked, Reason: agent.Cancelled}
	s := listen(t, loopbacks[0])

	t.Run("cancelled before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, r := s.Ask(ctx, closedUDP(t, loopbacks[0]), []byte("x"), once, anything)
		wantResult(t, r, cancelled)
		_, r = reach.TCP(ctx, closedUDP(t, loopbacks[0]))
		wantResult(t, r, cancelled)
	})
	t.Run("cancelled during", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		to := serveUDP(t, loopbacks[0], func(*net.UDPConn, []byte, netip.AddrPort) { cancel() })
		_, _, r := s.Ask(ctx, to, []byte("x"), once, anything)
		wantResult(t, r, reach.Result{Outcome: agent.NotLooked, Reason: agent.Cancelled, Sends: 1})
	})
	t.Run("deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, _, r := s.Ask(ctx, serveUDP(t, loopbacks[0], ignore), []byte("x"), once, anything)
		wantResult(t, r, reach.Result{Outcome: agent.Silent, Reason: agent.Timeout, Sends: 1})
	})
	t.Run("the socket is none the worse", func(t *testing.T) {
		_, _, r := s.Ask(t.Context(), serveUDP(t, loopbacks[0], echo), []byte("x"), once, anything)
		wantResult(t, r, reach.Result{Outcome: agent.Answered, Sends: 1})
	})
	t.Run("closed during", func(t *testing.T) {
		s := listen(t, loopbacks[0])
		to := serveUDP(t, loopbacks[0], func(*net.UDPConn, []byte, netip.AddrPort) { _ = s.Close() })
		_, _, r := s.Ask(t.Context(), to, []byte("x"), once, anything)
		wantResult(t, r, reach.Result{Outcome: agent.NotLooked, Reason: agent.Cancelled, Sends: 1})
	})
}

func TestShortPlans(t *testing.T) {
	to := serveUDP(t, loopbacks[0], ignore)
	s := listen(t, loopbacks[0])
	for _, plan := range [][]time.Duration{nil, {0}, {time.Millisecond}, {0, 0}} {
		_, _, r := s.Ask(t.Context(), to, []byte("x"), plan, anything)
		wantResult(t, r, reach.Result{Outcome: agent.Silent, Reason: agent.Timeout, Sends: 1})
	}
}

func TestTooLongAMessageIsNotLooked(t *testing.T) {
	_, _, r := listen(t, loopbacks[0]).Ask(t.Context(), serveUDP(t, loopbacks[0], echo), make([]byte, 1<<16), once, anything)
	wantResult(t, r, reach.Result{Outcome: agent.NotLooked, Reason: agent.OtherError, Detail: syscall.EMSGSIZE.Error()})
}

func TestConnReadsFromItsPeerOnly(t *testing.T) {
	for _, a := range loopbacks {
		stranger := listen(t, a)
		s := listen(t, a)
		own := netip.AddrPortFrom(a, s.LocalAddr().Port())
		to := serveUDP(t, a, func(c *net.UDPConn, msg []byte, from netip.AddrPort) {
			_, _ = stranger.Conn(own).Write([]byte("psst"))
			echo(c, msg, from)
		})
		conn := s.Conn(to)
		if _, err := conn.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		if n, err := conn.Read(buf); string(buf[:n]) != "hello" || err != nil {
			t.Errorf("read %q, %v, want hello", buf[:n], err)
		}
		if got := conn.RemoteAddr().String(); got != to.String() {
			t.Errorf("remote address %v, want %v", got, to)
		}
	}
}

func TestConnErrorsCanBeClassified(t *testing.T) {
	for _, a := range loopbacks {
		to := closedUDP(t, a)
		conn := listen(t, a).Conn(to)
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		_, err := conn.Read(make([]byte, 100))
		r := reach.Classify(fmt.Errorf("handshake: %w", err), a)
		if d := cmp.Diff(portUnreachable(a), r.ICMP, cmpopts.EquateComparable(netip.Addr{})); d != "" || r.Outcome != agent.Refused || r.Reason != agent.PortUnreachable {
			t.Errorf("read error %v is %v %q, icmp (-want +got):\n%s", err, r.Outcome, r.Reason, d)
		}
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Errorf("write after a refusal: %v", err)
		}
		if err := conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		if _, err = conn.Read(make([]byte, 100)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read past its deadline: %v", err)
		}
	}
}

func TestClassify(t *testing.T) {
	a := loopbacks[0]
	op := func(op, network string, errno syscall.Errno) error {
		return &net.OpError{Op: op, Net: network, Err: os.NewSyscallError(op, errno)}
	}
	tests := []struct {
		err     error
		outcome agent.Outcome
		reason  agent.Reason
	}{
		{nil, agent.Answered, ""},
		{context.Canceled, agent.NotLooked, agent.Cancelled},
		{fmt.Errorf("read: %w", net.ErrClosed), agent.NotLooked, agent.Cancelled},
		{context.DeadlineExceeded, agent.Silent, agent.Timeout},
		{os.ErrDeadlineExceeded, agent.Silent, agent.Timeout},
		{op("read", "tcp", syscall.ETIMEDOUT), agent.Silent, agent.Timeout},
		{io.EOF, agent.Refused, agent.Closed},
		{fmt.Errorf("handshake: %w", io.ErrUnexpectedEOF), agent.Refused, agent.Closed},
		{op("read", "tcp", syscall.ECONNRESET), agent.Refused, agent.ResetAfter},
		{op("write", "tcp", syscall.EPIPE), agent.Refused, agent.ResetAfter},
		{op("dial", "tcp4", syscall.ECONNREFUSED), agent.Refused, agent.Reset},
		{op("read", "udp", syscall.ECONNREFUSED), agent.Refused, agent.PortUnreachable},
		{op("dial", "tcp", syscall.ENETUNREACH), agent.NotLooked, agent.NoRoute},
		{op("write", "udp", syscall.EHOSTUNREACH), agent.NotLooked, agent.NoRoute},
		{op("write", "udp", syscall.EPERM), agent.NotLooked, agent.LocalReject},
		{op("dial", "tcp", syscall.EACCES), agent.NotLooked, agent.LocalReject},
		{op("dial", "tcp", syscall.EINVAL), agent.NotLooked, agent.LocalReject},
		{op("dial", "tcp", syscall.EMFILE), agent.NotLooked, agent.OtherError},
		{errors.New("tls: handshake failure"), agent.NotLooked, agent.OtherError},
	}
	for _, tt := range tests {
		r := reach.Classify(tt.err, a)
		if r.Outcome != tt.outcome || r.Reason != tt.reason {
			t.Errorf("Classify(%v) = %v %q, want %v %q", tt.err, r.Outcome, r.Reason, tt.outcome, tt.reason)
		}
	}
}

func TestDetailHasNoAddressAndAnEnd(t *testing.T) {
	err := fmt.Errorf("outer: %w", errors.New("read udp 192.0.2.7:53->[2001:db8::1]:9 via 10.0.0.1, from 10.0.0.0/8: bad luck "+strings.Repeat("ä", 200)))
	got := reach.Classify(err, loopbacks[0]).Detail
	if !strings.HasPrefix(got, "read udp via from bad luck ää") || len(got) > 100 || strings.ContainsRune(got, '\uFFFD') {
		t.Errorf("detail %q of %d bytes", got, len(got))
	}
}

func TestEvidence(t *testing.T) {
	tcp := agent.Target{Host: "a.example", Addr: loopbacks[0], Port: 5349, Transport: agent.TCP}
	udp := tcp
	udp.Transport = agent.UDP
	ms := 12 * time.Millisecond
	router := reach.ICMP{Type: 3, Code: 13, From: netip.MustParseAddr("192.0.2.1")}
	tests := []struct {
		name   string
		result reach.Result
		target agent.Target
		want   agent.Values
	}{
		{"connected", reach.Result{Outcome: agent.Answered, RTT: ms}, tcp, agent.Values{agent.ConnectTime: 12.0}},
		{"reset", reach.Result{Outcome: agent.Refused, Reason: agent.Reset, RTT: ms}, tcp, agent.Values{agent.RTT: 12.0}},
		{"udp answer", reach.Result{Outcome: agent.Answered, RTT: ms, Sends: 1}, udp, agent.Values{agent.RTT: 12.0, agent.Sends: 1.0}},
		{"rejected", reach.Result{Outcome: agent.Rejected, Reason: agent.AdminProhibited, ICMP: router, Sends: 2}, udp,
			agent.Values{agent.Sends: 2.0, agent.ICMPType: 3.0, agent.ICMPCode: 13.0, agent.ICMPFrom: "192.0.2.1"}},
		{"own trouble", reach.Result{Reason: agent.OtherError, Detail: "too many open files"}, tcp, agent.Values{agent.Detail: "too many open files"}},
		{"silence", reach.Result{Outcome: agent.Silent, Reason: agent.Timeout}, tcp, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := agent.See(agent.ProbeTURN, tt.target, tt.result.Outcome, tt.result.Reason)
			want.Values = tt.want
			if d := cmp.Diff(want, tt.result.Evidence(agent.ProbeTURN, tt.target), cmpopts.EquateComparable(netip.Addr{})); d != "" {
				t.Errorf("evidence (-want +got):\n%s", d)
			}
		})
	}
}
