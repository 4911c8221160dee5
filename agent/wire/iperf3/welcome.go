package iperf3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// errRefused is for streams that the test cannot use.
var errRefused = errors.New("refused")

// open waits for the streams.
func (s *serving) open() error {
	if s.req.Test.UDP {
		done, err := s.udpTurnOf(s.req.From.Addr())
		if err != nil {
			return err
		}
		defer done()
	}
	n := s.req.Test.streams()
	s.mu.Lock()
	s.awaited, s.arrived = n, make(chan arrival, n)
	s.mu.Unlock()
	defer s.expire()
	s.within(streamsBound)
	if err := s.say(createStreams); err != nil {
		return err
	}
	// The control connection is read meanwhile, or a client that vanishes would
	// hold its place until the time is over.
	gone := make(chan error, 1)
	go func() {
		_, err := s.hear() // ends with the deadline at the latest
		gone <- err
	}()
	come, failed := s.await(n, gone)
	if !s.req.Test.UDP {
		failed = errors.Join(failed, s.takeAll(come))
	}
	_ = s.SetReadDeadline(time.Unix(1, 0))
	if err := <-gone; failed == nil && (err == nil || ended(err) != nil) {
		failed = errEarly
	}
	if s.ctx.Err() != nil {
		return s.cause(failed)
	}
	return failed
}

// errEarly is for a client that says something before its test has begun.
var errEarly = fmt.Errorf("%w: a word before the test", ErrProtocol)

// await waits until n streams have come, but not for a client that has gone.
func (s *serving) await(n int, gone chan error) (come []arrival, failed error) {
	over := time.NewTimer(streamsBound)
	defer over.Stop()
	for i := 0; i < n && failed == nil; i++ {
		select {
		case a := <-s.arrived:
			if come = append(come, a); s.req.Test.UDP {
				failed = s.take(i, a.Conn) // the next comes when this one has its answer
			}
		case err := <-gone:
			gone <- err
			failed = err
			if err == nil {
				failed = errEarly
			}
		case <-over.C:
			failed = &Error{Code: codeStreamsAwait}
		}
	}
	return come, failed
}

// expire ends the time in which streams may come.
func (s *serving) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awaited = 0
	if s.greeted[s.req.From.Addr()] == s {
		delete(s.greeted, s.req.From.Addr())
	}
	for {
		select {
		case conn := <-s.arrived:
			_ = conn.Close()
		default:
			return
		}
	}
}

// takeAll makes streams of the connections, in the order in which the client
// made them: it says which is for which direction.
func (s *serving) takeAll(come []arrival) error {
	slices.SortFunc(come, func(a, b arrival) int { return a.turn - b.turn })
	var errs []error
	for i, a := range come {
		errs = append(errs, s.take(i, a.Conn))
	}
	return errors.Join(errs...)
}

// take makes a stream of a connection.
func (s *serving) take(i int, conn net.Conn) error {
	t := s.req.Test
	st := &stream{id: streamID(i), sends: !t.up(i), conn: conn}
	_ = conn.SetDeadline(time.Time{})
	if !t.UDP {
		if c, ok := conn.(*net.TCPConn); ok {
			_ = c.SetNoDelay(t.NoDelay || t.Rate > 0)
		}
		err := setUp(conn, t)
		s.run.listen(st)
		if err != nil {
			return &Error{Code: codeWindow}
		}
		return nil
	}
	st.hello = func() error {
		_, err := conn.Write(answerBytes)
		return err
	}
	s.run.listen(st)
	if i+1 < t.streams() {
		// The next hello comes as soon as this one has been answered.
		s.mu.Lock()
		s.greeted[s.req.From.Addr()] = s
		s.mu.Unlock()
	}
	if err := st.hello(); err != nil && !refused(err) {
		return err
	}
	return nil
}

// udpTurnOf waits until no other test of the same address sets up UDP streams: a
// hello does not say which test it is for.
func (s *serving) udpTurnOf(from netip.Addr) (done func(), err error) {
	timer := time.NewTimer(turnBound)
	defer timer.Stop()
	for {
		s.mu.Lock()
		held := s.udpTurn[from]
		if held == nil {
			mine := make(chan struct{})
			s.udpTurn[from] = mine
			s.greeted[from] = s
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				delete(s.udpTurn, from)
				s.mu.Unlock()
				close(mine)
			}, nil
		}
		s.mu.Unlock()
		select {
		case <-held:
		case <-timer.C:
			return nil, ErrBusy
		case <-s.ctx.Done():
			return nil, context.Cause(s.ctx)
		}
	}
}
