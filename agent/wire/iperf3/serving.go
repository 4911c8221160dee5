package iperf3

import (
	"encoding/binary"
	"errors"
	"time"
)

// serving is one test at the server's end.
type serving struct {
	*Server
	control
	cookie cookie
	req    Request
	grant  Grant
	run    *run
	res    *Result

	// Under the server's mutex:
	awaited int // streams that may still come
	arrived chan arrival
}

// test goes through the states. Whatever goes wrong ends in closing the
// connection, after a word for the client where iperf3 has one.
func (s *serving) test() {
	err := s.ask()
	s.leave(s.req.From.Addr())
	if err != nil {
		s.refuse(err)
		return
	}
	s.grant, err = s.admit()
	if err != nil {
		s.refuse(err)
		return
	}
	if s.grant.Done != nil {
		defer s.grant.Done()
	}
	s.run = newRun(s.req.Test)
	s.run.pace, s.run.limited = s.pace()
	s.res = &Result{Test: s.req.Test, Cookie: s.cookie.String(), Control: Ends{addrPort(s.LocalAddr()), s.req.From}, server: true}
	if s.run.limited {
		s.res.RateCap = s.grant.Rate
	}
	defer s.run.close()
	if err = s.open(); err == nil {
		err = s.flow()
	}
	if err != nil {
		s.refuse(err)
	}
	s.run.stop()
	if !s.res.complete { // otherwise it has been settled
		s.res.settle(s.run)
	}
	if s.Ended != nil {
		s.Ended(s.req, s.res, s.cause(err))
	}
}

// ask has the client say what it wants, and who it is.
func (s *serving) ask() error {
	s.within(paramsBound)
	if err := s.say(paramExchange); err != nil {
		return err
	}
	b, err := readFrame(s, maxParams)
	if err != nil {
		if errors.Is(err, errFrameSize) {
			return &Error{Code: codeParams}
		}
		return err
	}
	heard := time.Now()
	t, p, err := parseParams(b)
	s.req.Test, s.req.Version = t, p.Version
	if err != nil {
		return err
	}
	if t.UDP && s.udp == nil {
		return &Error{Code: codeParams}
	}
	if s.Gate == nil {
		return nil
	}
	if s.req.User, err = s.Gate.Admit(p.AuthToken); err != nil {
		pause(s.ctx, late-time.Since(heard)) // all failures look and last the same
	}
	return err
}

func (s *serving) admit() (Grant, error) {
	if s.Admit == nil {
		return Grant{}, nil
	}
	g, err := s.Admit(s.ctx, s.req)
	if err != nil {
		return g, err
	}
	t := s.req.Test
	// What a client sends over UDP cannot be slowed down.
	if each := t.rate() * int64(t.Streams); t.UDP && t.Direction != Down && g.Rate > 0 && (each == 0 || each > g.Rate) {
		err = ErrTooFast
	}
	if total := t.Omit + t.Duration; g.Time > 0 && total > g.Time {
		err = ErrTooLong
	}
	if err != nil && g.Done != nil {
		g.Done()
	}
	return g, err
}

// pace is the rate of each stream, and whether it is the server's limit and not
// the client's wish.
func (s *serving) pace() (float64, bool) {
	want := float64(s.req.Test.rate())
	most := float64(s.grant.Rate) / float64(s.req.Test.Streams)
	if most > 0 && (want == 0 || want > most) {
		return most, true
	}
	return want, false
}

// refuse tells the client why there is no test, or no more of it.
func (s *serving) refuse(err error) {
	_ = s.SetDeadline(time.Now().Add(partBound))
	var e *Error
	switch {
	case s.ctx.Err() != nil:
		_ = s.say(serverTerminate)
	case errors.As(err, &e):
		s.refuseWith(e)
	case errors.Is(err, ErrDenied):
		s.refuseWith(&Error{Code: codeAuth})
	case errors.Is(err, ErrBusy), errors.Is(err, errRefused):
		_ = s.say(accessDenied)
	}
	// Anything else: the client has gone, or speaks something else.
}

func (s *serving) refuseWith(e *Error) {
	state := serverError
	b := binary.BigEndian.AppendUint32([]byte{byte(state)}, uint32(e.Code))
	_, _ = s.Write(binary.BigEndian.AppendUint32(b, uint32(e.Errno)))
}
