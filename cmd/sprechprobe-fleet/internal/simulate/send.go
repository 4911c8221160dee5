package simulate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// Sending says how reports are sent.
type Sending struct {
	From    time.Time // of the first report
	First   int       // the number of the first report of all, from 0
	Reports int       // the number after the last one; 0: until the context ends
	Paced   bool      // each at its time; otherwise as fast as the bus takes them
	Rate    float64   // at most so many a second; 0: any
	// Connect joins the bus. There are as many connections as Lines, default 4, and
	// not one for each box.
	Connect func() (*nats.Conn, error)
	Lines   int
	Window  int // reports of a line that the bus has not acknowledged yet; default 256
}

// Sent is what was sent.
type Sent struct {
	Acknowledged int64 // by the bus
	Failed       int64
	Took         time.Duration
}

// Send sends the reports of the fleet, and ends when the bus has acknowledged them.
func (f *Fleet) Send(ctx context.Context, s Sending) (Sent, error) {
	if s.Lines == 0 {
		s.Lines = 4
	}
	if s.Window == 0 {
		s.Window = 256
	}
	var sent Sent
	var given, failed atomic.Int64
	began := time.Now()
	errs := make([]error, s.Lines)
	var lines sync.WaitGroup
	for l := range s.Lines {
		lines.Go(func() { errs[l] = f.line(ctx, s, l, &given, &failed) })
	}
	lines.Wait()
	sent.Failed, sent.Took = failed.Load(), time.Since(began)
	sent.Acknowledged = given.Load() - sent.Failed
	return sent, errors.Join(errs...)
}

// line sends every s.Lines-th report.
func (f *Fleet) line(ctx context.Context, s Sending, l int, given, failed *atomic.Int64) error {
	nc, err := s.Connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(s.Window), jetstream.WithPublishAsyncTimeout(patience),
		jetstream.WithPublishAsyncErrHandler(func(jetstream.JetStream, *nats.Msg, error) { failed.Add(1) }))
	if err != nil {
		return err
	}
	began := time.Now()
	for k := s.First + l; (s.Reports == 0 || k < s.Reports) && ctx.Err() == nil; k += s.Lines {
		i, n := k%f.conf.Boxes, uint64(k/f.conf.Boxes)
		at := f.At(i, n, s.From)
		if s.Paced && !until(ctx, at) {
			break
		}
		if s.Rate > 0 {
			// Not each by itself: timers would cost more than reports.
			turn := began.Add(time.Duration(float64(k-s.First) / s.Rate * float64(time.Second)))
			if time.Until(turn) > 5*time.Millisecond && !until(ctx, turn) {
				break
			}
		}
		m, err := f.message(i, n, at)
		if err != nil {
			return err
		}
		given.Add(1)
		if _, err := js.PublishMsgAsync(m, jetstream.WithStallWait(patience)); err != nil {
			failed.Add(1)
		}
	}
	<-js.PublishAsyncComplete() // in time, for each answer is waited for so long only
	return nil
}

// patience is how long the bus may take to acknowledge a report.
const patience = 30 * time.Second

func (f *Fleet) message(i int, n uint64, at time.Time) (*nats.Msg, error) {
	boot, r := f.Report(i, n, at)
	body, err := encode(r)
	if err != nil {
		return nil, fmt.Errorf("report of box %d: %w", i, err)
	}
	a := f.Address(i)
	subject, err := fleet.ReportSubject(a.Tenant, a.Box)
	if err != nil {
		return nil, err
	}
	m := nats.NewMsg(subject)
	m.Header.Set(fleet.HeaderBoot, boot)
	m.Header.Set(jetstream.MsgIDHeader, rand.Text())
	m.Data = body
	return m, nil
}

// until waits for a moment and reports whether ctx is still alive.
func until(ctx context.Context, at time.Time) bool {
	d := time.Until(at)
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
