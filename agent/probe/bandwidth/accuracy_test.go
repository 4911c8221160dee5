package bandwidth_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/bandwidth"
	"github.com/sprechprobe/sprechprobe/agent/wire/iperf3"
)

// goodput is what TCP carries of a line that counts whole Ethernet frames: 1448
// of 1514 bytes.
const goodput = 1448.0 / 1514

// TestAccuracy writes a table of what is measured on shaped lines, as parts of
// what they carry. It judges nothing but that there are figures, and runs on
// demand: its figures depend on the machine.
func TestAccuracy(t *testing.T) {
	if os.Getenv("ACCURACY") == "" {
		t.Skip("runs only with ACCURACY=1: it takes minutes")
	}
	if !lab.Inside(t) {
		return
	}
	line(t)
	var rtts []time.Duration
	if s := os.Getenv("ACCURACY_RTT"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		rtts = append(rtts, d)
		farther(t, d)
	}
	at := serveBehind(t)
	rates := []int{500_000, 1 * mbit, 5 * mbit, 20 * mbit, 100 * mbit}
	if os.Getenv("ACCURACY") == "p95" {
		rates = nil
	}
	for _, rate := range rates {
		shape(t, rate)
		row := fmt.Sprintf("%5.1f Mbit/s, %v:", float64(rate)/mbit, rtts)
		for _, d := range []iperf3.Direction{iperf3.Down, iperf3.Up} {
			var c iperf3.Client
			res, err := c.Run(context.Background(), at.AddrPort().String(), iperf3.Test{
				Direction: d, Duration: 5 * time.Second, Omit: time.Second, Congestion: "cubic",
			})
			if err != nil {
				t.Fatal(err)
			}
			row += fmt.Sprintf("  %v %.3f", d, res.Sum(d == iperf3.Up).BitsPerS()/float64(rate)/goodput)
			cap := int64(0.8 * goodput * float64(rate))
			res, err = c.Run(context.Background(), at.AddrPort().String(), iperf3.Test{
				Direction: d, Duration: 2 * time.Second, Rate: cap, Length: 1448,
			})
			if err != nil {
				t.Fatal(err)
			}
			row += fmt.Sprintf(" capped %.3f", res.Sum(d == iperf3.Up).BitsPerS()/float64(cap))
		}
		t.Log(row)
	}
	shape(t, 20*mbit)
	for range 3 {
		row := "p95 of round trips on 20 Mbit/s:"
		for _, d := range []iperf3.Direction{iperf3.Down, iperf3.Up} {
			for _, cap := range []int64{0, 5.5 * mbit} {
				p95, err := bandwidth.P95(context.Background(), at.AddrPort(), func() {
					if cap == 0 {
						<-time.After(3 * time.Second)
						return
					}
					var c iperf3.Client
					if _, err := c.Run(context.Background(), at.AddrPort().String(), iperf3.Test{
						Direction: d, Duration: 3 * time.Second, Rate: cap, Length: 1448,
					}); err != nil {
						t.Error(err)
					}
				})
				if err != nil {
					t.Fatal(err)
				}
				row += fmt.Sprintf("  %v at %d: %v", d, cap, p95)
			}
		}
		t.Log(row)
		e := bandwidth.Probe(hd)(context.Background(), at)
		if e.Outcome != agent.Answered {
			t.Fatalf("%v %v", e.Outcome, e.Reason)
		}
		t.Logf("5 Mbit/s on 20: %v", e.Values)
	}
}
