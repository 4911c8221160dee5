package bandwidth

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	beat      = 20 * time.Millisecond // 50 questions a second
	maxAnswer = 576                   // bytes
)

// latency asks a far end all the time how long an answer takes, until it is
// closed.
type latency struct {
	conn net.Conn
	key  [8]byte // what makes an answer ours
	wg   sync.WaitGroup
	stop context.CancelFunc

	mu   sync.Mutex
	asks []ask
}

// ask is one question.
type ask struct {
	at  time.Time
	rtt time.Duration // 0: no answer yet
}

// watch begins to ask.
func watch(ctx context.Context, to netip.AddrPort) (*latency, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", to.String())
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	l := &latency{conn: conn, stop: stop}
	_, _ = rand.Read(l.key[:]) // never fails
	l.wg.Go(l.listen)
	l.wg.Go(func() { l.run(ctx) })
	return l, nil
}

func (l *latency) close() {
	l.stop()
	_ = l.conn.Close()
	l.wg.Wait()
}

func (l *latency) run(ctx context.Context) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		l.mu.Lock()
		n := len(l.asks)
		l.asks = append(l.asks, ask{at: time.Now()})
		l.mu.Unlock()
		_, _ = l.conn.Write(l.question(uint32(n))) // a lost one is a lost one
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// question is a STUN Binding request (RFC 8489 section 5) whose transaction id
// ends in its number.
func (l *latency) question(n uint32) []byte {
	b := []byte{0x00, 0x01, 0, 0, 0x21, 0x12, 0xA4, 0x42}
	return binary.BigEndian.AppendUint32(append(b, l.key[:]...), n)
}

func (l *latency) listen() {
	b := make([]byte, maxAnswer)
	for {
		n, err := l.conn.Read(b)
		now := time.Now()
		switch {
		case err == nil:
			l.note(b[:n], now)
		case isClosed(err):
			return
		}
		// Other errors are ICMP's, about something sent: nobody answers there.
	}
}

func (l *latency) note(b []byte, now time.Time) {
	if len(b) < 20 || b[0] != 0x01 || b[1] != 0x01 || !bytes.Equal(b[8:16], l.key[:]) {
		return
	}
	n := binary.BigEndian.Uint32(b[16:])
	l.mu.Lock()
	defer l.mu.Unlock()
	if int64(n) < int64(len(l.asks)) && l.asks[n].rtt == 0 {
		l.asks[n].rtt = max(now.Sub(l.asks[n].at), 1)
	}
}

// between are the round trips of questions asked in a span of time, ascending,
// and how many had no answer.
func (l *latency) between(from, until time.Time) (rtts []time.Duration, missing int) {
	if l == nil {
		return nil, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.asks {
		switch {
		case a.at.Before(from) || !a.at.Before(until):
		case a.rtt == 0:
			missing++
		default:
			rtts = append(rtts, a.rtt)
		}
	}
	slices.Sort(rtts)
	return rtts, missing
}

// kept reports whether this machine kept the pace in a span of time: one that asks
// half as often as it means to is too busy, or has too little of a processor, and
// measures itself.
func (l *latency) kept(from, until time.Time) bool {
	if l == nil {
		return true
	}
	if now := time.Now(); until.After(now) {
		until = now
	}
	rtts, missing := l.between(from, until)
	return 2*time.Duration(len(rtts)+missing)*beat >= until.Sub(from)-beat
}

// median of ascending round trips; 0: too few to say.
func median(rtts []time.Duration) time.Duration {
	if len(rtts) < enough {
		return 0
	}
	return rtts[len(rtts)/2]
}

// enough answers to speak of a latency.
const enough = 5
