package iperf3

import (
	"context"
	"encoding/json"
	"time"
)

// flow lets the data flow, and ends the test as the client says.
func (s *serving) flow() error {
	s.within(partBound)
	s.run.begin()
	s.res.At = time.Now()
	s.res.open(s.run)
	if _, err := s.Write([]byte{byte(testStart), byte(testRunning)}); err != nil {
		return err
	}
	limit := s.limit()
	s.within(limit + graceBound)
	word, deaf := make(chan heard, 1), make(chan struct{})
	go func() {
		defer close(deaf)
		st, err := s.hear()
		for ; err == nil && st == testStart; st, err = s.hear() {
		}
		word <- heard{st, err}
	}()
	err := s.watch(word, limit)
	if err == nil {
		return s.finish()
	}
	_ = s.SetReadDeadline(time.Unix(1, 0))
	<-deaf
	return err
}

// limit is how long the data may flow.
func (s *serving) limit() time.Duration {
	t := s.req.Test
	d := MaxDuration + MaxOmit
	if t.Duration > 0 {
		d = t.Omit + t.Duration + graceBound
	}
	if s.grant.Time > 0 {
		d = min(d, s.grant.Time+graceBound)
	}
	return d
}

// watch waits for the client to end the test. An error has broken it off.
func (s *serving) watch(word <-chan heard, limit time.Duration) error {
	over := time.NewTimer(limit)
	defer over.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	omitted, stop := timerFor(s.req.Test.Omit > 0, s.req.Test.Omit)
	defer stop()
	for {
		select {
		case h := <-word:
			switch {
			case h.err != nil:
				return h.err
			case h.state == testEnd:
				return nil
			}
			return ErrTerminated
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		case <-omitted:
			s.interval()
			s.run.restart()
			tick.Reset(time.Second)
			omitted = nil
		case <-tick.C:
			if s.excess(s.interval()) {
				return ErrTooFast
			}
		case <-over.C:
			return &Error{Code: codeExpired}
		}
	}
}

// maxKept bounds the intervals that are kept for the client's sake.
const maxKept = 3600

func (s *serving) interval() Interval {
	i := s.run.interval(time.Now())
	if s.req.Test.ServerOutput && len(s.res.Intervals) < maxKept/s.req.Test.Streams {
		s.res.Intervals = append(s.res.Intervals, i)
	}
	return i
}

// excess reports whether a client sends datagrams faster than it was allowed to:
// nothing else can slow it down. Bursts after a stall are no excess.
func (s *serving) excess(i Interval) bool {
	return s.req.Test.UDP && s.grant.Rate > 0 && i.BitsPerS(false) > 2*float64(s.grant.Rate)
}

// finish exchanges results.
func (s *serving) finish() error {
	t := s.req.Test
	if t.bounded() || t.UDP {
		s.run.stopSending()
	} else {
		s.run.stop()
	}
	if t.Direction != Up {
		s.hangUp() // a client that receives may wait for the end of the stream
	}
	s.within(resultsBound)
	if err := s.say(exchangeResults); err != nil {
		return err
	}
	b, err := readFrame(s, maxResults)
	if err != nil {
		return err
	}
	if s.res.far, err = parseResults(b, t); err != nil {
		s.refuseWith(&Error{Code: codeResults})
		return err
	}
	s.drain()
	s.run.stop()
	s.res.complete = true
	s.res.settle(s.run)
	out := s.run.results()
	out.RateCap = number(s.res.RateCap)
	if t.ServerOutput {
		out.OutputJSON = s.output()
	}
	s.within(resultsBound)
	if err := writeFrame(s, out); err != nil {
		return err
	}
	if err := s.say(displayResults); err != nil {
		return err
	}
	s.within(goodbyeBound)
	_, _ = s.hear() // done, or gone: the test is complete either way
	return nil
}

// hangUp ends the streams that only send.
func (s *serving) hangUp() {
	for _, st := range s.run.streams {
		if c, ok := st.conn.(interface{ CloseWrite() error }); ok && st.sends {
			_ = c.CloseWrite()
		}
	}
}

// drain waits for what the client has sent and is not there yet.
func (s *serving) drain() {
	t := s.req.Test
	if t.Direction == Down || !t.bounded() && !t.UDP {
		return
	}
	bound := resultsBound / 2
	if !t.bounded() {
		bound = 250 * time.Millisecond // datagrams that are late, not lost
	}
	s.run.settle(s.all, bound)
}

// all reports whether everything has come that the client has sent.
func (s *serving) all() bool {
	for _, st := range s.run.streams {
		far := s.res.far.of(st.id)
		switch {
		case st.sends:
		case s.req.Test.UDP && st.packets.Load() < int64(far.Packets):
			return false
		case !s.req.Test.UDP && st.bytes.Load()-st.base.bytes < int64(far.Bytes):
			return false
		}
	}
	return true
}

// output is the server's own account.
func (s *serving) output() json.RawMessage {
	b, err := json.Marshal(s.res.Document())
	if err != nil || len(b) > maxResults/2 {
		return nil // without it the results are still complete
	}
	return b
}
