package farends

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// openNATS starts the three servers of the group service. Like those that
// browsers need, they take WebSockets over TLS only, and want credentials.
func (s *Service) openNATS() error {
	for _, host := range natsHosts {
		inner, err := s.startNATS(host)
		if err != nil {
			return err
		}
		want := uint16(natsPort)
		if len(s.doors.nats) > 0 {
			want = s.doors.nats[0].addr.Port()
		}
		err = openAt(s.addr(host), want, func(at netip.AddrPort) error {
			d, err := newStreamDoor(at)
			if err == nil {
				s.doors.nats = append(s.doors.nats, d)
			}
			return err
		})
		if err != nil {
			return err
		}
		s.usher(s.doors.nats[len(s.doors.nats)-1], inner)
	}
	return nil
}

// startNATS starts one server and returns where it listens.
func (s *Service) startNATS(name string) (string, error) {
	n, err := server.NewServer(&server.Options{
		ServerName: name, DontListen: true, NoSigs: true, NoLog: true,
		Username: "demo", Password: rand.Text(),
		Websocket: server.WebsocketOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT, TLSConfig: s.certs.config()},
	})
	if err != nil {
		return "", fmt.Errorf("start %s: %w", name, err)
	}
	n.Start()
	s.later(closer(func() error {
		n.Shutdown()
		n.WaitForShutdown()
		return nil
	}))
	if !n.ReadyForConnections(10 * time.Second) {
		return "", fmt.Errorf("start %s: not ready after 10 s", name)
	}
	u, err := url.Parse(n.WebsocketURL())
	if err != nil || u.Port() == "" {
		return "", fmt.Errorf("start %s: no WebSocket port in %q", name, n.WebsocketURL())
	}
	return net.JoinHostPort("127.0.0.1", u.Port()), nil
}

// usher leads who comes through a door to the server, or to the page of a proxy
// that knows no WebSocket.
func (s *Service) usher(d *streamDoor, inner string) {
	done := make(chan struct{})
	var guests sync.WaitGroup
	pairs := &spliced{conns: map[net.Conn]bool{}}
	go func() {
		defer close(done)
		for {
			c, err := d.Accept()
			if err != nil {
				return
			}
			guests.Go(func() {
				if s.stripped.Load() {
					s.web.stripper.show(c)
					return
				}
				pairs.join(c, inner)
			})
		}
	}()
	s.later(closer(func() error {
		err := d.Close()
		<-done
		pairs.close()
		guests.Wait()
		return err
	}))
}

// spliced is a set of connections, each joined to another.
type spliced struct {
	mu    sync.Mutex
	conns map[net.Conn]bool
	ended bool
}

// add notes a connection, or closes it when the set is closed.
func (o *spliced) add(c net.Conn) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		_ = c.Close()
		return false
	}
	o.conns[c] = true
	return true
}

func (o *spliced) drop(c net.Conn) {
	_ = c.Close()
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.conns, c)
}

func (o *spliced) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	for c := range o.conns {
		_ = c.Close()
	}
}

// join copies between a connection and an address until either side ends.
func (o *spliced) join(c net.Conn, to string) {
	if !o.add(c) {
		return
	}
	defer o.drop(c)
	far, err := net.DialTimeout("tcp", to, 5*time.Second)
	if err != nil || !o.add(far) {
		return
	}
	defer o.drop(far)
	var back sync.WaitGroup
	back.Go(func() {
		_, err := io.Copy(c, far)
		_ = errors.Join(err, c.Close())
	})
	_, _ = io.Copy(far, c)
	_ = far.Close()
	back.Wait()
}
