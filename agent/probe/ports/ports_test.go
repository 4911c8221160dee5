package ports_test

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/stun/v2"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/ports"
	"github.com/sprechprobe/sprechprobe/agent/probe/probetest"
)

func target(addr string, first, last uint16, tr agent.Transport) agent.Target {
	return agent.Target{Addr: netip.MustParseAddr(addr), Port: first, LastPort: last, Transport: tr, Service: agent.Range}
}

// free finds a run of n ports on which nothing listens, over either transport.
func free(t *testing.T, addr string, n uint16) uint16 {
	t.Helper()
next:
	for first := uint16(20000); first < 32000; first += n {
		for p := first; p < first+n; p++ {
			at := net.JoinHostPort(addr, strconv.Itoa(int(p)))
			l, err := net.Listen("tcp", at)
			if err != nil {
				continue next
			}
			_ = l.Close()
			u, err := net.ListenPacket("udp", at)
			if err != nil {
				continue next
			}
			_ = u.Close()
		}
		return first
	}
	t.Fatalf("no %d free ports on %s", n, addr)
	return 0
}

func listenTCP(t *testing.T, addr string, port uint16) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(addr, strconv.Itoa(int(port))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
}

// bindUDP takes a port and hands what comes to it to answer; nil is silence.
func bindUDP(t *testing.T, addr string, port uint16, answer func(question []byte) []byte) {
	t.Helper()
	c, err := net.ListenPacket("udp", net.JoinHostPort(addr, strconv.Itoa(int(port))))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = c.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer != nil {
				_, _ = c.WriteTo(answer(slices.Clone(buf[:n])), from)
			}
		}
	}()
}

func wantValues(t *testing.T, e agent.Evidence, want agent.Values) {
	t.Helper()
	if d := cmp.Diff(want, e.Values); d != "" {
		t.Errorf("values of %v %q (-want +got):\n%s", e.Outcome, e.Reason, d)
	}
}

func wantOutcome(t *testing.T, e agent.Evidence, o agent.Outcome, why agent.Reason) {
	t.Helper()
	if e.Outcome != o || e.Reason != why || e.Grade != agent.GradeOf(o) {
		t.Errorf("got %v %q grade %v, want %v %q grade %v", e.Outcome, e.Reason, e.Grade, o, why, agent.GradeOf(o))
	}
}

func TestPortsOnWhichNothingListensAreOpenWhenTheTargetRefuses(t *testing.T) {
	for _, addr := range []string{"127.0.0.1", "::1"} {
		first := free(t, addr, 4)
		tests := []struct {
			transport agent.Transport
			want      agent.Reason
		}{
			{agent.TCP, agent.Reset},
			{agent.UDP, agent.PortUnreachable},
		}
		for _, tt := range tests {
			t.Run(addr+"/"+string(tt.transport), func(t *testing.T) {
				e := ports.Probe(24)(t.Context(), target(addr, first, first+3, tt.transport))
				wantOutcome(t, e, agent.Answered, tt.want)
				wantValues(t, e, agent.Values{agent.Sampled: 4.0, agent.Open: 4.0, agent.Barred: 0.0, agent.Quiet: 0.0})
			})
		}
	}
}

func TestOnePortThatAnswersIsAnAnswer(t *testing.T) {
	const addr = "127.0.0.5"
	first := free(t, addr, 3)
	listenTCP(t, addr, first+1)
	e := ports.Probe(0)(t.Context(), target(addr, first, first+2, agent.TCP))
	wantOutcome(t, e, agent.Answered, "")
	wantValues(t, e, agent.Values{agent.Sampled: 3.0, agent.Open: 3.0, agent.Barred: 0.0, agent.Quiet: 0.0})
}

func TestUDPAsksWithASTUNRequest(t *testing.T) {
	const addr = "127.0.0.5"
	first := free(t, addr, 2)
	asked := make(chan []byte, 2)
	for i := range uint16(2) {
		bindUDP(t, addr, first+i, func(question []byte) []byte {
			asked <- question
			return []byte("anything proves the path")
		})
	}
	e := ports.Probe(0)(t.Context(), target(addr, first, first+1, agent.UDP))
	wantOutcome(t, e, agent.Answered, "")
	wantValues(t, e, agent.Values{agent.Sampled: 2.0, agent.Open: 2.0, agent.Barred: 0.0, agent.Quiet: 0.0})
	for range 2 {
		m := stun.Message{Raw: <-asked}
		if err := m.Decode(); err != nil || m.Type != stun.BindingRequest {
			t.Errorf("a port got %v (%v), want a STUN Binding request", m, err)
		}
	}
}

func TestSilentPortsAreCountedApart(t *testing.T) {
	const addr = "127.0.0.6"
	first := free(t, addr, 3)
	bindUDP(t, addr, first+1, nil)
	e := ports.Probe(0)(t.Context(), target(addr, first, first+2, agent.UDP))
	wantOutcome(t, e, agent.Answered, agent.PortUnreachable)
	wantValues(t, e, agent.Values{agent.Sampled: 3.0, agent.Open: 2.0, agent.Barred: 0.0, agent.Quiet: 1.0})
}

func TestOnlySilence(t *testing.T) {
	const addr = "127.0.0.6"
	first := free(t, addr, 1)
	bindUDP(t, addr, first, nil)
	e := ports.Probe(0)(t.Context(), target(addr, first, 0, agent.UDP))
	wantOutcome(t, e, agent.Silent, agent.Timeout)
	wantValues(t, e, agent.Values{agent.Sampled: 1.0, agent.Open: 0.0, agent.Barred: 0.0, agent.Quiet: 1.0})
}

func TestASampleTakesBothEndsAndTheMiddle(t *testing.T) {
	const addr, size = "127.0.0.7", 100
	first := free(t, addr, size)
	asked := make(chan uint16, size)
	for i := range uint16(size) {
		bindUDP(t, addr, first+i, func([]byte) []byte {
			asked <- i
			return []byte{0}
		})
	}
	start := time.Now()
	e := ports.Probe(0)(t.Context(), target(addr, first, first+size-1, agent.UDP))
	if took, least := time.Since(start), time.Second; took < least {
		t.Errorf("6 ports took %v, which is more than 5 a second", took)
	}
	wantValues(t, e, agent.Values{agent.Sampled: 6.0, agent.Open: 6.0, agent.Barred: 0.0, agent.Quiet: 0.0})
	got := map[uint16]bool{}
	for range 6 {
		got[<-asked] = true
	}
	if len(got) != 6 || !got[0] || !got[size-1] || !got[(size-1)/2] {
		t.Errorf("asked ports at offsets %v, want 6 with 0, %d and %d", got, (size-1)/2, size-1)
	}
}

func TestNeverMoreThan24Ports(t *testing.T) {
	const addr = "127.0.0.8"
	first := free(t, addr, 30)
	e := ports.Probe(1000)(t.Context(), target(addr, first, first+29, agent.TCP))
	if n, _ := e.Values.Num(agent.Sampled); n != 24 {
		t.Errorf("sampled %v of 30 ports, want 24", n)
	}
}

func TestTargetsThatCannotBeSampled(t *testing.T) {
	tests := []struct {
		name   string
		target agent.Target
		want   agent.Reason
	}{
		{"no address", agent.Target{Host: "a.example", Port: 1, LastPort: 9, Transport: agent.UDP}, agent.NoAddress},
		{"no port", target("127.0.0.1", 0, 0, agent.UDP), agent.Unsupported},
		{"no transport", target("127.0.0.1", 1, 9, ""), agent.Unsupported},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wantOutcome(t, ports.Probe(0)(context.Background(), tt.target), agent.NotLooked, tt.want)
		})
	}
}

func TestConforms(t *testing.T) {
	const addr = "127.0.0.9"
	first := free(t, addr, 2)
	bindUDP(t, addr, first, func([]byte) []byte { return []byte{0} })
	bindUDP(t, addr, first+1, nil)
	good, silent := target(addr, first, 0, agent.UDP), target(addr, first+1, 0, agent.UDP)
	probetest.Conform(t, ports.Probe(0), good, silent)
}
