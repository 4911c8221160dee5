package iperf3

import (
	"context"
	"errors"
	"net"
	"net/netip"
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

// Ends are both ends of a connection; invalid where it is no socket.
type Ends struct{ Local, Remote netip.AddrPort }
