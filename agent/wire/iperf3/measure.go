package iperf3

import (
	"errors"
	"fmt"
	"time"
)

// begin starts the streams, and listens to what the server has to say.
func (s *session) begin() {
	s.res.At = time.Now()
	_ = s.SetDeadline(time.Time{})
	s.within(stallBound + MaxDuration + MaxOmit)
	go func() {
		st, err := s.hear()
		s.heard <- heard{st, err}
	}()
	s.run.begin()
	s.res.open(s.run)
	if s.Began != nil {
		s.Began(s.res)
	}
}

// flow lets the data flow until the test is over. An error has broken it off.
func (s *session) flow() error {
	t := s.run.t
	every := s.Every
	if every <= 0 {
		every = time.Second
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	omitted, stop := timerFor(t.Omit > 0, t.Omit)
	defer stop()
	over, stop := timerFor(t.Duration > 0, t.Omit+t.Duration)
	defer stop()
	sent := s.run.sent
	if !t.bounded() || t.Direction == Down {
		sent = nil
	}
	moved := time.Now()
	for {
		select {
		case <-s.ctx.Done():
			return s.ctx.Err()
		case h := <-s.heard:
			s.heard <- h // for whoever waits
			return s.broke(h)
		case err := <-s.run.broken:
			return s.lostStream(err)
		case <-omitted:
			s.interval()
			s.run.restart()
			tick.Reset(every)
			omitted = nil
		case <-tick.C:
			i := s.interval()
			if i.moved() {
				moved = time.Now()
			}
			if s.Progress != nil && s.Progress(i) || over == nil && time.Since(moved) > stallBound {
				return nil
			}
		case <-sent:
			s.drain()
			return nil
		case <-s.run.ample:
			return nil
		case <-over:
			return nil
		}
	}
}

// timerFor is what tells when d is over, if it is wanted.
func timerFor(wanted bool, d time.Duration) (over <-chan time.Time, stop func()) {
	if !wanted {
		return nil, func() {}
	}
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}

// interval takes an interval down.
func (s *session) interval() Interval {
	i := s.run.interval(time.Now())
	s.res.Intervals = append(s.res.Intervals, i)
	return i
}

// broke says what a word of the server's in the middle of the data means.
func (s *session) broke(h heard) error {
	switch {
	case h.err != nil:
		return fmt.Errorf("control connection: %w", h.err)
	case h.state == serverTerminate:
		_ = s.say(iperfDone)
	}
	return s.is(h.state, exchangeResults)
}

// lostStream asks for the server's word after a stream has ended with an error.
func (s *session) lostStream(err error) error {
	timer := time.NewTimer(partBound)
	defer timer.Stop()
	select {
	case h := <-s.heard:
		s.heard <- h
		if h.err == nil {
			return s.broke(h)
		}
	case <-timer.C:
	}
	return err
}

// Drain: what the system has taken over is not there yet.
const (
	drainBound = 10 * time.Second
	drainBeat  = 2 * time.Millisecond
	drainGrace = 20 * time.Millisecond // for a server that stops reading at the end's word
)

// drain waits, after all of a fixed amount has been sent, until the far end's
// system has it.
func (s *session) drain() {
	end := time.Now().Add(drainBound)
	for _, st := range s.run.streams {
		for st.sends && unacked(st.conn) > 0 && time.Now().Before(end) && s.run.rest(drainBeat) && s.ctx.Err() == nil {
		}
	}
	s.run.rest(min(drainGrace+s.rtt, drainBound))
}

// part ends a test that is broken off.
func (s *session) part(err error) {
	s.run.stopSending()
	_ = s.SetWriteDeadline(time.Now().Add(partBound))
	if !errors.Is(err, ErrTerminated) {
		_ = s.say(clientTerminate)
	}
	_ = s.SetReadDeadline(time.Unix(1, 0)) // ends what listens
	<-s.heard
}

// finish ends the test in order and exchanges results.
func (s *session) finish() error {
	s.run.stopSending()
	s.within(endBound)
	if err := s.say(testEnd); err != nil {
		<-s.heard
		return err
	}
	h := <-s.heard // streams go on receiving until then: the server may be stuck in a write
	s.heard <- h
	if h.err != nil {
		return h.err
	}
	if err := s.is(h.state, exchangeResults); err != nil {
		return err
	}
	if s.run.t.bounded() && s.run.t.Direction != Up {
		s.run.settle(func() bool { return false }, time.Second)
	}
	s.run.stop()
	if err := writeFrame(s, s.run.results()); err != nil {
		return err
	}
	b, err := readFrame(s, maxResults)
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	if s.res.far, err = parseResults(b, s.run.t); err != nil {
		return err
	}
	s.res.complete = true
	if err := s.expect(displayResults); err != nil {
		return err
	}
	s.within(partBound)
	_ = s.say(iperfDone) // nothing depends on it any more
	return nil
}
