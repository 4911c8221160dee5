package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/wire/iperf3"
)

// stockIperf3 runs Debian's iperf3 server on the loopback.
func stockIperf3(t *testing.T) string {
	t.Helper()
	program := lab.Program(t, "iperf3", "iperf3")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	at := l.Addr().(*net.TCPAddr)
	must(t, l.Close())
	cmd := exec.Command(program, "-s", "--forceflush", "-p", fmt.Sprint(at.Port))
	lab.Start(t, cmd, func(p *lab.Process) bool { return strings.Contains(p.Said(), "Server listening") })
	return at.String()
}

// ours runs the box's program to its end.
func ours(t *testing.T, args ...string) (text, errText string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, build(t), args...)
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	_ = cmd.Run()
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

func TestBandwidthForPeople(t *testing.T) {
	at := stockIperf3(t)
	for _, tt := range []struct {
		args string
		want []string
	}{
		{"--time 300ms --every 100ms --rate 20M", []string{"Messung gegen " + at + ", TCP", "Empfang: angekommen ", "Senden: angekommen ", ",", " Mbit/s", "0,1-0,2 s"}},
		{"--time 300ms --every 100ms --rate 20M --lang en --direction up", []string{"Measuring against " + at + ", TCP", "Upload: arrived ", "0.1-0.2 s"}},
		{"--time 300ms --rate 2M --length 1K --lang en --direction down --udp", []string{", UDP", "Download: arrived ", "lost in the network 0.00 %", "jitter "}},
	} {
		out, errOut, code := ours(t, append([]string{"bandwidth", at}, strings.Fields(tt.args)...)...)
		for _, w := range tt.want {
			if !strings.Contains(out, w) {
				t.Errorf("bandwidth %s: no %q in\n%s%s", tt.args, w, out, errOut)
			}
		}
		if code != 0 {
			t.Errorf("bandwidth %s: exit %d, %s", tt.args, code, errOut)
		}
		if strings.Contains(tt.args, "--lang en") && strings.Contains(out, "Empfang") {
			t.Errorf("bandwidth %s speaks German:\n%s", tt.args, out)
		}
	}
}

// A stock server closes its door between two tests, and resets whoever stood in
// it: the second direction is measured all the same.
func TestBandwidthWaitsForTheServer(t *testing.T) {
	at := stockIperf3(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	var reset atomic.Int32
	go func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if n == 2 || n == 3 { // after the control and the data connection of the first test
				reset.Add(1)
				_ = c.(*net.TCPConn).SetLinger(0)
				c.Close()
				continue
			}
			go pass(c, at)
		}
	}()
	out, errOut, code := ours(t, "bandwidth", l.Addr().String(), "--time", "200ms", "--rate", "5M", "--lang", "en")
	if code != 0 || !strings.Contains(out, "Download: arrived ") || !strings.Contains(out, "Upload: arrived ") || reset.Load() != 2 {
		t.Errorf("exit %d, %d resets\n%s%s", code, reset.Load(), out, errOut)
	}
}

// pass joins a connection with one to addr.
func pass(c net.Conn, addr string) {
	defer c.Close()
	to, err := net.Dial("tcp4", addr)
	if err != nil {
		return
	}
	defer to.Close()
	go func() { _, _ = io.Copy(to, c); _ = to.(*net.TCPConn).CloseWrite() }()
	_, _ = io.Copy(c, to)
}

// Tools that read iperf3 -J find what they look for.
func TestBandwidthJSON(t *testing.T) {
	at := stockIperf3(t)
	out, errOut, code := ours(t, "bandwidth", "--format", "json", "--direction", "up", "--bytes", "1M", "--rate", "50M", at)
	var d struct {
		Start     struct{ Connected []any }
		Intervals []struct{ Sum map[string]any }
		End       struct {
			Sent     map[string]any `json:"sum_sent"`
			Received map[string]any `json:"sum_received"`
			CPU      map[string]any `json:"cpu_utilization_percent"`
		}
	}
	if err := json.Unmarshal([]byte(out), &d); err != nil || code != 0 {
		t.Fatalf("exit %d, %v: %s%s", code, err, out, errOut)
	}
	if d.End.Sent["bytes"] != float64(1<<20) || d.End.Received["bytes"] == 0.0 || len(d.Start.Connected) != 1 ||
		len(d.Intervals) == 0 || d.End.CPU["host_total"] == nil || d.End.Sent["retransmits"] == nil {
		t.Errorf("%+v", d)
	}
}

func TestBandwidthTroubles(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	closed := l.Addr().String()
	must(t, l.Close())
	tcp, udp, err := iperf3.Listen("127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- (&iperf3.Server{Admit: func(context.Context, iperf3.Request) (iperf3.Grant, error) {
			return iperf3.Grant{}, iperf3.ErrBusy
		}}).Serve(ctx, tcp, udp)
	}()
	defer func() { cancel(); <-done }()
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"", 64, "against which iperf3 server"},
		{"a:b:c", 64, "want HOST or HOST:PORT"},
		{"x:0", 64, "want HOST or HOST:PORT"},
		{"x --rate fast", 64, `--rate: bad rate "fast"`},
		{"x --direction sideways", 64, "want each, down, up or both"},
		{"x --format xml", 64, "want text or json"},
		{"x --lang fr", 64, "want de or en"},
		{"x --ipv4 --ipv6", 64, "exclude each other"},
		{"x --user u", 64, "belong together"},
		{"x y", 64, `what is "y"?`},
		{"x --length 1G", 64, "--length takes up to"},
		{closed, 1, "connection refused"},
		{closed + " --streams 200", 1, "number of streams out of range"},
		{tcp.Addr().String(), 1, "mit anderen Messungen beschäftigt"},
		{tcp.Addr().String() + " --lang en", 1, "busy with other measurements"},
	} {
		_, errOut, code := ours(t, append([]string{"bandwidth"}, strings.Fields(tt.args)...)...)
		if code != tt.code || !strings.Contains(errOut, tt.want) {
			t.Errorf("bandwidth %s: exit %d, %q; want %d, %q", tt.args, code, errOut, tt.code, tt.want)
		}
	}
}
