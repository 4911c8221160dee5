package practice_test

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/lab/internet"
	"github.com/sprechprobe/sprechprobe/agent/lab/practice"
)

// echoes sends numbered packets to the echo and returns the numbers that came
// back, in the order they did, and the shortest time one took. Few are on the way
// at a time, so that no socket overflows on a busy machine.
func echoes(t *testing.T, count int) (back []int, fastest time.Duration) {
	t.Helper()
	c, err := net.Dial("udp", "198.18.7.40:12000")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sent := make([]time.Time, 0, count)
	buf := make([]byte, 8)
	fastest = time.Hour
	for away := 0; len(back) < count; {
		for ; away < 64 && len(sent) < count; away++ {
			sent = append(sent, time.Now())
			_, _ = c.Write(binary.BigEndian.AppendUint64(nil, uint64(len(sent)-1)))
		}
		_ = c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		if _, err := io.ReadFull(c, buf); err != nil {
			if len(sent) == count {
				break
			}
			away = 0 // they are lost
			continue
		}
		away--
		i := int(binary.BigEndian.Uint64(buf))
		back, fastest = append(back, i), min(fastest, time.Since(sent[i]))
	}
	return back, fastest
}

// overtaken is how many came after one that was sent later.
func overtaken(back []int) (n int) {
	newest := -1
	for _, i := range back {
		if i < newest {
			n++
		}
		newest = max(newest, i)
	}
	return n
}

func TestQuality(t *testing.T) {
	p := build(t, practice.Plan{})
	if p == nil {
		return
	}
	p.Internet.Range(internet.Echoed, internet.Echoed)
	lines := map[string]*practice.Line{"wan": p.WANLine, "lan": p.LANLine}
	for name, line := range lines {
		t.Run(name, func(t *testing.T) {
			const count = 1000
			back, perfect := echoes(t, count)
			if len(back) != count || overtaken(back) != 0 {
				t.Errorf("on a perfect line %d of %d came back, %d overtaken", len(back), count, overtaken(back))
			}
			// The bounds are five standard deviations of what each packet does twice.
			lossy := func(q practice.Quality, least, most int) {
				t.Helper()
				line.Set(q)
				back, _ := echoes(t, count)
				if lost := count - len(back); lost < least || lost > most {
					t.Errorf("%+v: %d of %d lost, want %d to %d", q, lost, count, least, most)
				}
			}
			lossy(practice.Quality{Loss: 0.05}, 50, 150)
			lossy(practice.Quality{Loss: 0.05, Burst: 4}, 10, 250)
			line.Set(practice.Quality{RTT: 80 * time.Millisecond, Jitter: 20 * time.Millisecond})
			back, fastest := echoes(t, count)
			if fastest < 80*time.Millisecond || len(back) != count || overtaken(back) != 0 {
				t.Errorf("with delay: %v, %d of %d, %d overtaken", fastest, len(back), count, overtaken(back))
			}
			line.Set(practice.Quality{RTT: 40 * time.Millisecond, Reorder: 0.1})
			if back, _ := echoes(t, count); len(back) != count || overtaken(back) < count/4 {
				t.Errorf("reordered: %d of %d, %d overtaken", len(back), count, overtaken(back))
			}
			line.Set(practice.Quality{})
			back, fastest = echoes(t, count)
			if fastest >= 20*time.Millisecond || len(back) != count || overtaken(back) != 0 {
				t.Errorf("perfect again: %v (was %v), %d of %d, %d overtaken", fastest, perfect, len(back), count, overtaken(back))
			}
		})
	}
}

// A line takes its time for what it is given, either way.
func TestRate(t *testing.T) {
	p := build(t, practice.Plan{})
	if p == nil {
		return
	}
	p.Internet.Range(internet.Echoed, internet.Echoed)
	const size, rate = 100_000, 2_000_000
	least := time.Duration(size-rate/8/100-20_000) * 8 * time.Second / rate // what bursts and headers may save or cost
	for _, q := range []practice.Quality{{UpBitsPerS: rate}, {DownBitsPerS: rate}} {
		p.WANLine.Set(q)
		c, err := net.Dial("tcp", "198.18.7.40:12000")
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		go func() { _, _ = c.Write(make([]byte, size)) }()
		if _, err := io.ReadFull(c, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		c.Close()
		if took := time.Since(began); took < least {
			t.Errorf("%+v: %d bytes took %v, want %v at least", q, size, took, least)
		}
	}
}
