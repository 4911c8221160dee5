package iperf3

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"
)

// session is one test at the client's end.
type session struct {
	*Client
	control
	run    *run
	res    *Result
	cookie cookie
	token  string
	rtt    time.Duration // of connecting
	heard  chan heard    // what the server says while data flows
}

// heard is a state, or why there is none.
type heard struct {
	state state
	err   error
}

// test goes through the states.
func (s *session) test() (*Result, error) {
	if err := s.agree(); err != nil {
		return nil, s.cause(err)
	}
	s.begin()
	err := s.flow()
	if err == nil {
		err = s.finish()
	} else {
		s.part(err)
	}
	s.run.stop()
	s.res.settle(s.run)
	if err != nil {
		return s.res, s.cause(err)
	}
	return s.res, nil
}

// agree goes up to the start of the test.
func (s *session) agree() error {
	s.within(stateBound)
	if _, err := s.Write(s.cookie[:]); err != nil {
		return s.lost(err)
	}
	if err := s.expect(paramExchange); err != nil {
		return err
	}
	if err := writeFrame(s, paramsOf(s.run.t, s.token)); err != nil {
		return s.lost(err)
	}
	if err := s.expect(createStreams); err != nil {
		if s.token != "" && gone(err) {
			return fmt.Errorf("%w: %v", ErrDenied, err) // how 3.21 says it
		}
		return err
	}
	if err := s.open(); err != nil {
		return s.lost(err)
	}
	if err := s.expect(testStart); err != nil {
		return err
	}
	return s.expect(testRunning)
}

// gone reports whether an error means that the far end has closed.
func gone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// lost looks for the server's word after a connection of the test has failed: a
// busy server says so and closes without listening.
func (s *session) lost(err error) error {
	s.within(partBound)
	for range 2 {
		if st, readErr := s.hear(); readErr == nil {
			if said := s.refusal(st); said != nil {
				return said
			}
		}
	}
	return err
}

// expect waits for a state.
func (s *session) expect(want state) error {
	s.within(stateBound)
	got, err := s.hear()
	if err != nil {
		return err
	}
	return s.is(got, want)
}

func (s *session) is(got, want state) error {
	if got == want {
		return nil
	}
	if err := s.refusal(got); err != nil {
		return err
	}
	return fmt.Errorf("%w: it says %d where %d belongs", ErrProtocol, got, want)
}

// refusal is what a server means by a state that ends a test; nil: no such
// state.
func (s *session) refusal(got state) error {
	switch got {
	case accessDenied:
		return ErrBusy
	case serverTerminate:
		return ErrTerminated
	case serverError:
		// Servers up to 3.18 send only the first number in some places.
		var b [8]byte
		s.within(partBound)
		if n, _ := io.ReadFull(s, b[:]); n < 4 {
			return ErrTerminated
		}
		e := &Error{Code: int(int32(binary.BigEndian.Uint32(b[:]))), Errno: int(int32(binary.BigEndian.Uint32(b[4:])))}
		return e
	}
	return nil
}
