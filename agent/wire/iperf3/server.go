package iperf3

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Server serves tests to any number of clients at once on one port. Its zero
// value takes every test as it is asked for. Set it up before Serve.
type Server struct {
	// Admit decides on a test whose parameters are sound. It may wait, which
	// clients take patiently, until ctx ends. An error refuses: ErrBusy,
	// ErrDenied and *Error are told the client as such, others as busy. Nil
	// admits all.
	Admit func(ctx context.Context, q Request) (Grant, error)
	Gate  *Gate // nil: no login is asked for
	// Slot answers who asks for a lease. Nil: there are none.
	Slot func(q SlotRequest) SlotAnswer
	// Datagram answers datagrams that belong to no test; nil: nobody does. The
	// answer goes back to where the datagram came from.
	Datagram func(b []byte, from netip.AddrPort) []byte
	// Ended is told of each test that was admitted. Nil: nobody is.
	Ended func(q Request, res *Result, err error)

	// Connections that have not yet shown what they want, in all and of one
	// address. 0: 512 and 64.
	MaxOpening, MaxOpeningPerSource int

	mu      sync.Mutex
	tests   map[cookie]*serving
	opening map[netip.Addr]int
	waiting int                          // all of opening
	greeted map[netip.Addr]*serving      // whose UDP hello is awaited
	udpTurn map[netip.Addr]chan struct{} // held while an address sets UDP streams up
	udp     *net.UDPConn
}

// Request is a test that a client asks for.
type Request struct {
	From netip.AddrPort
	User string // who has logged in; empty: no login is asked for
	Test Test
	// Version is what the client says of itself.
	Version string
}

// Grant says how a test may be made.
type Grant struct {
	// Rate caps each direction of the test, all streams together, bit/s; 0: as
	// asked for.
	Rate int64
	// Time is the longest that the test may take with everything; 0: what it
	// asks for, and a day without a word on time.
	Time time.Duration
	// Done is called once when the test is over. Nil: nobody asks.
	Done func()
}

// How long clients may take.
const (
	cookieBound  = 3 * time.Second
	paramsBound  = 3 * time.Second
	streamsBound = 10 * time.Second // until all streams have come
	turnBound    = 15 * time.Second // for another test of the same address to set its UDP streams up
	graceBound   = 10 * time.Second // that a client may be late with the end of its test
	resultsBound = 10 * time.Second
	goodbyeBound = 3 * time.Second
)

const (
	defaultOpening          = 512
	defaultOpeningPerSource = 64
)

// Serve serves until ctx ends, and returns when all tests have ended. udp may
// be nil, then there are no UDP tests; both are closed in the end. The sockets
// come from [Listen], or for UDP anything with SO_REUSEADDR set.
func (s *Server) Serve(ctx context.Context, tcp net.Listener, udp *net.UDPConn) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.prepare(udp)
	var all sync.WaitGroup
	defer all.Wait()
	stop := context.AfterFunc(ctx, func() {
		_ = tcp.Close()
		if udp != nil {
			_ = udp.Close()
		}
	})
	defer stop()
	defer cancel(ErrTerminated)
	if udp != nil {
		all.Go(func() { s.hellos(udp) })
	}
	for turn := 0; ; turn++ {
		conn, err := tcp.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // out of descriptors, or a client that has gone already
			pause(ctx, 50*time.Millisecond)
		default:
			all.Go(func() { s.handle(ctx, arrival{conn, turn}) })
		}
	}
}

func (s *Server) prepare(udp *net.UDPConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.udp = udp
	s.tests = map[cookie]*serving{}
	s.opening = map[netip.Addr]int{}
	s.greeted = map[netip.Addr]*serving{}
	s.udpTurn = map[netip.Addr]chan struct{}{}
}

// arrival is a connection and its place in the order of all.
type arrival struct {
	net.Conn
	turn int
}

// handle serves one connection: a stream of a test, or a test from beginning to
// end.
func (s *Server) handle(ctx context.Context, conn arrival) {
	from := addrPort(conn.RemoteAddr())
	if !s.enter(from.Addr()) {
		refuse(conn)
		return
	}
	ctl, release := newControl(ctx, conn.Conn)
	defer release()
	var c cookie
	ctl.within(cookieBound)
	_, err := io.ReadFull(conn, c[:])
	switch {
	case err != nil:
		s.leave(from.Addr())
		_ = conn.Close()
	case c == slotCookie:
		s.slot(ctl, from)
		s.leave(from.Addr())
		_ = conn.Close()
	case s.deliver(c, conn, from):
		s.leave(from.Addr())
	default:
		s.serve(ctl, c, from)
		_ = conn.Close()
	}
}

// enter counts a connection that has not shown what it wants.
func (s *Server) enter(from netip.Addr) bool {
	most, each := s.MaxOpening, s.MaxOpeningPerSource
	if most <= 0 {
		most = defaultOpening
	}
	if each <= 0 {
		each = defaultOpeningPerSource
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting >= most || s.opening[from] >= each {
		return false
	}
	s.waiting++
	s.opening[from]++
	return true
}

func (s *Server) leave(from netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting--
	if s.opening[from]--; s.opening[from] <= 0 {
		delete(s.opening, from)
	}
}

// refuse turns a connection away in iperf3's way: the byte for busy, before the
// client has said anything. Reading what it may have said keeps the system from
// resetting the connection, which would lose the byte.
func refuse(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(partBound))
	deny := accessDenied
	_, _ = conn.Write([]byte{byte(deny)})
	_, _ = io.CopyN(io.Discard, conn, int64(len(cookie{})))
	_ = conn.Close()
}

// deliver gives a connection to the test whose cookie it shows, if that is from
// the same address and waits for it.
func (s *Server) deliver(c cookie, conn arrival, from netip.AddrPort) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tests[c]
	if t == nil || t.awaited == 0 || t.req.Test.UDP || t.req.From.Addr() != from.Addr() {
		return false
	}
	t.awaited--
	t.arrived <- conn // has room for all
	return true
}

// serve makes a test with the client that has shown a new cookie.
func (s *Server) serve(ctl control, c cookie, from netip.AddrPort) {
	t := &serving{Server: s, control: ctl, cookie: c, req: Request{From: from}}
	s.mu.Lock()
	_, twice := s.tests[c]
	if !twice {
		s.tests[c] = t
	}
	s.mu.Unlock()
	if twice {
		s.leave(from.Addr())
		ctl.within(partBound)
		_ = ctl.say(accessDenied)
		return
	}
	defer func() {
		s.mu.Lock()
		delete(s.tests, c)
		s.mu.Unlock()
	}()
	t.test()
}

// listenTries is how often a port is looked for that is free for TCP and UDP.
const listenTries = 10

// Listen opens the TCP and the UDP socket of a server at addr, "host:port". Port
// 0 takes one that is free for both.
func Listen(addr string) (net.Listener, *net.UDPConn, error) {
	lc := net.ListenConfig{Control: shareable}
	for try := 1; ; try++ {
		tcp, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, nil, err
		}
		udp, err := lc.ListenPacket(context.Background(), "udp", tcp.Addr().String())
		if err == nil {
			return tcp, udp.(*net.UDPConn), nil
		}
		_ = tcp.Close()
		if try == listenTries || !strings.HasSuffix(addr, ":0") {
			return nil, nil, err
		}
	}
}
