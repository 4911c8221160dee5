package iperf3_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/wire/iperf3"
)

// The processes of benchmarks are this program again: processor time is counted
// by process.
const (
	roleVar = "SPRECHPROBE_IPERF3_ROLE" // serve or ask
	portVar = "SPRECHPROBE_IPERF3_PORT"
	testVar = "SPRECHPROBE_IPERF3_TEST"
)

func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case "serve":
		benchServer()
	case "ask":
		benchClient()
	default:
		os.Exit(m.Run())
	}
}

// benchServer serves one test.
func benchServer() {
	ctx, cancel := context.WithCancel(context.Background())
	s := iperf3.Server{Ended: func(iperf3.Request, *iperf3.Result, error) { cancel() }}
	tcp, udp, err := iperf3.Listen("127.0.0.1:" + os.Getenv(portVar))
	if err == nil {
		err = s.Serve(ctx, tcp, udp)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// benchClient makes one test and writes its document.
func benchClient() {
	var t iperf3.Test
	err := json.Unmarshal([]byte(os.Getenv(testVar)), &t)
	var c iperf3.Client
	var res *iperf3.Result
	if err == nil {
		res, err = c.Run(context.Background(), "127.0.0.1:"+os.Getenv(portVar), t)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(res.Document())
}

// cost is one run of a pair: what it moved, and for how much processor time.
type cost struct {
	gigabitPerS, cpuPerGigabit float64
	local, network             float64 // loss over UDP, ratios
}

// pair runs a server and a client and reads the client's document.
func pair(tb testing.TB, port string, server, client *exec.Cmd) cost {
	tb.Helper()
	var out bytes.Buffer
	server.Stderr, client.Stderr = os.Stderr, os.Stderr
	client.Stdout = &out
	if err := server.Start(); err != nil {
		tb.Fatal(err)
	}
	for i := 0; !listening(port); i++ {
		if i > 1000 {
			tb.Fatal("no server")
		}
		<-time.After(5 * time.Millisecond)
	}
	err := client.Run()
	if err != nil {
		_ = server.Process.Kill()
	}
	_ = server.Wait()
	var d struct {
		End struct {
			Sent, Received, ReceivedReverse struct {
				Bytes, Packets, Lost float64
				BitsPerS             float64 `json:"bits_per_second"`
				Drops                float64 `json:"sprechprobe_local_drops"`
			}
		}
	}
	text := strings.NewReplacer(`"sum_sent"`, `"Sent"`, `"sum_received"`, `"Received"`, `"sum_received_bidir_reverse"`, `"ReceivedReverse"`,
		`"lost_packets"`, `"Lost"`, `"bits_per_second"`, `"bits_per_second"`).Replace(out.String())
	if jsonErr := json.Unmarshal([]byte(text), &d); err != nil || jsonErr != nil {
		tb.Fatalf("%v: %v, %v\n%s", client.Args, err, jsonErr, out.String())
	}
	var cpu time.Duration
	for _, c := range []*exec.Cmd{server, client} {
		cpu += c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	}
	r := d.End.Received
	c := cost{
		gigabitPerS:   (r.BitsPerS + d.End.ReceivedReverse.BitsPerS) / 1e9,
		cpuPerGigabit: cpu.Seconds() / ((r.Bytes + d.End.ReceivedReverse.Bytes) * 8 / 1e9),
	}
	if r.Packets > 0 {
		c.local, c.network = r.Drops/r.Packets, (r.Lost-r.Drops)/r.Packets
	}
	return c
}

func stockPair(tb testing.TB, args string) cost {
	program, port := lab.Program(tb, "iperf3", "iperf3"), freePort(tb)
	return pair(tb, port, exec.Command(program, "-s", "-1", "-p", port),
		exec.Command(program, append([]string{"-c", "127.0.0.1", "-p", port, "-J"}, strings.Fields(args)...)...))
}

func ourPair(tb testing.TB, t iperf3.Test) cost {
	port := freePort(tb)
	b, err := json.Marshal(t)
	if err != nil {
		tb.Fatal(err)
	}
	role := func(name string) *exec.Cmd {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), roleVar+"="+name, portVar+"="+port, testVar+"="+string(b))
		return cmd
	}
	return pair(tb, port, role("serve"), role("ask"))
}

// BenchmarkBesideStock runs stock iperf3 and our two ends in turns, and reports
// medians of the ratios of each round: rate (more is better) and processor time
// of both ends together per gigabit (less is better).
func BenchmarkBesideStock(b *testing.B) {
	const each = time.Second
	for _, m := range []mode{
		{name: "up", test: iperf3.Test{Duration: each}, args: "-t 1"},
		{name: "up4", test: iperf3.Test{Duration: each, Streams: 4}, args: "-t 1 -P 4"},
		{name: "reverse", test: iperf3.Test{Duration: each, Direction: iperf3.Down}, args: "-t 1 -R"},
		{name: "reverse4", test: iperf3.Test{Duration: each, Streams: 4, Direction: iperf3.Down}, args: "-t 1 -R -P 4"},
		{name: "bidir", test: iperf3.Test{Duration: each, Direction: iperf3.Both}, args: "-t 1 --bidir"},
		{name: "udp100", test: iperf3.Test{Duration: each, UDP: true, Rate: 100 * mbit, Length: 1460}, args: "-t 1 -u -b 100M -l 1460"},
	} {
		b.Run(m.name, func(b *testing.B) {
			var rate, cpu, speed, local, network, stock []float64
			for i := 0; b.Loop(); i++ {
				var theirs, ours cost
				if i%2 == 0 {
					theirs, ours = stockPair(b, m.args), ourPair(b, m.test)
				} else {
					ours, theirs = ourPair(b, m.test), stockPair(b, m.args)
				}
				rate = append(rate, ours.gigabitPerS/theirs.gigabitPerS)
				cpu = append(cpu, ours.cpuPerGigabit/theirs.cpuPerGigabit)
				speed, local, network = append(speed, ours.gigabitPerS), append(local, ours.local), append(network, ours.network)
				stock = append(stock, theirs.network)
			}
			b.ReportMetric(median(rate), "rate-ratio")
			b.ReportMetric(median(cpu), "cpu-ratio")
			b.ReportMetric(median(speed), "Gbit/s")
			if m.test.UDP {
				b.ReportMetric(100*median(local), "local-loss-%")
				b.ReportMetric(100*median(network), "net-loss-%")
				b.ReportMetric(100*median(stock), "stock-loss-%")
			}
		})
	}
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}
