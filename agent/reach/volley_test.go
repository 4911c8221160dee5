package reach_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

func shots(at time.Duration, msgs ...string) (all []reach.Shot) {
	for i, m := range msgs {
		all = append(all, reach.Shot{At: time.Duration(i) * at, Msg: []byte(m)})
	}
	return all
}

func TestVolley(t *testing.T) {
	for _, a := range loopbacks {
		far := serveUDP(t, a, echo)
		var got []string
		var last time.Duration
		sent, err := listen(t, a).Volley(t.Context(), far, shots(time.Millisecond, "a", "b", "c"), 20*time.Second, func(h reach.Heard) bool {
			if h.From != far || h.At < last {
				t.Errorf("%q from %v at %v, want it from %v after %v", h.Data, h.From, h.At, far, last)
			}
			got, last = append(got, string(h.Data)), h.At
			return len(got) == 3
		})
		if err != nil || len(sent) != 3 || !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Errorf("%v: sent %v, heard %q, %v", a, sent, got, err)
		}
		for i, at := range sent {
			if due := time.Duration(i) * time.Millisecond; at < due {
				t.Errorf("%v: shot %d was sent at %v, before it was due", a, i, at)
			}
		}
	}
}

func TestVolleyEndsWhenDone(t *testing.T) {
	far := serveUDP(t, loopbacks[0], echo)
	sent, err := listen(t, far.Addr()).Volley(t.Context(), far, shots(10*time.Second, "a", "b"), time.Minute, func(reach.Heard) bool { return true })
	if err != nil || len(sent) != 1 {
		t.Errorf("sent at %v, %v; want the first only", sent, err)
	}
}

func TestVolleyIntoSilence(t *testing.T) {
	far := serveUDP(t, loopbacks[0], ignore)
	sent, err := listen(t, far.Addr()).Volley(t.Context(), far, shots(0, "a", "b"), 50*time.Millisecond, func(h reach.Heard) bool {
		t.Errorf("heard %q", h.Data)
		return true
	})
	if err != nil || len(sent) != 2 {
		t.Errorf("sent at %v, %v; want both", sent, err)
	}
}

func TestVolleyHearsRefusals(t *testing.T) {
	far := closedUDP(t, loopbacks[0])
	var got reach.Result
	if _, err := listen(t, far.Addr()).Volley(t.Context(), far, shots(0, "a"), 20*time.Second, func(h reach.Heard) bool {
		got = h.Result
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if got.Outcome != agent.Refused || got.ICMP != portUnreachable(far.Addr()) {
		t.Errorf("heard %+v, want a refusal", got)
	}
}

func TestVolleyEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	far := serveUDP(t, loopbacks[0], echo)
	s := listen(t, far.Addr())
	_, err := s.Volley(ctx, far, shots(0, "a"), time.Minute, func(reach.Heard) bool { cancel(); return false })
	if r := reach.Classify(err, far.Addr()); r.Reason != agent.Cancelled {
		t.Errorf("%v is %+v, want cancelled", err, r)
	}
	if _, err := s.Volley(ctx, far, shots(0, "a"), time.Minute, nil); err == nil {
		t.Error("a volley after the end of its context")
	}
}

// A box that is busy must not take its own slowness for the line's.
func TestVolleyTellsWhenThingsArrived(t *testing.T) {
	answered := make(chan bool, 2)
	far := serveUDP(t, loopbacks[0], func(c *net.UDPConn, msg []byte, from netip.AddrPort) {
		echo(c, msg, from)
		answered <- true
	})
	began := time.Now()
	var mark time.Duration // when both had arrived
	if _, err := listen(t, far.Addr()).Volley(t.Context(), far, shots(0, "a", "b"), time.Minute, func(h reach.Heard) bool {
		if mark == 0 {
			<-answered
			<-answered
			mark = time.Since(began)
			return false
		}
		if h.At > mark {
			t.Errorf("the second came at %v, want %v at most", h.At, mark)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
}

func TestVolleyOfTooBigPackets(t *testing.T) {
	if !inBox(t) {
		return
	}
	lab.IP(t, "-n router link set wan0 mtu 1300")
	lab.IP(t, "-n server link set up0 mtu 1300")
	size := func(n int, a netip.Addr) string { // an IP packet of n bytes
		if a.Is6() {
			n -= 20
		}
		return string(make([]byte, n-28))
	}
	for _, a := range []netip.Addr{server4, server6} {
		to := netip.AddrPortFrom(a, openPort)
		for _, tt := range []struct {
			may  bool
			size int
			fits int // 0: it comes through
		}{
			{false, 1300, 0}, {false, 1304, 1300}, {false, 1500, 1300}, {false, 1504, 1500},
			{true, 1300, 0}, {true, 1504, 0}, {true, 3000, 0},
		} {
			t.Run(fmt.Sprintf("%v %d %v", a, tt.size, tt.may), func(t *testing.T) {
				s := listen(t, a) // the kernel's own knowledge of the path must not count
				if err := s.Fragment(tt.may); err != nil {
					t.Fatal(err)
				}
				var got reach.Heard
				_, err := s.Volley(t.Context(), to, shots(0, size(tt.size, a)), 20*time.Second, func(h reach.Heard) bool { got = h; return true })
				if err != nil || got.Fits != tt.fits || got.TooBig != (tt.fits > 0) || got.TooBig == (len(got.Data) > 0) {
					t.Errorf("heard %d bytes, too big %v, fits %d, %v; want fits %d", len(got.Data), got.TooBig, got.Fits, err, tt.fits)
				}
			})
		}
	}
}
