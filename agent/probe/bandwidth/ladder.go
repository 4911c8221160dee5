package bandwidth

import (
	"context"
	"errors"
	"math"
	"net"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/iperf3"
)

const (
	// A line whose round trips waver so much is in use; or so lossy, where a bad line
	// loses a few of a hundred.
	busyWaver = 50 * time.Millisecond
	busyLoss  = 0.3

	// greedy is what fills a queue until packets are lost, as the downloads of
	// others do; every Linux knows it. Their wait is to be seen, which newer ones
	// avoid.
	greedy = "reno"

	every       = 100 * time.Millisecond
	settled     = 500 * time.Millisecond // while a connection finds its speed
	certainAt   = time.Second
	certainRate = 0.98 // of the cap
	calm        = 20 * time.Millisecond
	// A test that makes others wait so long, for so long, is ended: more is
	// offered than the line carries, and that was the question.
	jam     = 50 * time.Millisecond
	jamTime = 300 * time.Millisecond
)

func isClosed(err error) bool { return errors.Is(err, net.ErrClosed) }

// quiet measures the idle latency, and makes room for whoever uses the line.
func (m *measuring) quiet(ctx context.Context) error {
	start := time.Now()
	if err := pause(ctx, idleTime); err != nil {
		return err
	}
	rtts, missing := m.echo.between(start, time.Now().Add(-idleTime/4))
	m.idle = median(rtts)
	if !m.echo.kept(start, time.Now()) {
		return postponed{reason: agent.BoxBusy}
	}
	if m.idle == 0 {
		return nil // nobody answers: then there is no latency to watch
	}
	m.e = m.e.With(agent.IdleRTT, m.idle)
	lost := float64(missing) / float64(missing+len(rtts))
	if m.idle-rtts[0] > busyWaver || lost > busyLoss || m.Usual > 0 && m.idle > m.Usual+busyWaver {
		return postponed{reason: agent.LineInUse}
	}
	return nil
}

// keys of one direction.
type keys struct{ rate, loaded, loss, jitter, limit agent.Key }

func keysOf(d iperf3.Direction) keys {
	if d == iperf3.Down {
		return keys{agent.DownRate, agent.DownLoadedRTT, agent.DownLoss, agent.DownJitter, agent.DownLimit}
	}
	return keys{agent.UpRate, agent.UpLoadedRTT, agent.UpLoss, agent.UpJitter, agent.UpLimit}
}

func (m *measuring) need(d iperf3.Direction) float64 {
	if d == iperf3.Down {
		return m.Down
	}
	return m.Up
}

// prove measures one direction: up to the cap, and what the line carries if that is
// less than is needed.
func (m *measuring) prove(ctx context.Context, d iperf3.Direction) error {
	need := m.need(d)
	if need <= 0 {
		return nil
	}
	rate, err := m.measure(ctx, d, iperf3.Test{
		Duration: provingTime, Length: writeSize, NoDelay: true, TOS: background, Rate: int64(headroom * need),
	})
	if err != nil || rate >= need {
		return err
	}
	t := iperf3.Test{Duration: shortTime, Omit: fillingOmit, Rate: int64(roomToFill * need)}
	if !m.stock {
		t.Congestion = greedy
	}
	_, err = m.measure(ctx, d, t)
	return err
}

// fill finds out what each direction carries at most. Where the data budget ends
// that soon after it has found its speed, it is known nevertheless.
func (m *measuring) fill(ctx context.Context) error {
	for _, d := range []iperf3.Direction{iperf3.Down, iperf3.Up} {
		if rate, ok := m.e.Values.Num(keysOf(d).rate); ok && rate < m.need(d) {
			continue // it has been filled
		}
		if _, err := m.measure(ctx, d, iperf3.Test{Duration: fillingTime, Omit: fillingOmit}); err != nil {
			return err
		}
	}
	return nil
}

// fills reports whether a test takes all that the line carries.
func fills(t iperf3.Test) bool { return t.Rate == 0 }

// allowance is how much may have been moved by the end of a test, bytes; 0: no
// limit. What fills the line down leaves as much for the way up.
func (m *measuring) allowance(d iperf3.Direction, t iperf3.Test) int64 {
	if m.Most > 0 && fills(t) && d == iperf3.Down {
		return m.bytes + (m.Most-m.bytes)/2
	}
	return m.Most
}

// measure makes one test and notes its figures, bit/s.
func (m *measuring) measure(ctx context.Context, d iperf3.Direction, t iperf3.Test) (float64, error) {
	t.Direction, t.Slot = d, m.slot.Slot
	w := &watcher{measuring: m, test: t, most: m.allowance(d, t)}
	c := iperf3.Client{Every: every, Login: m.Login, Progress: w.progress, Began: func(*iperf3.Result) { w.began, w.load = time.Now(), now() }}
	res, err := m.test(ctx, c, t)
	switch {
	case w.strained:
		m.bytes += w.all
		return 0, postponed{reason: agent.LineInUse}
	case w.spent && (!fills(t) || w.until < leastFilling):
		m.bytes += w.all
		return 0, postponed{reason: agent.BudgetUsed}
	case err != nil:
		m.bytes += w.all
		return 0, err
	}
	if sum := res.Sum(d == iperf3.Up); m.Gentle && sum.BitsPerS() < m.need(d) {
		m.bytes += w.all
		if w.limit(res, sum) == byBox {
			return 0, postponed{reason: agent.BoxBusy}
		}
		return 0, postponed{reason: agent.LineInUse} // to know for sure would fill it
	}
	return m.note(d, w, res), nil
}

// test makes a test. A stock server, which serves one after the other, turns
// the next away or closes while it is not ready yet.
func (m *measuring) test(ctx context.Context, c iperf3.Client, t iperf3.Test) (*iperf3.Result, error) {
	for try := 1; ; try++ {
		res, err := c.Run(ctx, m.target.AddrPort().String(), t)
		if err == nil || res != nil || !m.stock || try == stockTries || errors.Is(err, iperf3.ErrDenied) {
			return res, err
		}
		if err := pause(ctx, stockPause); err != nil {
			return nil, err
		}
	}
}

// note writes a direction's figures down.
func (m *measuring) note(d iperf3.Direction, w *watcher, res *iperf3.Result) float64 {
	sum, k := res.Sum(d == iperf3.Up), keysOf(d)
	m.bytes += max(sum.Sent.Bytes, sum.Received.Bytes, w.all) // w.all has the omitted part
	m.e = m.e.With(agent.TestBytes, m.bytes)
	if fills(w.test) && beats(sum.BitsPerS(), m.e, k.rate, 1) || !fills(w.test) {
		m.e = m.e.With(k.rate, math.Round(sum.BitsPerS())).With(k.limit, w.limit(res, sum))
	}
	from, until := w.began.Add(settled), w.began.Add(settled+res.Test.Duration)
	if rtts, _ := m.echo.between(from, until); m.idle > 0 && m.echo.kept(from, until) {
		if loaded := median(rtts); loaded > 0 {
			m.e = m.e.With(k.loaded, loaded)
		}
	}
	return sum.BitsPerS()
}

// boxBusy is the processor time of ours and of what the system does for the network,
// percent of one, from which the box may have been the limit. One that is given less
// of it does not keep the pace.
const boxBusy = 90

// limit says what held the rate down.
func (w *watcher) limit(res *iperf3.Result, sum iperf3.Sum) string {
	switch rate := sum.BitsPerS(); {
	case w.test.Rate > 0 && rate >= float64(w.test.Rate)/headroom:
		return byOffer
	case res.RateCap > 0 && rate >= 0.9*float64(res.RateCap):
		return byServer
	case res.CPU.Total+100*w.load.share(now()) >= boxBusy, !w.echo.kept(w.began, w.began.Add(res.Test.Omit+res.Test.Duration)):
		return byBox
	}
	return byLine
}

// watcher ends a test when its answer is certain.
type watcher struct {
	*measuring
	test  iperf3.Test
	most  int64 // bytes that may have been moved by its end; 0: no limit
	began time.Time
	load  load  // when it began
	all   int64 // bytes that arrived
	moved int64 // likewise, since the connection had found its speed
	since time.Duration
	until time.Duration // the end of what counts so far

	strained, spent bool // why it was ended
}

// progress is told of each interval.
func (w *watcher) progress(i iperf3.Interval) bool {
	bytes := arrived(i)
	w.all += bytes
	w.strained = w.strained || w.Strained != nil && w.Strained()
	w.spent = w.spent || w.most > 0 && w.bytes+w.all >= w.most
	if !i.Omitted {
		w.until = i.End
	}
	return w.strained || w.spent || w.certain(i, bytes)
}

// arrived is what came through in an interval, bytes.
func arrived(i iperf3.Interval) (n int64) {
	for _, s := range i.Streams {
		if s.Sender {
			n += s.Acked
		} else {
			n += s.Bytes
		}
	}
	return n
}

// certain reports whether the answer is known.
func (w *watcher) certain(i iperf3.Interval, bytes int64) bool {
	if w.test.Omit > 0 {
		return false // looking for what it carries fills the line on purpose
	}
	if i.Start < settled {
		return w.jammed(time.Now())
	}
	if w.moved == 0 {
		w.since = i.Start
	}
	w.moved += bytes
	return w.proven() || w.jammed(time.Now())
}

// proven reports whether the line carries the cap without making anybody wait.
func (w *watcher) proven() bool {
	span := (w.until - w.since).Seconds()
	if w.until < certainAt || span <= 0 || float64(w.moved)*8/span < certainRate*float64(w.test.Rate) {
		return false
	}
	rtts, _ := w.echo.between(w.began.Add(settled), time.Now())
	loaded := median(rtts)
	return w.idle == 0 || loaded > 0 && loaded-w.idle < calm
}

// jammed reports whether everybody has to wait.
func (w *watcher) jammed(now time.Time) bool {
	if w.idle == 0 || now.Sub(w.began) < settled {
		return false
	}
	// Questions that could have been answered without a jam.
	end := now.Add(-w.idle - jam)
	rtts, missing := w.echo.between(end.Add(-jamTime), end)
	waits := missing
	for _, r := range rtts {
		if r > w.idle+jam {
			waits++
		}
	}
	return len(rtts)+missing >= enough && waits == len(rtts)+missing
}

// media sends datagrams as a call does, and sees what gets lost. What cannot be
// had is left out: UDP may be blocked, which other probes say.
func (m *measuring) media(ctx context.Context, d iperf3.Direction) {
	need := m.need(d)
	if need <= 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, mediaBound)
	defer cancel()
	carried, _ := m.e.Values.Num(keysOf(d).rate)
	t := iperf3.Test{
		UDP: true, Direction: d, Duration: mediaTime, Length: mediaSize,
		// More than the line carries would only show that it does not.
		Rate: int64(max(min(need, mediaRate, 0.8*carried), 10*mediaSize*8)),
		Slot: m.slot.Slot,
	}
	start := time.Now()
	c := iperf3.Client{Every: every, Login: m.Login}
	res, err := m.test(ctx, c, t)
	if err != nil {
		return
	}
	sum, k := res.Sum(d == iperf3.Up), keysOf(d)
	if sum.Packets == 0 {
		return
	}
	m.bytes += sum.Packets * mediaSize
	m.e = m.e.With(agent.TestBytes, m.bytes)
	if !m.echo.kept(start, time.Now()) {
		return // they were late, or dropped, here
	}
	m.e = m.e.With(k.loss, math.Round(sum.LossRatio()*1e4)/1e4).With(k.jitter, sum.Jitter)
	if drops := sum.DropRatio(); d == iperf3.Down && drops > 0 {
		m.e = m.e.With(agent.LocalDrops, drops)
	}
}
