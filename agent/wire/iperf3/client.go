package iperf3

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"
)

// Client measures against a server. The zero value is ready for use.
type Client struct {
	// Network is tcp4 or tcp6 to use only one of the families; empty: any.
	Network string
	Login   *Login // nil: none
	// Every is the length of an interval; 0: 1 s.
	Every time.Duration
	// Progress gets each interval as it ends; what it returns true for is
	// enough, and the test ends early but in order. Nil: nobody watches.
	Progress func(Interval) (enough bool)
	// Began is called when the data begins to flow, with the test as it is
	// made. Nil: nobody asks.
	Began func(*Result)
	// Dial makes connections in place of the net package's, without the test's
	// socket options; nil: the net package's.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// How long a far end may take.
const (
	connectBound = 5 * time.Second  // to connect
	stateBound   = 5 * time.Second  // for each step up to the test
	endBound     = 10 * time.Second // from the end of the test to its results
	stallBound   = 30 * time.Second // without any data moving, if no time ends the test
	partBound    = time.Second      // to say goodbye
	helloBound   = 5 * time.Second  // for the answer to a UDP hello
	helloAgain   = 300 * time.Millisecond
	helloTries   = 3
	againPause   = 300 * time.Millisecond // a stock server recovers from a refusal
)

// Run makes one test against addr, "host:port", and returns what both ends
// counted. If the test breaks off after it has begun, the result so far comes
// with the error. When ctx ends the server is told, and the error is ctx's
// cause. Refusals are ErrBusy, ErrDenied and *Error.
func (c *Client) Run(ctx context.Context, addr string, t Test) (*Result, error) {
	t = t.normal()
	if err := t.check(); err != nil {
		return nil, err
	}
	if c.Login == nil {
		return c.try(ctx, addr, t, "")
	}
	if err := c.Login.check(); err != nil {
		return nil, err
	}
	var denied error
	for i, p := range c.Login.paddings() {
		if i > 0 {
			pause(ctx, againPause)
		}
		token, err := c.Login.token(p)
		if err != nil {
			return nil, err
		}
		res, err := c.try(ctx, addr, t, token)
		if !errors.Is(err, ErrDenied) {
			return res, err
		}
		denied = err
	}
	return nil, denied
}

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

func (c *Client) dial(ctx context.Context, network, addr string, t *Test) (net.Conn, error) {
	if c.Dial != nil {
		return c.Dial(ctx, network, addr)
	}
	d := net.Dialer{}
	if t != nil {
		d.Control = func(network, _ string, raw syscall.RawConn) error {
			var err error
			ctl := raw.Control(func(fd uintptr) { err = configure(int(fd), *t, strings.HasSuffix(network, "6")) })
			return errors.Join(ctl, err)
		}
	}
	return d.DialContext(ctx, network, addr)
}

// try makes a test with one token.
func (c *Client) try(ctx context.Context, addr string, t Test, token string) (*Result, error) {
	network := c.Network
	if network == "" {
		network = "tcp"
	}
	connecting, cancel := context.WithTimeout(ctx, connectBound)
	defer cancel()
	start := time.Now()
	conn, err := c.dial(connecting, network, addr, nil)
	if err != nil {
		return nil, errors.Join(context.Cause(ctx), err)
	}
	defer func() { _ = conn.Close() }()
	ctl, release := newControl(ctx, conn)
	defer release()
	if t.UDP && t.Length == 0 {
		t.Length = datagramSize(conn)
	}
	s := &session{
		Client: c, control: ctl, cookie: newCookie(), token: token, rtt: time.Since(start), heard: make(chan heard, 1),
		run: newRun(t),
	}
	s.res = &Result{Test: t, Addr: addr, Cookie: s.cookie.String(), Control: Ends{addrPort(conn.LocalAddr()), addrPort(conn.RemoteAddr())}}
	defer s.run.close()
	return s.test()
}

// datagramSize is the largest datagram that fits the path, as far as the control
// connection knows it.
func datagramSize(c net.Conn) int {
	if i, ok := tcpInfoOf(c); ok && i.mss >= MinUDPLength {
		return min(int(i.mss), MaxUDPLength)
	}
	return defaultUDPLength
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

// open makes the data connections, one after the other: a server knows which is
// which by the order.
func (s *session) open() error {
	t := &s.run.t
	for i := range t.streams() {
		st := &stream{id: streamID(i), sends: t.up(i)}
		var err error
		if t.UDP {
			st.conn, err = s.openUDP(t)
		} else {
			st.conn, err = s.openTCP(t)
		}
		if err != nil {
			return fmt.Errorf("stream %d: %w", st.id, err)
		}
		s.run.listen(st)
	}
	return nil
}

func (s *session) openTCP(t *Test) (net.Conn, error) {
	conn, err := s.openTo("tcp", t)
	if err != nil {
		return nil, err
	}
	_ = conn.SetWriteDeadline(time.Now().Add(stateBound))
	if _, err := conn.Write(s.cookie[:]); err != nil {
		_ = conn.Close()
		return nil, err
	}
	_ = conn.SetWriteDeadline(time.Time{})
	if c, ok := conn.(*net.TCPConn); ok {
		_ = c.SetNoDelay(t.NoDelay || t.Rate > 0)
	}
	return conn, nil
}

// openTo connects to where the control connection leads.
func (s *session) openTo(network string, t *Test) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.ctx, connectBound)
	defer cancel()
	addr := s.res.Addr
	if to := s.res.Control.Remote; to.IsValid() {
		addr = to.String()
	}
	return s.dial(ctx, network, addr, t)
}

// openUDP opens a stream by a hello. It is sent again from the same port if no
// answer comes, but not for long: a stock server takes what comes after its
// answer for data.
func (s *session) openUDP(t *Test) (net.Conn, error) {
	conn, err := s.openTo("udp", t)
	if err != nil {
		return nil, err
	}
	if err := s.greet(conn); err != nil {
		_ = conn.Close()
		return nil, err
	}
	_ = conn.SetReadDeadline(time.Time{})
	return conn, nil
}

func (s *session) greet(conn net.Conn) error {
	defer context.AfterFunc(s.ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
	again := max(helloAgain, 3*s.rtt)
	end := time.Now().Add(helloBound)
	buf := make([]byte, 2048)
	for try := 1; ; try++ {
		if _, err := conn.Write(helloBytes); err != nil && !refused(err) {
			return err
		}
		until := time.Now().Add(again)
		if try >= helloTries || until.After(end) {
			until = end
		}
		for {
			_ = conn.SetReadDeadline(until)
			n, err := conn.Read(buf)
			switch {
			case s.ctx.Err() != nil:
				return s.ctx.Err()
			case err == nil && n == helloSize:
				return nil
			case err == nil || refused(err) && time.Now().Before(until):
				continue // data has overtaken the answer
			case !errors.Is(err, os.ErrDeadlineExceeded):
				return err
			case !time.Now().Before(end):
				return fmt.Errorf("no answer to the hello over UDP: %w", err)
			}
			break
		}
	}
}

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
	var omitted, over <-chan time.Time
	if t.Omit > 0 {
		timer := time.NewTimer(t.Omit)
		defer timer.Stop()
		omitted = timer.C
	}
	if t.Duration > 0 {
		timer := time.NewTimer(t.Omit + t.Duration)
		defer timer.Stop()
		over = timer.C
	}
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

// Ends are both ends of a connection; invalid where it is no socket.
type Ends struct{ Local, Remote netip.AddrPort }
