package iperf3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

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
