package iperf3

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
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
	over := time.NewTimer(streamsBound)
	defer over.Stop()
	gone := make(chan error, 1)
	go func() {
		_, err := s.hear() // ends with the deadline at the latest
		gone <- err
	}()
	var failed error
	var come []arrival
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
				failed = fmt.Errorf("%w: a word before the test", ErrProtocol)
			}
		case <-over.C:
			failed = &Error{Code: codeStreamsAwait}
		}
	}
	if !s.req.Test.UDP {
		failed = errors.Join(failed, s.takeAll(come))
	}
	_ = s.SetReadDeadline(time.Unix(1, 0))
	if err := <-gone; failed == nil && (err == nil || ended(err) != nil) {
		failed = fmt.Errorf("%w: a word before the test", ErrProtocol)
	}
	if s.ctx.Err() != nil {
		return s.cause(failed)
	}
	return failed
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
	var omitted <-chan time.Time
	if s.req.Test.Omit > 0 {
		timer := time.NewTimer(s.req.Test.Omit)
		defer timer.Stop()
		omitted = timer.C
	}
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

// hellos opens UDP streams, and answers what is no hello, until udp is closed.
func (s *Server) hellos(udp *net.UDPConn) {
	buf := make([]byte, 2048)
	for {
		n, from, err := udp.ReadFromUDPAddrPort(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			pause(context.Background(), time.Millisecond)
		default:
			s.datagram(buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), from)
		}
	}
}

// datagram sorts one datagram. raw is where it came from as the socket says it.
func (s *Server) datagram(b []byte, from, raw netip.AddrPort) {
	if len(b) != helloSize {
		if s.Datagram == nil {
			return
		}
		if answer := s.Datagram(b, from); answer != nil {
			_, _ = s.udp.WriteToUDPAddrPort(answer, raw)
		}
		return
	}
	s.mu.Lock()
	t := s.greeted[from.Addr()]
	if t == nil || t.awaited == 0 {
		s.mu.Unlock()
		return
	}
	t.awaited--
	// Until this hello has been answered there is no next one.
	delete(s.greeted, from.Addr())
	s.mu.Unlock()
	conn, strays, err := connected(t.LocalAddr(), from, t.req.Test)
	if err != nil {
		s.mu.Lock()
		t.awaited++
		s.greeted[from.Addr()] = t
		s.mu.Unlock()
		return
	}
	t.arrived <- arrival{Conn: conn} // has room for all
	for _, x := range strays {
		s.datagram(x.b, x.from, x.from)
	}
}

// stray is a datagram that came to a socket before that was connected.
type stray struct {
	b    []byte
	from netip.AddrPort
}
